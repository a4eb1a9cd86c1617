# SPDX-License-Identifier: Apache-2.0
"""The pages for users: what they show runs, in the order in which it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ornstein.hdl.config import ULX3S, WIDE
from ornstein.host.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"


def run_page(name: str) -> tuple[int, int]:
    """Runs the Python blocks and the ``ornstein`` commands of a page in their order, in the
    current folder; returns how many blocks and commands there were.
    """
    page = (DOCS / name).read_text(encoding="utf-8")
    names: dict = {}
    blocks = commands = 0
    for block, command in re.findall(
        r"```python\n(.*?)```|^    ornstein ([^\n]+)$", page, re.S | re.M
    ):
        if block:
            exec(compile(block, f"{name}, block {blocks}", "exec"), names)
            blocks += 1
        else:
            result = CliRunner().invoke(app, shlex.split(command), catch_exceptions=False)
            assert result.exit_code == 0, result.output
            commands += 1
    return blocks, commands


@pytest.mark.parametrize(
    ("name", "expected"), [("first-minutes.md", (2, 4)), ("your-energy.md", (5, 0))]
)
def test_a_page_runs_from_top_to_bottom(name, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_page(name) == expected
    assert capsys.readouterr().out
    if name == "first-minutes.md":
        assert np.load("answers.npy").shape == (64, 64)


def test_the_limit_of_dense_matrices_is_that_of_the_presets():
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    for config in (WIDE, ULX3S):
        assert f"`{config.name}` holds {config.factor_depth * config.lanes:,}" in text
    assert WIDE.sample_depth and not ULX3S.sample_depth
