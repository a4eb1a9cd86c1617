# SPDX-License-Identifier: Apache-2.0
"""Energies that are put together from modules and matrices."""

import re

import numpy as np
import pytest

from ornstein.host.physics.builder import EnergyBuilder
from ornstein.sim.energy import EnergyError


def test_modules_and_couplings_become_one_matrix():
    rng = np.random.default_rng(0)
    own = np.array([[2.0, 0.5], [0.5, 3.0]])
    first, second = rng.normal(size=(2, 3)) / 4, rng.normal(size=(3, 1)) / 4
    builder = EnergyBuilder().module("a", 2, own).module("b", 3, 2.0).module("c", 1, [1.5])
    energy = builder.couple("a", "b", first).couple("b", "c", second).build()
    expected = np.diag([0, 0, 2.0, 2.0, 2.0, 1.5])
    expected[:2, :2] = own
    expected[:2, 2:5], expected[2:5, 5:] = -first, -second
    expected = np.triu(expected) + np.triu(expected, 1).T
    np.testing.assert_allclose(energy.matrix(), expected, atol=1e-14)
    assert [module.name for module in energy.modules] == ["a", "b", "c"]


def test_equal_modules_need_no_coupling_of_their_own():
    weights = np.outer([1.0, 0.0, 1.0], [0.25, 0.5])
    energy = EnergyBuilder().module("a", 3).module("b", 2).couple("a", "b", weights).build()
    assert 2 * energy.j2 == 1.0
    assert [(coupling.modules, coupling.rank) for coupling in energy.couplings] == [(("a", "b"), 1)]


def test_a_rank_cuts_the_weights():
    weights = np.diag([0.5, 0.25])
    energy = EnergyBuilder().module("a", 2).module("b", 2).couple("a", "b", weights, rank=1).build()
    np.testing.assert_allclose(energy.matrix()[:2, 2:], np.diag([-0.5, 0.0]), atol=1e-15)


def test_a_quartic_term_bounds_negative_directions():
    builder = EnergyBuilder(j4=0.25).module("a", 2, -1.0).module("b", 2, -1.0)
    np.testing.assert_allclose(builder.build().matrix(), -np.eye(4), atol=1e-15)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b: b.module("a", 1), "there is a module 'a' already"),
        (lambda b: b.module("c", 3, np.ones(2)), "module 'c': units must be 1 or more, and"),
        (lambda b: b.module("c", 2, [[1.0, 1.0], [0.0, 1.0]]), "must be finite and symmetric"),
        (lambda b: b.couple("a", "x", np.ones((2, 1))), "there is no module 'x' to couple"),
        (lambda b: b.couple("a", "a", np.ones((2, 2))), "'a' is coupled to itself"),
        (lambda b: b.couple("a", "b", np.ones((1, 2))), "of shape (2, 1), not (1, 2)"),
        (lambda b: b.couple("a", "b", np.ones((2, 1)), rank=2), "rank 2 must lie in 0..1"),
        (lambda b: b.couple("a", "b", 9 * np.ones((2, 1))).build(), "not positive definite"),
        (lambda b: EnergyBuilder().build(), "an energy needs a module"),
    ],
)
def test_what_is_wrong_is_named(make, message):
    builder = EnergyBuilder().module("a", 2).module("b", 1)
    with pytest.raises(EnergyError, match=re.escape(message)) as refused:
        make(builder)
    assert "\n" not in str(refused.value)
