# SPDX-License-Identifier: Apache-2.0
"""Sweeps over independent points, in this process or on Dask workers, which can be resumed.

The random numbers of a point follow from the name of the sweep, its seed and the index of the point
alone, and linear algebra runs on one thread. So the results do not depend on the number of workers.
So a local cluster that does not start costs nothing but time: the points are then measured here.
Each point that finishes becomes one line of a log (JSON lines). A sweep that is started again reads
finished points from the log.
"""

import csv
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from ornstein.sim.cores import VARIABLE
from ornstein.sim.toolchain import ToolError, install_command

if TYPE_CHECKING:
    from distributed import LocalCluster

_log = logging.getLogger(__name__)
TIMEOUT = 10
"""Seconds in which a scheduler has to answer."""


Outcome = tuple[int, dict | None, BaseException | None]
"""Index of a point, and either its results or the error that it raised."""


class SweepError(RuntimeError):
    """Points of a sweep could not be measured. The message names the first one and the log."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Points, and the function that measures them.

    Attributes
    ----------
    name : part of the seed of every point
    points : parameters of each point, as JSON scalars
    measure : ``measure(shared, generators, **parameters)`` returns the results of a point as a dict
        that JSON can hold; workers must be able to import it
    shared : what every point reads; it is sent to each worker once
    draws : number of random generators that a point is given
    seed : seed of the whole sweep
    fingerprint : identifies ``shared``; points in the log with another one are measured again
    """

    name: str
    points: tuple[dict, ...]
    measure: Callable[..., dict]
    shared: object
    draws: int = 1
    seed: int = 0
    fingerprint: str = ""

    def key(self, index: int) -> dict:
        """Returns everything that the results of a point depend on, as the log holds it."""
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
    """Measures every point that ``log`` does not hold yet.

    Parameters
    ----------
    workers : processes of a local Dask cluster; 0 measures in this process, and so does, with a
        warning, a cluster that does not start
    scheduler : address of a running Dask scheduler, to use instead of a local cluster
    progress : is told (points done, points in all)

    Returns
    -------
    Rows of parameters and results, in the order of the points

    Raises
    ------
    SweepError
        A point raised an error, or ended every worker that tried it. All other points have been
        measured and logged.
    ToolError
        Dask is needed and not installed, or the scheduler does not answer, or is lost.
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
                assert result is not None  # a point has results or an error
                found[index] = result
                write({"key": sweep.key(index), "result": result})
                say(len(found), len(sweep.points))
    if failed:
        raise _failure(sweep, failed, log)
    return [{**parameters, **found[index]} for index, parameters in enumerate(sweep.points)]


def _failure(sweep: Sweep, failed: dict[int, BaseException], log: Path) -> SweepError:
    """Returns the error that names the first of the points that failed."""
    first = min(failed)
    error = failed[first]
    where = ", ".join(f"{name} = {value}" for name, value in sweep.points[first].items())
    return SweepError(
        f"{sweep.name}: {len(failed)} of {len(sweep.points)} points failed, first point {first} "
        f"({where}): {type(error).__name__}: {error}; the others are kept in {log}, and the same "
        "command tries these again"
    )


def write_csv(path: Path, rows: list[dict]) -> None:
    """Writes a line for each row, with columns in the order in which they appear.

    Lists, such as single draws, are left out; the JSON files have them.
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
    """Returns the results of one point, as JSON gives them back; the same in every process."""
    children = np.random.SeedSequence([seed, zlib.crc32(sweep_name.encode()), index]).spawn(draws)
    with threadpool_limits(1):
        result = measure(shared, [np.random.default_rng(child) for child in children], **parameters)
    return json.loads(json.dumps(result))


def _arguments(sweep: Sweep, index: int) -> dict:
    """Returns the arguments of :func:`measure_point` that differ from sweep to sweep and point."""
    return {
        "parameters": sweep.points[index],
        "index": index,
        "draws": sweep.draws,
        "seed": sweep.seed,
    }


def _local(sweep: Sweep, missing: list[int]) -> Iterator[Outcome]:
    """Measures points in this process."""
    for index in missing:
        arguments = _arguments(sweep, index)
        try:
            result = measure_point(sweep.name, sweep.measure, sweep.shared, **arguments)
        except Exception as error:  # of any kind: it is reported when all points are done
            yield index, None, error
        else:
            yield index, result, None


def _remote(
    sweep: Sweep, missing: list[int], workers: int, scheduler: str | None
) -> Iterator[Outcome]:
    """Measures points on Dask workers, in the order in which they finish."""
    try:
        from distributed import as_completed
    except ModuleNotFoundError:
        raise ToolError(
            "a sweep on several workers needs Dask; run here with --workers 0, or install it "
            f"with: {install_command('study')}"
        ) from None
    with _client(workers, scheduler) as client:
        if client is None:
            yield from _local(sweep, missing)
            return
        # It is the result of a task, not scattered data, so that Dask makes it again if the worker
        # that holds it is lost.
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
            if future.cancelled():  # nobody here cancels
                raise ToolError(
                    "the connection to the Dask scheduler was lost; finished points are kept, and "
                    "the same command goes on with the others"
                )
            error = future.exception()
            yield futures[future], None if error else future.result(), error


def _same(value: object) -> object:
    """Returns its argument: a task whose result is the data that all points share."""
    return value


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator:
    """Connects to a Dask scheduler, or to a local cluster that ends with the block.

    Gives None where processes of a local cluster do not start, as on a machine that is too busy.
    """
    from distributed import Client

    # what goes wrong is this module's to say, in one line
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    if scheduler:
        try:
            client = Client(scheduler, timeout=TIMEOUT)
        except (OSError, ValueError) as error:
            raise ToolError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); start one with: "
                "dask scheduler"
            ) from None
        with client:
            yield client
        return
    with ExitStack() as opened:
        try:
            client = opened.enter_context(Client(opened.enter_context(_local_cluster(workers))))
        except (RuntimeError, OSError) as error:  # time-outs are among the latter
            _log.warning(
                "warning: the worker processes did not start (%s); the sweep runs in this one",
                error,
            )
            client = None
        yield client


def _local_cluster(workers: int) -> "LocalCluster":
    """Starts a scheduler and workers of one core each on this machine.

    Raises RuntimeError or OSError if they do not start.
    """
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        env={VARIABLE: "1"},  # each worker is one core
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )


def _read(sweep: Sweep, log: Path) -> dict[int, dict]:
    """Returns the results in the log, by index of the point, if they belong to this sweep.

    A line that was not written to its end is ignored.
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
    """Gives a function that appends one line and hands it to the operating system at once."""
    torn = log.is_file() and not log.read_bytes().endswith(b"\n") and log.stat().st_size > 0
    with log.open("a") as file:
        if torn:
            file.write("\n")

        def write(row: dict) -> None:
            file.write(json.dumps(row) + "\n")
            file.flush()

        yield write


def grid(**axes: Iterable) -> tuple[dict, ...]:
    """Returns the parameters of all combinations, with the last axis varying fastest.

    Example: ``grid(a=(1, 2), b=(3,))`` is ``({"a": 1, "b": 3}, {"a": 2, "b": 3})``.
    """
    points: tuple[dict, ...] = ({},)
    for name, values in axes.items():
        values = tuple(values)
        points = tuple({**point, name: value} for point in points for value in values)
    return points
