# SPDX-License-Identifier: Apache-2.0
"""Temperature: scores are those of the law of the mean."""

import pytest

from helpers.study_rows import falling_scores
from ornstein.host.experiments.studies import temperature
from ornstein.host.experiments.studies.subject import ALIGNED, FULL
from ornstein.host.models.run import recipe_problem


@pytest.mark.parametrize("program, kT", ((FULL, 3e-5), (ALIGNED, 1e-2)))
def test_the_score_of_a_warm_program_is_that_of_the_law(subject, program, kT, generators):
    row = temperature.measure(subject, generators(3), program=program, axis="16 samples", value=kT)
    cold = subject.relaxed(subject.recipes[program])
    assert cold - row["expected"] > 0.01
    assert row["centred"] == pytest.approx(row["expected"], abs=5 * row["error"] + 5e-4)


def test_more_averaged_steps_leave_more_of_the_score(subject):
    recipe = subject.recipes[ALIGNED]

    def expected(kT: float, samples: int) -> float:
        problem = recipe_problem(recipe, kT=kT, samples=samples)
        return temperature.expected_score(subject, recipe, problem)

    cold = subject.score(recipe.predict(subject.model.x_test))
    assert expected(0.01, 16) < expected(0.01, 256) < cold
    assert expected(0.0, 16) == pytest.approx(cold)


def test_points_have_as_many_averaged_steps_as_their_axis_says(subject, generators):
    few, many = (
        temperature.measure(subject, generators(2), program=ALIGNED, axis=axis, value=0.01)
        for axis in ("16 samples", "256 samples")
    )
    assert (few["samples"], many["samples"]) == (16, 256)
    assert few["centred"] < many["centred"] and len(set(few["scores"])) == 2


def test_the_answer_gives_the_temperatures_and_the_distance_from_the_law():
    rows = falling_scores(temperature.AXES, (1e-3, 1e-2))
    rows[-1]["expected"] = rows[-1]["centred"] + 0.0131
    rows[-2]["expected"] = rows[-2]["centred"]
    assert temperature.conclude(rows) == (
        "The score loses 1 %, averaged over 16 steps, at kT = 0.00013 (full interface), 0.00013 "
        "(paper's recipe), 0.00013 (aligned skip); averaged over 256 steps, at kT = 0.0013 (full "
        "interface), 0.0013 (paper's recipe), 0.0013 (aligned skip); the law of the mean is met "
        "within 0.013 everywhere."
    )
