# SPDX-License-Identifier: Apache-2.0
"""How many cores this process may use, and threads that end together."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ornstein.sim.toolchain import ToolError

VARIABLE = "ORNSTEIN_CORES"
"""Environment variable that limits the cores."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Returns the cores that this process may use: those that the system gives it, and at most as
    many as the environment variable ``ORNSTEIN_CORES`` says. Answers do not depend on it.

    Raises ToolError if the variable is no positive integer.
    """
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get(VARIABLE, "")
    if not limit:
        return given or 1
    if not limit.isdecimal() or int(limit) < 1:
        raise ToolError(f"the environment variable {VARIABLE} must be 1 or more, not {limit!r}")
    return min(given or 1, int(limit))


def in_threads(
    action: Callable[[Item, threading.Event], Result], items: Iterable[Item]
) -> list[Result]:
    """Returns what an action that leaves Python's lock makes of each item, on all cores.

    Its second argument is set once an action or Ctrl-C has raised an exception here: all others
    should then return soon, whatever they return. One item, or one core, needs no thread.
    """
    items, stop = list(items), threading.Event()
    threads = min(cores(), len(items))
    if threads < 2:
        return [action(item, stop) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(action, item, stop) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            stop.set()
