# SPDX-License-Identifier: Apache-2.0
"""A symmetric matrix becomes a leak and couplings of its numerical rank."""

import numpy as np
import pytest

from ornstein.sim.factoring import LEAST_LEAK, choose_leak, factor_symmetric


def symmetric(values, seed=0) -> np.ndarray:
    """A matrix with these eigenvalues and random eigenvectors."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))
    return basis * values @ basis.T


@pytest.mark.parametrize(
    ("values", "leak"),
    [
        ([2.0, 2.0, 2.0, 5.0], 2.0),  # what most modes share needs no coupling
        ([1.0, 2.0, 3.0, 4.0], 2.5),  # the mean: the least Frobenius norm of the couplings
        ([-1.0, -1.0, -1.0], LEAST_LEAK),  # never negative
        ([-1.0, 0.4, 0.6], LEAST_LEAK),
        ([0.0, 0.0], LEAST_LEAK),
    ],
)
def test_leak(values, leak):
    assert choose_leak(np.array(values)) == pytest.approx(leak)


def test_the_leak_makes_the_couplings_least():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    norms = [np.linalg.norm(values - leak) for leak in np.linspace(1, 9, 81)]
    assert np.linalg.norm(values - choose_leak(values)) == pytest.approx(min(norms))


def test_the_numerical_rank_is_found():
    matrix = symmetric([3.0, -2.0, 1e-3, 0.0, 0.0, 0.0])
    factors = factor_symmetric(matrix)
    np.testing.assert_allclose(factors.values, [3.0, -2.0, 1e-3], rtol=1e-9)
    np.testing.assert_allclose(
        factors.vectors * factors.values @ factors.vectors.T, matrix, atol=1e-14
    )


def test_a_lower_rank_keeps_the_largest_magnitudes():
    matrix = symmetric([3.0, -2.0, 1.0])
    factors = factor_symmetric(matrix, 2)
    rest = matrix - factors.vectors * factors.values @ factors.vectors.T
    assert np.linalg.norm(rest) == pytest.approx(1.0)
