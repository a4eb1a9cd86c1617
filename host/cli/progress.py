# SPDX-License-Identifier: Apache-2.0
"""Progress on standard error: a bar on a terminal, elsewhere a line now and then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINE_SECONDS = 30.0
"""Seconds between two lines where standard error is no terminal, such as a log file."""


class _Rate(ProgressColumn):
    """What is finished each second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")


class Report(Progress):
    """A bar with rate and time left; a line every :data:`LINE_SECONDS` where there is no terminal;
    nothing where the console is not to say anything.
    """

    def __init__(self, console: Console, *, quiet: bool = False):
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._lines = not quiet and not console.is_terminal
        self._said = self._begin = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        now = time.monotonic()
        if not self._lines or now - self._said < LINE_SECONDS:
            return
        self._said = now
        task = self._tasks[task_id]
        total = "" if task.total is None else f" of {task.total:g}"
        done = f", {task.completed:g}{total}" if task.completed or total else ""
        self.console.print(
            f"{task.description}{done}, after {now - self._begin:.0f} s",
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def staged(report: Report) -> Iterator[Any]:
    """Gives a function ``say(what, done, total)`` that shows the progress of all stages in one bar,
    named after the last one. Threads may call it at the same time.
    """
    lock = Lock()
    seen: dict[str, tuple[int, int]] = {}
    with report:
        task = report.add_task("", total=None)

        def say(what: str, done: int, total: int) -> None:
            with lock:
                seen[what] = done, total
                finished, wanted = (sum(column) for column in zip(*seen.values(), strict=True))
            report.update(task, description=what, completed=finished, total=wanted)

        yield say
