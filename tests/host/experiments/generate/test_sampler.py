# SPDX-License-Identifier: Apache-2.0
"""The sampler on data whose denoiser is known in closed form: Gaussian pixels."""

import numpy as np
import pytest

from ornstein.host.experiments.generate.sampler import host_noise, sample
from ornstein.host.models.diffusion import HALF_RANGE, MEAN
from ornstein.host.models.noise_levels import noise_levels

SIDE, DEVIATION = 4, 0.6


class GaussianModel:
    """The exact denoiser of independent pixels of mean zero and a standard deviation."""

    def denoise(self, noisy, sigma, decode):
        return noisy * DEVIATION**2 / (DEVIATION**2 + sigma**2)


def test_gaussian_data_come_out_with_their_mean_and_variance():
    """Twelve second-order steps keep the variance within 5 %; the error bar is that of 64,000
    pixels.
    """
    levels = noise_levels(12)
    noise = host_noise(len(levels), 4000, SIDE, 1)
    images = sample(GaussianModel(), None, levels, np.zeros((SIDE, SIDE)), noise)
    pixels = (images - MEAN) / HALF_RANGE
    error = DEVIATION / np.sqrt(pixels.size)
    assert abs(pixels.mean()) < 4 * error
    assert pixels.var() == pytest.approx(DEVIATION**2, rel=0.05 + 4 * np.sqrt(2 / pixels.size))


def test_an_image_does_not_depend_on_those_beside_it():
    levels = noise_levels(3)
    few, more = (host_noise(len(levels), count, SIDE, 7) for count in (2, 5))
    np.testing.assert_array_equal(few, more[:, :2])
    assert not np.array_equal(few[:, 0], few[:, 1])


def test_progress_counts_every_image_at_every_level():
    seen, levels = [], noise_levels(3)
    noise = host_noise(len(levels), 70, SIDE, 1)
    start = np.zeros((SIDE, SIDE))
    sample(GaussianModel(), None, levels, start, noise, lambda *step: seen.append(step))
    assert seen[-1] == (210, 210) and [done for done, _ in seen] == [64, 70, 134, 140, 204, 210]
