# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The update against the table in its docstring, written out in plain integers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from amaranth.hdl import Fragment

from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import AMPLITUDE_WIDTH, GUARD_BITS, HX8K, ICEBREAKER, TINY, WIDE
from ornstein.hdl.engine.noise import FINE_TOP
from ornstein.hdl.engine.update import Update
from ornstein.hdl.timing import Timing

CONFIGS = {
    "quartic": TINY,
    "harmonic": ICEBREAKER,
    "narrow factors": HX8K,
    "wide accumulator": WIDE,
    "fine noise": replace(TINY, fine_noise=True),
    "widest": replace(TINY, accumulator_width=48, leak_bits=12),
    "coarse biases": replace(TINY, bias_shifts=(0, 16, 31)),
    "narrowest leak": replace(TINY, leak_bits=1, expand_shifts=(4,), bias_shifts=(12,)),
}
HIGH, LOW = (1 << 15) - 1, -1 << 15

# held while units are in flight, and what comes with each unit or with its draw
LEVEL = {
    "keep": 1,
    "midpoint": 1,
    "dither_on": 1,
    "leak": None,
    "quartic": 16,
    "amplitude": AMPLITUDE_WIDTH,
}
UNIT = (
    "valid",
    "state",
    "drive",
    "accumulator",
    "coupled",
    "biased",
    "noisy",
    "shift",
    "bias_shift",
)
CODES = ("code", "previous")


def formula(config, v) -> tuple[int, bool]:
    """(new state, whether it was clipped) by the docstring's table."""
    total = v["dither"] if v["dither_on"] else 2**11
    if v["keep"]:
        total += (v["state"] << 12) - (v["state"] * v["leak"] << 12 - config.leak_bits)
        if config.quartic:
            total -= v["state"] * min(((v["state"] ** 2 >> 15) * v["quartic"] + 2**11) >> 12, 2**12)
    if v["coupled"]:
        total += (
            v["accumulator"]
            << 12 - min(12, config.factor_width)
            >> config.expand_shifts[v["shift"]]
        )
    if v["biased"]:
        total += v["drive"] << config.bias_shifts[v["bias_shift"]]
    if v["noisy"]:
        total += v["amplitude"] * (v["code"] + (v["previous"] if v["midpoint"] else 0))
    rounded = total >> 12
    return min(max(rounded, LOW), HIGH), not LOW <= rounded <= HIGH


