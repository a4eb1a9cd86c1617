# SPDX-License-Identifier: Apache-2.0
"""Energies of a subject: the skip's norm and signs."""

import numpy as np
import pytest

from ornstein.host.experiments.paper.subjects import halves, with_signs, without_skip


@pytest.mark.parametrize("rank", [2, 4, 8, 16])
def test_the_skip_has_one_norm_at_every_rank_and_sign(small, rank):
    signs = np.random.default_rng(rank).choice([-1.0, 1.0], rank)
    for energy in (small.energy(rank), small.energy(rank, signs)):
        assert np.linalg.norm(halves(energy)[1]) == pytest.approx(0.25)
    assert np.all(halves(without_skip(small.energy(rank)))[1] == 0)
    assert not np.allclose(
        with_signs(small.energy(2), np.array([1, -1])).matrix(), small.energy(2).matrix()
    )
