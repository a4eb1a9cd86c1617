# SPDX-License-Identifier: Apache-2.0
"""Denoising: scores in decibels of one image, relaxed on chips with one imperfection."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.host.experiments.studies import denoising
from ornstein.host.experiments.studies.denoiser import Denoiser
from ornstein.host.experiments.studies.subject import DENOISER, IDEAL, Subject
from ornstein.host.models.model_file import TrainedModel


@pytest.fixture(scope="module")
def denoiser():
    """On the upper left quarter of one image, for speed."""
    whole = Denoiser.load()
    return replace(
        whole,
        clean=whole.clean[:1, :16, :16],
        features={
            name: part[:1, :, : part.shape[2] // 2, : part.shape[3] // 2]
            for name, part in whole.features.items()
        },
    )


@pytest.fixture(scope="module")
def quarter(denoiser):
    """A subject that has the denoiser alone."""
    subject = Subject(TrainedModel.load(), {})
    subject.__dict__["denoiser"] = denoiser  # in place of the cached property's
    return subject


@pytest.fixture(scope="module")
def ideal(quarter):
    return denoising.measure(quarter, _generators(2), DENOISER, IDEAL, 0.0)


def _generators(count):
    return [np.random.default_rng([0, number]) for number in range(count)]


def test_the_undisturbed_chip_answers_as_the_linear_map_of_its_rank(denoiser, ideal):
    assert ideal["psnr"] == pytest.approx(denoiser.psnr(denoiser.closed_form), abs=0.05)
    assert ideal["draws"] == 1 and ideal["error"] is None


@pytest.mark.parametrize(
    ("axis", "gentle", "harsh", "draws"),
    [
        (denoising.BIAS, 12, 5, 1),
        (denoising.READ, 12, 5, 1),
        (denoising.MISMATCH, 1e-3, 0.5, 2),
        (denoising.DEAD, 1e-5, 0.1, 2),
        (denoising.STUCK, 1e-6, 1e-2, 2),
        (denoising.ONE, 1e-6, 1e-2, 2),
        (denoising.AVERAGED, 1e-5, 1e-1, 2),
    ],
)
def test_every_axis_costs_decibels(quarter, ideal, axis, gentle, harsh, draws):
    much = denoising.measure(quarter, _generators(2), DENOISER, axis, harsh)
    little = denoising.measure(quarter, _generators(1), DENOISER, axis, gentle)
    assert much["draws"] == draws and len(set(much["scores"])) == draws
    assert ideal["psnr"] - little["psnr"] < 0.1 < ideal["psnr"] - much["psnr"]


def test_averages_at_a_temperature_beat_one_read(denoiser):
    assert denoiser.heated(0.1, 16, 1) > denoiser.heated(0.1, 1, 1) + 2
