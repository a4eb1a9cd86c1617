# SPDX-License-Identifier: Apache-2.0
"""Layouts of waveforms: the groups of the gateware's signals, as far as the simulation has them."""

import importlib.util

import pytest

from ornstein.sim import waves
from ornstein.sim.toolchain import ToolError
from ornstein.sim.waves import GROUPS, Trace, layout

MACHINE = {
    f"top.machine.{path}.{signal}": 16
    for group in GROUPS
    for path in [{"bridge": "bridge"}.get(group.module, f"fabric.{group.module}")]
    for signal in group.signals
    if group.module not in ("fabric", "fabric.sequencer", "fabric.lanes")
} | {
    f"top.machine.{group.module}.{signal}": 1
    for group in GROUPS
    if group.module.startswith("fabric")
    for signal in group.signals
}


def test_a_machine_shows_every_group():
    """The module may lie at any depth; clock and reset stand first."""
    ports = {"top.i__valid": 1, "top.clk": 1, "top.$1": 9}
    groups = dict(layout(ports | MACHINE))
    assert list(groups) == ["Top level", *(group.title for group in GROUPS)]
    assert [trace.name for trace in groups["Top level"]] == ["top.clk", "top.i__valid"]
    for group in GROUPS:
        assert [trace.name.rpartition(".")[2] for trace in groups[group.title]] == list(
            group.signals
        )


def test_a_component_shows_its_own_signals():
    assert layout({"top.code": 2}) == [("Top level", [Trace("top.code", 2)])]


def test_numbers_of_a_group_are_signals_of_it():
    for group in GROUPS:
        assert set(group.numbers) <= set(group.signals)


def test_gtkwave_wants_the_range_of_a_vector():
    assert Trace("top.clk", 1).in_gtkwave == "top.clk"
    assert Trace("top.state", 16).in_gtkwave == "top.state[15:0]"


def test_without_the_reader_of_waveforms(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"pywellen is missing.*pip install 'ornstein\[cosim\]'"):
        waves.write_layouts(tmp_path / "waves.fst")
