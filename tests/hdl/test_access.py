# SPDX-License-Identifier: Apache-2.0
"""Access to the fabric: how long it takes, what is refused, and what waits for the engine."""

from dataclasses import replace

import pytest

from helpers.link_bench import simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.access import Access
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing

FABRICS = {"near": TINY, "far": replace(TINY, unit_lanes=2)}
BOTH = pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)
PATIENCE = 40


async def transaction(ctx, bus, space, *, write):
    """(cycles from the request to its end, status); None if it does not end."""
    ctx.set(bus.space, space)
    ctx.set(bus.write, write)
    await ctx.tick().repeat(2)
    ctx.set(bus.request, 1)
    for cycle in range(1, PATIENCE):
        _, _, done, status = await ctx.tick().sample(bus.done, bus.status)
        if done:
            ctx.set(bus.request, 0)
            return cycle, Status(status)
    ctx.set(bus.request, 0)
    return None


def run(config, script, **inputs):
    dut = Access(config, {info.name: space for space, info in spaces(config).items()})

    async def bench(ctx):
        for name, value in inputs.items():
            ctx.set(getattr(dut, name), value)
        await ctx.tick().repeat(8)
        await script(ctx, dut)

    simulate(dut, bench, deadline=3_000)


@BOTH
def test_an_idle_fabric_answers_in_fixed_time(config):
    timing = Timing.of(config)

    async def script(ctx, dut):
        for space in spaces(config):
            cycles = 3 if space == Space.CONTROL else 1
            expected = timing.bus_decode + cycles
            assert await transaction(ctx, dut.bus, space, write=1) == (expected, Status.OK), space
            await ctx.tick().repeat(8)
            expected = timing.bus_decode + timing.bus_read + 2
            assert await transaction(ctx, dut.bus, space, write=0) == (expected, Status.OK), space
            await ctx.tick().repeat(8)

    run(config, script, idle=1)


@BOTH
def test_a_running_job_keeps_its_memories(config):
    """Inputs can be written, statistics and samples read, and registers reached at any time."""
    open_to_writes = {Space.IDENTITY, Space.CONTROL, Space.DRIVE, Space.SEED}
    statistics = {Space.SUM, Space.SQUARE, Space.SAMPLE}

    async def script(ctx, dut):
        for space in spaces(config):
            _, status = await transaction(ctx, dut.bus, space, write=1)
            assert (status == Status.OK) == (space in open_to_writes | statistics), space
            await ctx.tick().repeat(8)
            _, status = await transaction(ctx, dut.bus, space, write=0)
            readable = (open_to_writes - {Space.DRIVE}) | statistics
            assert (status == Status.OK) == (space in readable), space
            assert status in (Status.OK, Status.BUSY)
            await ctx.tick().repeat(8)

    run(config, script, idle=0)


def test_a_space_that_is_left_out_is_refused():
    config = replace(TINY, second_moment=False)

    async def script(ctx, dut):
        _, status = await transaction(ctx, dut.bus, Space.SQUARE, write=0)
        assert status == Status.ADDRESS

    run(config, script, idle=1)


@BOTH
def test_one_job_too_many_is_refused(config):
    async def script(ctx, dut):
        _, status = await transaction(ctx, dut.bus, Space.CONTROL, write=1)
        assert status == Status.FULL

    run(config, script, start_refused=1)


@BOTH
@pytest.mark.parametrize(
    "space, write, port", [(Space.DRIVE, 1, "writes_soon"), (Space.SUM, 0, "reads_soon")]
)
def test_an_access_waits_while_the_engine_uses_the_port(config, space, write, port):
    async def script(ctx, dut):
        assert await transaction(ctx, dut.bus, space, write=write) is None
        ctx.set(getattr(dut, port), 0)
        await ctx.tick().repeat(8)
        _, status = await transaction(ctx, dut.bus, space, write=write)
        assert status == Status.OK

    run(config, script, **{port: 1})


@BOTH
def test_only_the_space_of_the_access_is_selected(config):
    async def script(ctx, dut):
        await transaction(ctx, dut.bus, Space.RANK, write=1)
        for info in spaces(config).values():
            assert ctx.get(getattr(dut, info.name).selected) == (info.space == Space.RANK)

    run(config, script, idle=1)
