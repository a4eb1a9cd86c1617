# SPDX-License-Identifier: Apache-2.0
"""A watched device shows what theory says of it: the way to equilibrium, the temperature that was
asked for, and answers like the closed form's.
"""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.experiments.watch.run import Watch
from ornstein.host.physics.problem import ProblemError
from ornstein.sim.stages import Stage

KT = 0.2
INPUTS = 20


@pytest.fixture(scope="module", params=["float", "model:tiny"])
def readings(request):
    """All readings of a device that watches some inputs."""
    with open_device(request.param) as device:
        watch = Watch(device, toy(), toy_inputs(INPUTS), kT=KT)
        first = next(watch.readings())
        chains = watch.program.layout.chains
        watch = Watch(device, toy(), toy_inputs(INPUTS), kT=KT)
        return list(islice(watch.readings(), first.steps * (INPUTS // chains)))


def test_states_relax_as_the_law_says(readings):
    """Within the thermal noise of the states in the direction of their means."""
    last = readings[-1]
    assert np.isnan(readings[0].remaining[1:]).all() and readings[0].step == 1
    assert last.law[0] > 0.9 and abs(last.law[-1]) < 0.01
    energy = toy().energies[0]
    means = energy.mean(toy_inputs(INPUTS))
    noise = np.sum(means @ energy.covariance(KT) * means)
    error = np.sqrt(noise) / np.sum(means**2)
    assert error < 0.06
    assert np.abs(last.remaining - last.law).max() < 4 * error


def test_the_temperature_is_the_one_that_was_asked_for(readings):
    last = readings[-1]
    assert last.inputs == INPUTS and 0 < last.kT_error < 0.1 * KT
    assert abs(last.kT - KT) < 4 * last.kT_error
    assert readings[0].kT is None and readings[0].centred is None


def test_answers_are_like_the_closed_form(readings):
    assert 0.9 < readings[-1].centred < 1
    assert readings[-1].saturations == 0 and readings[-1].steps_per_second > 0


def test_targets_of_ones_own_are_what_answers_are_compared_with():
    inputs = toy_inputs(8)
    with open_device("float") as device:
        right = Watch(device, toy(), inputs, kT=0.0)
        steps = next(right.readings()).steps
        means = right.program.realised[0].mean(toy().biases(inputs)[:, 0])
        wrong = Watch(
            device, toy(), inputs, kT=0.0, targets=-toy().decode(means), train_mean=np.zeros(8)
        )
        assert wrong.answer != right.answer
        (last,) = islice(wrong.readings(), steps - 1, steps)
    assert last.centred < -0.99


def test_what_cannot_be_watched_is_refused():
    quartic = replace(toy().energies[0], j4=0.1)
    with open_device("model:tiny") as device:
        with pytest.raises(ProblemError, match="needs one harmonic energy"):
            Watch(device, toy(energies=(quartic,)), toy_inputs(8))
        with pytest.raises(ProblemError, match="inputs that are biases"):
            Watch(
                device,
                toy(entry="state", interface=None, stages=(Stage(1, accumulate=True),)),
                toy_inputs(8),
            )
    with open_device("float:exact") as device, pytest.raises(DeviceError, match="keeps no states"):
        Watch(device, toy(), toy_inputs(8))
