# SPDX-License-Identifier: Apache-2.0
"""Unit lanes: what reaches the update of each lane, its noise, and the space of the seeds."""

from dataclasses import replace

import pytest

from helpers.fabric_bench import SETTLE, bus_write
from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import GUARD_BITS, TINY
from ornstein.hdl.engine import noise
from ornstein.hdl.fabric.units import HALVES, UnitLane, Units
from ornstein.hdl.regmap import ELEMENT_BITS
from ornstein.hdl.timing import Timing

FABRICS = {"near": TINY, "far": replace(TINY, unit_lanes=2)}
BOTH = pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)
HALF = (1 << ELEMENT_BITS) - 1
SEEDS = 0x0123456789ABCDEF, 0xFEDCBA9876543210


async def update(ctx, dut, config, micro, **operands):
    """One unit through a lane, or one word through all lanes; ``next`` has its value then."""
    timing = Timing.of(config)
    draws = not micro.get("to_drive", 0)
    ctx.set(dut.micro_soon, micro)
    await ctx.tick()
    ctx.set(dut.micro, micro)
    for name, value in operands.items():
        ctx.set(getattr(dut, name), value)
    for cycle in range(timing.update):
        ctx.set(dut.valid, cycle == 0)
        ctx.set(dut.draw_soon, draws and cycle == timing.draw - 1)
        assert ctx.get(dut.draw) == (draws and cycle == timing.draw)
        await ctx.tick()


async def load(ctx, dut):
    """Loads the seeds, and waits until the generators have them."""
    ctx.set(dut.load, 1)
    await ctx.tick()
    ctx.set(dut.load, 0)
    await ctx.tick().repeat(SETTLE)


async def seed(ctx, dut, value):
    """Writes both halves of a lane's seed as the bus does, and loads it."""
    for half in range(HALVES):
        ctx.set(dut.seed_word, value >> ELEMENT_BITS * half & HALF)
        ctx.set(dut.seed_written, 1 << half)
        await ctx.tick()
    ctx.set(dut.seed_written, 0)
    await ctx.tick().repeat(SETTLE)
    await load(ctx, dut)


@BOTH
def test_a_seed_counts_once_it_is_loaded(config):
    dut = UnitLane(config, 0)

    async def bench(ctx):
        await seed(ctx, dut, SEEDS[0])
        assert ctx.get(dut.generator) == SEEDS[0]
        ctx.set(dut.seed_word, 5)
        ctx.set(dut.seed_written, 0b10)
        await ctx.tick()
        ctx.set(dut.seed_written, 0)
        await ctx.tick().repeat(SETTLE)
        assert ctx.get(dut.generator) == SEEDS[0]
        await load(ctx, dut)
        assert ctx.get(dut.generator) == (5 << ELEMENT_BITS | SEEDS[0] & HALF)

    simulate(dut, bench)


@BOTH
def test_each_term_of_the_update_comes_from_its_own_port(config):
    """Without noise. The coupling sum lies coupling_bits below a state's LSB, the bias and the leak
    as far as the shifts say."""
    dut = UnitLane(config, 0)
    bias_shift, expand_shift = config.bias_shifts[3], config.expand_shifts[2]
    coupling = 72 << config.coupling_bits
    to_drive = {"to_drive": 1, "shift": 2, "bias_shift": 3}
    operands = {"state": 1000, "drive": 30, "accumulator": coupling, "previous": 1}
    half = 1 << config.leak_bits - 1
    expected = [  # level, micro, new state
        ({}, {}, 0),
        ({"keep": 1}, {}, 1000),
        ({"keep": 1, "leak": half}, {}, 500),
        ({}, {"coupled": 1}, 72 >> expand_shift),
        ({}, {"biased": 1}, 30 << bias_shift >> GUARD_BITS),
        (
            {"keep": 1},
            {"coupled": 1, "biased": 1},
            1000 + (72 >> expand_shift) + (30 << bias_shift >> GUARD_BITS),
        ),
    ]

    async def bench(ctx):
        for level, micro, state in expected:
            ctx.set(dut.level, {"amplitude": 1 << 20} | level)
            await ctx.tick().repeat(SETTLE)
            await update(ctx, dut, config, to_drive | micro, **operands)
            assert (ctx.get(dut.next), ctx.get(dut.saturated)) == (state, 0), (level, micro)
        ctx.set(dut.level, {"keep": 1})
        await ctx.tick().repeat(SETTLE)
        await update(ctx, dut, config, to_drive | {"coupled": 1}, state=32767)
        assert (ctx.get(dut.next), ctx.get(dut.saturated)) == (32767, 1)

    simulate(dut, bench)


