# SPDX-License-Identifier: Apache-2.0
"""The gateware's parts under Verilator and, where it is installed, Icarus: cocotb benches against
integer models.
"""

from pathlib import Path

import pytest

from ornstein.hdl.config import preset
from ornstein.hdl.engine.lanes import Lanes
from ornstein.hdl.engine.noise import NoiseSource
from ornstein.hdl.engine.update import Update
from ornstein.sim.cosim.runner import run
from ornstein.sim.toolchain import ToolError, icarus_environment

BUILD = Path(__file__).parents[2] / "build"
SIMULATORS = pytest.mark.parametrize("simulator", ["verilator", "icarus"])


def simulate(component, part, simulator, name=None):
    """Runs the cocotb module of a part, ``component()``; skips the test where the simulator is not
    installed.
    """
    if simulator == "icarus":
        try:
            icarus_environment()
        except ToolError as error:
            pytest.skip(str(error))
    run(
        component(),
        module=f"ornstein.sim.cosim.cocotb_{part}",
        simulator=simulator,
        seed=1,
        environment={"FABRIC": name} if name else {},
        build_dir=BUILD / "_".join(filter(None, ("cosim", part, name, simulator))),
    )


@SIMULATORS
def test_noise(simulator):
    simulate(NoiseSource, "noise", simulator)


@SIMULATORS
@pytest.mark.parametrize("name", ["tiny", "icebreaker"])
def test_update(name, simulator):
    simulate(lambda: Update(preset(name)), "update", simulator, name)


@SIMULATORS
@pytest.mark.parametrize("name", ["tiny", "wide"])
def test_lanes(name, simulator):
    simulate(lambda: Lanes(preset(name)), "lanes", simulator, name)
