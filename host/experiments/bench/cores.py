# SPDX-License-Identifier: Apache-2.0
"""Seconds on one core, and what a device gains from all of them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

from ornstein.host.devices.device import Device
from ornstein.host.experiments.bench.figures import Figure, Stopwatch, figure
from ornstein.sim.cores import VARIABLE, cores

ROUNDS = 3
"""How often everything is timed; the least time counts."""


@contextmanager
def one_core() -> Iterator[None]:
    """Lets devices and linear algebra use one core meanwhile."""
    limit = os.environ.get(VARIABLE, "")  # an empty one is none
    os.environ[VARIABLE] = "1"
    try:
        with threadpool_limits(1):
            yield
    finally:
        os.environ[VARIABLE] = limit


def core_seconds(action: Callable[[], object]) -> float:
    """Returns the seconds that one core computes for an action. What else the machine does does not
    count.
    """

    def once() -> float:
        with one_core(), Stopwatch() as watch:
            action()
        return watch.computing

    return min(once() for _ in range(ROUNDS))


def gain_figure(name: str, device: Device, inputs: np.ndarray) -> Figure:
    """Returns how many times faster a device with a program answers on all cores than on one."""
    device.run(inputs)  # opens what it needs

    def once() -> tuple[float, float]:
        with one_core(), Stopwatch() as alone:
            device.run(inputs)
        with Stopwatch() as together:
            device.run(inputs)
        return alone.seconds, together.seconds

    alone, together = (min(times) for times in zip(*(once() for _ in range(ROUNDS)), strict=True))
    return figure(name, alone / together, float(cores()), inputs=len(inputs), cores=cores())
