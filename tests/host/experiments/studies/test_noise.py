# SPDX-License-Identifier: Apache-2.0
"""Noise: it has the covariance and the density that is asked for."""

import numpy as np
import pytest

from helpers.study_rows import falling_scores
from ornstein.host.devices.imperfections import ImperfectNoise
from ornstein.host.experiments.studies import noise
from ornstein.host.experiments.studies.subject import ALIGNED, IDEAL
from ornstein.host.models.run import samples_needed
from ornstein.sim.energy import Coupling, Energy, Module


def drawn(source, steps, shape=(200, 4)):
    return np.stack([source.standard_normal(shape) for _ in range(steps)])


def test_ideal_noise_is_white_and_leaves_the_covariance(subject):
    source = ImperfectNoise(np.random.default_rng(0), np.ones(128))
    assert noise.covariance_error(subject.recipes[ALIGNED].energy, source) < 1e-12
    values = drawn(ImperfectNoise(np.random.default_rng(0), np.ones(4)), 50)
    assert np.mean(values**2) == pytest.approx(1, abs=4 * np.sqrt(2 / values.size))
    assert abs(np.mean(values[1:] * values[:-1])) < 4 / np.sqrt(values.size)


def test_common_noise_has_the_correlation_asked_for():
    values = drawn(
        ImperfectNoise(np.random.default_rng(0), np.ones(4), correlation=0.6), 50
    ).reshape(-1, 4)
    assert np.cov(values.T) == pytest.approx(np.full((4, 4), 0.6) + 0.4 * np.eye(4), abs=0.05)


def test_flicker_noise_has_the_density_asked_for():
    corner, steps = 0.02, 4096
    values = drawn(
        ImperfectNoise(np.random.default_rng(0), np.ones(8), corner=corner), steps, (64, 8)
    )
    density = np.mean(np.abs(np.fft.rfft(values, axis=0)) ** 2, axis=(1, 2)) / steps
    frequency = np.fft.rfftfreq(steps)
    band = (frequency > 1e-3) & (frequency < 1e-2)
    # four to a decade of times make a ripple of a few per cent, on top of 512 periodograms' 4 %
    assert density[band].mean() == pytest.approx(np.mean(1 + corner / frequency[band]), rel=0.08)


def test_unequal_temperatures_give_the_covariance_of_lyapunov_s_equation():
    energy = Energy(
        (Module("a", 2),), (Coupling(("a",), (np.array([[1.0], [1.0]]),), np.full((1, 1, 1), 0.1)),)
    )
    source = ImperfectNoise(np.random.default_rng(0), np.array([0.5, 1.5]))
    matrix, exact = energy.matrix(), energy.covariance(1.0)
    # for 2 x 2: C = T^-1 solves by hand on the symmetric and antisymmetric modes
    modes = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    values = np.diag(modes @ matrix @ modes)
    forced = modes @ (2 * np.diag([0.5, 1.5])) @ modes
    found = modes @ (forced / (values[:, None] + values)) @ modes
    assert noise.covariance_error(energy, source) == pytest.approx(
        np.linalg.norm(found - exact) / np.linalg.norm(exact)
    )


def test_slow_noise_costs_what_white_noise_does_not(subject, monkeypatch, generators):
    monkeypatch.setattr(noise, "SAMPLES", 64)
    white, slow = (
        noise.measure(subject, generators(1), program=ALIGNED, axis=axis, value=value)
        for axis, value in ((IDEAL, 0.0), (noise.FLICKER, 0.1))
    )
    ideal = subject.score(subject.recipes[ALIGNED].predict(subject.model.x_test))
    assert ideal - white["centred"] < 0.01 < ideal - slow["centred"]
    assert (white["device"], white["samples"]) == ("float", 64)


def test_the_temperature_is_that_at_which_ideal_noise_costs_the_loss(subject):
    recipe = subject.recipes[ALIGNED]
    kT = noise.temperature(recipe, subject)
    assert samples_needed(recipe, subject.model, kT, dt=noise.DT) == pytest.approx(
        noise.SAMPLES, abs=1
    )


def test_the_error_of_the_covariance_grows_with_each_imperfection(subject, generators, monkeypatch):
    monkeypatch.setattr(noise, "SAMPLES", 8)
    for axis, (small, large) in {
        noise.IMBALANCE: (0.1, 1.0),
        noise.COMMON: (0.1, 0.9),
        noise.FLICKER: (1e-4, 1e-2),
    }.items():
        errors = [
            noise.measure(subject, generators(1), program=ALIGNED, axis=axis, value=value)[
                "covariance_error"
            ]
            for value in (small, large)
        ]
        assert 0 < 2 * errors[0] < errors[1], axis


def test_the_answer_gives_the_thresholds_and_the_largest_errors():
    rows = falling_scores(noise.AXES, (0.5, 0.7, 1e-3), covariance_error=0.25)
    for row in rows:
        if row["axis"] == noise.COMMON and row["centred"] < 1:
            row["covariance_error"] = 7.5
    said = noise.conclude(rows)
    assert "1/f noise reaches 0.00013 (full" in said
    assert "units reaches 0.063 (full" in said
    assert "correlation reaches -0.2 (full" in said
    assert "by up to 0.2 and 7.5 times" in said
