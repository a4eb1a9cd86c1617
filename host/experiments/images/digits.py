# SPDX-License-Identifier: Apache-2.0
"""The digits of scikit-learn at their own size of 8 x 8 pixels, one unit for each pixel."""

from dataclasses import dataclass

import numpy as np

PIXELS = 64
SIDE = 8
CLASSES = 10
HELD_OUT = 360
"""Number of images that no training sees."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Images (n, 64) in [0, 1] and labels (n,), for training and held out for scoring."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def load_images() -> Digits:
    """Returns the 1,797 images in a fixed random order, with 16 grey levels scaled to 0..1.

    The first `HELD_OUT` are held out.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    pixels, labels = pixels[order] / 16, labels[order]
    return Digits(pixels[HELD_OUT:], labels[HELD_OUT:], pixels[:HELD_OUT], labels[:HELD_OUT])


def add_noise(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Returns the images plus independent Gaussian noise, which may lead out of [0, 1].

    ``sigma`` is its standard deviation in units of a pixel's range.
    """
    return images + sigma * rng.standard_normal(images.shape)
