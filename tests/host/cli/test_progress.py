# SPDX-License-Identifier: Apache-2.0
"""Progress: one bar for all stages and threads, and lines where there is no terminal."""

import io
import threading

import pytest
from rich.console import Console

from ornstein.host.cli import progress
from ornstein.host.cli.progress import Report, staged


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_file_gets_a_line_now_and_then(clock):
    file = io.StringIO()
    with Report(Console(file=file, markup=False)) as report:
        task = report.add_task("paper [x]", total=10)
        for second in range(0, 100, 10):
            clock[0] = second
            report.update(task, completed=second // 10)
    assert file.getvalue().splitlines() == [
        "paper [x], 3 of 10, after 30 s",
        "paper [x], 6 of 10, after 60 s",
        "paper [x], 9 of 10, after 90 s",
    ]


def test_nothing_is_said_where_quiet_is_asked_for(clock):
    file = io.StringIO()
    with Report(Console(file=file), quiet=True) as report:
        task = report.add_task("demo", total=None)
        clock[0] = 1000
        report.update(task, completed=1)
    assert file.getvalue() == ""


def test_threads_share_one_bar():
    report = Report(Console(file=io.StringIO(), force_terminal=True))
    with staged(report) as say:
        threads = [
            threading.Thread(target=lambda name=name: [say(name, n, 50) for n in range(51)])
            for name in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (task,) = report.tasks
    assert task.completed == task.total == 200


def test_the_bar_shows_rate_and_time_left():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=200)
    with Report(console) as report:
        task = report.add_task("run", total=4)
        report.update(task, completed=1)
        report.update(task, completed=2)
        shown = report.make_tasks_table(report.tasks)
        console.print(shown)
    assert "2/4" in file.getvalue() and "/s" in file.getvalue()
    assert "0:00:0" in file.getvalue()
