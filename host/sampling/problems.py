# SPDX-License-Identifier: Apache-2.0
"""From an energy to problems whose time step, leak and number of steps are chosen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ornstein.host.physics.problem import BIAS, NEAREST, STOCHASTIC, Problem, equilibrium
from ornstein.host.physics.timestep import (
    MOST_HALVINGS,
    TOLERANCE,
    TimeStep,
    TimeStepError,
    fastest_time_step,
    largest_curvature,
    relaxation_rates,
)
from ornstein.sim.energy import Energy, EnergyError
from ornstein.sim.factoring import choose_leak
from ornstein.sim.stages import Stage

QUARTIC_CALIBRATION = 16
"""Runs from which the range of a quartic energy is taken: several, so that they visit all wells."""


@dataclass(frozen=True)
class Pace:
    """A time step, and the rates (1 / time) of the slowest and the fastest motion under it."""

    step: TimeStep
    slowest: float
    fastest: float

    @property
    def relaxation_steps(self) -> int:
        """Steps in which the slowest motion decays by a factor e."""
        return max(1, round(1 / (self.step.dt * self.slowest)))


def paces(
    energy: Energy, *, kT: float, tolerance: float, shape_matters: bool, dt: float | None
) -> Iterator[Pace]:
    """The time steps to try in turn: ``dt`` alone, or the one with the fewest steps and its halves.

    Parameters
    ----------
    kT : the lowest temperature, which relaxes a quartic energy slowest
    tolerance : share of the distance from equilibrium left at the first read
    shape_matters : keep steps small, for raw samples; a quartic energy always does

    Raises TimeStepError if ``dt`` is unstable.
    """
    slowest, fastest = relaxation_rates(energy, kT)
    if dt is not None:
        fastest = largest_curvature(energy)
        slowest = min(slowest, fastest)
        yield Pace(TimeStep.of(slowest, fastest, dt, tolerance), slowest, fastest)
        return
    shape_matters = shape_matters or bool(energy.j4)
    first = fastest_time_step(slowest, fastest, energy.j2, shape_matters=shape_matters)
    for halvings in range(MOST_HALVINGS + 1):
        step = TimeStep.of(slowest, fastest, first / 2**halvings, tolerance)
        yield Pace(step, slowest, fastest)


def splits(energy: Energy) -> Iterator[Energy]:
    """The energy as it is, then the same one with other leaks, as one coupling of all modules.

    They are for fabrics whose formats hold no time step of the first.
    """
    yield energy
    matrix = energy.matrix()
    values = np.linalg.eigvalsh(matrix)
    for leak in (choose_leak(values), float(np.abs(values).max())):
        if leak > 0 and not np.isclose(leak, 2 * energy.j2):
            yield Energy.from_precision(matrix, j2=leak / 2, j4=energy.j4, modules=energy.modules)


def candidates(
    name: str,
    energy: Energy,
    schedule: Callable[[Pace], tuple[Stage, ...]],
    *,
    kT: float,
    tolerance: float,
    shape_matters: bool = True,
    dt: float | None = None,
    rounding: str = NEAREST,
) -> Iterator[Problem]:
    """The problems to try in turn, whose inputs are biases; see :func:`paces` and :func:`splits`.

    ``schedule`` makes the stages of a pace. ``kT`` is the lowest temperature.
    """
    for split in splits(energy):
        for pace in paces(split, kT=kT, tolerance=tolerance, shape_matters=shape_matters, dt=dt):
            yield Problem(
                name, (split,), schedule(pace), dt=pace.step.dt, rounding=rounding, entry=BIAS
            )


def equilibrium_problem(
    energy: Energy,
    *,
    kT: float = 0.0,
    samples: int = 16,
    thin: int = 0,
    dt: float | None = None,
    tolerance: float = TOLERANCE,
    rounding: str = STOCHASTIC,
    target: str | None = None,
    name: str = "equilibrium",
) -> Problem:
    """The problem that relaxes an energy under biases and averages; time step and steps are chosen.

    Parameters
    ----------
    kT : temperature
    samples : steps that are averaged, 1 or more; consecutive ones are correlated
    thin : stream every ``thin``-th of them; 0 streams none
    dt : time step; by default the one with the fewest steps, and at a temperature one whose effect
        on the shape of the distribution is small
    tolerance : share of the distance from equilibrium left at the first read
    rounding, target, name : see :class:`ornstein.host.physics.problem.Problem`

    Raises
    ------
    EnergyError
        The energy is inconsistent or unbounded below.
    TimeStepError
        ``dt`` is unstable, or the tolerance is not between 0 and 1.
    """
    energy.check()
    if not 0 < tolerance < 1:
        raise TimeStepError(f"the tolerance {tolerance} must be between 0 and 1")
    pace = next(paces(energy, kT=kT, tolerance=tolerance, shape_matters=kT > 0, dt=dt))
    return Problem(
        name,
        (energy,),
        equilibrium(pace.step, kT=kT, samples=samples, thin=thin),
        dt=pace.step.dt,
        rounding=rounding,
        entry=BIAS,
        target=target,
    ).check()


def checked_bias(energy: Energy, bias: ArrayLike | None) -> np.ndarray:
    """The bias (units,), by default zero. Raises EnergyError unless it has that shape and is
    finite.
    """
    if bias is None:
        return np.zeros(energy.units)
    checked = np.asarray(bias, float)
    if checked.shape != (energy.units,) or not np.isfinite(checked).all():
        raise EnergyError(
            f"bias must be {energy.units} finite numbers, one for each unit, not an array of shape "
            f"{checked.shape}"
        )
    return checked


def calibration(energy: Energy, bias: np.ndarray) -> np.ndarray:
    """Calibration inputs (n, units) of runs under one bias (units,)."""
    return np.tile(bias, (QUARTIC_CALIBRATION if energy.j4 else 1, 1))
