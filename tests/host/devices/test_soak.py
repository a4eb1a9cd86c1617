# SPDX-License-Identifier: Apache-2.0
"""A long stream, here a short one: blocks are compared, differences are found, time ends it."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.devices.selftest import builtin_program
from ornstein.host.devices.soak import BLOCK, _blocks, soak


def ticks():
    """A clock that goes on by a second whenever it is read."""
    now = iter(range(1000))
    return lambda: next(now)


@pytest.mark.parametrize("uri", ["rtl:tiny", "model:tiny"])
def test_each_block_is_compared_until_the_time_is_over(uri):
    with open_device(uri) as device:
        found = list(soak(device, 5, seed=2, clock=ticks()))
    assert [each.inputs for each in found] == [BLOCK, 2 * BLOCK, 3 * BLOCK]
    assert [each.seconds for each in found] == [1, 3, 5]
    assert 0 < found[0].first_memory == found[-1].first_memory <= found[-1].memory
    assert f"{3 * BLOCK} inputs in 5 s equal the integer model" in str(found[-1])


def test_a_number_of_inputs_ends_it_before_the_time():
    """The last block is a whole one."""
    with open_device("model:tiny") as device:
        found = list(soak(device, 1000, most=BLOCK + 1, clock=ticks()))
    assert [each.inputs for each in found] == [BLOCK, 2 * BLOCK]


@pytest.mark.parametrize("uri", ["model", "model:tiny", "model:wide"])
def test_the_program_takes_every_input(uri):
    """A soak of an hour must not end at the first input beyond the program's range."""
    with open_device(uri) as device:
        program, _ = builtin_program(device.config)
    low, high = program.input_limits()
    inputs = np.concatenate(list(islice(_blocks(program, seed=1), 400)))
    assert len(program.encode(inputs)) == 400 * BLOCK
    assert (inputs.max(axis=0) > 0.999 * high).all() and (inputs.min(axis=0) < 0.999 * low).all()


def test_there_is_at_least_one_block():
    with open_device("model:tiny") as device:
        assert [each.inputs for each in soak(device, 0)] == [BLOCK]


@pytest.mark.parametrize("name", ["sums", "squares", "samples"])
def test_one_bit_that_differs_ends_it(name, monkeypatch):
    """In the last input of the third block."""
    with open_device("model:tiny") as device:
        stream = device.stream

        def damaged(*arguments, **options):
            for number, outputs in enumerate(stream(*arguments, **options)):
                array = getattr(outputs, name).copy()
                if number == 2:
                    array[-1] += 1
                yield replace(outputs, **{name: array})

        monkeypatch.setattr(device, "stream", damaged)
        compared = soak(device, 1000, clock=ticks())
        assert next(compared).inputs == BLOCK and next(compared).inputs == 2 * BLOCK
        first, last = 2 * BLOCK, 3 * BLOCK - 1
        with pytest.raises(ModelMismatchError, match=f"inputs {first} to {last} .*{name}"):
            next(compared)


def test_a_device_without_bits_is_refused():
    with open_device("float") as device:
        with pytest.raises(DeviceError, match=r"'float' has no bits to compare .*--device rtl"):
            next(soak(device, 1))
