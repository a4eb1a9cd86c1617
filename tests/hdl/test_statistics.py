# SPDX-License-Identifier: Apache-2.0
"""Accumulators: sums of states and of their squares, bank by bank, equal to plain integer sums."""

from dataclasses import replace

import pytest

from helpers.fabric_bench import SETTLE
from helpers.link_bench import simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.statistics import Accumulator
from ornstein.hdl.timing import Timing

FABRICS = {"near": TINY, "far": replace(TINY, unit_lanes=4)}
POWERS = pytest.mark.parametrize("power", [1, 2], ids=["sums", "squares"])
BOTH = pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)


async def add(ctx, dut, config, word, states, *, clear=0, to_drive=0):
    """One word of new states, with its pipeline stages as far apart as in the fabric."""
    for stage in (dut.read, dut.write_soon, dut.write):
        ctx.set(stage.micro.dest, word)
        ctx.set(stage.micro.clear, clear)
        ctx.set(stage.micro.to_drive, to_drive)
    ctx.set(dut.states, states)
    ctx.set(dut.read.valid, 1)
    await ctx.tick().repeat(Timing.of(config).read)
    ctx.set(dut.read.valid, 0)
    ctx.set(dut.write_soon.valid, 1)
    await ctx.tick()
    ctx.set(dut.write_soon.valid, 0)
    ctx.set(dut.write.valid, 1)
    await ctx.tick()
    ctx.set(dut.write.valid, 0)
    await ctx.tick()


async def sums(ctx, dut, config, word, bank=0):
    """The sums of a word, which the bus reads one after the other."""
    found = []
    ctx.set(dut.accumulate, 0)
    ctx.set(dut.access.selected, 1)
    for unit in range(config.unit_lanes):
        address = (word + bank * config.state_depth) * config.unit_lanes + unit
        ctx.set(dut.access.address, address)
        await ctx.tick().repeat(SETTLE)
        found.append(ctx.get(dut.element))
    ctx.set(dut.accumulate, 1)
    return found


def states_of(config, first):
    """A state for each unit lane, all different."""
    return [first + 100 * unit for unit in range(config.unit_lanes)]


def powers(states, power):
    return [state**power for state in states]


@BOTH
@POWERS
def test_sums_are_those_of_plain_integers(config, power):
    """The first state of a run clears what the bank held before."""
    dut, units = Accumulator(config, power), config.unit_lanes
    steps = [
        [value if unit % 2 == 0 else -value - 1 for unit in range(units)]
        for value in (123, -32768, 32767, 5, -7)
    ]

    async def bench(ctx):
        ctx.set(dut.accumulate, 1)
        await ctx.tick().repeat(SETTLE)
        for index, states in enumerate(steps):
            await add(ctx, dut, config, 3, states, clear=index < 2)
        expected = [sum(states[unit] ** power for states in steps[1:]) for unit in range(units)]
        assert await sums(ctx, dut, config, 3) == expected

    simulate(dut, bench)


@BOTH
@POWERS
def test_banks_and_words_are_kept_apart(config, power):
    dut, words = Accumulator(config, power), (0, TINY.state_depth - 1)

    async def bench(ctx):
        ctx.set(dut.accumulate, 1)
        await ctx.tick().repeat(SETTLE)
        for bank in (0, 1):
            ctx.set(dut.job_bank, bank)
            for word in words:
                states = states_of(config, 10 * bank + word + 1)
                await add(ctx, dut, config, word, states, clear=1)
        for bank in (0, 1):
            for word in words:
                expected = powers(states_of(config, 10 * bank + word + 1), power)
                assert await sums(ctx, dut, config, word, bank) == expected

    simulate(dut, bench)


@BOTH
@POWERS
def test_nothing_is_added_outside_accumulating_levels_nor_to_biases(config, power):
    dut, counted, ignored = Accumulator(config, power), states_of(config, 9), states_of(config, 77)

    async def bench(ctx):
        ctx.set(dut.accumulate, 1)
        await ctx.tick().repeat(SETTLE)
        await add(ctx, dut, config, 2, counted, clear=1)
        await add(ctx, dut, config, 2, ignored, to_drive=1)
        ctx.set(dut.accumulate, 0)
        await add(ctx, dut, config, 2, ignored)
        assert not ctx.get(dut.reading)
        assert await sums(ctx, dut, config, 2) == powers(counted, power)

    simulate(dut, bench)
