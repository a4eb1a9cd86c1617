# SPDX-License-Identifier: Apache-2.0
"""The scrubber in a whole fabric, near and far: what it verifies, when, and what that costs."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.fabric_bench import SETTLE, access
from helpers.link_bench import seeded, simulate
from ornstein.hdl import scrub
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric import Fabric
from ornstein.hdl.fabric.scrubber import MemoryChecksum
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.regmap import (
    SCRUBBED,
    Control,
    ScrubRegister,
    Space,
    StartRegister,
    StatusRegister,
    WordsRegister,
    checksum_register,
    words_register,
)
from ornstein.hdl.spaces import spaces

FABRICS = {
    "near": TINY,
    "far": replace(TINY, name="far", unit_lanes=2, descriptor_width=64),
}
BOTH = pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)

WORDS = {
    Space.FACTOR: range(100, 170),  # more than a burst
    Space.DRIVE: range(3, 7),
    Space.DESCRIPTOR: range(0, 12),
    Space.ACTIVATION: range(250, 256),
}
LENGTHS = {space: len(words) for space, words in WORDS.items()}
EVERY_MEMORY = (1 << len(SCRUBBED)) - 1


def contents(config, rng) -> dict[Space, list[int]]:
    """Random elements for the words of each memory; two descriptors that make a short job."""
    found = {}
    for space, words in WORDS.items():
        info = spaces(config)[space]
        found[space] = [0] * (len(words) * info.lanes)
        for place in rng.sample(range(len(found[space])), 4):
            found[space][place] = rng.getrandbits(info.bits)
    level = Level(keep=1, first=1, passes=1, steps=1)
    job = [*level.pack(), *Pass(Operation.EXPAND, wait=1, outer=4, inner=1).pack()]
    found[Space.DESCRIPTOR][: len(job) // 2] = [
        low | high << 16 for low, high in zip(job[0::2], job[1::2], strict=True)
    ]
    return found


async def write(ctx, dut, space, address, value):
    await access(ctx, dut.bus, space, address, value)


async def control(ctx, dut, register, value=None):
    return await access(ctx, dut.bus, Space.CONTROL, register, value)


async def state(ctx, dut):
    """The fields memories, mismatch and passes."""
    found = ScrubRegister.from_bits(await control(ctx, dut, Control.SCRUB))
    return found.memories, found.mismatch, found.passes


def first_element(config, space):
    return WORDS[space].start * spaces(config)[space].lanes


async def load(ctx, dut, config, held):
    """Writes the memories, and tells the scrubber what they must hold."""
    for space, elements in held.items():
        for place, value in enumerate(elements):
            if value:
                await write(ctx, dut, space, first_element(config, space) + place, value)
        words = WordsRegister.const({"first": WORDS[space][0], "last": WORDS[space][-1]})
        await control(ctx, dut, words_register(space), words.as_bits())
        expected = scrub.checksum(config, space, np.array(elements))
        await control(ctx, dut, checksum_register(space), expected)
    await control(ctx, dut, Control.SCRUB, EVERY_MEMORY)


def job(tag):
    return StartRegister.const({"levels": 1, "tag": tag}).as_bits()


async def run(ctx, dut, tag):
    """Runs the job. Returns the cycles for which the fabric was busy."""
    await control(ctx, dut, Control.START, job(tag))
    await ctx.tick().until(~dut.events.idle)
    cycles = 1
    while True:
        _, _, idle = await ctx.tick().sample(dut.events.idle)
        if idle:
            return cycles
        cycles += 1


@BOTH
def test_passes_over_a_healthy_program_find_nothing(config):
    held = contents(config, seeded(1))
    dut = Fabric(config)

    async def bench(ctx):
        await load(ctx, dut, config, held)
        assert await state(ctx, dut) == (EVERY_MEMORY, 0, 0)
        await ctx.tick().repeat(3 * scrub.pass_cycles(config, LENGTHS))
        memories, mismatch, passes = await state(ctx, dut)
        assert (memories, mismatch) == (EVERY_MEMORY, 0) and passes in (2, 3)
        for space, elements in held.items():
            found = await control(ctx, dut, checksum_register(space))
            assert found == scrub.checksum(config, space, np.array(elements)), space

    simulate(dut, bench)


@BOTH
def test_a_flip_is_reported_with_its_memory_when_the_job_ends(config):
    rng = seeded(2)
    held = contents(config, rng)
    dut = Fabric(config)

    async def bench(ctx):
        await load(ctx, dut, config, held)
        for number, (space, elements) in enumerate(held.items(), 1):
            # the job's own descriptors are those before
            place = rng.randrange(8 if space == Space.DESCRIPTOR else 0, len(elements))
            address = first_element(config, space) + place
            bit = rng.randrange(spaces(config)[space].bits)
            await write(ctx, dut, space, address, elements[place] ^ 1 << bit)
            await run(ctx, dut, tag=number)
            _, mismatch, _ = await state(ctx, dut)
            assert mismatch == 1 << SCRUBBED.index(space), (space, place, bit)
            await write(ctx, dut, space, address, elements[place])
            await ctx.tick().repeat(2 * scrub.pass_cycles(config, LENGTHS))
            assert (await state(ctx, dut))[1] == mismatch  # until it is cleared
            await control(ctx, dut, Control.SCRUB, EVERY_MEMORY)
            assert (await state(ctx, dut))[1] == 0

    simulate(dut, bench)


@BOTH
def test_a_job_takes_a_pass_longer_and_counts_no_more_cycles(config):
    held = contents(config, seeded(3))
    dut = Fabric(config)

    async def bench(ctx):
        await load(ctx, dut, config, held)
        found = {}
        for memories in (0, EVERY_MEMORY):
            await control(ctx, dut, Control.SCRUB, memories)
            await control(ctx, dut, Control.CLEAR, 1)
            _, _, before = await state(ctx, dut)
            busy = await run(ctx, dut, tag=1 + memories)
            _, _, after = await state(ctx, dut)
            assert (after > before) == bool(memories)
            found[memories] = busy, await control(ctx, dut, Control.CYCLES)
        (plain, cycles), (checked, counted) = found.values()
        assert counted == cycles
        assert checked - plain == scrub.pass_cycles(config, LENGTHS)

    simulate(dut, bench)


@BOTH
def test_each_of_two_jobs_in_a_row_is_verified(config):
    """The second one waits meanwhile: it could overwrite what the first has left."""
    held = contents(config, seeded(4))
    dut = Fabric(config)

    async def bench(ctx):
        await load(ctx, dut, config, held)
        _, _, before = await state(ctx, dut)
        await control(ctx, dut, Control.START, job(1))
        await control(ctx, dut, Control.START, job(2))
        await ctx.tick().until(~dut.events.room)
        await ctx.tick().until(dut.events.room)
        status = StatusRegister.from_bits(await control(ctx, dut, Control.STATUS))
        assert (status.running, status.done) == (1, 1)
        await ctx.tick().until(dut.events.idle)
        _, mismatch, passes = await state(ctx, dut)
        assert mismatch == 0 and passes >= before + 2

    simulate(dut, bench)


@BOTH
def test_the_link_gets_its_turn_and_disturbs_no_pass(config):
    """Accesses at random times, to verified words as well, in jobs and between them."""
    rng = seeded(5)
    held = contents(config, rng)
    dut = Fabric(config)
    patience = scrub.QUIET + scrub.BURST + scrub.drain(config) + 40

    async def one_access(ctx, number):
        if rng.random() < 0.3:
            await control(ctx, dut, Control.BANK_OFFSET, number)
        elif rng.random() < 0.5:
            await write(ctx, dut, Space.DRIVE, rng.randrange(20, 60), number)
        elif ctx.get(dut.events.idle):
            space = rng.choice(list(held))
            place = rng.randrange(len(held[space]))
            found = await access(ctx, dut.bus, space, first_element(config, space) + place)
            assert found & (1 << spaces(config)[space].bits) - 1 == held[space][place]

    async def count(ctx):
        async for _ in ctx.tick():
            elapsed[0] += 1

    elapsed = [0]

    async def bench(ctx):
        await load(ctx, dut, config, held)
        _, _, before = await state(ctx, dut)
        for number in range(60):
            await ctx.tick().repeat(rng.randrange(1, 60))
            if number % 15 == 7:
                await control(ctx, dut, Control.START, job(1 + number))
                await ctx.tick().repeat(SETTLE)  # the job is known to run
            begin = elapsed[0]
            await one_access(ctx, number)
            assert elapsed[0] - begin < patience
        _, mismatch, passes = await state(ctx, dut)
        assert mismatch == 0 and passes > before + 2

    simulate(dut, bench, background=[count])


@BOTH
def test_a_fabric_after_power_up_verifies_nothing(config):
    dut = Fabric(config)

    async def bench(ctx):
        await ctx.tick().repeat(200)
        assert await state(ctx, dut) == (0, 0, 0)

    simulate(dut, bench)


def test_the_checksum_of_each_memory_is_that_of_the_integer_model():
    rng = seeded(6)
    config = FABRICS["far"]
    dut = MemoryChecksum(config)

    async def bench(ctx):
        for number, space in enumerate(SCRUBBED):
            info, rows = spaces(config)[space], scrub.Rows.of(config, space)
            words = [[rng.getrandbits(info.bits) for _ in range(info.lanes)] for _ in range(9)]
            ctx.set(dut.memory, 1 << number)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for row in range(rows.rows):
                for word in words:
                    ctx.set(dut.valid, 1)
                    ctx.set(
                        dut.elements[space.name.lower()], word[row :: rows.apart][: rows.together]
                    )
                    await ctx.tick()
                    ctx.set(dut.valid, 0)
                    await ctx.tick().repeat(rng.randrange(1, 3))
            await ctx.tick().repeat(2)
            assert ctx.get(dut.checksum) == scrub.checksum(config, space, np.ravel(words)), space

    simulate(dut, bench)
