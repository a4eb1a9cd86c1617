# SPDX-License-Identifier: Apache-2.0
"""Steps of learning: how far the factors move along their gradient, and what keeps M definite.

The inputs of a network are far from independent, and the two factors of a mode share their work, so
that plain gradients take thousands of steps. Here a step solves the Gauss-Newton equations of all
factors together. Their curvature follows from the second moments of the measured free means and
from the factors on the host.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from ornstein.host.compile.coupling_memory import Factors, with_coupling_factors
from ornstein.sim.energy import Energy

DAMPING = 1e-2
"""Curvature that is added in all directions at first, as a share of that along the gradient. The
modes of an encoder differ in their second moments by orders of magnitude."""
DAMPING_HELD = 1e-3
"""The same where it stays as it is, for learning that follows a chip's drift."""
EASED, STIFFENED = 0.5, 8.0
"""Factors of the damping after a better validation, and after a worse one [Marquardt 1963]."""
ITERATIONS = 80
"""Of conjugate gradients, at most: what is left to do then waits for the next step."""
TRUST = 0.2
"""Largest step of a factor, as a share of the factor (Frobenius norms)."""
MEMORY = 20
"""Batches over which the second moments are averaged."""
_TOLERANCE = 1e-9
"""Of the strengths of modes, and so of one that was shortened to the limit."""


@dataclass
class Curvature:
    """Curvature of the loss.

    Attributes
    ----------
    moments : second moments (units, units) of the free means, averaged over the last batches
    batches : that were seen
    damping : see `DAMPING`
    iterations : of conjugate gradients in all steps, since it was made or read from a file
    """

    moments: np.ndarray | None = None
    batches: int = 0
    damping: float = DAMPING
    iterations: int = 0

    def adapt(self, *, better: bool) -> None:
        """Takes longer steps where they have helped, and shorter ones where they have not."""
        self.damping *= EASED if better else STIFFENED

    def note(self, free: np.ndarray) -> None:
        """Takes the free means (n, units) of a batch."""
        found = free.T @ free / len(free)
        self.batches += 1
        share = max(1 / self.batches, 1 / MEMORY)
        self.moments = (
            found if self.moments is None else self.moments + share * (found - self.moments)
        )

    def step(self, energy: Energy, gradient: Factors, target: str, weights: np.ndarray) -> Factors:
        """Returns the damped Gauss-Newton step of all factors, for the loss at the module
        ``target``, whose units have these ``weights``.

        A change dM of the couplings changes the means z by -M^-1 dM z. So the loss has the
        curvature R' W R dM C in dM, for the second moments C, the weights W, and the rows R of the
        target in M^-1.
        """
        moments = self.moments
        assert moments is not None
        response = np.linalg.inv(energy.matrix())[energy.slices[target]]
        start = _joined(gradient)

        def curved(step: np.ndarray) -> np.ndarray:
            change = _coupling_change(energy, _divided(step, gradient))
            answers = weights[:, None] * (response @ change)  # first: the target has fewest units
            return _joined(_factor_slopes(energy, response.T @ (answers @ moments)))

        length = float(start @ start)
        if length == 0:
            return {side: np.zeros_like(slope) for side, slope in gradient.items()}
        damping = self.damping * float(start @ curved(start)) / length

        def damped(step: np.ndarray) -> np.ndarray:
            self.iterations += 1
            return curved(step) + damping * step

        shape = start.size, start.size
        equations = LinearOperator(shape, matvec=damped)  # pyright: ignore[reportCallIssue]
        found, _ = cg(equations, -start, rtol=1e-3, maxiter=ITERATIONS)
        return _divided(found, gradient)


def _joined(factors: Factors) -> np.ndarray:
    return np.concatenate([factor.ravel() for factor in factors.values()])


def _divided(vector: np.ndarray, like: Factors) -> Factors:
    """Returns the factors that :func:`_joined` has joined."""
    ends = np.cumsum([factor.size for factor in like.values()])[:-1]
    parts = np.split(vector, ends)
    return {
        side: part.reshape(factor.shape)
        for part, (side, factor) in zip(parts, like.items(), strict=True)
    }


def _coupling_change(energy: Energy, steps: Factors) -> np.ndarray:
    """Returns the change (units, units) of M for small steps of the factors."""
    slices, change = energy.slices, np.zeros((energy.units, energy.units))
    for number, coupling in enumerate(energy.couplings):
        for i, name in enumerate(coupling.modules):
            for j, other in enumerate(coupling.modules):
                block = (steps[number, i] * coupling.mix[i, j]) @ coupling.factors[j].T
                change[slices[name], slices[other]] += block
                change[slices[other], slices[name]] += block.T
    return change


def _factor_slopes(energy: Energy, slope: np.ndarray) -> Factors:
    """Returns the slopes of all factors for a slope (units, units) in M: the transpose of
    :func:`_coupling_change`.
    """
    slices, both, slopes = energy.slices, slope + slope.T, {}
    for number, coupling in enumerate(energy.couplings):
        for i, name in enumerate(coupling.modules):
            slopes[number, i] = sum(
                both[slices[name], slices[other]] @ (coupling.factors[j] * coupling.mix[i, j])
                for j, other in enumerate(coupling.modules)
            )
    return slopes


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
    """Returns the factors of an energy, and whether they had to be shortened so that its strength
    is at most the limit.

    Only the modes of M that exceed the limit are shortened: each factor loses a part of what it has
    along the mode. In a skip that leaves all other modes as they are.
    """
    shortened = False
    for _ in range(energy.units):
        strengths, modes = _too_strong(energy, limit)
        if not len(strengths):
            return factors, shortened
        for strength_of_mode, mode in zip(strengths, modes.T, strict=True):
            share = np.sqrt(limit / strength_of_mode)
            factors = _shortened(energy, factors, mode, share)
        energy, shortened = with_coupling_factors(energy, factors), True
    share = np.sqrt(min(1.0, limit / strength(energy)))
    return {side: share * factor for side, factor in factors.items()}, True


def _too_strong(energy: Energy, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the strengths (n,) beyond the limit and their modes (units, n), all on that side of
    the leak on which the strongest is.

    A mode of a skip comes twice, with M less and with M more than the leak, and both are shortened
    together; those on one side have nothing in common in any module.
    """
    values, modes = energy.modes
    strengths = values / (2 * energy.j2) - 1
    if len(strengths) and -strengths.min() > strengths.max():
        strengths = -strengths
    beyond = strengths > limit + _TOLERANCE
    return strengths[beyond], modes[:, beyond]


def _shortened(energy: Energy, factors: Factors, mode: np.ndarray, share: float) -> Factors:
    """Returns the factors with ``share`` of what they have along a mode (units,) of the energy."""
    found = {}
    for (number, place), factor in factors.items():
        part = mode[energy.slices[energy.couplings[number].modules[place]]]
        along = np.outer(part, part @ factor) / max(float(part @ part), 1e-300)
        found[number, place] = factor - (1 - share) * along
    return found
