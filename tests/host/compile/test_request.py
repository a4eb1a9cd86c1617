# SPDX-License-Identifier: Apache-2.0
"""What no choice of formats can help is refused before the first format is chosen."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import ICEBREAKER, TINY
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.request import DEFAULT_INPUTS, check_request, default_inputs
from ornstein.host.physics.interface import Interface, Layer
from ornstein.host.physics.problem import Drive, Problem, ProblemError
from ornstein.sim.energy import Coupling, Energy, EnergyError, Module
from ornstein.sim.stages import Stage


def test_calibration_inputs_become_float64():
    request = check_request(toy(), TINY, np.ones((2, 8), np.int8))
    assert request.calibration.dtype == np.float64 and request.calibration.shape == (2, 8)


@pytest.mark.parametrize(
    "calibration",
    [
        np.zeros((3, 7)),
        np.zeros(8),
        np.zeros((0, 8)),
        np.full((1, 8), np.nan),
        np.full((1, 8), np.inf),
    ],
)
def test_wrong_calibration_inputs(calibration):
    with pytest.raises(
        ProgramError, match=r"calibration inputs must be finite, one or more, and of shape \(n, 8\)"
    ):
        check_request(toy(), TINY, calibration)


def test_problems_and_energies_are_checked_first():
    with pytest.raises(ProblemError, match="integrator must be"):
        check_request(toy(integrator="rk4"), TINY, toy_inputs())
    with pytest.raises(ProblemError, match="is unstable"):
        check_request(toy(dt=10.0), TINY, toy_inputs())
    with pytest.raises(EnergyError, match=r"smallest eigenvalue is -0\.1"):
        check_request(toy(energies=(toy_energy(across=0.3),)), TINY, toy_inputs())


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        (
            {"energies": (toy_energy(j4=0.05),)},
            ICEBREAKER,
            "the energy has j4 = 0.05, but fabric 'icebreaker' was built without the quartic term",
        ),
        (
            {"stages": (Stage(9, 0.1, accumulate=True, thin=1),)},
            ICEBREAKER,
            "the schedule streams samples, but fabric 'icebreaker' was built without a sample st",
        ),
        ({"stages": (Stage(9, 0.1, accumulate=True, thin=2048),)}, TINY, "thin must be below 2048"),
        (
            {"stages": (Stage(65_537, 0.1, accumulate=True),)},
            TINY,
            "65537 averaged steps could overflow the sums of fabric 'tiny', which hold 65536",
        ),
    ],
)
def test_options_that_a_fabric_lacks(changes, config, message):
    with pytest.raises(ProgramError, match=message) as caught:
        check_request(toy(**changes), config, toy_inputs())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("problem", "config", "message"),
    [
        (toy_energy(), TINY, "problem must be a Problem, not Energy"),
        (toy(), 8, "config must be a FabricConfig or the name of a preset, not int"),
    ],
)
def test_arguments_of_another_type_are_named(problem, config, message):
    with pytest.raises((ProblemError, ProgramError), match=message):
        check_request(problem, config, toy_inputs())


def test_default_inputs_are_standard_normal():
    given = check_request(toy(), TINY, None).calibration
    assert given.shape == (DEFAULT_INPUTS, 8)
    assert abs(given.mean()) < 5 / np.sqrt(given.size)
    assert given.std() == pytest.approx(1, abs=5 / np.sqrt(2 * given.size))


def test_default_inputs_of_an_interface_have_its_centre_and_scale():
    centre, scale = np.array([10.0, -5.0]), np.array([2.0, 0.1])
    layer = Layer("input", np.eye(2), None, np.ones((2, 5)), "a")
    interface = Interface(centre, scale, (layer,), {})
    given = default_inputs(toy(entry="interface", interface=interface))
    np.testing.assert_allclose(given.mean(axis=0), centre, atol=5 / 8 * scale.max())
    assert ((given - centre) / scale).std() == pytest.approx(1, abs=0.4)


def test_a_drive_has_no_default_inputs():
    drive = Drive(("a",), np.zeros(5), np.ones(5))
    with pytest.raises(ProgramError, match="a problem with a drive needs calibration inputs"):
        check_request(toy(drive=drive), TINY, None)


def test_what_no_memory_holds_is_refused_before_any_format_is_chosen():
    units = 2000
    energy = Energy((Module("z", units),), j2=0.5)
    factor = np.full((units, 64), 0.01)
    coupling = Coupling(("z",), (factor,), np.ones((1, 1, 64)))
    stages = (Stage(1, accumulate=True),)
    with pytest.raises(ProgramError, match="needs state_depth >= 2000, but fabric 'tiny' has 64"):
        check_request(Problem("large", (energy,), stages, entry="bias"), TINY, None)
    roomy = replace(TINY, state_depth=2048)
    coupled = replace(energy, couplings=(coupling,))
    with pytest.raises(ProgramError, match="needs factor_depth >= 64000, but fabric 'tiny' has"):
        check_request(Problem("large", (coupled,), stages, dt=0.1, entry="bias"), roomy, None)
