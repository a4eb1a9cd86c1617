# SPDX-License-Identifier: Apache-2.0
"""What is to be compiled: the float program, the fabric, and the inputs that its formats are chosen
from.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.program import ProgramError
from ornstein.host.physics.outliers import find_outliers
from ornstein.host.physics.problem import STATE, Problem, ProblemError

MOST_THINNED = (1 << 11) - 1
"""Largest ``thin`` of a stage; a level's descriptor holds it in 11 bits."""


@dataclass(frozen=True, eq=False)
class Request:
    """What every pass of the compiler reads.

    ``calibration`` is (n, input_size) float64, n >= 1: inputs like those that the program will get.
    They set the ranges. ``outliers`` (m, input_size) are those that were given with them and would
    make the ranges much larger; they are counted where they are clipped.
    """

    problem: Problem
    config: FabricConfig
    calibration: np.ndarray
    outliers: np.ndarray | None = None

    @property
    def all_inputs(self) -> np.ndarray:
        """The calibration inputs, and the outliers behind them."""
        if self.outliers is None:
            return self.calibration
        return np.concatenate([self.calibration, self.outliers])


DEFAULT_INPUTS = 64
"""Calibration inputs that are drawn where the user names none."""


def check_request(
    problem: Problem, config: FabricConfig, calibration: np.ndarray | None
) -> Request:
    """First pass: refuse what no choice of formats can help, and what no memory can hold.

    Calibration inputs of None are drawn (:func:`default_inputs`).

    Raises
    ------
    ProblemError, EnergyError
        The float program is inconsistent.
    ProgramError
        The calibration inputs are unusable, or the problem needs an option that the fabric was
        built without.
    """
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem must be a Problem, not {type(problem).__name__}")
    if not isinstance(config, FabricConfig):
        raise ProgramError(
            f"config must be a FabricConfig or the name of a preset, not {type(config).__name__}"
        )
    problem.check()
    _check_memory(problem, config)
    calibration = default_inputs(problem) if calibration is None else np.asarray(calibration, float)
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
    outliers = _outliers(problem, calibration)
    if not outliers.any():
        return Request(problem, config, calibration)
    return Request(problem, config, calibration[~outliers], calibration[outliers])


def _outliers(problem: Problem, inputs: np.ndarray) -> np.ndarray:
    """(n,) which of the inputs (n, input_size) reach much farther than the rest: in their numbers,
    centred and scaled, or in their biases.
    """
    found = find_outliers(problem.biases(inputs).reshape(len(inputs), -1))
    if problem.interface is not None:
        return found | find_outliers(problem.interface.standard(inputs))
    return find_outliers(inputs) if problem.entry == STATE else found


def spaced_rows(inputs: np.ndarray, count: int) -> np.ndarray:
    """Returns at most ``count`` of the inputs (n, input_size), evenly spaced."""
    chosen = np.linspace(0, len(inputs) - 1, min(count, len(inputs)))
    return inputs[np.unique(np.rint(chosen).astype(int))]


def default_inputs(problem: Problem) -> np.ndarray:
    """Calibration inputs (n, input_size) of standard normal numbers.

    They are the biases or the initial states, or the inputs of an interface once they are centred
    and scaled. Raises ProgramError for a problem with a drive, which no default suits.
    """
    if problem.drive is not None:
        raise ProgramError(
            f"{problem.name}: a problem with a drive needs calibration inputs; they set its ranges"
        )
    normal = np.random.default_rng(0).normal(size=(DEFAULT_INPUTS, problem.input_size))
    if problem.interface is None:
        return normal
    return problem.interface.centre + problem.interface.scale * normal


def too_small(memory: str, words: int, config: FabricConfig) -> ProgramError:
    """Returns the error of a program that needs so many words of a memory, whose name is that
    of its depth in FabricConfig.
    """
    remedy = "use fewer units" if memory == "state_depth" else "lower the rank, use fewer units"
    return ProgramError(
        f"the program needs {memory} >= {words}, but fabric {config.name!r} has "
        f"{getattr(config, memory)}; {remedy} or choose a larger fabric"
    )


def _check_memory(problem: Problem, config: FabricConfig) -> None:
    """Raise ProgramError if the units or the factors alone exceed the fabric's memories.

    The passes that place them find out too, but only after all formats are chosen, which takes
    minutes for thousands of units.
    """
    units = problem.energies[0].units
    factors = sum(
        factor.size
        for energy in problem.energies
        for coupling in energy.couplings
        for factor in coupling.factors
    )
    for name, needed, width in (
        ("state_depth", units, config.unit_lanes),
        ("factor_depth", factors, config.lanes),
    ):
        if needed > getattr(config, name) * width:
            raise too_small(name, -(-needed // width), config)
