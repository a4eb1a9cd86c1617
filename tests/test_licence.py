# SPDX-License-Identifier: Apache-2.0
"""Every source file names its licence in its first line, after a shebang or Amaranth's pragma."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = "hdl", "sim", "boards", "host", "tests", "docs"
SUFFIXES = ".py", ".cpp", ".v"
OTHERS = "Makefile", "pyproject.toml", ".ci/run", ".pre-commit-config.yaml", "CITATION.cff"
IDENTIFIER = "SPDX-License-Identifier: Apache-2.0"

SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES and path.stat().st_size
)


@pytest.mark.parametrize("name", [*SOURCES, *OTHERS])
def test_licence_line(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    if lines[0].startswith(("#!", "# amaranth:")):
        lines = lines[1:]
    assert lines[0].endswith(IDENTIFIER), f"the first line must be: {IDENTIFIER}"
