# SPDX-License-Identifier: Apache-2.0
"""What images are scored by, against arithmetic."""

import numpy as np
import pytest

from ornstein.host.experiments.images.digits import PIXELS, add_noise
from ornstein.host.experiments.images.measures import (
    gain_error,
    nearest,
    psnr,
    psnr_error,
    spread,
)


def test_psnr_of_noise_is_minus_twenty_log_sigma_within_its_error():
    rng = np.random.default_rng(0)
    clean = rng.random((400, PIXELS))
    noisy = add_noise(clean, 0.3, rng)
    error = psnr_error(noisy, clean)
    assert psnr(noisy, clean) == pytest.approx(-20 * np.log10(0.3), abs=4 * error)
    assert error == pytest.approx(
        10 / np.log(10) * np.sqrt(2 / PIXELS / 400), rel=0.2
    )  # of a mean of chi-squares


def test_spread_and_nearest_on_a_case_by_hand():
    images = np.repeat([[0.0], [2.0], [10.0], [10.0]], 2, axis=1)
    assert spread(images, np.array([0, 0, 1, 1])) == pytest.approx(np.sqrt(0.5))
    found = nearest(images, np.array([[1.0, 1.0], [10.0, 13.0]]))
    np.testing.assert_allclose(found, [1, 1, np.sqrt(4.5), np.sqrt(4.5)])


def test_the_error_of_a_gain_is_that_of_the_difference_image_by_image():
    """For errors that fall by the same factor in every image the gain has no error at all."""
    rng = np.random.default_rng(0)
    clean = rng.random((200, PIXELS))
    noise = rng.standard_normal(clean.shape)
    assert gain_error(clean + 0.1 * noise, clean + 0.2 * noise, clean) == pytest.approx(0, abs=1e-9)
    halves = [clean + 0.1 * rng.standard_normal(clean.shape) for _ in range(2)]
    expected = np.hypot(*(psnr_error(images, clean) for images in halves))
    assert gain_error(*halves, clean) == pytest.approx(expected, rel=0.2)  # they are independent
