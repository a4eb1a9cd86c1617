# SPDX-License-Identifier: Apache-2.0
"""The rank that data ask for."""

import numpy as np
import pytest

from ornstein.host.physics.regression import RANK_LOSS, validated_rank


def rows(strengths, noise=0.0, count=400, seed=0):
    """Centred x, and y that depends on it through orthogonal modes of these strengths."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 12))
    left, _ = np.linalg.qr(rng.normal(size=(12, len(strengths))))
    right, _ = np.linalg.qr(rng.normal(size=(10, len(strengths))))
    y = x @ (left * strengths) @ right.T + noise * rng.normal(size=(count, 10))
    return x, y


@pytest.mark.parametrize(("modes", "rank"), [(1, 1), (2, 2), (3, 4), (7, 8), (9, 10)])
def test_the_rank_is_the_least_power_of_two_that_holds_every_mode(modes, rank):
    """Ten is the full rank: no map between 12 and 10 units has more modes."""
    assert validated_rank(*rows(np.ones(modes))) == rank


def test_modes_too_weak_to_matter_are_left_out():
    strong = [1.0, 1.0]
    below, above = np.sqrt(0.5 * RANK_LOSS * 2), np.sqrt(4 * RANK_LOSS * 2)
    assert validated_rank(*rows([*strong, below])) == 2
    assert validated_rank(*rows([*strong, above])) == 4


def test_noise_asks_for_no_rank():
    assert validated_rank(*rows([1.0], noise=1.0)) < 10
