# SPDX-License-Identifier: Apache-2.0
"""The whole gateware under cocotb: bit for bit like the integer model, and in equilibrium like the
energy.
"""

from pathlib import Path

import pytest

from ornstein.hdl.top import Top
from ornstein.sim.cosim.programs import FABRICS
from ornstein.sim.cosim.runner import run
from ornstein.sim.toolchain import ToolError, icarus_environment

BUILD = Path(__file__).parents[2] / "build"


def simulate(name, simulator, **environment):
    run(
        Top(FABRICS[name]),
        module="ornstein.host.cosim.cocotb_top",
        simulator=simulator,
        seed=1,
        environment={"FABRIC": name} | environment,
        build_dir=BUILD / f"cosim_top_{name}_{simulator}",
    )


def test_tiny():
    """One unit lane, two rank lanes: random programs, then the physics."""
    simulate("tiny", "verilator", PROGRAMS="16", STATISTICS="1")


def test_grid():
    """Four unit lanes by four rank lanes."""
    simulate("grid", "verilator", PROGRAMS="12")


def test_tiny_under_icarus():
    """Two programs: Icarus interprets, fifty times slower."""
    try:
        icarus_environment()
    except ToolError as error:
        pytest.skip(str(error))
    simulate("tiny", "icarus", PROGRAMS="2")
