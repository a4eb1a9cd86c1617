# SPDX-License-Identifier: Apache-2.0
"""The page of studies: tables and plots show the rows, and each method is on the page."""

import html
from dataclasses import replace

import numpy as np
import pytest

from helpers.study_rows import falling_scores
from ornstein.host.experiments.studies import mixing
from ornstein.host.experiments.studies.analysis import thresholds
from ornstein.host.experiments.studies.catalogue import STUDIES, Answer
from ornstein.host.experiments.studies.report import (
    losses,
    threshold_grid,
    times,
    write_report,
)
from ornstein.host.experiments.studies.subject import (
    ALIGNED,
    DENOISER,
    FULL,
    IDEAL,
    PROGRAMS,
    TITLES,
)


@pytest.fixture
def answer():
    study = STUDIES["temperature"]
    rows = falling_scores(study.axes, (1e-3, 1e-2))
    for row in rows[1::5]:
        row["error"] = 0.002
    return Answer(study, rows, thresholds(rows, study.axes), "One sentence.")


def test_the_table_has_a_line_for_each_threshold(answer):
    grid = threshold_grid(answer)
    assert "Temperature: where the centred cosine has fallen by 0.01" in grid.caption
    assert len(grid.rows) == 2 * len(PROGRAMS)
    assert grid.rows[0] == ("16 samples", "full interface", 1.0, "0.000126", None, None)
    lost = [replace(answer.lost[0], low=0.25, high=0.5, unperturbed=0.75)]
    assert threshold_grid(replace(answer, lost=lost)).rows[0][2:] == (0.75, "0.000126", 0.25, 0.5)


def test_the_plot_of_losses_has_a_line_for_each_program_and_one_at_one_per_cent(answer):
    panels = [panel for panel in losses(answer).axes if panel.get_visible()]
    assert [panel.get_xlabel() for panel in panels] == [axis.label for axis in answer.study.axes]
    for panel, value in zip(panels, (1e-3, 1e-2), strict=True):
        curves = {bar.get_label(): bar.lines[0].get_xydata() for bar in panel.containers}
        assert set(curves) == {TITLES[program] for program in PROGRAMS}
        for curve in curves.values():
            np.testing.assert_allclose(curve, [[value / 10, 1e-4], [value, 0.1]])
        (limit,) = (line for line in panel.lines if line.get_label() == "1 %")
        assert set(limit.get_ydata()) == {0.01}


def test_the_plot_shows_the_law_where_there_is_one(answer):
    for row in answer.rows:
        if row["axis"] == "16 samples" and row["program"] == FULL:
            row["expected"] = 0.75
    panel, other = losses(answer).axes[:2]
    (law,) = (line for line in panel.lines if line.get_label() == "law of the mean")
    assert set(law.get_ydata()) == {0.25}
    assert not [line for line in other.lines if line.get_label() == "law of the mean"]


def test_the_plot_of_times_shows_times_and_theory():
    rows = falling_scores(mixing.AXES[-1:], (24,))
    for axis in mixing.AXES[:-1]:
        rows += [
            {
                "axis": axis.name,
                "program": ALIGNED,
                "value": value,
                "smallest_eigenvalue": 10 * value,
                "autocorrelation_time": 2 * value,
                "autocorrelation_time_error": 0.1,
                "theory": 3 * value,
            }
            for value in (1, 2)
        ]
    answer = Answer(mixing.STUDY, rows, thresholds(rows, mixing.AXES), "One sentence.")
    for panel, axis in zip(times(answer).axes, mixing.AXES, strict=True):
        assert panel.get_xlabel() == axis.label
        if axis.name == mixing.STEPS:
            assert panel.get_ylabel() == "loss of centred cosine"
            continue
        across = 10 if axis.name in (mixing.GAP, mixing.TRAINED) else 1
        (bar,) = panel.containers
        np.testing.assert_allclose(bar.lines[0].get_xydata(), [[across, 2], [2 * across, 4]])
        (theory,) = (line for line in panel.lines if line.get_label() == "theory")
        assert list(theory.get_ydata()) == [3, 6]


def test_the_page_of_a_study_in_decibels_says_so(tmp_path):
    study = STUDIES["denoise"]
    scores = {"error": None, "scores": [30.0], "psnr": 30.0, "program": DENOISER}
    rows = [{**scores, "axis": IDEAL, "value": 0.0}]
    for value, lost in ((8, 0.05), (6, 0.15)):
        fallen = 30 - lost
        rows.append({**scores, "axis": "bias bits", "value": value, "psnr": fallen})
        rows[-1]["scores"] = [fallen]
    found = thresholds(rows, study.axes, study.score)
    assert [row.value for row in found] == [pytest.approx(7)]  # half of the way to 0.15 dB
    answer = Answer(study, rows, found, study.conclude(rows))
    assert "7.0 bits (denoiser)" in answer.conclusion
    panel = losses(answer).axes[0]
    assert panel.get_ylabel() == "loss of PSNR in dB"
    (limit,) = (line for line in panel.lines if line.get_label() == "0.1 dB")
    assert set(limit.get_ydata()) == {0.1}
    page = html.unescape(write_report(tmp_path, "denoise.html", [answer]).read_text())
    assert "loses 0.1 dB at" in page and "where the PSNR in dB has fallen by 0.1" in page


def test_the_page_has_the_question_the_answer_and_the_method(answer, tmp_path):
    path = write_report(tmp_path, "temperature.html", [answer])
    page = " ".join(html.unescape(path.read_text()).split())
    study = answer.study
    for text in ("Study: temperature", study.question, answer.conclusion, study.method):
        assert text in page
    assert "1 % is a fall of 0.01" in page and ">0.000126</td>" in page
    second = replace(answer, study=replace(study, name="other"))
    page = write_report(tmp_path, "report.html", [answer, second]).read_text()
    assert "What the paper leaves open" in page and "temperature, other." in page


def test_methods_name_their_settings():
    assert f"{mixing.LENGTH} times by theory" in mixing.STUDY.method
    assert "512 averaged steps of ideal noise cost 0.002" in STUDIES["noise"].method
    assert "1.25 times the largest training value" in STUDIES["converters"].method
    for name in ("mismatch", "yield"):
        assert STUDIES[name].method.startswith("Every draw is a substrate of its own")
