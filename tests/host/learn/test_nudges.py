# SPDX-License-Identifier: Apache-2.0
"""Nudges: means of nudged phases give the gradient of the loss; what cannot be nudged is named."""

from dataclasses import replace

import numpy as np
import pytest

from helpers import learning
from helpers.programs import toy_energy
from ornstein.hdl.config import TINY
from ornstein.host.compile.coupling_memory import AdjustableCouplings
from ornstein.host.compile.program import InputError, ProgramError
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.learn.nudges import Nudger, loss_gradient
from ornstein.host.physics.problem import STATE
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def couplings():
    return AdjustableCouplings.of(learning.program())


def measured(uri, couplings, *, beta=0.1, warm=False, count=20):
    """(nudger, inputs, targets, phases); the targets are not what the program answers."""
    given = learning.inputs(count)
    wanted = learning.targets(given) + 0.3 * np.sin(7 * given[:, :3])
    with open_device(uri) as device:
        nudger = Nudger(couplings.program, device, beta=beta, warm=warm, seed=1)
        nudger.load(couplings.program)
        return nudger, given, wanted, nudger.measure(given, wanted)


def exact_gradient(couplings, nudger, given, wanted, step=1e-5):
    """dL/dF in closed form, by central differences of the loss."""
    biases, states = nudger.biases(given), nudger.states(wanted)

    def loss(factors):
        answers = couplings.energy(factors).mean(biases)[:, nudger.part]
        return np.sum(nudger.weights * (states - answers) ** 2) / 2 / len(given)

    factors, gradient = couplings.factors(), {}
    for side, factor in factors.items():
        gradient[side] = np.zeros_like(factor)
        for place in np.ndindex(factor.shape):
            moved = []
            for sign in (1, -1):
                changed = factor.copy()
                changed[place] += sign * step
                moved.append(loss({**factors, side: changed}))
            gradient[side][place] = (moved[0] - moved[1]) / (2 * step)
    return gradient


def relative_error(found, expected):
    difference = sum(np.sum((found[side] - expected[side]) ** 2) for side in expected)
    return np.sqrt(difference / sum(np.sum(value**2) for value in expected.values()))


def test_symmetric_nudges_give_the_exact_gradient_of_a_harmonic_energy(couplings):
    nudger, given, wanted, phases = measured("float:exact", couplings, beta=0.5)
    expected = exact_gradient(couplings, nudger, given, wanted)
    assert relative_error(loss_gradient(couplings.program.problem.energy, phases), expected) < 1e-6


def test_one_sided_nudges_are_wrong_in_proportion_to_beta(couplings):
    errors = []
    for beta in (0.02, 0.04):
        nudger, given, wanted, phases = measured("float:exact", couplings, beta=beta)
        expected = exact_gradient(couplings, nudger, given, wanted)
        found = loss_gradient(couplings.program.problem.energy, phases, symmetric=False)
        errors.append(relative_error(found, expected))
    assert errors[1] == pytest.approx(2 * errors[0], rel=0.02) and errors[0] > 1e-3


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("uri", ["float", "model:tiny"])
def test_dynamics_and_integers_give_the_gradient_too(couplings, uri, warm):
    nudger, given, wanted, phases = measured(uri, couplings, beta=0.3, warm=warm)
    expected = exact_gradient(couplings, nudger, given, wanted)
    found = loss_gradient(couplings.program.problem.energy, phases)
    assert relative_error(found, expected) < (0.01 if uri == "float" else 0.05)


def test_the_warm_phases_are_those_of_each_input(couplings):
    """Also where the inputs do not fill the last job."""
    chains = couplings.program.layout.chains
    assert chains > 1
    warm = measured("float", couplings, warm=True, count=2 * chains + 1)[-1]
    cold = measured("float", couplings, count=2 * chains + 1)[-1]
    for name in ("free", "plus", "minus"):
        assert getattr(warm, name) == pytest.approx(getattr(cold, name), abs=1e-2)


def test_gateware_and_model_measure_the_same_phases(couplings):
    found, expected = (
        measured(uri, couplings, warm=True, count=5)[-1] for uri in ("rtl:tiny", "model:tiny")
    )
    for name in ("free", "plus", "minus", "beta"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_a_nudge_stays_within_the_range_of_its_biases(couplings):
    nudger, _, _, phases = measured("model:tiny", couplings, beta=1e6)
    assert (phases.beta < 1e6).all()
    reach = 32767 * nudger.program.input_lsb[nudger.part]
    moved = phases.beta[:, None] * nudger.weights * phases.error
    assert (np.abs(moved) <= reach).all() and (np.abs(moved) > 0.9 * reach).any(axis=1).all()


def test_what_cannot_be_nudged_is_refused_in_one_line():
    quartic = learning.problem(energies=(toy_energy(j4=0.01),), dt=0.2)
    hot = (Stage(10, 0.01), Stage(10, 0.01, accumulate=True))
    for changes, message in (
        ({"target": None, "readout": None}, "has no target module"),
        ({"entry": STATE, "drive": None}, "has the entry 'state' with 1 bias sets"),
        ({"bias_sets": 2, "drive": None}, "has the entry 'bias' with 2 bias sets"),
        (
            {"energies": quartic.energies, "dt": 0.2, "stages": hot},
            "has a quartic term and a temperature",
        ),
    ):
        with (
            open_device("model:tiny") as device,
            pytest.raises(ProgramError, match=message) as caught,
        ):
            Nudger(learning.program(**changes), device, beta=1.0, warm=True, seed=1)
        assert "\n" not in str(caught.value)


def test_a_device_without_states_is_refused_for_warm_phases(couplings):
    with (
        open_device("float:exact") as device,
        pytest.raises(DeviceError, match="keeps no states for a warm start; learn with --cold"),
    ):
        Nudger(couplings.program, device, beta=1.0, warm=True, seed=1)


def test_targets_of_another_width_are_refused(couplings):
    with open_device("model:tiny") as device:
        nudger = Nudger(couplings.program, device, beta=1.0, warm=True, seed=1)
        with pytest.raises(InputError, match=r"targets have shape \(4, 5\); .* answers \(n, 3\)"):
            nudger.states(np.zeros((4, 5)))


def test_biases_without_room_for_a_nudge_are_refused(couplings):
    full = replace(couplings.program, problem=learning.problem(drive=None))
    with open_device("model:tiny") as device:
        nudger = Nudger(full, device, beta=1.0, warm=False, seed=1)
        nudger.load(full)
        given = np.zeros((1, 8))
        given[:, 5:] = 32767 * full.input_lsb[5:]
        with pytest.raises(ProgramError, match="leaves its target's biases no room for a nudge"):
            nudger.measure(given, np.ones((1, 3)))
    assert full.config == TINY
