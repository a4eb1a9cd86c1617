# SPDX-License-Identifier: Apache-2.0
"""Converters: ideal ones change nothing, others round, saturate and are off as they should."""

import numpy as np
import pytest

from helpers.study_rows import falling_scores
from ornstein.host.experiments.studies import converters
from ornstein.host.experiments.studies.subject import ALIGNED, FULL, IDEAL


def test_an_ideal_converter_changes_nothing_inside_its_range():
    values = np.array([[0.3, -0.7], [1.5, -2.0]])
    converted = converters.convert(values, np.ones(2), np.random.default_rng(0))
    assert np.array_equal(converted, [[0.3, -0.7], [1.0, -1.0]])


def test_a_converter_rounds_to_its_levels_and_saturates():
    values = np.linspace(-1.5, 1.5, 301)[:, None]
    converted = converters.convert(values, np.array([1.0]), np.random.default_rng(0), bits=4)
    assert np.array_equal(np.unique(converted), np.arange(-8, 8) / 8)
    inside = np.abs(values) < 0.9
    assert np.abs(converted - values)[inside].max() <= 1 / 16 + 1e-12


def test_offset_and_gain_errors_are_static_and_a_unit_s_own():
    values, scale = np.random.default_rng(1).uniform(-0.5, 0.5, (50, 400)), np.ones(400)
    offset = converters.convert(values, scale, np.random.default_rng(2), offset=0.01) - values
    gain = converters.convert(values, scale, np.random.default_rng(2), gain=0.01) / values - 1
    for error in (offset, gain):
        assert np.allclose(error, error[0])
        assert error[0].std() == pytest.approx(
            0.01, rel=0.15
        )  # 4 standard errors of 400 normal draws


def test_a_range_of_zero_is_a_unit_without_a_converter():
    converted = converters.convert(
        np.zeros((3, 1)), np.zeros(1), np.random.default_rng(0), bits=8, offset=0.1
    )
    assert np.array_equal(converted, np.zeros((3, 1)))


@pytest.mark.parametrize("program", (FULL, ALIGNED))
def test_sixteen_bits_leave_the_score_and_four_do_not(subject, program, generators):
    ideal = converters.measure(subject, generators(1), program=program, axis=IDEAL, value=0.0)[
        "centred"
    ]
    for converter in ("DAC", "ADC"):
        fine, coarse = (
            converters.measure(
                subject, generators(1), program=program, axis=f"{converter} bits", value=bits
            )["centred"]
            for bits in (16, 4)
        )
        assert fine == pytest.approx(ideal, abs=1e-4)
        assert coarse < fine


def test_each_axis_disturbs_its_own_converter(subject, generators):
    """At so strong errors all four scores are below the ideal one, and none equals another."""
    found = {
        axis: converters.measure(subject, generators(2), program=ALIGNED, axis=axis, value=0.1)
        for axis in ("DAC offset", "ADC offset", "DAC gain", "ADC gain")
    }
    ideal = converters.measure(subject, generators(2), program=ALIGNED, axis=IDEAL, value=0.0)
    scores = [score for row in found.values() for score in row["scores"]]
    assert len(set(scores)) == 8 and max(scores) < ideal["centred"]
    assert ideal["draws"] == 1 and all(row["draws"] == 2 for row in found.values())


def test_the_answer_gives_the_threshold_of_each_axis():
    rows = falling_scores(converters.AXES, (9, 7, 1e-3, 1e-2, 2e-3, 2e-2))
    said = converters.conclude(rows)
    assert "DACs fall to 9.9 bits (full interface), 9.9 bits" in said
    assert "ADCs to 7.9 bits (full" in said
    for text in ("0.013 % (full", "0.13 % (full", "0.025 % (full", "0.25 % (full"):
        assert text in said
