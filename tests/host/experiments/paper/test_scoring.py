# SPDX-License-Identifier: Apache-2.0
"""The paper's own score, and agreement with a reported number."""

import numpy as np
import pytest

from ornstein.host.experiments.paper.scoring import agrees, scored, script_cosine
from ornstein.host.experiments.scores import CENTRED, QUANTITIES


def test_agreement_allows_for_two_errors_and_the_papers_rounding():
    assert agrees(0.99664, 0.9966, 0.0) and not agrees(0.99666, 0.9966, 0.0)
    assert agrees(21.34, 21.3, 0.0, decimals=1) and not agrees(21.36, 21.3, 0.0, decimals=1)
    assert agrees(0.0150, 0.0137, 0.0007) and not agrees(0.0152, 0.0137, 0.0007)


def test_scores_and_their_errors():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(40, 6)) + 3
    found = scored(target, target, target.mean(axis=0))
    assert set(found) == set(QUANTITIES) and all(
        value == pytest.approx(1) for value, _ in found.values()
    )
    assert all(error == pytest.approx(0, abs=1e-12) for _, error in found.values())
    noisy = scored(target + rng.normal(size=target.shape), target, target.mean(axis=0))
    assert 0.01 < noisy[CENTRED][1] < 0.15  # a spread of cosines over 40 inputs
    shifted = target + 7
    assert script_cosine(shifted, target) == pytest.approx(1)  # each side loses its own global mean
