# SPDX-License-Identifier: Apache-2.0
"""Experiment A: the paper's shifts, and random signs."""

import numpy as np
import pytest

from ornstein.host.experiments.paper import reported, skip
from ornstein.host.experiments.paper.reported import UNTRAINED
from ornstein.host.experiments.paper.subjects import decoder_part, oracle_bias


def test_the_papers_shifts_follow_from_its_network_to_their_digits(untrained):
    x, y = untrained.model.x_test, untrained.model.y_test
    for rank, paper in reported.SHIFT[UNTRAINED].items():
        shift = skip.relative(skip.skip_shifts(untrained.energy(rank), x, y), y).mean()
        assert shift == pytest.approx(paper, abs=0.05), rank


def test_sign_draws_are_the_equilibria_of_those_energies(small, monkeypatch):
    monkeypatch.setattr(skip, "SIGN_DRAWS", 5)
    model, y = small.model, small.model.y_test
    signs = np.random.default_rng(4).choice([-1.0, 1.0], (5, 8))
    for target in (y, np.zeros_like(y)):
        found = list(skip.sign_draws(small, 8, target, np.random.default_rng(4)))
        for row, shift in zip(signs, found, strict=True):
            energy = small.energy(8, row)
            mean = energy.mean(oracle_bias(energy, model.x_test, target))
            np.testing.assert_allclose(shift, decoder_part(energy, mean) - target, atol=1e-12)
