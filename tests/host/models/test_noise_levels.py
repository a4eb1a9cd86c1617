# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ornstein.host.models.noise_levels import (
    FREQUENCIES,
    HIGHEST,
    LOWEST,
    Preconditioning,
    noise_features,
    noise_levels,
)


def test_levels_fall_by_a_constant_ratio():
    levels = noise_levels(5)
    assert levels[0] == HIGHEST and levels[-1] == pytest.approx(LOWEST)
    np.testing.assert_allclose(levels[1:] / levels[:-1], (LOWEST / HIGHEST) ** 0.25)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        noise_levels(1)


def test_input_and_target_of_the_network_have_unit_variance():
    """From the definition: clean = skip noisy + output target, noisy = clean + sigma n."""
    sigma, scales = np.array([0.05, 0.5, 4.0]), Preconditioning(0.7)
    variance = 0.7**2 + sigma**2
    np.testing.assert_allclose(scales.input(sigma) ** 2 * variance, 1)
    skip, output = scales.skip(sigma), scales.output(sigma)
    target_variance = ((1 - skip) ** 2 * 0.7**2 + skip**2 * sigma**2) / output**2
    np.testing.assert_allclose(target_variance, 1)


def test_features_are_cosines_and_sines_of_the_logarithm():
    found = noise_features(np.array([1.0, np.e]))
    assert found.shape == (2, 2 * len(FREQUENCIES))
    np.testing.assert_allclose(found[0], [1] * len(FREQUENCIES) + [0] * len(FREQUENCIES))
    assert found[1, 0] == pytest.approx(np.cos(2 * np.pi * FREQUENCIES[0] / 4), abs=1e-6)
