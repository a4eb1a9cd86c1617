# SPDX-License-Identifier: Apache-2.0
"""A substrate that denoises: equilibrium, gradients, training, and the same bits on gateware."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.host.experiments.images import denoiser as denoiser_module
from ornstein.host.experiments.images.baselines import wiener
from ornstein.host.experiments.images.denoiser import Denoiser
from ornstein.host.experiments.images.digits import PIXELS, add_noise
from ornstein.host.experiments.images.measures import psnr
from ornstein.host.experiments.images.parameters import KINDS, QUADRATIC, QUARTIC, SIGMAS


def small_denoiser(hidden=0, j4=denoiser_module.J4):
    rng = np.random.default_rng(3)
    factor = rng.standard_normal((PIXELS + hidden, denoiser_module.RANK)) / 16
    return Denoiser(
        factor,
        rng.random(PIXELS),
        rng.standard_normal(PIXELS + hidden),
        rng.random(PIXELS),
        rng.random(PIXELS),
        j4,
    )


@pytest.mark.parametrize("hidden", [0, 5])
def test_gradients_are_those_of_the_error_of_the_equilibrium(hidden):
    rng = np.random.default_rng(0)
    denoiser, clean, step = small_denoiser(hidden), rng.random((6, PIXELS)), 1e-5
    noisy = add_noise(clean, 0.3, rng)
    _, gradients = denoiser.loss_and_gradients(noisy, clean)
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        ends = [
            replace(
                denoiser, **{name: getattr(denoiser, name) + sign * step * direction}
            ).loss_and_gradients(noisy, clean)[0]
            for sign in (1, -1)
        ]
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(
            np.sum(gradient * direction), rel=1e-4, abs=1e-9
        ), name


def test_equilibrium_is_where_the_force_of_the_energy_vanishes():
    denoiser = small_denoiser(hidden=5)
    biases = denoiser.biases(np.random.default_rng(0).random((4, PIXELS)))
    state = denoiser.equilibrium(biases)
    energy = denoiser.energy().check()
    np.testing.assert_allclose(
        state @ energy.matrix() + 4 * energy.j4 * state**3, biases, atol=1e-6
    )


def test_a_quadratic_substrate_is_a_linear_filter(parameters):
    denoiser = parameters.denoisers[QUADRATIC, 0.5]
    one, two = np.random.default_rng(0).random((2, 3, PIXELS))
    np.testing.assert_allclose(
        denoiser((one + two) / 2), (denoiser(one) + denoiser(two)) / 2, atol=1e-6
    )


def test_training_lowers_the_error_and_keeps_the_stiffness_in_bounds(digits):
    rng = np.random.default_rng(0)
    start = denoiser_module.initial(digits.train, 0.5, j4=denoiser_module.J4, scale=4.0)
    trained = denoiser_module.train(digits.train, 0.5, start, steps=40)
    clean = digits.train[:200]
    noisy = add_noise(clean, 0.5, rng)
    assert psnr(trained(noisy), clean) > psnr(start(noisy), clean) + 0.1
    top = np.linalg.svd(trained.factor)[1][0] ** 2
    assert top < denoiser_module.STIFFNESS * 2 * denoiser_module.J2
    twice = [denoiser_module.train(digits.train, 0.5, start, steps=2).factor for _ in range(2)]
    np.testing.assert_array_equal(*twice)


def test_hidden_units_start_out_weakly_coupled_and_leave_the_pixels_couplings_alone():
    before = small_denoiser()
    after = denoiser_module.with_hidden(before, 64)
    assert after.hidden == 64 and after.parameters == before.parameters + 64 * (
        denoiser_module.RANK + 1
    )
    matrix = after.energy().matrix()
    np.testing.assert_array_equal(matrix[:PIXELS, :PIXELS], before.energy().matrix())
    assert 0 < np.abs(matrix[:PIXELS, PIXELS:]).max() < 0.2 * 2 * denoiser_module.J2


@pytest.mark.parametrize("sigma", SIGMAS)
def test_quartic_denoiser_beats_the_wiener_filter_by_0_4_db_on_the_integer_model(
    sigma, digits, parameters, answer
):
    noisy = add_noise(digits.test, sigma, np.random.default_rng(1))
    denoiser = parameters.denoisers[QUARTIC, sigma]
    problem = denoiser.problem("quartic")
    calibration = denoiser.biases(add_noise(digits.train, sigma, np.random.default_rng(2)))
    outputs = answer("model", problem, denoiser.biases(noisy), calibration)
    made = problem.decode(outputs.mean)
    assert psnr(made, digits.test) > psnr(wiener(digits.train, sigma)(noisy), digits.test) + 0.4
    # number formats cost no more than a hundredth of a decibel, though some images lie between two
    # wells
    exact = answer("float", problem, denoiser.biases(noisy), calibration)
    assert psnr(made, digits.test) == pytest.approx(
        psnr(problem.decode(exact.mean), digits.test), abs=0.02
    )
    assert outputs.counters["state_saturations"] == outputs.counters["rank_saturations"] == 0
    bare = replace(problem, energies=(problem.energy.without_couplings(),))
    outputs = answer("model", bare, denoiser.biases(noisy), calibration)
    assert psnr(problem.decode(outputs.mean), digits.test) < psnr(made, digits.test) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_gateware_denoises_bit_for_bit_like_the_model(kind, digits, parameters, answer):
    denoiser = parameters.denoisers[kind, 0.3]
    biases = denoiser.biases(add_noise(digits.test[:4], 0.3, np.random.default_rng(1)))
    calibration = denoiser.biases(add_noise(digits.train, 0.3, np.random.default_rng(2)))
    made = [
        answer(uri, denoiser.problem(kind, steps=20), biases, calibration).sums
        for uri in ("rtl", "model")
    ]
    np.testing.assert_array_equal(*made)
