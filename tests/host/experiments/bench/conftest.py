# SPDX-License-Identifier: Apache-2.0
"""A program that is quick to simulate, and a clock that the benchmarks read instead of the time."""

import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.experiments.bench import figures
from ornstein.host.experiments.bench.programs import skip_program


class FakeClock:
    """Advances by ``step`` seconds each time that it is read."""

    def __init__(self):
        self.now, self.step = 0.0, 1.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch) -> FakeClock:
    """The clock of every stopwatch: a block without a stopwatch in it takes ``step`` seconds."""
    fake = FakeClock()
    monkeypatch.setattr(figures, "perf_counter", fake)
    return fake


@pytest.fixture(scope="session")
def program():
    """A small skip on the reference fabric."""
    return skip_program(REFERENCE, (16,), 4, steps=5)
