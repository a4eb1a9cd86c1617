# SPDX-License-Identifier: Apache-2.0
"""The runner behind the gateware column."""

import numpy as np
import pytest

from ornstein.host.devices.device import DeviceError
from ornstein.host.experiments.paper.gateware import Source, gateware_runner
from ornstein.host.physics.couplings import DECODER
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Energy, Module


def _two_units():
    energy = Energy((Module("encoder", 1), Module(DECODER, 1)))
    return _problem(energy, kT=0.1), np.array([[0.1, 0.2]] * 4)


def _problem(energy, kT):
    stages = equilibrium(choose_time_step([energy], dt=1.0), kT=kT, samples=8)
    return Problem("relaxation", (energy,), stages, dt=1.0, entry=BIAS)


def test_the_description_says_what_the_device_confirmed():
    problem, inputs = _two_units()
    with gateware_runner("rtl:tiny", 3) as runner:
        run = runner.run(problem, inputs)
    assert (run.compared, len(run.outputs.mean)) == (2, 4)
    assert "2 inputs run on rtl:tiny as well and equal in every bit" in str(Source.of(runner))
    with gateware_runner("model:tiny", 3) as runner:
        assert str(Source.of(runner)) == "the integer model, which equals the gateware in every bit"


def test_what_does_not_fit_runs_on_the_wide_fabric(small):
    energy = small.energy()
    with gateware_runner("model:tiny", 1) as runner:
        run = runner.run(_problem(energy, kT=0.0), np.zeros((1, energy.units)) + 0.01)
    assert run.program.config.name == "wide"


def test_the_float_reference_answers_for_itself():
    problem, inputs = _two_units()
    with gateware_runner("float", 1) as runner:
        assert not runner.bit_exact and runner.run(problem, inputs).outputs.sums is None
        assert "no gateware" in str(Source.of(runner))
    with pytest.raises(DeviceError, match="'float:exact' has none"):
        gateware_runner("float:exact", 1)