def signed(rng, bits):
    """A signed number: an extreme, a small one or any."""
    low, high = -1 << bits - 1, (1 << bits - 1) - 1
    return rng.choice(
        [
            low,
            low + 1,
            high,
            high - 1,
            0,
            -1,
            1,
            *(rng.randint(low, high) for _ in range(4)),
            *(rng.randint(low >> bits // 2, high >> bits // 2) for _ in range(4)),
        ]
    )


def unsigned(rng, bits):
    """An unsigned number: an extreme, a small one or any."""
    high = (1 << bits) - 1
    return rng.choice(
        [0, 1, high, high - 1, rng.randint(0, high), rng.randint(0, high >> bits // 2)]
    )


def random_level(rng, config):
    return {name: unsigned(rng, bits or config.leak_bits) for name, bits in LEVEL.items()}


def random_unit(rng, config):
    most = FINE_TOP if config.fine_noise else 1
    return {
        "valid": int(rng.random() < 0.9),
        "state": signed(rng, 16),
        "drive": signed(rng, 16),
        "accumulator": signed(rng, config.accumulator_width),
        "coupled": rng.getrandbits(1),
        "biased": rng.getrandbits(1),
        "noisy": rng.getrandbits(1),
        "shift": rng.randrange(len(config.expand_shifts)),
        "bias_shift": rng.randrange(len(config.bias_shifts)),
        "code": rng.randint(-most, most),
        "previous": rng.randint(-most, most),
        "dither": rng.getrandbits(GUARD_BITS),
    }


def stream(config, *runs, platform=None):
    """Sends units back to back, ``runs`` of (level, units) one after the other. Checks ``draw`` in
    every cycle; returns [(next, saturated)] of each run. The gateware is that for ``platform``, in
    plain logic.
    """
    dut, timing = Update(config), Timing.of(config)
    results = []

    async def one_run(ctx, level, units):
        for name in LEVEL:
            ctx.set(getattr(dut, name), level[name])
        await ctx.tick()  # a level is there before its first unit
        found = []
        for cycle in range(len(units) + timing.update + 1):
            if cycle < len(units):
                for name in UNIT:
                    ctx.set(getattr(dut, name), units[cycle][name])
            else:
                ctx.set(dut.valid, 0)
            drawing = cycle - timing.draw
            if 0 <= drawing < len(units):
                ctx.set(dut.dither, units[drawing]["dither"])
                assert ctx.get(dut.draw) == (units[drawing]["valid"] and units[drawing]["noisy"])
            else:
                assert not ctx.get(dut.draw)
            if 0 <= drawing - 1 < len(units):
                for name in CODES:
                    ctx.set(getattr(dut, name), units[drawing - 1][name])
            if 0 <= cycle - timing.update < len(units):
                found.append((ctx.get(dut.next), bool(ctx.get(dut.saturated))))
            await ctx.tick()
        results.append(found)

    async def bench(ctx):
        for level, units in runs:
            await one_run(ctx, level, units)

    simulate(Fragment.get(dut, platform), bench)
    return results


@pytest.mark.parametrize(
    "platform", [None, SimpleNamespace(device="iCE40UP5K")], ids=["multiplied", "by digits"]
)
@pytest.mark.parametrize("name", CONFIGS)
def test_random_units(name, platform):
    """One unit a cycle, ``update`` cycles from inputs to the new state, noise taken after
    ``draw``.
    """
    config = CONFIGS[name]
    rng = seeded(1)
    runs = [
        (random_level(rng, config), [random_unit(rng, config) for _ in range(60)])
        for _ in range(40)
    ]
    clipped = []
    for (level, units), found in zip(runs, stream(config, *runs, platform=platform), strict=True):
        assert found == [formula(config, level | unit) for unit in units], level
        clipped += [saturated for _, saturated in found]
    print(f"{len(clipped)} units, {sum(clipped)} clipped")
    assert 0.1 < sum(clipped) / len(clipped) < 0.9, "both cases are exercised"


QUIET = {
    "keep": 1,
    "midpoint": 0,
    "dither_on": 0,
    "leak": 0,
    "quartic": 0,
    "amplitude": 0,
    "valid": 1,
    "state": 0,
    "drive": 0,
    "accumulator": 0,
    "coupled": 0,
    "biased": 0,
    "noisy": 0,
    "shift": 0,
    "bias_shift": 0,
    "code": 0,
    "previous": 0,
    "dither": 0,
}


def one(config=TINY, **changes):
    return stream(config, (QUIET | changes, [QUIET | changes]))[0][0]


def test_every_shift():
    for index, shift in enumerate(TINY.expand_shifts):
        assert one(accumulator=1024 << 12, coupled=1, shift=index) == (1024 >> shift, False)
    for index, shift in enumerate(TINY.bias_shifts):
        assert one(drive=1024, biased=1, bias_shift=index) == (1024 << shift >> 12, False)


def test_half_rounds_up_and_everything_is_rounded_once():
    assert one(accumulator=2**11, coupled=1) == (1, False)
    assert one(accumulator=2**11 - 1, coupled=1) == (0, False)
    assert one(accumulator=-(2**11), coupled=1) == (0, False)
    assert one(accumulator=-(2**11) - 1, coupled=1) == (-1, False)
    # each term alone would round to nothing
    assert one(accumulator=2**10, coupled=1, drive=2**4, biased=1, bias_shift=0) == (1, False)


def test_dither_replaces_the_half():
    assert one(accumulator=1, coupled=1, dither_on=1, dither=2**12 - 1) == (1, False)
    assert one(accumulator=1, coupled=1, dither_on=1, dither=2**12 - 2) == (0, False)


def test_saturation_begins_beyond_the_last_state():
    assert one(state=HIGH) == (HIGH, False)
    assert one(state=LOW) == (LOW, False)
    assert one(state=HIGH, accumulator=2**11 - 1, coupled=1) == (HIGH, False)
    assert one(state=HIGH, accumulator=2**11, coupled=1) == (HIGH, True)
    assert one(state=LOW, accumulator=-(2**11), coupled=1) == (LOW, False)
    assert one(state=LOW, accumulator=-(2**11) - 1, coupled=1) == (LOW, True)


def test_cubic_term_never_reverses_a_state():
    """h is clamped at one, so the strongest quartic term takes a state to zero and no further."""
    for state in (HIGH, LOW, 8192, -8192):
        assert one(state=state, quartic=2**16 - 1)[0] == 0
    # z = 16384: (z^2 >> 15) * q >> 12 = 2q, so q = 1024 takes half of it
    assert one(state=16384, quartic=1024) == (8192, False)
    assert one(config=ICEBREAKER, state=16384, quartic=1024) == (16384, False), (
        "left out of the build"
    )


def test_midpoint_adds_the_previous_draw():
    for code in (-1, 0, 1):
        for previous in (-1, 0, 1):
            draw = {"amplitude": 5 << 12, "noisy": 1, "code": code, "previous": previous}
            assert one(midpoint=1, **draw) == (5 * (code + previous), False)
            assert one(midpoint=0, **draw) == (5 * code, False)


@pytest.mark.parametrize("config, stages", [(TINY, (3, 8)), (ICEBREAKER, (1, 6))])
def test_the_quartic_products_take_two_more_cycles(config, stages):
    timing = Timing.of(config)
    assert (timing.draw, timing.update) == stages
