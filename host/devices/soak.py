# SPDX-License-Identifier: Apache-2.0
"""A long stream through a device: each block of it must equal the integer model's, and the process
must not grow.
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.compile.program import Program
from ornstein.host.devices.comparison import ModelMismatchError, differences
from ornstein.host.devices.device import Device, DeviceError
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.selftest import builtin_program

BLOCK = 256
"""Inputs between two comparisons."""


@dataclass(frozen=True)
class Soak:
    """What a stream has come to.

    Attributes
    ----------
    seconds : since the first block was asked for
    inputs : that were compared
    first_memory, memory : largest resident memory of this process in MiB, after the first block and
        now
    """

    seconds: float
    inputs: int
    first_memory: float
    memory: float

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs in {self.seconds:,.0f} s equal the integer model in every "
            f"bit; memory {self.first_memory:,.1f} MiB after the first {BLOCK} of them, "
            f"{self.memory:,.1f} MiB at the end"
        )


def soak(
    device: Device,
    seconds: float,
    seed: int = 1,
    *,
    most: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Soak]:
    """Streams random inputs through the self-test's program and yields after each block.

    Parameters
    ----------
    device : a fabric, or the integer model
    seconds : after which no further block is asked for; there is at least one
    seed : of the inputs and of the noise
    most : inputs after which no further block is asked for either; None for any number
    clock : gives the time in seconds

    Raises
    ------
    DeviceError
        The device has no fabric whose bits could be compared.
    ModelMismatchError
        A block differs from the integer model's.
    """
    if device.config is None:
        raise DeviceError(
            f"device {device.uri!r} has no bits to compare with the integer model; "
            "try --device rtl or --device serial"
        )
    program, _ = builtin_program(device.config)
    first_memory, inputs, start = None, 0, clock()
    with ModelDevice(device.config) as model:
        for each in (device, model):
            each.load(program)
        streams = (each.stream(_blocks(program, seed), seed=seed) for each in (device, model))
        for found, expected in zip(*streams, strict=True):
            if found.squares is None:  # the device was built without second moments
                expected = replace(expected, squares=None)
            last = inputs + len(found.mean)
            if wrong := differences(found, expected):
                raise ModelMismatchError(
                    f"inputs {inputs} to {last - 1} of a stream on device {device.uri!r} differ "
                    f"from the integer model: {'; '.join(wrong)}"
                )
            inputs, memory = last, resident_memory()
            first_memory = first_memory or memory
            yield Soak(clock() - start, inputs, first_memory, memory)
            if clock() - start >= seconds or (most is not None and inputs >= most):
                break


def _blocks(program: Program, seed: int) -> Iterator[np.ndarray]:
    """Yields blocks (BLOCK, input size) of inputs over all that a program takes, without an end."""
    rng = np.random.default_rng(seed)
    low, high = program.input_limits()
    while True:
        yield rng.uniform(low, high, size=(BLOCK, len(low)))


def resident_memory() -> float:
    """Returns the largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
