# SPDX-License-Identifier: Apache-2.0
"""Flashing: the right command for each board, and one line that says what is missing."""

import json
import sys

import pytest

from helpers.command_line import failure, run
from ornstein.boards import BOARDS, flash, programmers
from ornstein.boards.flash import FlashError
from ornstein.host.cli import exit_codes as cli
from ornstein.sim.toolchain import ToolError


@pytest.fixture
def builds(tmp_path):
    """A folder with a finished build of the iCEBreaker, as far as flashing looks at it."""
    place = tmp_path / "icebreaker"
    place.mkdir()
    (place / "top.bin").write_bytes(b"bits")
    (place / "report.json").write_text("{}")
    return tmp_path


def install(folder, monkeypatch, status: int):
    """An iceprog that keeps its arguments and ends with that status; alone on PATH."""
    tool = folder / "iceprog"
    tool.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"pathlib.Path({str(folder / 'arguments')!r}).write_text(repr(sys.argv[1:]))\n"
        f"sys.exit({status})\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_the_programmer_gets_the_bitstream(builds, monkeypatch):
    install(builds, monkeypatch, 0)
    bitstream = str(builds / "icebreaker" / "top.bin")
    assert flash.flash("icebreaker", builds) == ["iceprog", bitstream]
    assert (builds / "arguments").read_text() == repr([bitstream])


def test_a_programmer_that_fails(builds, monkeypatch):
    install(builds, monkeypatch, 3)
    with pytest.raises(
        FlashError, match="iceprog ended with 3; is the board plugged in and yours to use"
    ):
        flash.flash("icebreaker", builds)


def test_a_programmer_that_is_missing(builds, monkeypatch):
    monkeypatch.setenv("PATH", str(builds))
    with pytest.raises(
        ToolError, match=r"iceprog, .* is missing; install it with: sudo apt install fpga-icestorm"
    ):
        flash.flash("icebreaker", builds)


@pytest.mark.parametrize("missing", ["top.bin", "report.json"])
def test_a_build_that_is_not_finished(builds, missing):
    (builds / "icebreaker" / missing).unlink()
    with pytest.raises(
        FlashError, match=r"no finished build in .*; first run: ornstein build icebreaker --output"
    ):
        flash.command("icebreaker", builds)


def test_a_memory_that_the_board_lacks(builds):
    with pytest.raises(
        FlashError, match="iCEBreaker cannot be programmed with --sram; use --flash"
    ):
        flash.command("icebreaker", builds, "sram")


@pytest.mark.parametrize(
    ("programmer", "memory", "arguments"),
    [
        (programmers.ICEBREAKER, None, []),
        (programmers.ICEBREAKER_BITSY, "flash", ["-d", ",1d50:6146", "-a", "0", "-R", "-D"]),
        (programmers.HX8K, "sram", ["-S"]),
        (programmers.HX8K, "flash", []),
        (programmers.ULX3S, "sram", ["-b", "ulx3s", "-m"]),
        (programmers.ULX3S, None, ["-b", "ulx3s", "-f"]),
        (programmers.ORANGECRAB, None, ["-d", ",1209:5af0", "-a", "0", "-D"]),
    ],
)
def test_arguments(programmer, memory, arguments):
    assert list(programmer.arguments(memory)) == arguments


def test_every_board_can_be_programmed():
    assert all(board.programmer.arguments(None) is not None for board in BOARDS.values())


def test_dry_run_needs_no_programmer(builds, tmp_path):
    report = tmp_path / "flash.json"
    result = run("flash", "icebreaker", "--output", builds, "--dry-run", "--json", report)
    assert result.returncode == 0, result.stderr
    line = ["iceprog", str(builds / "icebreaker" / "top.bin")]
    assert result.stdout.split() == line
    assert json.loads(report.read_text()) == {
        "board": "icebreaker",
        "command": line,
        "dry_run": True,
    }


def test_failures_have_their_own_exit_code(tmp_path):
    code, line = failure("flash", "abacus", "--output", tmp_path)
    assert code == cli.EXIT_CODES[FlashError]
    assert "abacus" in line and "icebreaker" in line
