# SPDX-License-Identifier: Apache-2.0
"""``ornstein verify``: it prints the figures of the comparison, and fails if bits differ."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from ornstein.host.cli.app import CheckError
from ornstein.host.cli.verify import LevelName, verify
from ornstein.host.devices import verify as devices_verify
from ornstein.host.devices.verify import Verification

SERIAL = Verification(
    board="hx8k",
    level="routed",
    cells=6123,
    cycles=1234567,
    bytes_sent=4321,
    bytes_received=987,
    baud=3000000,
    steps=70,
    inputs=2,
    compared={"clock": 1, "sums": 32, "counters": 3},
    differences=[],
)
USB = Verification(
    board="bitsy",
    level="synth",
    cells=4607,
    cycles=7654321,
    bytes_sent=1,
    bytes_received=2,
    baud=None,
    steps=70,
    inputs=2,
    compared={"identity": 1},
    differences=["identity: the fabric is not the board's", "sums: wrong"],
)


@pytest.fixture
def verified(monkeypatch, tmp_path):
    """Runs the command with a finished comparison in place of the simulation."""

    def run(result: Verification) -> dict:
        def given(board, level, folder, progress):
            assert (board, level, folder) == (result.board, result.level, Path("somewhere"))
            return result

        monkeypatch.setattr(devices_verify, "verify", given)
        report = tmp_path / "verify.json"
        try:
            verify(result.board, LevelName(result.level), Path("somewhere"), report)
        finally:
            assert json.loads(report.read_text()) == asdict(result)

    return run


def test_figures_of_a_serial_board(verified, capsys):
    verified(SERIAL)
    assert capsys.readouterr().out.splitlines() == [
        "routed netlist of hx8k: 6,123 cells, 1,234,567 cycles, 4,321 bytes sent and 987 received "
        "at 3,000,000 baud",
        "  clock: 1 compared",
        "  sums: 32 compared",
        "  counters: 3 compared",
        "no difference from the integer model",
    ]


def test_differences_over_usb(verified, capsys):
    with pytest.raises(CheckError) as caught:
        verified(USB)
    assert str(caught.value) == (
        "the synth netlist of bitsy differs from the integer model: identity: the fabric is not "
        "the board's; sums: wrong"
    )
    assert capsys.readouterr().out.splitlines() == [
        "synth netlist of bitsy: 4,607 cells, 7,654,321 cycles, 1 bytes sent and 2 received "
        "over USB",
        "  identity: 1 compared",
    ]
