# SPDX-License-Identifier: Apache-2.0
"""The time step and the number of steps that an energy's spectrum asks for.

Relaxation at kT = 0 multiplies the distance from equilibrium in the mode of eigenvalue lambda by
1 - dt lambda at every step. The step dt* = 2 / (lambda_min + lambda_max) makes the slowest factor
least: rho = (c - 1) / (c + 1) for condition c. No sequence of time steps beats Chebyshev's
polynomial, whose factor a step tends to (sqrt(c) - 1) / (sqrt(c) + 1) [Golub and Varga 1961].
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import gamma

import numpy as np

from ornstein.sim.energy import Energy

TOLERANCE = 5e-3
"""Share of its distance from equilibrium that a state may keep when it is first read."""
LARGEST_LEAK = 0.98
"""Largest leak 2 j2 dt of a step: the fabric's update needs it below one."""
SHAPE_BOUND = 0.25
"""Largest dt lambda where the shape of raw samples matters: the noise of one step has three
values, and at this bound the distribution of the states differs from a normal one by a
Kolmogorov-Smirnov distance of 0.008; at 0.95 it is 0.218."""
MOST_HALVINGS = 5
"""How often a time step is halved before no number format is found."""
MOST_CONDITION = 1e2
"""Largest ratio of the rates that a quartic energy is given time for: at kT = 0 a direction without
curvature comes to rest ever more slowly."""
_LEAST_DISTANCE = 1e-12
"""Smallest share of a distance that is told apart from none."""


class TimeStepError(ValueError):
    """A time step or a tolerance that no relaxation can have. The message is one line and says what
    is allowed.
    """


@dataclass(frozen=True)
class TimeStep:
    """A time step and what it costs.

    Attributes
    ----------
    dt : time step
    tolerance : share of the distance from equilibrium left at the first read
    factor : rho, the largest factor of a mode in one step
    steps : steps from zero until the tolerance is met, that of the first read included
    chebyshev_steps : the fewest steps that any sequence of time steps needs for it
    unit_steps : the steps that dt = 1 would take; None where it is unstable
    """

    dt: float
    tolerance: float
    factor: float
    steps: int
    chebyshev_steps: int
    unit_steps: int | None

    @classmethod
    def of(cls, slowest: float, fastest: float, dt: float, tolerance: float) -> "TimeStep":
        """What a time step costs for eigenvalues between ``slowest`` and ``fastest``.

        Raises TimeStepError if a mode does not decay at this time step.
        """
        factor = _stable_factor(dt, slowest, fastest)
        unit_factor = _factor(1.0, slowest, fastest)
        return cls(
            dt,
            tolerance,
            factor,
            _steps(factor, tolerance),
            chebyshev_steps(fastest / slowest, tolerance),
            _steps(unit_factor, tolerance) if unit_factor < 1 else None,
        )

    @classmethod
    def after(cls, steps: int, slowest: float, fastest: float, dt: float) -> "TimeStep":
        """What a time step reaches in that many steps from zero.

        Its ``tolerance`` is the share of the distance from equilibrium that is then left. Raises
        TimeStepError if a mode does not decay at this time step.
        """
        factor = _stable_factor(dt, slowest, fastest)
        reached = cls.of(slowest, fastest, dt, max(factor**steps, _LEAST_DISTANCE))
        return replace(reached, steps=steps)

    @property
    def burn_in(self) -> int:
        """Steps before the first that is read."""
        return self.steps - 1


def choose_time_step(
    energies: Iterable[Energy],
    *,
    tolerance: float = TOLERANCE,
    shape_matters: bool = False,
    dt: float | None = None,
) -> TimeStep:
    """The time step with the fewest steps for all of the energies.

    Parameters
    ----------
    energies : positive definite; several share one time step
    tolerance : see :class:`TimeStep`, between 0 and 1
    shape_matters : keep dt lambda below :data:`SHAPE_BOUND`, for raw samples and quartic energies
    dt : a time step that the user has fixed; only its cost is worked out

    Raises TimeStepError if the tolerance is out of range, an energy is not positive definite, or
    ``dt`` is unstable.
    """
    if not 0 < tolerance < 1:
        raise TimeStepError(f"the tolerance {tolerance} must be between 0 and 1")
    energies = tuple(energies)
    slowest, fastest = spectrum(energies)
    if slowest <= 0:
        raise TimeStepError(f"the smallest eigenvalue {slowest:.4g} of M is not positive")
    if dt is None:
        j2 = max(energy.j2 for energy in energies)
        dt = fastest_time_step(slowest, fastest, j2, shape_matters=shape_matters)
    return TimeStep.of(slowest, fastest, dt, tolerance)


