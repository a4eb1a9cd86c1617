# SPDX-License-Identifier: Apache-2.0
"""Sweeps: independent points, in this process or on Dask workers, resumable, and the same wherever
they run.

A point's random numbers derive from the name of the sweep, its seed and the point's index alone,
and linear algebra is held to one thread, so the number of workers changes nothing. Every point that
finishes is one line of a log (JSON lines); a sweep that is started again takes from the log what is
there.
"""

import csv
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ornstein.sim.toolchain import ToolError

TIMEOUT = 10
"""Seconds that a scheduler has to answer."""


class SweepError(RuntimeError):
    """Points of a sweep that could not be measured; one line that names the first, and what is
    kept.
    """


@dataclass(frozen=True, eq=False)
class Sweep:
    """Points and what measures them.

    Attributes
    ----------
    name : seeds derive from it
    points : parameters of each point, JSON scalars
    measure : ``measure(shared, generators, **parameters)`` returns the results of a point as a dict
        that JSON holds; a function that workers can import
    shared : what every point reads; sent to each worker once
    draws : random generators that a point is given
    seed : of the whole sweep
    fingerprint : of ``shared``; logged points of another one are measured again
    """

    name: str
    points: tuple[dict, ...]
    measure: Callable[..., dict]
    shared: object
    draws: int = 1
    seed: int = 0
    fingerprint: str = ""

    def key(self, index: int) -> dict:
        """All that a point's results depend on, as it stands in the log."""
        return {
            "index": index,
            "parameters": self.points[index],
            "draws": self.draws,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
        }


def run_sweep(
    sweep: Sweep,
    log: Path,
    *,
    workers: int = 0,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict]:
    """Measure every point that ``log`` does not hold yet; rows of parameters and results, in the
    order of the points.

    Parameters
    ----------
    workers : processes of a local Dask cluster; 0 measures in this process
    scheduler : address of a running Dask scheduler, instead of a cluster of its own
    progress : told (points done, points in all)

    Raises
    ------
    SweepError
        A point raised an error, or took down every worker that tried it. All others are measured
        and logged first.
    ToolError
        Dask is asked for and missing, or the scheduler does not answer.
    """
    found = _read(sweep, log)
    missing = [index for index in range(len(sweep.points)) if index not in found]
    failed: dict[int, BaseException] = {}
    say = progress or (lambda done, total: None)
    say(len(found), len(sweep.points))
    if missing:
        measured = (
            _remote(sweep, missing, workers, scheduler)
            if workers or scheduler
            else _local(sweep, missing)
        )
        with _appending(log) as write:
            for index, result, error in measured:
                if error is not None:
                    failed[index] = error
                    continue
                found[index] = result
                write({"key": sweep.key(index), "result": result})
                say(len(found), len(sweep.points))
    if failed:
        first = min(failed)
        where = ", ".join(f"{name} = {value}" for name, value in sweep.points[first].items())
        raise SweepError(
            f"{sweep.name}: {len(failed)} of {len(sweep.points)} points failed, first point {first} "
            f"({where}): {type(failed[first]).__name__}: {failed[first]}; the others are kept in {log}, "
            "and the same command tries these again"
        )
    return [{**parameters, **found[index]} for index, parameters in enumerate(sweep.points)]


def write_csv(path: Path, rows: list[dict]) -> None:
    """One line a row; columns in order of appearance. Lists, such as single draws, are left to the
    JSON files.
    """
    columns = list(
        dict.fromkeys(
            name for row in rows for name, value in row.items() if not isinstance(value, list)
        )
    )
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def measure_point(
    sweep_name: str,
    measure: Callable[..., dict],
    shared: object,
    parameters: dict,
    index: int,
    draws: int,
    seed: int,
) -> dict:
    """The results of one point, as JSON gives them back; the same in every process."""
    children = np.random.SeedSequence([seed, zlib.crc32(sweep_name.encode()), index]).spawn(draws)
    with threadpool_limits(1):
        result = measure(shared, [np.random.default_rng(child) for child in children], **parameters)
    return json.loads(json.dumps(result))


def _arguments(sweep: Sweep, index: int) -> dict:
    return {
        "parameters": sweep.points[index],
        "index": index,
        "draws": sweep.draws,
        "seed": sweep.seed,
    }


def _local(sweep: Sweep, missing: list[int]) -> Iterator[tuple[int, dict | None, Exception | None]]:
    for index in missing:
        try:
            yield (
                index,
                measure_point(sweep.name, sweep.measure, sweep.shared, **_arguments(sweep, index)),
                None,
            )
        # whatever a point raises is reported with its parameters, once the rest is done
        except Exception as error:
            yield index, None, error


def _remote(
    sweep: Sweep, missing: list[int], workers: int, scheduler: str | None
) -> Iterator[tuple[int, dict | None, BaseException | None]]:
    try:
        from distributed import as_completed
    except ModuleNotFoundError:
        raise ToolError(
            "a sweep on several workers needs Dask; install it with: pip install 'ornstein[study]', "
            "or run here with --workers 0"
        ) from None
    with _client(workers, scheduler) as client:
        # the result of a task, not scattered data: it is made again if the worker that holds it
        # dies
        shared = client.submit(_same, sweep.shared, pure=False)
        futures = {
            client.submit(
                measure_point,
                sweep.name,
                sweep.measure,
                shared,
                **_arguments(sweep, index),
                pure=False,
            ): index
            for index in missing
        }
        for future in as_completed(futures):
            error = future.exception()
            yield futures[future], None if error else future.result(), error


def _same(value: object) -> object:
    return value


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator:
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=TIMEOUT)
        except (OSError, ValueError) as error:
            raise ToolError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); start one with: dask scheduler"
            ) from None
        with client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _read(sweep: Sweep, log: Path) -> dict[int, dict]:
    """Results by index of the points that the log holds for this very sweep; a torn line counts as
    not there.
    """
    expected = {
        json.dumps(sweep.key(index), sort_keys=True): index for index in range(len(sweep.points))
    }
    found = {}
    for line in log.read_text().splitlines() if log.is_file() else ():
        try:
            row = json.loads(line)
            index = expected.get(json.dumps(row["key"], sort_keys=True))
            if index is not None:
                found[index] = row["result"]
        except (json.JSONDecodeError, TypeError, KeyError):
            continue
    return found


@contextmanager
def _appending(log: Path) -> Iterator[Callable[[dict], None]]:
    """A function that adds one line and hands it to the operating system at once."""
    torn = log.is_file() and not log.read_bytes().endswith(b"\n") and log.stat().st_size > 0
    with log.open("a") as file:
        if torn:
            file.write("\n")

        def write(row: dict) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        yield write


def grid(**axes: Iterable) -> tuple[dict, ...]:
    """Parameters of every combination, the last axis fastest: ``grid(a=(1, 2), b=(3,))``."""
    points: tuple[dict, ...] = ({},)
    for name, values in axes.items():
        values = tuple(values)
        points = tuple({**point, name: value} for point in points for value in values)
    return points
