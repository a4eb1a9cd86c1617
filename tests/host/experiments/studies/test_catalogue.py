# SPDX-License-Identifier: Apache-2.0
"""All studies, and one of them as a whole: rows, files, page and command."""

import csv
import html
import json
from dataclasses import replace

from typer.testing import CliRunner

from ornstein.host.cli import main as cli  # noqa: F401 - registers the commands
from ornstein.host.cli.app import app
from ornstein.host.experiments.studies.catalogue import STUDIES, run_study
from ornstein.host.experiments.studies.report import write_report
from ornstein.host.experiments.studies.subject import (
    COSINE,
    DENOISER,
    IDEAL,
    PROGRAMS,
    TITLES,
)


def test_every_study_asks_something_of_every_program_that_has_its_score():
    for name, study in STUDIES.items():
        assert study.name == name and study.question.endswith("?")
        programs = set(PROGRAMS) if study.score == COSINE else {DENOISER}
        assert {point["program"] for point in study.points} == programs
        assert {point["axis"] for point in study.points} == {
            IDEAL,
            *(axis.name for axis in study.axes),
        }
        assert len({json.dumps(point, sort_keys=True) for point in study.points}) == len(
            study.points
        )


def small_study():
    """The study of the wiring's yield, at two fractions and with two draws."""
    whole = STUDIES["yield"]
    kept = tuple(
        point for point in whole.points if point["axis"] == IDEAL or point["value"] in (1e-3, 1e-1)
    )
    return replace(whole, points=kept, draws=2)


def test_a_study_writes_its_rows_its_answer_and_a_page(subject, tmp_path):
    small = small_study()
    answer = run_study(small, subject, tmp_path)
    rows = list(csv.DictReader((tmp_path / "yield.csv").read_text().splitlines()))
    assert len(rows) == len(small.points) == 15
    assert {"program", "axis", "value", "device", "draws", "centred", "error", "loss"} <= set(
        rows[0]
    )
    document = json.loads((tmp_path / "yield.json").read_text())
    assert document["conclusion"] == answer.conclusion and answer.conclusion.count(".") >= 1
    assert len(document["thresholds"]) == 6 and len(document["rows"][-1]["scores"]) == 2
    page = html.unescape(write_report(tmp_path, "yield.html", [answer]).read_text())
    assert answer.conclusion in page and 'class="plot"' in page
    assert (tmp_path / "figures" / "yield.png").stat().st_size > 10_000


def test_the_command_prints_where_the_score_is_lost_and_takes_up_the_points_found(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(STUDIES, "yield", small_study())
    command = [
        "study",
        "yield",
        "--workers",
        "0",
        "--output",
        str(tmp_path),
        "--json",
        str(tmp_path / "said.json"),
    ]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    document = json.loads((tmp_path / "yield.json").read_text())
    assert document["conclusion"] in first.output
    assert json.loads((tmp_path / "said.json").read_text()) == {"yield": document["conclusion"]}
    printed = [
        line for line in first.output.splitlines() if line.strip().startswith(("dead", "stuck"))
    ]
    assert len(printed) == len(document["thresholds"])
    assert all(any(title in line for title in TITLES.values()) for line in printed)
    log = (tmp_path / "yield.jsonl").read_bytes()
    assert CliRunner().invoke(app, command).output == first.output
    assert (tmp_path / "yield.jsonl").read_bytes() == log


def test_a_study_that_is_not_there_is_named_beside_those_that_are():
    result = CliRunner().invoke(app, ["study", "weather"])
    assert result.exit_code == 2
    assert "weather" in result.output and all(name in result.output for name in STUDIES)
