# SPDX-License-Identifier: Apache-2.0
"""The time step and the number of steps that an energy's spectrum asks for.

Relaxation at kT = 0 multiplies the distance from equilibrium in the mode of eigenvalue lambda by
1 - dt lambda at every step. The step dt* = 2 / (lambda_min + lambda_max) makes the slowest factor
least: rho = (c - 1) / (c + 1) for condition c. No sequence of time steps beats Chebyshev's
polynomial, whose factor a step tends to (sqrt(c) - 1) / (sqrt(c) + 1) [Golub and Varga 1961].
"""

from collections.abc import Iterable
from dataclasses import dataclass

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

    Raises ValueError if the tolerance is out of range or an energy is not positive definite.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"the tolerance {tolerance} must be between 0 and 1")
    energies = tuple(energies)
    values = np.concatenate([energy.eigenvalues() for energy in energies])
    slowest, fastest = float(values.min()), float(values.max())
    if slowest <= 0:
        raise ValueError(f"the smallest eigenvalue {slowest:.4g} of M is not positive")
    if dt is None:
        dt = min(2 / (slowest + fastest), LARGEST_LEAK / (2 * max(e.j2 for e in energies)))
        if shape_matters:
            dt = min(dt, SHAPE_BOUND / fastest)
    factor, unit_factor = _factor(dt, slowest, fastest), _factor(1.0, slowest, fastest)
    return TimeStep(
        dt,
        tolerance,
        factor,
        _steps(factor, tolerance),
        chebyshev_steps(fastest / slowest, tolerance),
        _steps(unit_factor, tolerance) if unit_factor < 1 else None,
    )


def chebyshev_steps(condition: float, tolerance: float) -> int:
    """The least n with 1 / T_n((c + 1) / (c - 1)) <= tolerance: Chebyshev's bound."""
    if condition <= 1 + 1e-12:
        return 1
    exact = np.arccosh(1 / tolerance) / np.arccosh((condition + 1) / (condition - 1))
    return max(1, int(np.ceil(exact - 1e-9)))


def _factor(dt: float, slowest: float, fastest: float) -> float:
    return max(abs(1 - dt * slowest), abs(1 - dt * fastest))


def _steps(factor: float, tolerance: float) -> int:
    if factor >= 1:
        raise ValueError("a mode does not decay at this time step; lower dt")
    if factor <= tolerance:
        return 1
    return max(1, int(np.ceil(np.log(tolerance) / np.log(factor) - 1e-9)))
