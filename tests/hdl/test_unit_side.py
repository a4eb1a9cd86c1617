# SPDX-License-Identifier: Apache-2.0
"""Accumulators of the unit lanes: loops of EXPAND among other operations."""

from dataclasses import replace
from random import Random

import pytest

from helpers.stage_bench import StageBench
from ornstein.hdl.config import TINY
from ornstein.hdl.engine.unit_side import UnitSide
from ornstein.hdl.isa import Operation
from ornstein.hdl.timing import Timing


@pytest.mark.parametrize("units", [1, 2])
def test_loops_are_accumulated(units):
    config = replace(TINY, unit_lanes=units)
    timing, dut, random = Timing.of(config), UnitSide(config), Random(units)
    micros, expected, totals = [], {}, {}
    for loop in range(60):
        if random.random() < 0.3:
            micros.append({"operation": Operation.PROJECT, "first": 1, "last": 1})
        if random.random() < 0.3:
            micros.append(None)
        sums = [0] * units
        length = random.randint(1, 5)
        for step in range(length):
            totals[len(micros)] = [random.randint(-(1 << 27), (1 << 27) - 1) for _ in sums]
            sums = [a + b for a, b in zip(sums, totals[len(micros)], strict=True)]
            ends = {"first": step == 0, "last": step == length - 1}
            micros.append({"operation": Operation.EXPAND, "dest": loop % 32} | ends)
        expected[len(micros) - 1] = sums
    bench = StageBench(dut, micros)

    def ending(cycle, time):
        found = bench.at(cycle, time)
        return found[0] if found and found[0] in expected else None

    def check(ctx, cycle):
        found = bench.at(cycle, timing.unit - 1)
        for unit, port in enumerate(dut.total):
            ctx.set(port, totals[found[0]][unit] if found and found[0] in totals else 0)
        soon = ending(cycle, timing.unit - timing.read)
        assert ctx.get(dut.soon) == (soon is not None)
        assert soon is None or ctx.get(dut.soon_micro.dest) == micros[soon]["dest"]
        found = ending(cycle, timing.unit)
        assert ctx.get(dut.valid) == (found is not None)
        if found is not None:
            half = 1 << config.accumulator_width - 1
            wrapped = [(total + half) % (2 * half) - half for total in expected.pop(found)]
            assert [ctx.get(total) for total in dut.sums] == wrapped
            assert ctx.get(dut.micro.dest) == micros[found]["dest"]

    all_loops = len(expected)
    bench.run(check)
    assert all_loops == 60 and not expected
