# SPDX-License-Identifier: Apache-2.0
"""Bits that change in a memory: in the simulated gateware and in the integer model alike."""

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import SCRUBBED
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.sim import faults
from ornstein.sim.rtl import RtlTransport


@pytest.mark.parametrize("space", SCRUBBED, ids=lambda space: space.name.lower())
def test_gateware_and_model_hold_the_same_changed_bit_until_it_is_written(space):
    rng = np.random.default_rng(int(space))
    program = compile_problem(toy(), TINY, toy_inputs())
    transport = RtlTransport(TINY, upsets=True)
    info = spaces(TINY)[space]
    with FabricDevice(transport, "rtl:tiny") as device:
        device.load(program)
        device.stop_scrubbing()
        for _ in range(5):
            model = ModelDevice(TINY)
            model.load(program)
            right = model._read(space, 0, info.size).copy()
            word, bit = int(rng.integers(info.depth)), int(rng.integers(info.lanes * info.bits))
            faults.change_bit(model._model, space, word, bit)
            transport.upset(space, word, bit)
            expected = model._read(space, 0, info.size)
            assert np.flatnonzero(expected != right).tolist() == [
                word * info.lanes + bit // info.bits
            ]
            np.testing.assert_array_equal(device.link.read(space, 0, info.size), expected)
            element = word * info.lanes + bit // info.bits
            device.link.write(space, element, right[element : element + 1])
            np.testing.assert_array_equal(device.link.read(space, 0, info.size), right)


def test_an_upset_that_has_not_come_can_be_forgotten():
    transport = RtlTransport(TINY, upsets=True)
    with FabricDevice(transport, "rtl:tiny") as device:
        transport.upset(SCRUBBED[0], 0, 0, cycles=10**9)
        device.settle()
        assert transport.cancel_upset() and not transport.cancel_upset()
