# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from ornstein.hdl.config import preset
from ornstein.hdl.link.bridge import Bridge
from ornstein.sim.cosim.runner import run
from ornstein.sim.toolchain import ToolError, icarus_environment

BUILD = Path(__file__).parents[2] / "build"


@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
@pytest.mark.parametrize("name", ["tiny", "icebreaker"])
def test_bridge(name, simulator):
    if simulator == "icarus":
        try:
            icarus_environment()
        except ToolError as error:
            pytest.skip(str(error))
    run(
        Bridge(preset(name), timeout=4096),
        module="ornstein.host.cosim.cocotb_link",
        simulator=simulator,
        seed=1,
        environment={"FABRIC": name},
        build_dir=BUILD / f"cosim_link_{name}_{simulator}",
    )
