# SPDX-License-Identifier: Apache-2.0
"""What the substrate is compared with."""

import numpy as np
import pytest

from ornstein.host.experiments.images.baselines import (
    Perceptron,
    class_means,
    gaussian_deviations,
    train_perceptron,
    wiener,
)
from ornstein.host.experiments.images.digits import CLASSES, PIXELS, add_noise
from ornstein.host.experiments.images.measures import psnr


def test_wiener_filter_is_the_posterior_mean_of_a_gaussian():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((50, PIXELS)) @ rng.standard_normal((PIXELS, PIXELS)) / 8
    covariance = np.cov(images.T, bias=True) + 1e-9 * np.eye(PIXELS)
    noisy = add_noise(images, 0.5, rng)
    precision = np.linalg.inv(covariance) + np.eye(PIXELS) / 0.5**2
    expected = (
        images.mean(axis=0)
        + np.linalg.solve(precision, ((noisy - images.mean(axis=0)) / 0.5**2).T).T
    )
    np.testing.assert_allclose(wiener(images, 0.5)(noisy), expected, atol=1e-5)


def test_gaussian_digits_have_the_covariance_within_the_classes():
    rng = np.random.default_rng(0)
    labels = np.arange(3000) % CLASSES
    mixing = rng.standard_normal((PIXELS, PIXELS)) / 8
    images = labels[:, None] + rng.standard_normal((len(labels), PIXELS)) @ mixing
    assert class_means(images, labels).mean(axis=1) == pytest.approx(np.arange(10), abs=0.1)
    drawn = gaussian_deviations(images, labels, 4000, np.random.default_rng(1))
    assert drawn.shape == (4000, PIXELS)
    expected = mixing.T @ mixing
    assert np.cov(drawn.T) == pytest.approx(expected, abs=0.15 * expected.max())


def test_a_perceptron_counts_its_weights_and_biases():
    network = Perceptron(np.ones((64, 3)), np.zeros(3), np.ones((3, 64)), np.zeros(64))
    assert (network.hidden, network.parameters) == (3, 64 * 3 + 3 + 3 * 64 + 64)
    assert network(np.full((2, 64), 0.01)) == pytest.approx(3 * np.tanh(0.64))


def test_training_a_perceptron_uses_the_parameters_it_may_and_denoises(digits, monkeypatch):
    from ornstein.host.experiments.images import baselines

    monkeypatch.setattr(baselines, "MLP_EPOCHS", 30)
    monkeypatch.setattr(baselines, "MLP_COPIES", 2)
    images = digits.train[:500]
    network = train_perceptron(images, 0.5, parameters=1280)
    assert 1280 - 129 < network.parameters <= 1280
    noisy = add_noise(images, 0.5, np.random.default_rng(5))
    assert psnr(network(noisy), images) > psnr(noisy, images) + 2
