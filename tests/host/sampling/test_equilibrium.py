# SPDX-License-Identifier: Apache-2.0
"""Samples of a Boltzmann distribution: moments within their errors, and what is warned of."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import chi2

from ornstein.host import Energy, open_device, sample
from ornstein.host.compile.program import ProgramError
from ornstein.host.devices.device import DeviceError
from ornstein.sim.energy import EnergyError

PRECISION = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 1.5]])
BIAS = np.array([0.5, -0.3, 0.2])
KT = 0.5


@pytest.fixture(scope="module")
def gaussian():
    return sample(precision=PRECISION, bias=BIAS, kT=KT, n=500, chains=8)


def test_mean_and_covariance_are_those_of_the_normal_distribution(gaussian):
    """The mean by its own standard errors, chi-squared; covariances within five of theirs, and what
    12 bits cost, which the realised matrix tells."""
    assert gaussian.samples.shape == (8, 500, 3)
    realised = np.linalg.inv(gaussian.realised.precision)
    deviations = (gaussian.mean - realised @ BIAS) / gaussian.standard_error
    assert np.sum(deviations**2) < chi2.ppf(1 - 1e-4, 3)
    covariance = KT * realised
    effective = gaussian.effective_samples.min()
    variances = covariance**2 + np.outer(covariance.diagonal(), covariance.diagonal())
    assert (abs(gaussian.covariance - covariance) < 5 * np.sqrt(variances / effective)).all()
    np.testing.assert_allclose(realised, np.linalg.inv(PRECISION), rtol=2e-3, atol=2e-3)
    assert gaussian.warnings == ()


def test_the_errors_are_those_of_correlated_samples(gaussian):
    """Neighbours are a relaxation time apart, so that they are worth less than independent ones."""
    assert (1000 < gaussian.effective_samples).all() and (gaussian.effective_samples < 4000).all()
    assert (gaussian.r_hat < 1.01).all()
    deviation = np.sqrt(gaussian.covariance.diagonal() / gaussian.effective_samples)
    np.testing.assert_allclose(gaussian.standard_error, deviation, rtol=1e-9)


def test_the_smallest_fabric_is_chosen_and_realised_quantities_are_told(gaussian):
    assert gaussian.device == "model:tiny" and gaussian.program.config.name == "tiny"
    assert gaussian.realised.dt == gaussian.program.dt
    np.testing.assert_allclose(gaussian.realised.kT, KT, rtol=1e-4)


def test_float_samples_the_matrix_itself():
    drawn = sample(precision=PRECISION, bias=BIAS, kT=KT, n=100, chains=4, device="float")
    np.testing.assert_allclose(drawn.realised.precision, PRECISION, atol=1e-14)
    assert drawn.device == "float"
    exact = np.linalg.solve(PRECISION, BIAS)
    assert (abs(drawn.mean - exact) < 5 * drawn.standard_error).all()


def test_an_open_device_is_used_and_left_open():
    with open_device("model:reference") as device:
        first = sample(precision=PRECISION, n=4, chains=2, device=device)
        again = sample(precision=PRECISION, n=4, chains=2, device=device)
    assert first.program.config.name == "reference"
    np.testing.assert_array_equal(first.samples, again.samples)


def test_more_steps_than_the_sums_hold():
    """The first are streamed without being averaged."""
    drawn = sample(precision=[[1.0]], n=700, chains=1, thin=100)
    assert drawn.samples.shape == (1, 700, 1)
    burn_in, streamed, averaged = drawn.program.problem.stages
    assert (streamed.steps, averaged.steps) == (4500, 65500)
    assert not burn_in.thin and streamed.thin == averaged.thin == 100


def test_a_double_well_has_two_equal_peaks_and_chains_that_stay_are_told():
    """E = -z^2 / 2 + z^4 / 4. At kT = 1 states cross the barrier of a quarter all the time; the
    exact moment is by quadrature. At kT = 0.02 they stay."""
    wells = Energy.from_precision([[-1.0]], j4=0.25)
    hot = sample(wells, kT=1.0, n=500, chains=16)
    z = np.linspace(-6, 6, 20_001)
    weight = np.exp(z**2 / 2 - z**4 / 4)
    square = np.sum(z**2 * weight) / np.sum(weight)
    spread = np.sqrt(np.sum(z**4 * weight) / np.sum(weight) - square**2)
    error = spread / np.sqrt(hot.effective_samples[0])
    assert abs((hot.samples**2).mean() - square) < 4 * error + 0.02 * square  # 2 %: the time step
    assert abs(hot.mean[0]) < 5 * hot.standard_error[0]
    cold = sample(wells, kT=0.02, n=50, chains=8)
    assert any("the chains have not mixed" in warning for warning in cold.warnings)
    np.testing.assert_allclose(abs(cold.samples).mean(), 1.0, atol=0.1)


def test_what_twelve_bits_cost_is_told():
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    precision = basis * np.geomspace(1, 1000, 8) @ basis.T
    drawn = sample(precision=(precision + precision.T) / 2, n=4, chains=2)
    assert set(drawn.program.warnings()) <= set(drawn.warnings)
    assert any("variance along a mode" in warning for warning in drawn.program.warnings())
    assert any("effective samples; raise n" in warning for warning in drawn.warnings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "sample needs either an energy or precision=P, and not both"),
        ({"precision": PRECISION, "kT": 0.0}, "kT = 0.0 must be positive"),
        ({"precision": PRECISION, "n": 3}, "n = 3 must be at least 4"),
        ({"precision": PRECISION, "chains": 0}, "chains = 0 must be at least 1"),
        ({"precision": PRECISION, "thin": 0}, "thin = 0 must be at least 1"),
        ({"precision": PRECISION, "bias": [1.0]}, "bias must be 3 finite numbers"),
        ({"precision": -PRECISION}, "not positive definite"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(EnergyError, match=message):
        sample(**arguments)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("float:exact", "gives no samples"),
        ("fpga", "no device is called 'fpga'"),
        (7, "device must be a Device or its URI, not int"),
    ],
)
def test_devices_that_cannot(device, message):
    with pytest.raises(DeviceError, match=message):
        sample(precision=PRECISION, n=4, chains=1, device=device)


def test_a_result_at_a_prompt_fits_a_screen():
    """One line for each field; an array is its shape and its first numbers."""
    drawn = sample(precision=np.eye(30), kT=0.5, n=50)
    lines = repr(drawn).splitlines()
    assert [line.split()[0] for line in lines] == ["Samples", *(f.name for f in fields(drawn))]
    assert lines[1].startswith("  samples           (8, 50, 30): ") and lines[1].endswith(", ...")
    assert max(len(line) for line in lines if not line.startswith("  warnings")) < 100
    assert repr(drawn.program).startswith("Program('samples' for fabric tiny: 30 units, ")
    assert repr(drawn.program.problem.energy) == "Energy(z: 30; 0 couplings; j2 = 0.5, j4 = 0)"


def test_what_no_preset_holds_is_compared_with_the_largest_that_streams_samples():
    half = np.random.default_rng(0).normal(size=(300, 300)) / 60
    with pytest.raises(ProgramError, match=r"no preset holds .* factor_depth .* fabric 'wide' has"):
        sample(precision=2 * np.eye(300) + half + half.T, n=5)
