# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ornstein.host.physics.alignment import align, align_activations
from ornstein.host.physics.moments import Moments, MomentSums
from ornstein.host.physics.regression import reduced_rank, reduced_rank_of
from ornstein.sim.energy import EnergyError

RIDGE = 1e-3


@pytest.fixture(scope="module")
def activations():
    """x (500, 12) of unequal scales and y (500, 6) that depends on it, with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 12)) * rng.uniform(0.1, 3, 12) + rng.normal(size=12)
    y = np.tanh(x @ rng.normal(size=(12, 6)) / 4) * rng.uniform(0.5, 2, 6) + 3
    return x, y + 0.1 * rng.normal(size=y.shape)


def test_moments_add_up_over_parts(activations):
    x, y = activations
    whole = Moments.of(x, y)
    parts = (MomentSums.of(x[:123], y[:123]) + MomentSums.of(x[123:], y[123:])).moments()
    for name in ("x_mean", "x_deviation", "y_mean", "y_deviation", "gram", "cross"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(whole.x_deviation, x.std(axis=0))
    np.testing.assert_allclose(np.diag(whole.gram), 1)


def test_a_regression_from_moments_is_that_from_samples(activations):
    x, y = activations
    moments = Moments.of(x, y)
    standard, centred = (x - moments.x_mean) / moments.x_deviation, y - moments.y_mean
    of_samples = reduced_rank(standard, centred, 3, RIDGE)
    of_moments = reduced_rank_of(moments, 3, RIDGE)
    np.testing.assert_allclose(of_moments(standard), of_samples(standard), atol=1e-9)


@pytest.mark.parametrize("rank", [1, 3, 6])
@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8])
def test_the_equilibrium_is_the_regression(activations, rank, strength):
    """The couplings alone carry the rank-k map: nothing else multiplies the input."""
    x, y = activations
    moments = Moments.of(x, y)
    aligned = align(moments, {"a": 5, "b": 7}, {"d": 6}, rank, RIDGE, strength=strength)
    energy = aligned.energy
    standard = (x - moments.x_mean) / moments.x_deviation
    expected = reduced_rank_of(moments, rank, RIDGE)(standard) + moments.y_mean
    mean = energy.mean(aligned.drive.biases(energy, x))
    np.testing.assert_allclose(aligned.readout(mean[:, energy.slices["d"]]), expected, atol=1e-9)
    np.testing.assert_allclose(aligned.linear_map(x), expected, atol=1e-9)


def test_several_decoders_count_alike_whatever_their_size(activations):
    """Scaling one decoder's activations scales its answers and changes nothing else."""
    x, y = activations
    decoders = {"d1": 2, "d2": 4}
    answers = align_activations(x, y, {"e": 12}, decoders, 2).linear_map(x)
    scale = np.repeat([1.0, 1e3], [2, 4])
    scaled = align_activations(x, y * scale, {"e": 12}, decoders, 2)
    np.testing.assert_allclose(scaled.linear_map(x), answers * scale, rtol=1e-6)
    mean = scaled.energy.mean(scaled.drive.biases(scaled.energy, x))
    np.testing.assert_allclose(scaled.readout(mean[:, 12:]), scaled.linear_map(x), rtol=1e-6)


def test_the_strongest_mode_sets_the_condition(activations):
    energy = align(Moments.of(*activations), {"a": 12}, {"d": 6}, 4, RIDGE, strength=0.5).energy
    values = energy.eigenvalues()
    assert values[0] == pytest.approx(2 * energy.j2 * 0.5)
    assert values[-1] == pytest.approx(2 * energy.j2 * 1.5)


@pytest.mark.parametrize(("rank", "strength"), [(0, 0.5), (7, 0.5), (2, 1.0), (2, 0.0)])
def test_values_out_of_range_are_refused(activations, rank, strength):
    with pytest.raises(EnergyError):
        align(Moments.of(*activations), {"a": 12}, {"d": 6}, rank, RIDGE, strength=strength)
