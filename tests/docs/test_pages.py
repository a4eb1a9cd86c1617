# SPDX-License-Identifier: Apache-2.0
"""The pages for users: what they show runs, in the order in which it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from ornstein.hdl.config import ULX3S, WIDE
from ornstein.host.cli.app import app
from ornstein.host.models.model_file import TrainedModel

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


LONG = {
    "bench": "host/experiments/bench/test_command.py",
    "cosim": "host/cli/test_cosim.py",
    "demo": "host/experiments/demo/test_run.py",
    "denoise --benchmark": "host/experiments/test_denoise.py",
    "doctor": "host/cli/test_devices.py",
    "generate": "host/experiments/generate/test_run.py",
    "hierarchy": "host/experiments/hierarchy/test_run.py",
    "images": "host/experiments/images/test_command.py",
    "paper": "host/experiments/paper/test_command.py",
    "score": "test_docs.py",
    "score-images": "host/experiments/test_foreign_images.py",
    "train": "host/models/test_unet.py",
    "watch": "host/experiments/watch/test_app.py",
}
"""Commands of the page below that take long, need a network of one's own or a terminal, and the
tests that run them with fewer or smaller parts."""


def test_the_short_commands_of_the_page_of_uses_run(tmp_path, monkeypatch):
    """The table of the long ones holds no other, and names tests that exist."""
    lines = re.findall(r"^    ornstein ([^\n]+)$", (DOCS / "use.md").read_text("utf-8"), re.M)
    is_long = {line: [name for name in LONG if f"{line} ".startswith(f"{name} ")] for line in lines}
    assert {name for names in is_long.values() for name in names} == set(LONG)
    assert all((DOCS.parent / "tests" / place).is_file() for place in LONG.values())
    monkeypatch.chdir(tmp_path)
    np.save("inputs.npy", inputs := TrainedModel.load().x_test[:4])
    np.savetxt("inputs.csv", inputs, delimiter=",")
    image = load_digits().images[0] / 16
    Image.fromarray((255 * np.kron(image, np.ones((2, 2)))).astype(np.uint8)).save("noisy.png")
    short = [line for line in lines if not is_long[line]]
    assert len(short) == 9
    for line in short:
        result = CliRunner().invoke(app, shlex.split(line), catch_exceptions=False)
        assert result.exit_code == 0, result.output
    for name in ("aligned.html", "answers.csv", "answers.npz", "clean.png"):
        assert Path(name).stat().st_size


def test_the_limit_of_dense_matrices_is_that_of_the_presets():
    text = (DOCS / "limits.md").read_text(encoding="utf-8")
    for config in (WIDE, ULX3S):
        assert f"`{config.name}` holds {config.factor_depth * config.lanes:,}" in text
    assert WIDE.sample_depth and not ULX3S.sample_depth
