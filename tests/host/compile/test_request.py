# SPDX-License-Identifier: Apache-2.0
"""What no choice of formats can help is refused before the first format is chosen."""

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import ICEBREAKER, TINY
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.request import check_request
from ornstein.host.physics.problem import ProblemError
from ornstein.sim.energy import EnergyError
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
