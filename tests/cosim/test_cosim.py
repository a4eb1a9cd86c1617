# SPDX-License-Identifier: Apache-2.0
"""Every testbench of the gateware under Verilator and, where it is installed, Icarus: bit for bit
like the integer models, and in equilibrium like the energy.
"""

import pytest
import pywellen

from helpers.cosimulation import cosimulated
from ornstein.sim.cosim.results import Outcome
from ornstein.sim.waves import GROUPS

SIMULATORS = pytest.mark.parametrize("simulator", ["verilator", "icarus"])


def shown(outcome: Outcome) -> list[str]:
    """The signals of the layout for Surfer; the waveforms hold each, and GTKWave shows as many."""
    assert outcome.waves is not None
    lines = outcome.waves.with_suffix(".sucl").read_text().splitlines()
    names = [line.removeprefix("variable_add ") for line in lines if line.startswith("variable")]
    assert set(names) <= {v.full_name for v in pywellen.Waveform(str(outcome.waves)).all_vars()}
    gtkwave = outcome.waves.with_suffix(".gtkw").read_text()
    assert gtkwave.count("\n+{") == len(names)
    assert lines[-1] == "zoom_fit"
    return names


@SIMULATORS
def test_noise(simulator):
    """The draws have the moments of the three-point variable; the waveforms show the ports."""
    outcome = cosimulated("noise", simulator, waves=True)
    assert len(outcome.figures) == 3
    assert {"top.clk", "top.seed", "top.state", "top.code"} <= set(shown(outcome))


@SIMULATORS
@pytest.mark.parametrize("fabric", ["tiny", "icebreaker"])
def test_update(fabric, simulator):
    cosimulated("update", simulator, fabric=fabric)


@SIMULATORS
@pytest.mark.parametrize("fabric", ["tiny", "wide", "grid"])
def test_lanes(fabric, simulator):
    cosimulated("lanes", simulator, fabric=fabric)


@SIMULATORS
@pytest.mark.parametrize("fabric", ["tiny", "icebreaker"])
def test_link(fabric, simulator):
    cosimulated("link", simulator, fabric=fabric)


def test_top():
    """One unit lane, two rank lanes: random programs, then mean and variance in equilibrium, each
    for two temperatures and both integrators.
    """
    outcome = cosimulated("top")
    assert [case.result for case in outcome.cases] == ["passed"] * 5
    assert len(outcome.figures) == 8
    assert all(figure.reference is not None for figure in outcome.figures)


def test_top_as_a_grid():
    """Four unit lanes by four rank lanes."""
    cosimulated("top", fabric="grid")


def test_top_under_icarus():
    """Two programs; the waveforms show all groups."""
    outcome = cosimulated("top", "icarus", waves=True)
    names = shown(outcome)
    for group in GROUPS:
        for signal in group.signals:
            assert [name for name in names if name.endswith(f".{group.module}.{signal}")]
