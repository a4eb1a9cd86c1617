# SPDX-License-Identifier: Apache-2.0
"""Sweeps: the same rows wherever they run, from wherever they start, and one line for what went
wrong.
"""

import csv
import json
import os
from dataclasses import replace

import dask
import numpy as np
import pytest
from distributed import LocalCluster

from ornstein.host.experiments.studies import sweep as sweeps
from ornstein.host.experiments.studies.sweep import Sweep, SweepError, grid, run_sweep, write_csv
from ornstein.sim.toolchain import ToolError

POINTS = grid(kind=("sum", "product"), value=(1, 2, 3))


def measure(shared, generators, kind, value):
    """Something random, and something that linear algebra on several threads would round
    differently.
    """
    square = generators[0].standard_normal((200, 200))
    drawn = [float(rng.standard_normal()) for rng in generators]
    return {
        "result": shared["offset"] + value + np.mean(drawn),
        "trace": float(np.trace(square @ square)),
        "drawn": drawn,
    }


def measure_or_fail(shared, generators, kind, value):
    """The third point of the first kind has no answer."""
    if (kind, value) == ("sum", 3):
        raise ZeroDivisionError("no such value")
    return measure(shared, generators, kind, value)


def measure_or_die(shared, generators, kind, value):
    """The process that tries the second point first disappears, as a lost machine would."""
    if (kind, value) == ("sum", 2) and not os.path.exists(shared["marker"]):
        open(shared["marker"], "w").close()
        os._exit(1)
    return measure(shared, generators, kind, value)


SWEEP = Sweep("example", POINTS, measure, {"offset": 10.0}, draws=3)


def test_a_grid_is_every_combination_and_the_last_axis_is_the_fastest():
    assert (
        POINTS[:2] == ({"kind": "sum", "value": 1}, {"kind": "sum", "value": 2})
        and len(POINTS) == 6
    )


def test_two_workers_give_the_rows_of_a_serial_run(tmp_path):
    serial = run_sweep(SWEEP, tmp_path / "serial.jsonl")
    assert run_sweep(SWEEP, tmp_path / "workers.jsonl", workers=2) == serial
    assert [row["value"] for row in serial] == [1, 2, 3, 1, 2, 3]


def test_draws_of_points_sweeps_and_seeds_are_different_draws(tmp_path):
    rows = [
        row
        for number, sweep in enumerate(
            (SWEEP, replace(SWEEP, seed=1), replace(SWEEP, name="other"))
        )
        for row in run_sweep(sweep, tmp_path / f"{number}.jsonl")
    ]
    drawn = [value for row in rows for value in row["drawn"]]
    assert len(set(drawn)) == len(drawn) == 3 * 6 * 3


def test_a_lost_worker_costs_one_more_try_of_its_point(tmp_path):
    sweep = replace(
        SWEEP, measure=measure_or_die, shared={"offset": 10.0, "marker": str(tmp_path / "died")}
    )
    rows = run_sweep(sweep, tmp_path / "log.jsonl", workers=2)
    assert (tmp_path / "died").exists()
    assert rows == run_sweep(SWEEP, tmp_path / "serial.jsonl")


def test_a_torn_log_is_taken_up_where_it_was_torn(tmp_path):
    log, told = tmp_path / "log.jsonl", []
    rows = run_sweep(SWEEP, log)
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:3]) + lines[3][:20])
    assert run_sweep(SWEEP, log, progress=lambda done, total: told.append((done, total))) == rows
    assert told == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert sum(1 for line in log.read_text().splitlines() if line.endswith("}")) == 6


def test_a_finished_sweep_measures_nothing(tmp_path):
    rows = run_sweep(SWEEP, tmp_path / "log.jsonl")
    assert run_sweep(replace(SWEEP, measure=None), tmp_path / "log.jsonl") == rows


@pytest.mark.parametrize("change", ({"draws": 4}, {"seed": 5}, {"fingerprint": "another model"}))
def test_points_of_other_settings_are_measured_again(tmp_path, change):
    run_sweep(SWEEP, tmp_path / "log.jsonl")
    told = []
    run_sweep(
        replace(SWEEP, **change),
        tmp_path / "log.jsonl",
        progress=lambda done, total: told.append(done),
    )
    assert told == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("workers", (0, 2))
def test_a_point_that_fails_is_named_and_the_others_are_kept(tmp_path, workers):
    log = tmp_path / "log.jsonl"
    with pytest.raises(
        SweepError,
        match=r"1 of 6 points failed, first point 2 \(kind = sum, value = 3\): "
        r"ZeroDivisionError: no such value; the others are kept in",
    ):
        run_sweep(replace(SWEEP, measure=measure_or_fail), log, workers=workers)
    assert sorted(json.loads(line)["key"]["index"] for line in log.read_text().splitlines()) == [
        0,
        1,
        3,
        4,
        5,
    ]
    assert run_sweep(SWEEP, log) == run_sweep(SWEEP, tmp_path / "serial.jsonl")


def test_a_scheduler_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "TIMEOUT", 1)
    with pytest.raises(ToolError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        run_sweep(SWEEP, tmp_path / "log.jsonl", scheduler="tcp://127.0.0.1:9")


def test_workers_that_do_not_start_are_replaced_by_this_process(tmp_path, caplog):
    """Dask's own way to load a module into every worker makes them fail."""
    rows = run_sweep(SWEEP, tmp_path / "serial.jsonl")
    with dask.config.set({"distributed.worker.preload": ["no_such_module"]}):
        assert run_sweep(SWEEP, tmp_path / "log.jsonl", workers=1) == rows
    (line,) = [r.getMessage() for r in caplog.records if r.name == sweeps.__name__]
    assert line == (
        "warning: the worker processes did not start (Nanny failed to start.); "
        "the sweep runs in this one"
    )


def test_a_scheduler_that_is_lost_is_one_line(tmp_path):
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0"
    )

    def lose_it(done, total):
        if done == 1:
            cluster.close()

    with cluster, pytest.raises(ToolError, match="connection to the Dask scheduler was lost"):
        run_sweep(
            SWEEP,
            tmp_path / "log.jsonl",
            scheduler=cluster.scheduler_address,
            progress=lose_it,
        )
    assert run_sweep(SWEEP, tmp_path / "log.jsonl") == run_sweep(SWEEP, tmp_path / "serial.jsonl")


def test_without_dask_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(
        ToolError,
        match=r"run here with --workers 0, or install it with: .* pip install distributed",
    ):
        run_sweep(SWEEP, tmp_path / "log.jsonl", workers=2)


def test_csv_has_a_line_a_point_and_leaves_lists_out(tmp_path):
    write_csv(tmp_path / "rows.csv", [{"a": 1, "drawn": [1, 2]}, {"a": 2, "b": "x"}])
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert list(csv.DictReader(lines)) == [{"a": "1", "b": ""}, {"a": "2", "b": "x"}]
