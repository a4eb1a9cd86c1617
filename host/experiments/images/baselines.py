# SPDX-License-Identifier: Apache-2.0
"""What the substrate is compared with: a linear filter, a Gaussian and a perceptron."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from ornstein.host.experiments.images.digits import CLASSES, PIXELS, add_noise

MLP_COPIES, MLP_EPOCHS = 8, 60
"""Noisy copies of each training image, and epochs, in the training of a perceptron."""


def wiener(images: np.ndarray, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the best linear denoiser for noise of standard deviation ``sigma``.

    It is exact for images with the mean and the covariance of ``images`` (n, pixels), and maps
    noisy images (m, pixels) to denoised ones.
    """
    mean, covariance = images.mean(axis=0), np.cov(images.T, bias=True)
    gain = np.linalg.solve(covariance + sigma**2 * np.eye(len(mean)), covariance)
    return lambda noisy: mean + (noisy - mean) @ gain


def class_means(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the mean image (10, 64) of each class."""
    return np.stack([images[labels == label].mean(axis=0) for label in range(CLASSES)])


def gaussian_deviations(
    images: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws deviations (count, 64) from a class's mean, from one Gaussian for all classes.

    Its covariance is that of ``images`` about the means of their classes ``labels``.
    """
    within = np.cov((images - class_means(images, labels)[labels]).T, bias=True)
    values, vectors = np.linalg.eigh(within)
    scaled = vectors * np.sqrt(np.maximum(values, 0))
    return rng.standard_normal((count, len(values))) @ scaled.T


@dataclass(frozen=True, eq=False)
class Perceptron:
    """A digital network 64 - h - tanh - 64 with biases, of as many parameters as a substrate."""

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Returns denoised images (n, 64)."""
        return np.tanh(noisy @ self.first + self.first_bias) @ self.second + self.second_bias

    @property
    def hidden(self) -> int:
        """Number of hidden units."""
        return self.first.shape[1]

    @property
    def parameters(self) -> int:
        """Number of all trained numbers."""
        return sum(getattr(self, field.name).size for field in fields(self))


def train_perceptron(images: np.ndarray, sigma: float, parameters: int) -> Perceptron:
    """Trains a perceptron by Adam on noisy copies of images (n, 64).

    It has as many hidden units as ``parameters`` allow.
    """
    from sklearn.neural_network import MLPRegressor

    clean = np.tile(images, (MLP_COPIES, 1))
    noisy = add_noise(clean, sigma, np.random.default_rng(0))
    hidden = (parameters - PIXELS) // (2 * PIXELS + 1)
    network = MLPRegressor(
        hidden_layer_sizes=(hidden,),
        activation="tanh",
        alpha=0,
        batch_size=128,  # pyright: ignore[reportArgumentType] - the stub knows "auto" only
        tol=0,
        learning_rate_init=2e-3,
        max_iter=MLP_EPOCHS,
        n_iter_no_change=MLP_EPOCHS,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it stops after the epochs it was told
        network.fit(noisy, clean)
    return Perceptron(
        network.coefs_[0], network.intercepts_[0], network.coefs_[1], network.intercepts_[1]
    )
