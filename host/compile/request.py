# SPDX-License-Identifier: Apache-2.0
"""What is to be compiled: the float program, the fabric, and the inputs that its formats are chosen
from.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.program import ProgramError
from ornstein.host.physics.problem import Problem

MOST_THINNED = (1 << 11) - 1
"""Largest ``thin`` of a stage; a level's descriptor holds it in 11 bits."""


@dataclass(frozen=True, eq=False)
class Request:
    """What every pass of the compiler reads.

    ``calibration`` is (n, input_size) float64, n >= 1: inputs like those that the program will get.
    """

    problem: Problem
    config: FabricConfig
    calibration: np.ndarray


def check_request(problem: Problem, config: FabricConfig, calibration: np.ndarray) -> Request:
    """First pass: refuse what no choice of formats can help.

    Raises
    ------
    ProblemError, EnergyError
        The float program is inconsistent.
    ProgramError
        The calibration inputs are unusable, or the problem needs an option that the fabric was
        built without.
    """
    problem.check()
    calibration = np.asarray(calibration, float)
    if (
        calibration.ndim != 2
        or not len(calibration)
        or calibration.shape[1] != problem.input_size
        or not np.isfinite(calibration).all()
    ):
        raise ProgramError(
            "calibration inputs must be finite, one or more, and of shape "
            f"(n, {problem.input_size}), not {calibration.shape}"
        )
    if problem.energies[0].j4 and not config.quartic:
        raise ProgramError(
            f"the energy has j4 = {problem.energies[0].j4}, but fabric {config.name!r} was built "
            "without the quartic term"
        )
    if any(stage.thin for stage in problem.stages) and not config.sample_depth:
        raise ProgramError(
            f"the schedule streams samples, but fabric {config.name!r} was built without a sample "
            "stream"
        )
    if any(stage.thin > MOST_THINNED for stage in problem.stages):
        raise ProgramError(f"thin must be below {MOST_THINNED + 1}")
    if problem.samples > config.max_samples:
        raise ProgramError(
            f"{problem.samples} averaged steps could overflow the sums of fabric {config.name!r}, "
            f"which hold {config.max_samples}"
        )
    return Request(problem, config, calibration)
