# SPDX-License-Identifier: Apache-2.0
"""The study of converters: each axis disturbs its own converter."""

import pytest

from helpers.study_rows import falling_scores
from ornstein.host.experiments.studies import converters
from ornstein.host.experiments.studies.subject import ALIGNED, FULL, IDEAL


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
