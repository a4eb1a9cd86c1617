# SPDX-License-Identifier: Apache-2.0
"""The sample ring: what enters it, what the bus reads of it, and when it is full, near and far."""

from dataclasses import replace

import pytest

from helpers.fabric_bench import SETTLE
from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.samples import SampleRing
from ornstein.hdl.timing import SAMPLE_MARGIN

FABRICS = {"near": TINY, "far": replace(TINY, unit_lanes=2)}
BOTH = pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)
DEPTH = TINY.sample_depth
SEEN = 3
"""Cycles after which ``hold`` and ``half_full`` know of a word."""


def words(config, count, seed):
    rng = seeded(seed)
    return [[rng.randint(-32768, 32767) for _ in range(config.unit_lanes)] for _ in range(count)]


async def enter(ctx, dut, states):
    """Words enter one a cycle, each announced a cycle before."""
    ctx.set(dut.sampled_soon, 1)
    await ctx.tick()
    ctx.set(dut.sampled, 1)
    for left, word in zip(range(len(states))[::-1], states, strict=True):
        ctx.set(dut.sampled_soon, left > 0)
        ctx.set(dut.states, word)
        await ctx.tick()
    ctx.set(dut.sampled, 0)


async def read(ctx, dut, address):
    ctx.set(dut.access.address, address)
    await ctx.tick().repeat(SETTLE)
    return ctx.get(dut.element)


@BOTH
def test_the_bus_reads_the_words_that_entered(config):
    """Words that are not sampled leave no trace."""
    dut, states = SampleRing(config), words(config, 5, seed=1)

    async def bench(ctx):
        await ctx.tick().repeat(SETTLE)
        await enter(ctx, dut, states[:3])
        ctx.set(dut.states, [99] * config.unit_lanes)
        await ctx.tick().repeat(4)
        await enter(ctx, dut, states[3:])
        assert ctx.get(dut.entered) == len(states)
        flat = [state for word in states for state in word]
        assert [await read(ctx, dut, address) for address in range(len(flat))] == flat
        assert await read(ctx, dut, len(flat)) == 0

    simulate(dut, bench)


@BOTH
def test_element_n_of_the_stream_is_at_n_modulo_the_size(config):
    dut, states = SampleRing(config), words(config, DEPTH + 3, seed=2)
    size = DEPTH * config.unit_lanes

    async def bench(ctx):
        await ctx.tick().repeat(SETTLE)
        await enter(ctx, dut, states)
        assert ctx.get(dut.entered) == DEPTH + 3
        flat = [state for word in states for state in word]
        for number in (len(flat) - 1, size, size - 1, len(flat) - size):
            assert await read(ctx, dut, number % size) == flat[number], number

    simulate(dut, bench)


@pytest.mark.parametrize(
    "flag, least",
    [("half_full", DEPTH // 2), ("hold", DEPTH - SAMPLE_MARGIN + 1)],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["from zero", "beyond 2**32"])
def test_it_tells_how_full_it_is(flag, least, wrapped):
    """From the cycle in which it knows of one word enough, until the host has taken one out. The
    counters of words may have run over."""
    dut = SampleRing(TINY)
    waiting = 20 if wrapped else 0  # words that seem to have entered and not been taken
    states = words(TINY, least - waiting, seed=3)
    taken = -waiting % 2**32

    async def bench(ctx):
        ctx.set(dut.taken, taken)
        await ctx.tick().repeat(SETTLE)
        await enter(ctx, dut, states[:-1])
        await ctx.tick().repeat(SETTLE)
        assert not ctx.get(getattr(dut, flag))
        await enter(ctx, dut, states[-1:])
        await ctx.tick().repeat(SEEN - 2)
        assert not ctx.get(getattr(dut, flag))
        await ctx.tick()
        assert ctx.get(getattr(dut, flag))
        ctx.set(dut.taken, (taken + 1) % 2**32)
        await ctx.tick().repeat(SETTLE)
        assert not ctx.get(getattr(dut, flag))

    simulate(dut, bench)
