# SPDX-License-Identifier: Apache-2.0
"""Reduced-rank ridge regression, the fit behind aligned skips and the conditioning interface."""

from dataclasses import dataclass

import numpy as np

from ornstein.host.physics.moments import Moments

RIDGES = tuple(10.0**exponent for exponent in range(-6, 1))
"""Ridges to choose from, in units of the mean input variance."""
RANK_LOSS = 5e-4
"""Share of the targets' variance that a smaller rank may lose to the best one."""
_VALIDATION_SEED = 7
"""Draws the quarter of the training inputs on which the ridge and the rank are chosen."""


@dataclass(frozen=True, eq=False)
class Regression:
    """A linear map of a given rank: y ~ (x @ project) @ expand.

    ``project`` is (d_in, rank) and ``expand`` (rank, d_out).
    """

    project: np.ndarray
    expand: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, d_out) for inputs (n, d_in)."""
        return (x @ self.project) @ self.expand


def reduced_rank(x: np.ndarray, y: np.ndarray, rank: int, ridge: float) -> Regression:
    """The map W of ``rank`` that minimises |y - x W|^2 + n ridge v |W|^2 for centred x (n, d_in)
    and y (n, d_out).

    v is the mean variance of x, so ``ridge`` is relative. The minimum is the ridge solution,
    projected on the leading right singular vectors of its fit to the data augmented by the penalty
    [Mukherjee and Zhu 2011]. Every column of ``project`` is scaled to a largest entry of 1, so that
    one fixed-point format serves strong and weak modes alike; weak modes are small in ``expand``,
    and so are their errors.
    """
    return _leading(x.T @ x, x.T @ y, len(x) * ridge * float(np.mean(x**2)), rank)


def reduced_rank_of(moments: Moments, rank: int, ridge: float) -> Regression:
    """:func:`reduced_rank` of standardised inputs and centred targets, from their moments alone."""
    variance = float(np.mean(np.diag(moments.gram)))
    return _leading(moments.gram, moments.cross, ridge * variance, rank)


def _leading(gram: np.ndarray, cross: np.ndarray, penalty: float, rank: int) -> Regression:
    """The regression from x'x (d_in, d_in) and x'y (d_in, d_out) under that penalty."""
    gram = gram + penalty * np.eye(len(gram))
    full = np.linalg.solve(gram, cross)
    _, vectors = np.linalg.eigh(full.T @ gram @ full)
    leading = vectors[:, ::-1][:, :rank]
    project = full @ leading
    peaks = np.abs(project).max(axis=0)
    peaks[peaks == 0] = 1.0
    return Regression(project / peaks, peaks[:, None] * leading.T)


def validated_ridge(x: np.ndarray, y: np.ndarray, rank: int) -> float:
    """The ridge with the least squared error on a quarter of (x, y) that the fit does not see."""
    return RIDGES[int(np.argmin(_held_out_errors(x, y, rank)))]


def validated_rank(x: np.ndarray, y: np.ndarray) -> int:
    """The least power of two, or the full rank, that suffices for centred x (n, d_in) and y.

    On a quarter of the inputs that the fit does not see, at the best ridge, it explains all but
    :data:`RANK_LOSS` of the variance that the best rank explains.
    """
    full = min(x.shape[1], y.shape[1])
    ranks = [2**power for power in range(full.bit_length()) if 2**power < full] + [full]
    errors = {rank: min(_held_out_errors(x, y, rank)) for rank in ranks}
    limit = min(errors.values()) + RANK_LOSS * float(np.sum(y[_split(len(y))[0]] ** 2))
    return next(rank for rank in ranks if errors[rank] <= limit)


def _held_out_errors(x: np.ndarray, y: np.ndarray, rank: int) -> list[float]:
    """Squared error of every one of :data:`RIDGES` on a quarter that the fit does not see."""
    held, kept = _split(len(x))
    return [
        float(np.sum((y[held] - reduced_rank(x[kept], y[kept], rank, ridge)(x[held])) ** 2))
        for ridge in RIDGES
    ]


def _split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the quarter of ``count`` inputs that is held back, and of those that are kept."""
    order = np.random.default_rng(_VALIDATION_SEED).permutation(count)
    held, kept = np.split(order, [count // 4])
    return held, kept
