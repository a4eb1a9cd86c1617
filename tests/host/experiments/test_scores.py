# SPDX-License-Identifier: Apache-2.0
"""Scores: values that can be worked out by hand, and what each score does and does not see."""

import numpy as np
import pytest

from ornstein.host.experiments.scores import (
    constant_mean,
    jackknife,
    score,
    score_errors,
    shuffled,
)

MEAN = np.array([1.0, 3.0])


def test_perfect_prediction():
    target = MEAN + np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]])
    result = score(target, target, MEAN)
    assert (result.cosine, result.centred_cosine) == pytest.approx((1, 1))
    assert (result.r2, result.top1) == (1, 1)


def test_scores_by_hand():
    target = MEAN + np.array([[1.0, 0.0], [0.0, 2.0]])
    prediction = MEAN + np.array([[1.0, 1.0], [0.0, 1.0]])
    result = score(prediction, target, MEAN)
    assert result.centred_cosine == pytest.approx((np.sqrt(0.5) + 1) / 2)
    assert result.r2 == pytest.approx(1 - 2 / 5)
    # the global mean is 2: targets (0, 1), (-1, 3) against (0, 2), (-1, 2)
    assert result.cosine == pytest.approx((1 + 7 / np.sqrt(50)) / 2)


def test_retrieval_counts_the_nearest_target_only():
    target = MEAN + np.array([[1.0, 0.0], [0.0, 1.0]])
    prediction = MEAN + np.array([[1.0, 0.1], [1.0, 0.9]])
    assert score(prediction, target, MEAN).top1 == 0.5


def test_constant_mean_scores_high_on_the_papers_cosine_only():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=32)
    target = mean + 0.05 * rng.normal(size=(64, 32))
    result = constant_mean(target, mean)
    assert result.cosine > 0.99
    assert (result.centred_cosine, result.r2) == (0, 0)
    assert result.top1 == 1 / 64


def test_shuffled_targets_show_which_score_sees_the_input():
    rng = np.random.default_rng(1)
    mean = rng.normal(size=32)
    target = mean + 0.05 * rng.normal(size=(64, 32))
    result = shuffled(target, target, mean)
    assert result.cosine > 0.99
    assert abs(result.centred_cosine) < 0.1
    assert result.top1 == 0


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(size=(30, 2))
    found = jackknife(lambda kept: values[kept].mean(axis=0), 30)
    np.testing.assert_allclose(found, values.std(axis=0, ddof=1) / np.sqrt(30))
    assert not jackknife(lambda kept: np.array([0.1 + 1e-16 * len(kept)]), 30).any()


def test_errors_of_scores_are_those_of_means_over_the_inputs():
    target = np.eye(9)  # top-1 is a mean over the inputs: six of nine are right
    answer = np.eye(9)[[0, 1, 2, 3, 4, 5, 7, 8, 6]]
    spread = np.sqrt(6 / 9 * 3 / 9 / 8)
    assert score_errors(answer, target, np.zeros(9)).top1 == pytest.approx(spread)
    assert score_errors(answer, target, np.zeros(9), answer).top1 == 0
