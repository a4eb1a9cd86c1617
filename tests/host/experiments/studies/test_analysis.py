# SPDX-License-Identifier: Apache-2.0
"""Where the score loses one per cent: interpolation, limits, intervals and phrases."""

import numpy as np
import pytest

from helpers.study_rows import points
from ornstein.host.experiments.studies.analysis import (
    Axis,
    curve,
    percent,
    sentence_of,
    thresholds,
    with_losses,
)
from ornstein.host.experiments.studies.subject import ALIGNED, FULL, IDEAL, PROGRAMS


def test_the_threshold_is_interpolated_between_the_points_around_it():
    axis = Axis("bits", "bits", falling=True, linear=True)
    rows = points(IDEAL, FULL, [1.0], values=[0]) + points(
        "bits", FULL, [0.9], [0.995], [0.98], values=[4, 8, 6]
    )
    (found,) = thresholds(rows, (axis,))
    assert found.value == pytest.approx(8 - 2 * (0.01 - 0.005) / 0.015) and found.low is None
    assert found.text(lambda value: f"{value:.1f} bits") == "7.3 bits"


def test_thresholds_outside_the_values_tried_say_so():
    axis = Axis("error", "error")
    base = points(IDEAL, FULL, [1.0], values=[0]) + points(IDEAL, ALIGNED, [1.0], values=[0])
    rows = (
        base
        + points("error", FULL, [0.999], [0.995], values=[0.1, 1])
        + points("error", ALIGNED, [0.9], [0.8], values=[0.1, 1])
    )
    never, at_once = thresholds(rows, (axis,))
    assert (never.value, never.text(str)) == (None, "not even 1.0")
    assert (at_once.value, at_once.text(str)) == (0.1, "before 0.1")


def test_the_interval_of_a_threshold_follows_the_spread_of_the_draws():
    axis, values = Axis("error", "error"), (0.01, 0.1, 1.0)
    drawn = np.random.default_rng(0).standard_normal((3, 12))
    widths = []
    for spread in (1e-4, 2e-3):
        scores = np.array([[1.0], [0.995], [0.9]]) + spread * drawn
        rows = points(IDEAL, FULL, [1.0], values=[0]) + points(
            "error", FULL, *scores, values=values
        )
        (found,) = thresholds(rows, (axis,))
        assert found.low < found.value < found.high
        widths.append(np.log(found.high / found.low))
    assert widths[1] == pytest.approx(20 * widths[0], rel=0.3)


def test_a_threshold_names_the_undisturbed_score_and_the_values_tried():
    axis = Axis("bits", "bits", falling=True, linear=True)
    rows = points(IDEAL, FULL, [0.8], values=[0])
    rows += points("bits", FULL, [0.7], [0.8], [0.75], values=[4, 12, 8])
    (found,) = thresholds(rows, (axis,))
    assert (found.axis, found.program, found.unperturbed) == ("bits", FULL, 0.8)
    assert (found.first, found.last) == (12, 4)


def test_a_threshold_on_a_logarithmic_axis_is_interpolated_on_it():
    rows = points(IDEAL, FULL, [1.0], values=[0])
    rows += points("error", FULL, [1.0], [0.98], values=[0.01, 1.0])
    (found,) = thresholds(rows, (Axis("error", "error"),))
    assert found.value == pytest.approx(0.1)  # half of the way, since half of 0.02 is lost


def test_a_curve_goes_from_the_value_that_disturbs_least():
    rows = points(IDEAL, FULL, [1.0], values=[0]) + points(IDEAL, ALIGNED, [1.0], values=[0])
    rows += points("error", FULL, [0.9], [0.95], values=[0.1, 0.01])
    rising = curve(rows, Axis("error", "error"), FULL)
    falling = curve(rows, Axis("error", "error", falling=True), FULL)
    assert [row["value"] for row in rising] == [0, 0.01, 0.1]
    assert [row["value"] for row in falling] == [0, 0.1, 0.01]


def test_a_sentence_names_each_program_or_all_of_them():
    lost, kept = Axis("lost", "lost"), Axis("kept", "kept")
    rows = []
    for program in PROGRAMS:
        rows += points(IDEAL, program, [1.0], values=[0])
        rows += points("lost", program, [0.9], values=[0.5])
        rows += points("kept", program, [1.0], values=[0.25])
    assert sentence_of(rows, (lost, kept), percent) == {
        "lost": "before 50 % (full interface), before 50 % (paper's recipe), before 50 % "
        "(aligned skip)",
        "kept": "not even 25 % (any program)",
    }


def test_losses_are_those_against_the_program_s_own_undisturbed_score():
    rows = points(IDEAL, FULL, [0.9], values=[0]) + points(IDEAL, ALIGNED, [0.8], values=[0])
    rows += points("error", ALIGNED, [0.7], values=[1])
    rows += [{"program": FULL, "axis": "time", "value": 1}]
    losses = [row.get("loss") for row in with_losses(rows)]
    assert losses == [0, 0, pytest.approx(0.1), None]


def test_percentages_have_two_digits():
    assert [percent(value) for value in (0.0123, 0.5)] == ["1.2 %", "50 %"]
