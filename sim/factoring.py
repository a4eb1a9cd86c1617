# SPDX-License-Identifier: Apache-2.0
"""From matrices to factors: how a symmetric matrix is divided into a leak and couplings.

M = leak I + V diag(d) V' holds for any leak, and the couplings V diag(d) V' have as many modes as
M has eigenvalues that differ from it. A leak of trace(M) / n makes the Frobenius norm of the
couplings least, and with it what their rounding costs.
"""

from dataclasses import dataclass

import numpy as np

LEAST_LEAK = 1 / 16
"""Least leak, as a share of the largest eigenvalue by magnitude: a smaller one would leave the
time step few bits."""


@dataclass(frozen=True, eq=False)
class Factors:
    """A matrix of low rank, ``vectors @ diag(values) @ vectors.T``.

    Attributes
    ----------
    vectors : (n, rank), orthonormal columns
    values : (rank,), in falling order of magnitude
    """

    vectors: np.ndarray
    values: np.ndarray


def choose_leak(eigenvalues: np.ndarray) -> float:
    """The leak of a symmetric matrix with these eigenvalues (n,).

    It is the eigenvalue that at least half of the modes share, which then need no coupling;
    else the mean eigenvalue, but not less than :data:`LEAST_LEAK` of the largest magnitude. It is
    always positive.
    """
    scale = float(np.abs(eigenvalues).max()) or 1.0
    middle = float(np.median(eigenvalues))
    shared = np.abs(eigenvalues - middle) <= _rounding(len(eigenvalues)) * scale
    if 2 * np.sum(shared) >= len(eigenvalues) and middle >= LEAST_LEAK * scale:
        return middle
    return max(float(np.mean(eigenvalues)), LEAST_LEAK * scale)


def factor_symmetric(matrix: np.ndarray, rank: int | None = None) -> Factors:
    """The best factors of a symmetric matrix (n, n), in the Frobenius norm.

    ``rank=None`` keeps every mode above rounding error: the numerical rank.
    """
    values, vectors = np.linalg.eigh(matrix)
    order = np.argsort(-np.abs(values), kind="stable")
    values, vectors = values[order], vectors[:, order]
    if rank is None:
        rank = numerical_rank(np.abs(values))
    return Factors(vectors[:, :rank], values[:rank])


def numerical_rank(values: np.ndarray) -> int:
    """How many of the singular values (n,), in falling order, are above rounding error."""
    return int(np.sum(values > values.max(initial=0.0) * _rounding(len(values))))


def _rounding(size: int) -> float:
    """Relative rounding error of the eigenvalues of a matrix of that size."""
    return 8 * size * float(np.finfo(float).eps)
