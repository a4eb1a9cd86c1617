# SPDX-License-Identifier: Apache-2.0
"""scikit-learn's digits at their own size: 64 pixels in [0, 1], one unit each, and what images are
measured by.
"""

from dataclasses import dataclass

import numpy as np

PIXELS = 64
SIDE = 8
CLASSES = 10
HELD_OUT = 360
"""Images that no training has seen."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Images (n, 64) in [0, 1] and labels (n,): those for training, and those held out."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def load_images() -> Digits:
    """The 1,797 images in a fixed random order, 16 grey levels scaled to 0..1; the first `HELD_OUT`
    are held out.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    pixels, labels = source.data[order] / 16, source.target[order]
    return Digits(pixels[HELD_OUT:], labels[HELD_OUT:], pixels[:HELD_OUT], labels[:HELD_OUT])


def add_noise(images: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Images plus independent Gaussian noise of standard deviation ``sigma`` in pixel units, not
    clipped.
    """
    return images + sigma * rng.standard_normal(images.shape)


def psnr(images: np.ndarray, clean: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1, of the error averaged over all images and
    pixels.
    """
    return float(-10 * np.log10(np.mean((images - clean) ** 2)))