def fastest_time_step(slowest: float, fastest: float, j2: float, *, shape_matters: bool) -> float:
    """The time step with the fewest steps for rates between ``slowest`` and ``fastest``.

    The leak of a step stays below :data:`LARGEST_LEAK`, and where the shape of samples matters, dt
    times the fastest rate below :data:`SHAPE_BOUND`.
    """
    dt = min(2 / (slowest + fastest), LARGEST_LEAK / (2 * j2))
    return min(dt, SHAPE_BOUND / fastest) if shape_matters else dt


def time_steps(
    energies: Iterable[Energy],
    *,
    tolerance: float = TOLERANCE,
    shape_matters: bool = False,
    dt: float | None = None,
) -> Iterator[TimeStep]:
    """The time steps to try in turn: ``dt`` alone, or the one with the fewest steps and its halves.

    A smaller step needs a smaller range, so that one of them fits number formats that hold few
    bits. Parameters and errors are those of :func:`choose_time_step`.
    """
    energies = tuple(energies)
    chosen = choose_time_step(energies, tolerance=tolerance, shape_matters=shape_matters, dt=dt)
    yield chosen
    if dt is None:
        for halvings in range(1, MOST_HALVINGS + 1):
            yield choose_time_step(energies, tolerance=tolerance, dt=chosen.dt / 2**halvings)


def spectrum(energies: Iterable[Energy]) -> tuple[float, float]:
    """The smallest and the largest eigenvalue of the energies' matrices M."""
    values = np.concatenate([energy.eigenvalues() for energy in energies])
    return float(values.min()), float(values.max())


def largest_curvature(energy: Energy) -> float:
    """The largest curvature that a state at rest meets.

    It is the largest eigenvalue of M. Under a quartic term a direction of negative eigenvalue has
    two wells, in which the curvature is -2 times the eigenvalue.
    """
    values = energy.eigenvalues()
    return float(max(values[-1], -2 * values[0] if energy.j4 else values[-1]))


def relaxation_rates(energy: Energy, kT: float) -> tuple[float, float]:
    """The slowest and the fastest rate at which an energy relaxes at a temperature.

    Those of a harmonic energy are the extreme eigenvalues of M. Under a quartic term they are
    estimates, which tell a single unit's rates within a factor of about two: the curvature in the
    wells of a direction of negative eigenvalue, and the stiffness that the thermal motion of a
    quartic unit adds, 12 j4 <z^2> with <z^2> = Gamma(3/4) / Gamma(1/4) sqrt(kT / j4). Hopping from
    well to well is slower by far, and no rate tells of it.
    """
    values = energy.eigenvalues()
    if not energy.j4:
        return float(values[0]), float(values[-1])
    thermal = 12 * gamma(0.75) / gamma(0.25) * np.sqrt(kT * energy.j4)
    rates = np.where(values > 0, values, -2 * values) + thermal
    # wells lie at z_i^2 = -lambda / (4 j4), where the quartic term adds -3 lambda everywhere
    fastest = max(values[-1], 0.0) + 3 * max(-values[0], 0.0) + 3 * thermal
    return float(max(rates.min(), fastest / MOST_CONDITION)), float(fastest)


def chebyshev_steps(condition: float, tolerance: float) -> int:
    """The least n with 1 / T_n((c + 1) / (c - 1)) <= tolerance: Chebyshev's bound."""
    if condition <= 1 + 1e-12:
        return 1
    exact = np.arccosh(1 / tolerance) / np.arccosh((condition + 1) / (condition - 1))
    return max(1, int(np.ceil(exact - 1e-9)))


def _factor(dt: float, slowest: float, fastest: float) -> float:
    return max(abs(1 - dt * slowest), abs(1 - dt * fastest))


def _stable_factor(dt: float, slowest: float, fastest: float) -> float:
    """The largest factor of a mode in one step. Raises TimeStepError unless it is below one."""
    factor = _factor(dt, slowest, fastest)
    if not factor < 1:
        raise TimeStepError(
            f"dt = {dt:.6g} is unstable or not positive; the largest eigenvalue {fastest:.4g} of M "
            f"allows dt < {2 / fastest:.4g}"
        )
    return factor


def _steps(factor: float, tolerance: float) -> int:
    if factor <= tolerance:
        return 1
    return max(1, int(np.ceil(np.log(tolerance) / np.log(factor) - 1e-9)))
