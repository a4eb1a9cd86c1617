# SPDX-License-Identifier: Apache-2.0
"""Steps of learning: how far each factor moves along its gradient, and what keeps M definite.

The inputs of a network are far from independent, so that plain gradients take thousands of steps.
Here each factor's gradient is divided by the curvature of the loss in it, which follows from the
second moments of the measured free means and from the factors on the host (Gauss-Newton, one factor
at a time).
"""

from dataclasses import dataclass, field

import numpy as np

from ornstein.host.compile.coupling_memory import Factors
from ornstein.sim.energy import Energy

DAMPING = 1e-2
"""Share of the mean second moment of a unit that is added to that of every unit."""
TRUST = 0.2
"""Largest step of a factor, as a share of the factor (Frobenius norms)."""
MEMORY = 20
"""Batches over which the second moments are averaged."""


@dataclass
class Curvature:
    """Second moments (units, units) of the free means, averaged over the last batches."""

    moments: np.ndarray | None = None
    batches: int = field(default=0)

    def note(self, free: np.ndarray) -> None:
        """Takes the free means (n, units) of a batch."""
        found = free.T @ free / len(free)
        self.batches += 1
        share = max(1 / self.batches, 1 / MEMORY)
        self.moments = (
            found if self.moments is None else self.moments + share * (found - self.moments)
        )

    def step(self, energy: Energy, gradient: Factors, target: str, weights: np.ndarray) -> Factors:
        """Returns the step of every factor that would minimise the loss if it moved alone and the
        couplings were weak: units are taken to respond to a force as if they were not coupled.

        Factors of couplings that do not reach the module ``target`` stay. ``weights`` are those of
        the loss, by unit of the target.
        """
        assert self.moments is not None
        slices, leak, steps = energy.slices, 2 * energy.j2, {}
        moments = self.moments + DAMPING * np.mean(self.moments.diagonal()) * np.eye(energy.units)
        for number, coupling in enumerate(energy.couplings):
            if target not in coupling.modules:
                continue
            answer = coupling.modules.index(target)
            out = coupling.factors[answer]
            for place, name in enumerate(coupling.modules):
                slope = gradient[number, place]
                if place == answer:
                    force = np.zeros((energy.units, coupling.rank))
                    for other, source in enumerate(coupling.modules):
                        force[slices[source]] = coupling.factors[other] * coupling.mix[place, other]
                    inner, outer = force.T @ moments @ force, np.diag(weights)
                else:
                    answered = out * coupling.mix[answer, place]
                    inner = answered.T @ (weights[:, None] * answered)
                    outer = moments[slices[name], slices[name]]
                steps[number, place] = -(leak**2) * _solve(outer, _solve(inner, slope.T).T)
        return steps


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solves with a positive semidefinite matrix; directions without curvature stay."""
    return np.linalg.lstsq(matrix, right, rcond=1e-9)[0]


def moved(factors: Factors, steps: Factors, rate: float) -> Factors:
    """Returns the factors after ``rate`` times their steps, none of which exceeds `TRUST`."""
    found = dict(factors)
    for side, step in steps.items():
        length = rate * float(np.linalg.norm(step))
        most = TRUST * float(np.linalg.norm(factors[side]))
        found[side] = factors[side] + rate * min(1.0, most / max(length, 1e-300)) * step
    return found


def strength(energy: Energy) -> float:
    """Returns the largest share S of the leak that a mode of the couplings takes away or adds: M
    has eigenvalues of 2 j2 (1 +- S), and is positive definite for S < 1.
    """
    values, leak = energy.eigenvalues(), 2 * energy.j2
    return float(max(1 - values[0] / leak, values[-1] / leak - 1, 0.0))


def definite(energy: Energy, factors: Factors, limit: float) -> tuple[Factors, bool]:
    """Returns the factors of an energy, and whether they had to be scaled down, all alike, so that
    its strength is at most the limit.
    """
    found = strength(energy)
    if found <= limit:
        return factors, False
    return {side: factor * np.sqrt(limit / found) for side, factor in factors.items()}, True
