# SPDX-License-Identifier: Apache-2.0
"""Control registers: what the bus writes and reads there, and what the counters count."""

from helpers.fabric_bench import SETTLE, bus_write
from helpers.link_bench import simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric.control import ControlRegisters
from ornstein.hdl.regmap import COUNTERS, Control


async def read(ctx, dut, register):
    ctx.set(dut.access.selected, 1)
    ctx.set(dut.access.address, register)
    await ctx.tick().repeat(SETTLE)
    return ctx.get(dut.word)


def test_registers_read_what_was_written_and_only_if_selected():
    dut = ControlRegisters(TINY)

    async def bench(ctx):
        await bus_write(ctx, dut, Control.BANK_OFFSET, 21)
        await bus_write(ctx, dut, Control.TAKEN, 0x12345678)
        assert ctx.get(dut.bank_offset) == 21 and ctx.get(dut.taken) == 0x12345678
        assert await read(ctx, dut, Control.BANK_OFFSET) == 21
        assert await read(ctx, dut, Control.TAKEN) == 0x12345678
        ctx.set(dut.access.selected, 0)
        await ctx.tick().repeat(SETTLE)
        assert ctx.get(dut.word) == 0

    simulate(dut, bench)


def test_every_counter_counts_its_own_cycles_until_it_is_cleared():
    dut, lengths = ControlRegisters(TINY), range(3, 3 + len(COUNTERS))

    async def bench(ctx):
        for position, length in enumerate(lengths):
            if position:
                ctx.set(dut.counted, 1 << position - 1)
            else:
                ctx.set(dut.running, 1)
            await ctx.tick().repeat(length)
            ctx.set(dut.running, 0)
            ctx.set(dut.counted, 0)
        for register, length in zip(COUNTERS, lengths, strict=True):
            assert await read(ctx, dut, register) == length
        await bus_write(ctx, dut, Control.CLEAR, 1)
        for register in COUNTERS:
            assert await read(ctx, dut, register) == 0

    simulate(dut, bench)


def test_the_sample_count_and_the_events_are_passed_on():
    dut = ControlRegisters(TINY)

    async def bench(ctx):
        ctx.set(dut.samples, 77)
        ctx.set(dut.half_full, 1)
        assert await read(ctx, dut, Control.SAMPLES) == 77
        events = ctx.get(dut.events)
        assert (events.idle, events.room, events.samples) == (1, 1, 1)
        ctx.set(dut.running, 1)
        await ctx.tick()
        assert not ctx.get(dut.events).idle

    simulate(dut, bench)
