# SPDX-License-Identifier: Apache-2.0
"""What images are scored by. Images are rows (n, 64) of pixels in [0, 1]."""

import numpy as np


def psnr(images: np.ndarray, clean: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio in dB, for a peak of 1.

    The squared error is averaged over all images and pixels before the logarithm is taken.
    """
    return float(-10 * np.log10(np.mean((images - clean) ** 2)))


def psnr_error(images: np.ndarray, clean: np.ndarray) -> float:
    """Returns the standard error in dB of :func:`psnr` over the images."""
    return _decibel_error(_relative_errors(images, clean))


def gain_error(images: np.ndarray, others: np.ndarray, clean: np.ndarray) -> float:
    """Returns the standard error in dB of the difference of two PSNR, image by image.

    It is smaller than either's own error, since both are of the same images.
    """
    return _decibel_error(_relative_errors(images, clean) - _relative_errors(others, clean))


def spread(images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the root mean square deviation of images from the mean of their class."""
    deviations = [
        images[labels == label] - images[labels == label].mean(axis=0)
        for label in np.unique(labels)
    ]
    return float(np.sqrt(np.mean(np.concatenate(deviations) ** 2)))


def nearest(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns (n,) distances of images to the nearest of ``others`` (m, 64).

    A distance is the root mean square difference over the pixels.
    """
    squares = np.sum(images**2, axis=1)[:, None] + np.sum(others**2, axis=1) - 2 * images @ others.T
    return np.sqrt(np.maximum(squares.min(axis=1), 0) / images.shape[1])


def _relative_errors(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns (n,) squared errors, each relative to their mean over all images."""
    errors = np.mean((images - clean) ** 2, axis=1)
    return errors / errors.mean()


def _decibel_error(relative: np.ndarray) -> float:
    """Returns the standard error in dB of a mean of numbers (n,) that are relative to the mean."""
    return float(10 / np.log(10) * np.std(relative, ddof=1) / np.sqrt(len(relative)))
