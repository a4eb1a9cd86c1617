# SPDX-License-Identifier: Apache-2.0
"""Rows of the benchmarks' table: ratios, notes and the comparison of two runs."""

import pytest

from ornstein.host.experiments.bench import figures
from ornstein.host.experiments.bench.figures import (
    DEFINITIONS,
    Stopwatch,
    compare,
    figure,
    losses,
)


def test_a_figure_is_a_ratio_to_the_reference_of_its_definition():
    row = figure("compile_s", 0.5)
    assert (row.value, row.unit, row.reference, row.ratio) == (0.5, "s", 2.0, 0.25)
    assert row.note == DEFINITIONS["compile_s"].note


def test_a_figure_without_a_fixed_reference_takes_the_measured_one():
    row = figure("model_over_float", 6.0, 3.0, inputs=64)
    assert (row.reference, row.ratio) == (3.0, 2.0)
    assert "a batch of 64" in row.note


def test_figures_on_the_cycles_of_a_step_share_one_definition():
    row = figure("cycles_per_step_d64_m2_k16_p8", 520.0, 512.0, share=0.98765, chains=4)
    assert row.name == "cycles_per_step_d64_m2_k16_p8" and row.unit == "cycles"
    assert row.ratio == 520 / 512
    assert "lane utilisation 0.988, 4 inputs at once" in row.note


@pytest.mark.parametrize("value, reference", ((None, 3.0), (2.0, None), (None, None)))
def test_what_was_not_measured_has_no_ratio(value, reference):
    assert figure("model_over_rtl", value, reference).ratio is None


def test_a_note_whose_places_are_not_filled_in_is_an_error():
    with pytest.raises(KeyError):
        figure("lane_utilisation_min", 0.9)


def test_comparison_is_a_ratio_of_what_both_runs_measured():
    rows = [figure("compile_s", 6.0), figure("model_over_rtl", None), figure("rtl_start_s", 1.0)]
    stored = [{"name": "compile_s", "value": 2.0}, {"name": "model_over_rtl", "value": 1.0}]
    assert compare(rows, stored) == [("compile_s", 3.0)]


def test_more_cycles_and_less_utilisation_are_losses_and_seconds_are_none():
    stored = [
        {"name": name, "value": value}
        for name, value in (
            ("cycles_per_step_d64_m2_k16_p8", 512.0),
            ("sd15_cycles_over_bound", 1820.0),
            ("lane_utilisation_min", 0.99),
            ("streaming_over_relaxation", 1000.0),
            ("compile_s", 0.5),
            ("rtl_over_icarus", None),
        )
    ]
    same = {row["name"]: row["value"] for row in stored if row["value"]}
    assert losses(same, stored) == [] == losses({}, stored)
    better = {"cycles_per_step_d64_m2_k16_p8": 511.0, "lane_utilisation_min": 1.0, "compile_s": 9}
    assert losses({**same, **better, "streaming_over_relaxation": 1009.0}, stored) == []
    for name, value in (
        ("cycles_per_step_d64_m2_k16_p8", 513.0),
        ("sd15_cycles_over_bound", 1821.0),
        ("lane_utilisation_min", 0.98),
        ("streaming_over_relaxation", 1011.0),
    ):
        (line,) = losses({**same, name: value}, stored)
        assert line == f"{name} was {same[name]:.6g} and is {value:.6g}"


def test_a_stopwatch_measures_the_block(monkeypatch):
    readings = iter((10.0, 12.5))
    monkeypatch.setattr(figures, "perf_counter", lambda: next(readings))
    with Stopwatch() as watch:
        pass
    assert watch.seconds == 2.5