@BOTH
@pytest.mark.parametrize("midpoint", [0, 1])
def test_every_draw_moves_the_generator_once(config, midpoint):
    """Its code is the noise, to which the midpoint rule adds the previous one; what goes to the
    drive memory draws none."""
    dut, amplitude = UnitLane(config, 0), 3 << GUARD_BITS

    async def bench(ctx):
        await ctx.tick().repeat(SETTLE)
        await seed(ctx, dut, SEEDS[0])
        ctx.set(dut.level, {"amplitude": amplitude, "midpoint": midpoint})
        await ctx.tick().repeat(SETTLE)
        state, previous, codes = SEEDS[0], 1, []
        for _ in range(30):
            code = noise.code(state)
            codes.append(code)
            await update(ctx, dut, config, {}, previous=previous)
            assert ctx.get(dut.next) == 3 * (code + midpoint * previous)
            state, previous = noise.advance(state), code
            assert ctx.get(dut.generator) == state
        assert set(codes) == {-1, 0, 1}
        await update(ctx, dut, config, {"to_drive": 1})
        assert (ctx.get(dut.next), ctx.get(dut.generator)) == (0, state)

    simulate(dut, bench)


@BOTH
def test_stochastic_rounding_takes_its_bits_from_the_generator(config):
    dut = UnitLane(config, 0)

    async def bench(ctx):
        await ctx.tick().repeat(SETTLE)
        ctx.set(dut.level, {"dither": 1})
        micro = {"to_drive": 1, "biased": 1, "bias_shift": 0}
        fraction = 40 << config.bias_shifts[0]  # below a state's LSB
        rounded = set()
        for value in SEEDS:
            await seed(ctx, dut, value)
            await update(ctx, dut, config, micro, drive=40)
            up = fraction + noise.dither(value) >> GUARD_BITS
            assert ctx.get(dut.next) == up
            rounded.add(up)
        assert rounded == {0, 1}

    simulate(dut, bench)


@BOTH
def test_the_bus_writes_the_seeds_and_reads_the_generators(config):
    dut = Units(config)
    seeds = SEEDS[: config.unit_lanes]
    halves = [value >> ELEMENT_BITS * half & HALF for value in seeds for half in range(HALVES)]

    async def elements(ctx):
        found = []
        for address in range(len(halves)):
            ctx.set(dut.access.address, address)
            await ctx.tick().repeat(SETTLE)
            found.append(ctx.get(dut.element))
        return found

    async def bench(ctx):
        for address, half in enumerate(halves):
            await bus_write(ctx, dut, address, half)
        assert await elements(ctx) == [1, 0] * config.unit_lanes  # as after power-up
        await load(ctx, dut)
        assert await elements(ctx) == halves

    simulate(dut, bench)


@BOTH
def test_every_lane_has_its_own_unit(config):
    """Coupling sum, state, bias, noise and generator; the micro-operation is that of all lanes."""
    dut, rng, units = Units(config), seeded(1), range(config.unit_lanes)
    seeds = SEEDS[: config.unit_lanes]
    shift = config.bias_shifts[3]
    micro = {"coupled": 1, "biased": 1, "bias_shift": 3}

    async def bench(ctx):
        for unit in units:
            for half in range(HALVES):
                await bus_write(
                    ctx, dut, HALVES * unit + half, seeds[unit] >> ELEMENT_BITS * half & HALF
                )
        await load(ctx, dut)
        ctx.set(dut.level, {"keep": 1, "amplitude": 5 << GUARD_BITS, "midpoint": 1})
        await ctx.tick().repeat(SETTLE)
        generators = list(seeds)
        for _ in range(6):
            sums, states, biases = ([rng.randint(-9000, 9000) for _ in units] for _ in range(3))
            previous = [rng.randint(-1, 1) for _ in units]
            await update(
                ctx,
                dut,
                config,
                micro,
                accumulator=[value << config.coupling_bits for value in sums],
                state=states,
                drive=biases,
                previous=previous,
            )
            codes = [noise.code(generator) for generator in generators]
            generators = [noise.advance(generator) for generator in generators]
            expected = [
                states[unit]
                + sums[unit]
                + (biases[unit] << shift >> GUARD_BITS)
                + 5 * (codes[unit] + previous[unit])
                for unit in units
            ]
            within = [min(max(value, -32768), 32767) for value in expected]
            assert [ctx.get(state) for state in dut.next] == within
            assert ctx.get(dut.saturated) == (within != expected)

    simulate(dut, bench)


@BOTH
def test_one_clipped_unit_of_a_word_is_noticed(config):
    dut, last = Units(config), config.unit_lanes - 1

    async def bench(ctx):
        ctx.set(dut.level, {"keep": 1})
        await ctx.tick().repeat(SETTLE)
        for sums in ([0] * config.unit_lanes, [0] * last + [1 << config.coupling_bits]):
            await update(
                ctx,
                dut,
                config,
                {"coupled": 1, "to_drive": 1},
                accumulator=sums,
                state=[32767] * config.unit_lanes,
            )
            assert ctx.get(dut.saturated) == any(sums)

    simulate(dut, bench)
