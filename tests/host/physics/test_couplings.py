# SPDX-License-Identifier: Apache-2.0
"""Couplings: Gram matrices, sign convention, the bilinear skip."""

import numpy as np
import pytest

from ornstein.host.models.model_file import TrainedModel
from ornstein.host.physics.couplings import (
    gram,
    gram_factors,
    hierarchical_bilinear,
    paper_energy,
    signed,
    truncation,
)
from ornstein.sim.energy import EnergyError

D = 12


def weights(seed: int, scale: float = 0.1) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(size=(D, 4, 3, 3))


def test_gram_of_a_convolution_is_cut_to_its_first_columns():
    w = weights(0)
    square = w.reshape(D, 36)[:, :D]
    np.testing.assert_allclose(gram(w), square.T @ square / 4, rtol=1e-12)


def test_gram_of_too_few_columns_is_refused():
    with pytest.raises(EnergyError, match="need 8 columns"):
        gram(np.zeros((8, 3)))


def test_full_rank_factors_are_exact():
    j = gram(weights(0))
    factors = gram_factors(j)
    assert factors.shape == (D, D)
    np.testing.assert_allclose(factors @ factors.T, j, atol=1e-14)


def test_rank_deficient_gram_needs_fewer_factors():
    j = gram_factors(gram(weights(0)), 3) @ gram_factors(gram(weights(0)), 3).T
    assert gram_factors(j).shape == (D, 3)


def test_rank_outside_the_matrix_is_refused():
    with pytest.raises(EnergyError, match=r"rank 13 must lie in 1\.\.12"):
        gram_factors(gram(weights(0)), D + 1)


def test_truncation_is_the_root_of_the_dropped_share():
    j = gram(weights(0))
    values = np.linalg.svd(j, compute_uv=False)
    np.testing.assert_allclose(
        truncation(j, 4), np.sqrt(np.sum(values[4:] ** 2) / np.sum(values**2)), rtol=1e-9
    )
    assert truncation(j, D) < 1e-14


def test_largest_entry_of_every_column_is_positive():
    columns = np.array([[1.0, -0.2, 0.5], [-3.0, 0.1, -0.5]])
    assert np.array_equal(signed(columns), [[-1.0, 0.2, 0.5], [3.0, -0.1, -0.5]])


def test_signs_do_not_depend_on_the_eigensolver():
    j = gram(weights(0))
    factors = gram_factors(j, 5)
    assert (factors[np.abs(factors).argmax(axis=0), range(5)] > 0).all()


@pytest.mark.parametrize("rank", [2, 4, D])
def test_skip_norm_is_a_quarter_at_every_rank(rank):
    for energy in (
        paper_energy(weights(0), weights(1), rank),
        hierarchical_bilinear(weights(0), weights(1), rank),
    ):
        np.testing.assert_allclose(np.linalg.norm(energy.matrix()[:D, D:]), 0.25, rtol=1e-12)


def test_bilinear_energy_is_the_papers_with_truncated_gram_terms():
    cut = hierarchical_bilinear(weights(0), weights(1), 4).matrix()
    np.testing.assert_allclose(
        cut, paper_energy(weights(0), weights(1), 4, gram_rank=4).matrix(), atol=1e-14
    )


def test_at_full_rank_both_energies_agree_and_are_the_equation():
    w_enc, w_dec = weights(0), weights(1)
    matrix = paper_energy(w_enc, w_dec, D).matrix()
    np.testing.assert_allclose(matrix, hierarchical_bilinear(w_enc, w_dec, D).matrix(), atol=1e-13)
    np.testing.assert_allclose(matrix[:D, :D], 0.2 * np.eye(D) + 2 * gram(w_enc), atol=1e-13)
    np.testing.assert_allclose(matrix[D:, D:], 0.2 * np.eye(D) + 2 * gram(w_dec), atol=1e-13)


def test_modules_may_differ_in_size():
    small = 0.1 * np.random.default_rng(2).normal(size=(6, 2, 3, 3))
    energy = paper_energy(weights(0), small, 4)
    assert energy.units == D + 6
    assert energy.matrix()[:D, D:].shape == (D, 6)


def test_rank_one_skip_that_breaks_definiteness_is_refused_by_eigenvalue():
    with pytest.raises(EnergyError, match="smallest eigenvalue is -"):
        paper_energy(weights(0, 1e-3), weights(1, 1e-3), 1)


def test_default_model_at_rank_one_is_judged_by_its_smallest_eigenvalue():
    model = TrainedModel.load()
    with pytest.raises(EnergyError, match=r"smallest eigenvalue is -0\.0"):
        hierarchical_bilinear(model.W_enc, model.W_dec, 1)
