# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx. The reference pages and drawings are made from the code first."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import docstrings
import generate

project = "Ornstein"
author = "The Ornstein developers"
copyright = author
version = release = installed_version("ornstein")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["examples"]  # sphinx-gallery runs them and writes their pages
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "generated/examples",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "reset_modules": ("matplotlib",),
}
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False


def setup(app):
    """Sphinx calls this before it reads a page."""
    generate.write(Path(__file__).parent / "generated")
    app.connect("autodoc-process-docstring", process_docstring)


def process_docstring(app, what, name, obj, options, lines):
    """Sphinx calls this for every docstring, which it may change in place."""
    lines[:] = docstrings.to_fields(lines)
