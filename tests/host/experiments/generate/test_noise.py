# SPDX-License-Identifier: Apache-2.0
"""Noise from the temperature of uncoupled units, on the integer model."""

import numpy as np
import pytest
from scipy.stats import kstest, kurtosis

from ornstein.hdl.config import preset
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.generate.noise import (
    host_bits,
    noise_problem,
    noise_program,
    substrate_noise,
)


@pytest.fixture(scope="module")
def noise():
    """(levels, images, side, side) from 200 relaxations of 64 units."""
    with open_device("model:tiny") as device:
        return substrate_noise(device, noise_program(preset("tiny"), 64), 10, 20, 8, seed=3)


def test_it_is_standard_normal(noise):
    count = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(count)
    assert noise.var() == pytest.approx(1, abs=4 * np.sqrt(2 / count) + 1e-3)
    assert abs(kurtosis(noise.ravel())) < 0.1 + 4 * np.sqrt(24 / count)
    assert kstest(noise.ravel(), "norm").statistic < 0.008 + 1.63 / np.sqrt(count)


def test_units_and_relaxations_are_independent(noise):
    rows = noise.reshape(200, 64)
    for values in (rows, rows.T):
        correlations = np.corrcoef(values.T) - np.eye(values.shape[1])
        bound = 6 / np.sqrt(len(values))
        assert np.abs(correlations).max() < bound


def test_the_seed_decides(noise):
    program = noise_program(preset("tiny"), 64)
    with open_device("model:tiny") as device:
        again = substrate_noise(device, program, 1, 20, 8, seed=3)
        other = substrate_noise(device, program, 1, 20, 8, seed=4)
    np.testing.assert_array_equal(again[0], noise[0])
    assert not np.array_equal(again, other)


def test_the_largest_step_keeps_the_shape_of_samples():
    problem = noise_problem(64)
    assert problem.dt * problem.energy.eigenvalues()[-1] == pytest.approx(0.25)


def test_host_bits():
    assert host_bits(12, 16) == 12 * 256 * 64
