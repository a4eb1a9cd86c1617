# SPDX-License-Identifier: Apache-2.0
"""Seconds on one core, and gains of all cores."""

import os

from ornstein.host.experiments.bench import cores, figures


def test_seconds_of_a_core_are_the_least_that_it_computed(monkeypatch):
    readings = iter((0.0, 9.0, 10.0, 12.0, 20.0, 25.0))
    monkeypatch.setattr(figures, "process_time", lambda: next(readings))
    limits = []
    assert cores.core_seconds(lambda: limits.append(os.environ["ORNSTEIN_CORES"])) == 2.0
    assert limits == ["1"] * cores.ROUNDS


def test_a_gain_is_the_least_time_on_one_core_over_the_least_on_all(monkeypatch):
    monkeypatch.setattr(cores, "cores", lambda: 4)
    monkeypatch.setenv("ORNSTEIN_CORES", "3")
    now, costs = [0.0], iter((99.0, 8.0, 3.0, 6.0, 2.0, 7.0, 5.0))
    monkeypatch.setattr(figures, "perf_counter", lambda: now[0])
    limits = []

    class Slow:
        def run(self, inputs):
            limits.append(os.environ["ORNSTEIN_CORES"])
            now[0] += next(costs)

    row = cores.gain_figure("model_all_cores", Slow(), [1, 2, 3])
    assert (row.value, row.reference) == (3.0, 4.0)
    assert limits == ["3", "1", "3", "1", "3", "1", "3"]
    assert "3 inputs" in row.note and "all 4 cores" in row.note
