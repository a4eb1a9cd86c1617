# SPDX-License-Identifier: Apache-2.0
"""Every example of the documentation runs, and what it claims holds: each asserts it itself."""

import runpy
from pathlib import Path

import matplotlib
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, capsys, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: matplotlib.pyplot.close("all"))
    matplotlib.use("Agg")
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out, "it prints what it finds"
    assert "assert " in path.read_text(encoding="utf-8")


def test_the_examples_are_there():
    assert len(EXAMPLES) == 7
