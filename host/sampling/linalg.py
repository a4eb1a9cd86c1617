# SPDX-License-Identifier: Apache-2.0
"""Linear algebra on the substrate: at kT = 0 the energy z' A z / 2 - b.z comes to rest at A^-1 b.

from ornstein import linalg

solution = linalg.solve(A, b)
solution.x, solution.residual, solution.warnings
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device
from ornstein.host.physics.problem import STOCHASTIC
from ornstein.host.sampling.problems import Pace, candidates
from ornstein.host.sampling.run import Realised, Result, Run, clipped, run_problems
from ornstein.sim.energy import Energy, EnergyError
from ornstein.sim.stages import Stage

TOLERANCE = 1e-3
"""Share of its distance from the solution that a state may keep when it is first read."""
LEAST_AVERAGED, MOST_AVERAGED = 64, 4096
"""Steps that are averaged: stochastic rounding is right on average only."""
NOTABLE = 0.01
"""Expected relative error that is warned of."""
MOST_REFINEMENTS = 20
"""Refinements that are ever advised."""


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Result):
    """What the substrate answers, and how far it can be trusted.

    Attributes
    ----------
    x : the solution, with the shape of the right side
    residual : norm of A x - b relative to that of b, computed in float64
    expected_error : relative error of x to be expected from the quantized couplings, the rounding
        of the states and the steps that were made
    realised : what the device made of time step and matrix
    warnings : what the user should know, a sentence each
    program : the program of the last pass
    device : URI of the device
    """

    x: np.ndarray
    residual: float
    expected_error: float
    realised: Realised
    warnings: tuple[str, ...]
    program: Program
    device: str


def solve(
    A: ArrayLike,
    b: ArrayLike,
    *,
    refinements: int = 0,
    device: Device | str = "model",
    seed: int = 1,
) -> Solution:
    """Solve A x = b for a symmetric positive definite A.

    Parameters
    ----------
    A : (n, n)
    b : (n,), or (n, m) for m right sides
    refinements : how often what is left, b - A x, is computed in float64 and solved for as well.
        Each multiplies the error by that of one pass, so that a few make up for couplings of few
        bits
    device, seed : see :func:`ornstein.host.sampling.equilibrium.sample`

    Raises EnergyError, which names the argument, and the errors of ``sample``.
    """
    try:
        energy = Energy.from_precision(A)
    except EnergyError as error:
        message = str(error).replace("the precision matrix", "A").replace("M is not", "A is not")
        raise EnergyError(
            f"{message.partition(';')[0]}; solve takes a symmetric positive definite A, as "
            "A.T @ A is"
        ) from None
    right = np.asarray(b, float)
    if (
        right.ndim not in (1, 2)
        or right.shape[0] != energy.units
        or not right.size
        or not np.isfinite(right).all()
    ):
        raise EnergyError(
            f"b must be finite and of shape ({energy.units},) or ({energy.units}, m), not "
            f"{right.shape}"
        )
    if refinements < 0:
        raise EnergyError(f"refinements = {refinements} must not be negative")
    return _solve(energy, right, refinements, device, seed)


def inv(
    A: ArrayLike, *, refinements: int = 0, device: Device | str = "model", seed: int = 1
) -> Solution:
    """The inverse of a symmetric positive definite A: A x = 1, solved for every column.

    Parameters and errors are those of :func:`solve`; ``x`` is symmetric. The covariance of
    ``sample(precision=A, kT=1)`` is the inverse too, with the noise of its samples.
    """
    solution = solve(
        A, np.eye(len(np.asarray(A))), refinements=refinements, device=device, seed=seed
    )
    symmetric = (solution.x + solution.x.T) / 2
    residual = _residual(np.asarray(A, float), symmetric, np.eye(len(symmetric)))
    return Solution(**{**vars(solution), "x": symmetric, "residual": residual})


def _solve(
    energy: Energy, right: np.ndarray, refinements: int, device: Device | str, seed: int
) -> Solution:
    matrix, columns = energy.matrix(), right.reshape(len(right), -1)
    x, left = np.zeros_like(columns), columns
    errors: list[float] = []
    runs: list[Run] = []
    for number in range(1 + refinements):
        run = _relax(energy, left.T, device, seed + number)
        runs.append(run)
        errors.append(_expected_error(run, energy, left.T))
        x = x + run.outputs.mean.T
        left = columns - matrix @ x
    expected = float(np.prod(errors))
    warnings = list(clipped(runs, "the residual tells what that cost"))
    if expected > NOTABLE:
        warnings.append(_advice(run, energy, expected, errors))
    return Solution(
        x=x.reshape(right.shape),
        residual=_residual(matrix, x, columns),
        expected_error=expected,
        realised=run.realised,
        warnings=tuple(warnings),
        program=run.program,
        device=run.uri,
    )


def _relax(energy: Energy, biases: np.ndarray, device: Device | str, seed: int) -> Run:
    """Relax under biases (m, n) at kT = 0. Rounding is stochastic and averaged: where a step is
    smaller than half an LSB of the state, rounding to the nearest would stop it.
    """

    def schedule(pace: Pace) -> tuple[Stage, ...]:
        averaged = int(np.clip(pace.step.steps, LEAST_AVERAGED, MOST_AVERAGED))
        return Stage(pace.step.steps, 0.0), Stage(averaged, 0.0, accumulate=True)

    problems = candidates(
        "linear system",
        energy,
        schedule,
        kT=0.0,
        tolerance=TOLERANCE,
        shape_matters=False,
        rounding=STOCHASTIC,
    )
    return run_problems(problems, biases, biases, device, seed)


def _expected_error(run: Run, energy: Energy, biases: np.ndarray) -> float:
    """Relative error of one pass: of the realised matrix, of the first read, and of rounding."""
    wanted = energy.mean(biases)
    size = float(np.linalg.norm(wanted))
    if run.exact or not size:
        return TOLERANCE
    realised, dt = run.realised, run.realised.dt
    made = np.linalg.solve(realised.precision, biases.T).T
    rates = np.linalg.eigvalsh(realised.precision)
    # a rounded step is off by half an LSB at most, and a mode keeps it for 1 / (dt rate) steps
    rounding = (
        run.program.state_lsb
        / 2
        * np.sqrt(len(biases) * np.sum(1 / (dt * rates) ** 2) / run.program.problem.samples)
    )
    return float((np.linalg.norm(made - wanted) + rounding) / size + TOLERANCE)


def _residual(matrix: np.ndarray, x: np.ndarray, right: np.ndarray) -> float:
    size = float(np.linalg.norm(right))
    return float(np.linalg.norm(matrix @ x - right)) / size if size else 0.0


def _advice(run: Run, energy: Energy, expected: float, errors: list[float]) -> str:
    """The warning of an expected error, with the refinements that would make it small."""
    matrix = energy.matrix()
    text = (
        f"expect x to be off by {expected:.1%}: the couplings have "
        f"{run.program.config.factor_width} bits, and the condition of A is "
        f"{np.linalg.cond(matrix):.3g}"
    )
    # an error e becomes (1 - M^-1 A) e with the realised matrix M, and what one pass adds itself
    rest = np.eye(len(matrix)) - np.linalg.solve(run.realised.precision, matrix)
    shrinks = float(np.linalg.norm(rest, 2)) + TOLERANCE
    needed = MOST_REFINEMENTS + 1
    if shrinks < 1:
        needed = len(errors) - 1 + int(np.ceil(np.log(NOTABLE / expected) / np.log(shrinks)))
    if needed <= MOST_REFINEMENTS:
        return f"{text}; refinements={needed} would bring it below {NOTABLE:.0%}"
    return f"{text}; scale or precondition A"
