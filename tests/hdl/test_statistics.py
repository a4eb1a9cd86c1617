# SPDX-License-Identifier: Apache-2.0
"""Accumulators: sums of states and of their squares, bank by bank, equal to plain integer sums."""

import pytest

from helpers.link_bench import simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.statistics import Accumulator
from ornstein.hdl.timing import Timing

READ = Timing.of(TINY).read
SETTLE = 8
"""Cycles after which an element that the bus reads has arrived."""
POWERS = pytest.mark.parametrize("power", [1, 2], ids=["sums", "squares"])


async def add(ctx, dut, word, state, *, clear=0, to_drive=0):
    """One new state of a word, with its pipeline stages as far apart as in the fabric."""
    for stage in (dut.read, dut.write_soon, dut.write):
        ctx.set(stage.micro.dest, word)
        ctx.set(stage.micro.clear, clear)
        ctx.set(stage.micro.to_drive, to_drive)
    ctx.set(dut.states[0], state)
    ctx.set(dut.read.valid, 1)
    await ctx.tick().repeat(READ)
    ctx.set(dut.read.valid, 0)
    ctx.set(dut.write_soon.valid, 1)
    await ctx.tick()
    ctx.set(dut.write_soon.valid, 0)
    ctx.set(dut.write.valid, 1)
    await ctx.tick()
    ctx.set(dut.write.valid, 0)
    await ctx.tick()


async def element(ctx, dut, word, bank=0):
    """The sum of a word that the bus reads."""
    ctx.set(dut.accumulate, 0)
    ctx.set(dut.access.selected, 1)
    ctx.set(dut.access.address, word + bank * TINY.state_depth)
    await ctx.tick().repeat(SETTLE)
    ctx.set(dut.accumulate, 1)
    return ctx.get(dut.element)


@POWERS
def test_sums_are_those_of_plain_integers(power):
    """The first state of a run clears what the bank held before."""
    dut, states = Accumulator(TINY, power), [-32768, 32767, 5, -7]

    async def bench(ctx):
        ctx.set(dut.accumulate, 1)
        for index, state in enumerate([123, *states]):
            await add(ctx, dut, 3, state, clear=index < 2)
        assert await element(ctx, dut, 3) == sum(state**power for state in states)

    simulate(dut, bench)


@POWERS
def test_banks_and_words_are_kept_apart(power):
    dut = Accumulator(TINY, power)

    async def bench(ctx):
        ctx.set(dut.accumulate, 1)
        for bank in (0, 1):
            ctx.set(dut.job_bank, bank)
            for word in (0, TINY.state_depth - 1):
                await add(ctx, dut, word, 10 * bank + word + 1, clear=1)
        for bank in (0, 1):
            for word in (0, TINY.state_depth - 1):
                assert await element(ctx, dut, word, bank) == (10 * bank + word + 1) ** power

    simulate(dut, bench)


@POWERS
def test_nothing_is_added_outside_accumulating_levels_nor_to_biases(power):
    dut = Accumulator(TINY, power)

    async def bench(ctx):
        ctx.set(dut.accumulate, 1)
        await add(ctx, dut, 2, 9, clear=1)
        await add(ctx, dut, 2, 100, to_drive=1)
        ctx.set(dut.accumulate, 0)
        await add(ctx, dut, 2, 100)
        assert not ctx.get(dut.reading)
        assert await element(ctx, dut, 2) == 9**power

    simulate(dut, bench)
