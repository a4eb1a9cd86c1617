# SPDX-License-Identifier: Apache-2.0
"""Control registers: what the bus writes and reads there, and what the counters count."""

from dataclasses import replace

import pytest

from helpers.fabric_bench import SETTLE, bus_write
from helpers.link_bench import simulate
from ornstein.hdl.config import TINY, WIDE
from ornstein.hdl.fabric.control import ControlRegisters
from ornstein.hdl.regmap import (
    COUNTERS,
    SCRUBBED,
    Control,
    ScrubRegister,
    StartRegister,
    StatusRegister,
    WordsRegister,
    checksum_register,
    words_register,
)

BOTH = pytest.mark.parametrize("config", [TINY, WIDE], ids=["near", "far"])


def job(**fields) -> int:
    """A word for START."""
    return StartRegister.const(fields).as_bits()


async def read(ctx, dut, register):
    ctx.set(dut.access.selected, 1)
    ctx.set(dut.access.address, register)
    await ctx.tick().repeat(SETTLE)
    return ctx.get(dut.word)


@BOTH
def test_registers_read_what_was_written_and_only_if_selected(config):
    dut = ControlRegisters(config)

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


@BOTH
def test_every_counter_counts_its_own_cycles_until_it_is_cleared(config):
    dut, lengths = ControlRegisters(config), range(3, 3 + len(COUNTERS))

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


@BOTH
def test_registers_that_are_only_written_read_zero(config):
    dut = ControlRegisters(config)

    async def bench(ctx):
        ctx.set(dut.running, 1)
        ctx.set(dut.counted, -1)
        ctx.set(dut.samples, -1)
        for register in (Control.START, Control.CLEAR, Control.RATE):
            await bus_write(ctx, dut, register, 0x5A5A5A5A)
            assert await read(ctx, dut, register) == 0, register

    simulate(dut, bench)


def test_a_fabric_without_a_sample_ring_has_no_register_for_it():
    dut = ControlRegisters(replace(TINY, sample_depth=0))

    async def bench(ctx):
        await bus_write(ctx, dut, Control.TAKEN, 5)
        assert await read(ctx, dut, Control.TAKEN) == 0

    simulate(dut, bench)


@BOTH
def test_a_write_to_start_is_a_job_and_status_tells_what_became_of_it(config):
    dut, starts = ControlRegisters(config), []

    async def status(ctx):
        found = StatusRegister.from_bits(await read(ctx, dut, Control.STATUS))
        return found.running, found.pending, found.done, found.tag

    async def watch_starts(ctx):
        async for _, _, start, first, bank in ctx.tick().sample(
            dut.start, dut.job.first, dut.job.bank
        ):
            if start:
                starts.append((first, bank))

    async def bench(ctx):
        await bus_write(ctx, dut, Control.BANK_OFFSET, job(first=1, tag=1))
        assert starts == [] and await status(ctx) == (0, 0, 0, 0)
        await bus_write(ctx, dut, Control.START, job(first=7, levels=2, bank=1, tag=9))
        assert starts == [(7, 1)] and ctx.get(dut.bank) == 1
        ctx.set(dut.running, 1)
        assert await status(ctx) == (1, 0, 0, 9)
        await bus_write(ctx, dut, Control.START, job(first=8, tag=10))
        assert len(starts) == 1 and await status(ctx) == (1, 1, 0, 10)
        ctx.set(dut.finished, 1)
        await ctx.tick()
        ctx.set(dut.finished, 0)
        ctx.set(dut.running, 0)
        assert await status(ctx) == (0, 0, 1, 10)
        assert starts == [(7, 1), (8, 0)] and ctx.get(dut.bank) == 0

    simulate(dut, bench, background=[watch_starts])


@BOTH
def test_one_job_too_many_is_refused_unless_it_is_the_last_one_again(config):
    dut = ControlRegisters(config)

    async def refused(ctx, register, word):
        ctx.set(dut.access.selected, 1)
        ctx.set(dut.access.address, register)
        ctx.set(dut.access.wdata, word)
        await ctx.tick().repeat(SETTLE)
        return bool(ctx.get(dut.start_refused))

    async def bench(ctx):
        ctx.set(dut.running, 1)
        assert not await refused(ctx, Control.START, job(tag=1))
        await bus_write(ctx, dut, Control.START, job(tag=1))
        assert await refused(ctx, Control.START, job(tag=2))
        assert not await refused(ctx, Control.START, job(tag=1))
        assert not await refused(ctx, Control.BANK_OFFSET, job(tag=2))
        ctx.set(dut.running, 0)  # the waiting job begins
        assert not await refused(ctx, Control.START, job(tag=2))

    simulate(dut, bench)


