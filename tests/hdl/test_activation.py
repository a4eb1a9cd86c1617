# SPDX-License-Identifier: Apache-2.0
"""Interpolation of activations, with a multiplication and addition in Python."""

from dataclasses import replace
from random import Random

import pytest

from helpers.stage_bench import StageBench
from ornstein.hdl.config import FRACTION_WIDTH, SLOPE_WIDTH, STATE_WIDTH, TINY
from ornstein.hdl.engine.activation import Activation
from ornstein.hdl.isa import Operation
from ornstein.hdl.timing import Timing


@pytest.mark.parametrize("units", [1, 2])
def test_interpolation(units):
    config = replace(TINY, unit_lanes=units)
    timing, dut, random = Timing.of(config), Activation(config), Random(units)
    operations = [Operation.ACTIVATE, Operation.ACTIVATE, Operation.EXPAND, None]
    micros = [
        operation and {"operation": operation, "dest": number % 32}
        for number, operation in enumerate(random.choices(operations, k=200))
    ]
    slopes = [-(1 << SLOPE_WIDTH - 1), (1 << SLOPE_WIDTH - 1) - 1, 0, -77, 300]
    entries = [
        (random.randrange(1 << STATE_WIDTH), random.choice(slopes), random.randrange(256))
        for _ in micros
    ]
    bench, checked, total = StageBench(dut, micros), 0, 0

    def active(cycle, time):
        found = bench.at(cycle, time)
        return found if found and found[1]["operation"] == Operation.ACTIVATE else None

    def check(ctx, cycle):
        nonlocal checked, total
        found = active(cycle, timing.lookup)
        if found:
            value, slope, _ = entries[found[0]]
            ctx.set(dut.entry, (slope & (1 << SLOPE_WIDTH) - 1) << STATE_WIDTH | value)
        assert ctx.get(dut.multiply) == (found is not None)
        assert not found or ctx.get(dut.slope) == slope
        ctx.set(dut.sum, total % (1 << STATE_WIDTH + FRACTION_WIDTH))
        adding = active(cycle, timing.activation - 1)
        assert ctx.get(dut.add) == (adding is not None)
        if adding:
            _, slope, fraction = entries[adding[0]]
            total = ctx.get(dut.addend) + slope * fraction
        found = active(cycle, timing.activation)
        assert ctx.get(dut.valid) == (found is not None)
        if found:
            value, slope, fraction = entries[found[0]]
            expected = (value << FRACTION_WIDTH) + slope * fraction + 128 >> FRACTION_WIDTH
            assert ctx.get(dut.result) == expected % (1 << STATE_WIDTH)
            assert ctx.get(dut.micro.dest) == found[1]["dest"]
            checked += 1

    bench.run(check)
    assert checked > 50
