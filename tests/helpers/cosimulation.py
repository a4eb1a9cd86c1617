# SPDX-License-Identifier: Apache-2.0
"""Cosimulations in tests: the product's own function, skipped where a system package is missing."""

from pathlib import Path

import pytest

from ornstein.host.cosim.testbenches import TESTBENCHES, cosimulate
from ornstein.sim.cosim.results import Outcome
from ornstein.sim.toolchain import ToolError, check_waveforms, icarus_environment

BUILD = Path(__file__).parents[2] / "build" / "cosim"


def cosimulated(name: str, simulator: str = "verilator", **options) -> Outcome:
    """The outcome of a testbench, whose tests have passed."""
    try:
        if simulator == "icarus":
            icarus_environment()
        elif options.get("waves"):
            check_waveforms()
    except ToolError as error:
        pytest.skip(str(error))
    outcome = cosimulate(
        TESTBENCHES[name], simulator=simulator, **{"folder": BUILD, "seed": 1, **options}
    )
    outcome.check()
    return outcome
