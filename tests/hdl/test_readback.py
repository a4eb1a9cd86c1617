# SPDX-License-Identifier: Apache-2.0
"""Read-back: of all elements, the bus gets the one that its access names."""

from dataclasses import replace

import pytest

from helpers.link_bench import seeded, simulate
from ornstein.hdl import regmap
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.readback import Readback, elements
from ornstein.hdl.regmap import Line, Space

FABRICS = {"one unit lane": TINY, "four": replace(TINY, unit_lanes=4)}
BOTH = pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)
LINE = Line(12_000_000, (12, 4))
SETTLE = 3
"""Registers on the longest way, that of the identity and of the generators."""


def random_elements(config, seed):
    """A value that is not zero for each element."""
    rng = seeded(seed)
    return {name: rng.randrange(1, 1 << info.bits) for name, info in elements(config).items()}


async def read(ctx, dut, space, address=0):
    ctx.set(dut.selected, 1 << space)
    ctx.set(dut.address, address)
    await ctx.tick().repeat(SETTLE)
    return ctx.get(dut.rdata)


@BOTH
def test_an_access_gets_the_element_of_its_space(config):
    """Each element alone, then beside all others."""
    dut, values = Readback(config, LINE), random_elements(config, seed=1)

    async def bench(ctx):
        for name, info in elements(config).items():
            if info.space != Space.FACTOR:
                ctx.set(dut.elements, {name: values[name]})
                assert await read(ctx, dut, info.space) == values[name], name
                ctx.set(dut.elements, values)
                assert await read(ctx, dut, info.space) == values[name], name
        ctx.set(dut.selected, 0)
        await ctx.tick().repeat(SETTLE)
        assert ctx.get(dut.rdata) == 0

    simulate(dut, bench)


@BOTH
def test_the_address_of_a_factor_names_its_unit_lane(config):
    """Its rank lane, in the lowest bits, was already chosen beside the memory."""
    dut, values = Readback(config, LINE), random_elements(config, seed=2)

    async def bench(ctx):
        ctx.set(dut.elements, values)
        for word in (0, 3):
            for lane in range(config.lanes):
                found = await read(ctx, dut, Space.FACTOR, word * config.lanes + lane)
                assert found == values[f"factor_{lane // config.rank_lanes}"]

    simulate(dut, bench)


@BOTH
def test_the_identity_describes_fabric_and_line(config):
    dut = Readback(config, LINE)

    async def bench(ctx):
        for address, value in enumerate(regmap.identity(config, LINE).values()):
            assert await read(ctx, dut, Space.IDENTITY, address) == value

    simulate(dut, bench)


def test_the_control_register_passes_one_register():
    """It is chosen before, and zero unless its space is selected."""
    dut = Readback(TINY, LINE)

    async def bench(ctx):
        ctx.set(dut.elements, random_elements(TINY, seed=3))
        ctx.set(dut.selected, 1 << Space.CONTROL)
        await ctx.tick().repeat(SETTLE)
        ctx.set(dut.control, 0x89ABCDEF)
        await ctx.tick()
        assert ctx.get(dut.rdata) == 0x89ABCDEF

    simulate(dut, bench)


@BOTH
def test_what_is_read_after_the_grant_passes_one_register_less(config):
    """A rank word's lane, statistics and samples arrive last, the others early."""
    late = {Space.RANK, Space.SUM, Space.SQUARE, Space.SAMPLE}
    dut, values = Readback(config, LINE), random_elements(config, seed=4)

    async def bench(ctx):
        for name, info in elements(config).items():
            if info.space in (Space.FACTOR, Space.SEED):
                continue
            ctx.set(dut.elements, {})
            await read(ctx, dut, info.space)
            ctx.set(dut.elements, values)
            await ctx.tick()
            assert ctx.get(dut.rdata) == (values[name] if info.space in late else 0), name
            await ctx.tick()
            assert ctx.get(dut.rdata) == values[name], name

    simulate(dut, bench)
