# SPDX-License-Identifier: Apache-2.0
"""Cores: how many may be used, and how threads end."""

import os
import threading

import pytest

from ornstein.sim import cores as cores_module
from ornstein.sim.cores import cores, in_threads
from ornstein.sim.toolchain import ToolError


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(cores_module, "cores", lambda: 2)


def test_the_variable_limits_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    for value, expected in (("", 6), ("1", 1), ("4", 4), ("99", 6)):
        monkeypatch.setenv("ORNSTEIN_CORES", value)
        assert cores() == expected
    for value in ("0", "two", "-1"):
        monkeypatch.setenv("ORNSTEIN_CORES", value)
        with pytest.raises(ToolError, match="ORNSTEIN_CORES must be 1 or more, not"):
            cores()


def test_results_come_in_the_order_of_the_items(two_cores):
    assert in_threads(lambda item, stop: item**2, range(5)) == [0, 1, 4, 9, 16]


def test_two_items_run_at_once(two_cores):
    both = threading.Barrier(2, timeout=60)
    in_threads(lambda item, stop: both.wait(), range(2))


def test_one_core_or_one_item_needs_no_thread(two_cores, monkeypatch):
    assert in_threads(lambda item, stop: threading.current_thread(), [1]) == [
        threading.main_thread()
    ]
    monkeypatch.setattr(cores_module, "cores", lambda: 1)
    assert set(in_threads(lambda item, stop: threading.current_thread(), [1, 2])) == {
        threading.main_thread()
    }


def test_an_exception_stops_the_others(two_cores):
    def action(item, stop):
        if item == 0:
            raise ZeroDivisionError
        assert stop.wait(60), "it was not told to stop"

    with pytest.raises(ZeroDivisionError):
        in_threads(action, range(2))