@BOTH
def test_the_sample_count_and_the_events_are_passed_on(config):
    dut = ControlRegisters(config)

    def events(ctx):
        found = ctx.get(dut.events)
        return found.idle, found.room, found.samples

    async def bench(ctx):
        ctx.set(dut.samples, 77)
        assert await read(ctx, dut, Control.SAMPLES) == 77
        assert events(ctx) == (1, 1, 0)
        ctx.set(dut.half_full, 1)
        assert events(ctx) == (1, 1, 1)
        ctx.set(dut.running, 1)
        await ctx.tick()
        assert events(ctx) == (0, 1, 1)
        await bus_write(ctx, dut, Control.START, job(tag=3))
        assert events(ctx) == (0, 0, 1)

    simulate(dut, bench)


def test_the_session_is_kept_in_the_status_until_a_reset():
    dut = ControlRegisters(TINY)

    async def bench(ctx):
        assert await read(ctx, dut, Control.STATUS) == 0
        written = StatusRegister.const({"session": 0x5A, "tag": 9, "done": 3})
        await bus_write(ctx, dut, Control.STATUS, written.as_bits())
        found = StatusRegister.from_bits(await read(ctx, dut, Control.STATUS))
        assert (found.session, found.tag, found.done) == (0x5A, 0, 0)

    simulate(dut, bench)


def test_an_abort_is_passed_on_while_a_job_runs():
    dut = ControlRegisters(TINY)

    async def bench(ctx):
        await bus_write(ctx, dut, Control.ABORT, 1)
        assert not ctx.get(dut.aborting)
        ctx.set(dut.running, 1)
        await bus_write(ctx, dut, Control.ABORT, 1)
        await ctx.tick()
        assert ctx.get(dut.aborting)

    simulate(dut, bench)


@BOTH
def test_the_scrubber_gets_what_the_host_writes_and_answers_beside_it(config):
    dut = ControlRegisters(config)
    restarts = []

    async def watch_restarts(ctx):
        async for _, _, restart in ctx.tick().sample(dut.scrub.restart):
            restarts.extend([1] * restart)

    async def bench(ctx):
        await bus_write(ctx, dut, Control.SCRUB, ScrubRegister.const({"memories": 5}).as_bits())
        assert ctx.get(dut.scrub.memories) == 5 and len(restarts) == 1
        ctx.set(dut.scrub.mismatch, 4)
        ctx.set(dut.scrub.passes, 0xABCDEF)
        found = ScrubRegister.from_bits(await read(ctx, dut, Control.SCRUB))
        assert (found.memories, found.mismatch, found.passes) == (5, 4, 0xABCDEF)
        for memory, space in enumerate(SCRUBBED):
            words = WordsRegister.const({"first": 7 + memory, "last": 500})
            await bus_write(ctx, dut, words_register(space), words.as_bits())
            await bus_write(ctx, dut, checksum_register(space), 0x80000000 + memory)
            ctx.set(dut.scrub.checksum[memory], 0x12340000 + memory)
        for memory, space in enumerate(SCRUBBED):
            assert ctx.get(dut.scrub.words[memory].first) == 7 + memory
            assert ctx.get(dut.scrub.words[memory].last) == 500
            assert ctx.get(dut.scrub.expected[memory]) == 0x80000000 + memory
            assert await read(ctx, dut, checksum_register(space)) == 0x12340000 + memory
            assert await read(ctx, dut, words_register(space)) == 0

    simulate(dut, bench, background=[watch_restarts])


def test_a_job_that_waits_for_the_scrubber_counts_no_cycles():
    dut = ControlRegisters(TINY)

    async def bench(ctx):
        ctx.set(dut.running, 1)
        await ctx.tick().repeat(3)
        ctx.set(dut.scrub.checking, 1)
        await ctx.tick().repeat(5)
        ctx.set(dut.running, 0)
        assert await read(ctx, dut, Control.CYCLES) == 3

    simulate(dut, bench)
