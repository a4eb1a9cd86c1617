# SPDX-License-Identifier: Apache-2.0
"""Energies made from a precision matrix or from the edges of a graph, and what is refused."""

import re

import numpy as np
import pytest

from ornstein.sim.energy import Coupling, Energy, EnergyError, Module

TWO_WELLS = -np.eye(2)


def positive(units: int = 5, seed: int = 0) -> np.ndarray:
    square = np.random.default_rng(seed).normal(size=(units, units))
    return square @ square.T / units + 0.5 * np.eye(units)


def test_a_precision_matrix_is_kept():
    precision = positive()
    energy = Energy.from_precision(precision)
    np.testing.assert_allclose(energy.matrix(), precision, atol=1e-14)
    assert energy.loss(precision) < 1e-14
    assert 2 * energy.j2 == pytest.approx(np.trace(precision) / 5)
    assert [module.name for module in energy.modules] == ["z"]


def test_any_split_is_the_same_energy():
    precision = positive()
    for j2 in (0.01, 0.25, 3.0):
        energy = Energy.from_precision(precision, j2=j2)
        assert energy.j2 == j2
        np.testing.assert_allclose(energy.matrix(), precision, atol=1e-14)


def test_what_most_units_share_needs_no_coupling():
    direction = np.array([[1.0], [1.0], [0.0], [0.0]])
    energy = Energy.from_precision(2.0 * np.eye(4) + direction @ direction.T)
    assert energy.j2 == pytest.approx(1.0)
    assert [coupling.rank for coupling in energy.couplings] == [1]
    assert Energy.from_precision(2.0 * np.eye(4)).couplings == ()


def test_the_loss_of_a_lower_rank_is_told():
    precision = np.diag([1.0, 1.0, 1.0, 3.0, 2.0])
    energy = Energy.from_precision(precision, rank=1)
    assert energy.loss(precision) == pytest.approx(1.0 / np.linalg.norm(precision))


def test_modules_share_one_matrix():
    precision = positive(5)
    modules = Module("a", 2), Module("b", 3)
    energy = Energy.from_precision(precision, modules=modules)
    assert energy.slices == {"a": slice(0, 2), "b": slice(2, 5)}
    np.testing.assert_allclose(energy.matrix(), precision, atol=1e-14)


def test_negative_directions_are_bounded_by_the_quartic_term():
    energy = Energy.from_precision(TWO_WELLS, j4=0.25)
    np.testing.assert_allclose(energy.matrix(), TWO_WELLS, atol=1e-15)
    assert energy.j2 > 0
    with pytest.raises(EnergyError, match="smallest eigenvalue is -1"):
        Energy.from_precision(TWO_WELLS)


def test_edges_make_neighbours_agree():
    """Energy: the sum over edges of -w z_i z_j, and d_i z_i^2 / 2."""
    edges, weights = [(0, 1), (1, 2), (2, 1)], [0.5, -0.25, 0.125]
    energy = Energy.from_edges(3, edges, weights, diagonal=[1.0, 2.0, 3.0])
    states = np.random.default_rng(0).normal(size=(4, 3))
    expected = states**2 @ [0.5, 1.0, 1.5] - 0.5 * states[:, 0] * states[:, 1]
    expected += (0.25 - 0.125) * states[:, 1] * states[:, 2]
    np.testing.assert_allclose(energy.value(states), expected)


def test_the_value_of_a_state():
    energy = Energy.from_precision(TWO_WELLS, j4=0.25)
    bias = np.array([1.0, 0.0])
    np.testing.assert_allclose(energy.value(np.array([[1.0, 2.0]]), bias), [-2.5 - 1.0 + 4.25])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Energy.from_precision(np.ones((2, 3))), "precision matrix must be square"),
        (lambda: Energy.from_precision(np.zeros((0, 0))), "precision matrix must be square"),
        (
            lambda: Energy.from_precision([[1.0, 0.5], [0.0, 1.0]]),
            "precision matrix is not symmetric: it differs from its transpose by up to 0.5",
        ),
        (lambda: Energy.from_precision([[np.nan]]), "precision matrix is not finite at [0, 0]"),
        (lambda: Energy.from_precision(np.eye(2), rank=3), "rank 3 must lie in 0..2"),
        (
            lambda: Energy.from_precision(np.eye(2), modules=(Module("a", 3),)),
            "modules have 3 units, but the precision matrix has 2",
        ),
        (lambda: Energy.from_edges(3, [0, 1], 1.0), "edges must be pairs of units"),
        (lambda: Energy.from_edges(3, [(0, 3)], 1.0), "two different units out of 0..2"),
        (lambda: Energy.from_edges(3, [(1, 1)], 1.0), "two different units out of 0..2"),
        (lambda: Energy.from_edges(3, [(0, 1)], [1.0, 2.0]), "weights must be one number or 1"),
        (lambda: Energy.from_edges(2, [(0, 1)], 2.0), "smallest eigenvalue is -1"),
        (
            lambda: Coupling(("z",), np.ones((2, 1)), np.ones((1, 1, 1))),
            "coupling z: factors must be a tuple of matrices (units, rank), one for each of the 1",
        ),
        (
            lambda: Coupling(("z",), (np.ones((2, 1)),), np.ones(1)),
            "coupling z: mix must have the shape (modules, modules, rank), not (1,)",
        ),
        (
            lambda: Coupling("z", (np.ones((2, 1)),), np.ones((1, 1, 1))),
            "modules of a coupling must be a tuple of names, not 'z'",
        ),
        (
            lambda: Energy(Module("z", 2)).check(),
            "modules of an energy must be a tuple of Module, not Module",
        ),
        (
            lambda: Energy((Module("z", 2),), j2=-0.5, j4=1.0).check(),
            "j2 = -0.5 must be positive and j4 = 1.0 not negative, both finite; "
            "Energy.from_precision chooses j2 for any matrix",
        ),
    ],
)
def test_what_is_wrong_is_named(make, message):
    with pytest.raises(EnergyError, match=re.escape(message)) as refused:
        make()
    assert "\n" not in str(refused.value)
