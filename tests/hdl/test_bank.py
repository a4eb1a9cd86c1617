# SPDX-License-Identifier: Apache-2.0
"""Banks: who reads and writes a memory when, near and far."""

from dataclasses import replace

import pytest

from helpers.fabric_bench import SETTLE, bus_write
from helpers.link_bench import simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.bank import Bank
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing

NEAR = replace(TINY, unit_lanes=1)
FAR = replace(TINY, unit_lanes=2)
BOTH = pytest.mark.parametrize("config", [NEAR, FAR], ids=["near", "far"])


def bank(config, space, **options):
    return Bank(config, spaces(config)[space], **options)


@BOTH
def test_the_bus_reads_what_it_wrote_while_it_is_free(config):
    dut = bank(config, Space.STATE, engine_writes=True)
    size = 8 * config.unit_lanes

    async def bench(ctx):
        ctx.set(dut.access.free, 1)
        for address in range(size):
            await bus_write(ctx, dut, address, 100 - address)
        for address in range(size):
            ctx.set(dut.access.address, address)
            await ctx.tick().repeat(SETTLE)
            assert ctx.get(dut.element) == 100 - address

    simulate(dut, bench)


@BOTH
def test_the_bus_writes_one_lane_and_only_if_its_space_is_selected(config):
    dut = bank(config, Space.STATE, engine_writes=True)

    async def bench(ctx):
        ctx.set(dut.access.free, 1)
        await bus_write(ctx, dut, 3, 77)
        ctx.set(dut.access.selected, 0)
        ctx.set(dut.access.wdata, 55)
        await ctx.tick().repeat(SETTLE)
        ctx.set(dut.access.write, 1)
        await ctx.tick().repeat(SETTLE)
        word, lane = divmod(3, config.unit_lanes)
        assert [ctx.get(entry) for entry in dut.word] == [
            77 * (other == lane) for other in range(config.unit_lanes)
        ]
        assert ctx.get(dut.element) == 77 and word == 3 // config.unit_lanes

    simulate(dut, bench)


@BOTH
def test_the_engine_writes_every_lane_and_reads_in_time(config):
    dut, read = bank(config, Space.STATE, engine_writes=True), Timing.of(config).read

    async def bench(ctx):
        await ctx.tick().repeat(SETTLE)
        ctx.set(dut.writing_soon, 1)
        await ctx.tick()
        ctx.set(dut.writing_soon, 0)
        ctx.set(dut.writing, 1)
        ctx.set(dut.write_address, 5)
        for lane in range(config.unit_lanes):
            ctx.set(dut.write_word[lane], -7 - lane)
        await ctx.tick()
        ctx.set(dut.writing, 0)
        ctx.set(dut.write_address, 0)
        ctx.set(dut.read_address, 5)
        await ctx.tick().repeat(read)
        assert [ctx.get(entry) for entry in dut.word] == [-7 - n for n in range(config.unit_lanes)]

    simulate(dut, bench)


@BOTH
def test_the_engine_goes_first_where_the_space_is_contended(config):
    dut, read = bank(config, Space.SUM, engine_writes=True), Timing.of(config).read

    async def fill(ctx, address, value):
        for soon, now in ((1, 0), (0, 1), (0, 0)):
            ctx.set(dut.writing_soon, soon)
            ctx.set(dut.writing, now)
            ctx.set(dut.write_address, address)
            ctx.set(dut.write_word[0], value)
            await ctx.tick()

    async def bench(ctx):
        await ctx.tick().repeat(SETTLE)
        await fill(ctx, 1, 11)
        await fill(ctx, 2, 22)
        ctx.set(dut.access.address, 1 * config.unit_lanes)
        ctx.set(dut.read_address, 2)
        await ctx.tick().repeat(SETTLE)
        assert ctx.get(dut.word[0]) == ctx.get(dut.element) == 11
        ctx.set(dut.reading, 1)
        await ctx.tick().repeat(read)
        assert ctx.get(dut.word[0]) == 22

    simulate(dut, bench)
