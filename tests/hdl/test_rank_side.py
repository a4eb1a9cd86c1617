# SPDX-License-Identifier: Apache-2.0
"""Rank words: rounding, shift and saturation, with accumulators in Python."""

from dataclasses import replace
from random import Random

import pytest

from helpers.stage_bench import StageBench
from ornstein.hdl.config import TINY
from ornstein.hdl.engine.rank_side import RankSide
from ornstein.hdl.isa import Operation
from ornstein.hdl.timing import Timing


@pytest.mark.parametrize("units", [1, 2])
def test_rank_words(units):
    config = replace(TINY, unit_lanes=units)
    timing, dut, random = Timing.of(config), RankSide(config), Random(units)
    ranks, shifts = config.rank_lanes, config.project_shifts
    micros, expected, sums = [], {}, {}
    for loop in range(80):
        if random.random() < 0.3:
            micros.append({"operation": Operation.EXPAND, "first": 1, "last": 1})
        if random.random() < 0.3:
            micros.append(None)
        shift, length, totals = random.randrange(len(shifts)), random.randint(1, 4), [0] * ranks
        limit = 1 << random.choice([8, 20, 27])
        for step in range(length):
            sums[len(micros)] = [random.randint(-limit, limit - 1) for _ in totals]
            totals = [a + b for a, b in zip(totals, sums[len(micros)], strict=True)]
            operation = random.choice([Operation.PROJECT, Operation.MIX])
            ends = {"first": step == 0, "last": step == length - 1}
            micros.append({"operation": operation, "shift": shift, "dest": loop % 32} | ends)
        half, scale = 1 << shifts[shift] - 1, shifts[shift]
        expected[len(micros) - 1] = [total + half >> scale for total in totals]
    bench = StageBench(dut, micros)
    accumulators, saturated = [0] * ranks, 0

    def ending(cycle, time):
        found = bench.at(cycle, time)
        return found[0] if found and found[0] in expected else None

    def check(ctx, cycle):
        nonlocal accumulators, saturated
        for port, value in zip(dut.total, accumulators, strict=True):
            ctx.set(port, value)
        found = bench.at(cycle, timing.rank_total - 1)
        adds = found is not None and found[0] in sums
        assert ctx.get(dut.adds) == adds * ((1 << ranks) - 1)
        if adds:
            accumulators = [
                ctx.get(addend) + value
                for addend, value in zip(dut.addend, sums[found[0]], strict=True)
            ]
        assert ctx.get(dut.soon) == (ending(cycle, timing.rank - 1) is not None)
        found = ending(cycle, timing.rank)
        assert ctx.get(dut.valid) == (found is not None)
        if found is not None:
            whole = expected.pop(found)
            words = [min(max(word, -(1 << 15)), (1 << 15) - 1) for word in whole]
            assert [ctx.get(word) for word in dut.next] == words
            assert ctx.get(dut.saturated) == (words != whole)
            assert ctx.get(dut.micro.dest) == micros[found]["dest"]
            saturated += words != whole

    bench.run(check)
    assert not expected and 0 < saturated < 60
