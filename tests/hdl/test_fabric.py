# SPDX-License-Identifier: Apache-2.0
"""The whole fabric in the interpreted simulator: one small job, near and far.

Verilated fabrics run far more (tests/host/devices/test_equality.py), but only this simulator checks
the assertions of :class:`ornstein.hdl.hops.Far`.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.fabric_bench import access
from helpers.link_bench import simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.fabric import Fabric
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.regmap import Control, Event, Space, StartRegister
from ornstein.hdl.schedule import place_waits
from ornstein.hdl.spaces import spaces
from ornstein.sim.model import FabricModel

WORDS = 4
FABRICS = {
    "near": TINY,
    "far": replace(TINY, name="far", unit_lanes=2),
    "fine noise": replace(TINY, name="fine", fine_noise=True),
    "window": replace(TINY, name="window", unit_lanes=4, mix_window=True),
}
PASSES = [
    Pass(Operation.PROJECT, shift=1, outer=1, inner=WORDS),
    Pass(Operation.EXPAND, coupled=1, biased=1, outer=WORDS, inner=1, factor=WORDS),
]
WINDOW_PASSES = [
    Pass(Operation.PROJECT, shift=1, outer=4, inner=WORDS, stride=1),
    Pass(Operation.MIX, shift=1, outer=5, inner=1, dest=8),
    Pass(Operation.MIX, shift=1, outer=2, inner=2, stride=2, dest=13),
    Pass(Operation.EXPAND, coupled=1, outer=2, inner=2, source=9, stride=1),
    Pass(Operation.EXPAND, coupled=1, outer=2, inner=2, source=10, stride=3, dest=2, factor=3),
]
"""Four words that lie in turn are mixed in five cycles, then the first two and the last two."""


def elements(config, space, values):
    """The elements of a memory's first words, as the bus carries them."""
    mask = (1 << spaces(config)[space].bits) - 1
    return [int(value) & mask for value in np.ravel(values)]


@pytest.mark.parametrize("config", FABRICS.values(), ids=FABRICS)
def test_a_job_leaves_what_the_model_leaves(config):
    rng = np.random.default_rng(1)
    model = FabricModel(config)
    model.factor[: 2 * WORDS] = rng.integers(-1 << 11, 1 << 11, (2 * WORDS, config.lanes))
    for memory in (model.state, model.drive):
        memory[:WORDS] = rng.integers(-1 << 14, 1 << 14, (WORDS, config.unit_lanes))
    passes = WINDOW_PASSES if config.mix_window else PASSES
    level = Level(keep=1, accumulate=1, clear=1, thin=1, first=1, passes=len(passes), steps=2)
    fine = int(config.fine_noise)
    level = replace(level, leak=40, amplitude=1 << 18 - 4 * fine, midpoint=1, fine=fine)
    words = [level.pack(), *(step.pack() for step in place_waits(config, passes))]
    model.descriptors[: len(words)] = words
    written = {
        Space.FACTOR: model.factor[: 2 * WORDS].copy(),
        Space.STATE: model.state[:WORDS].copy(),
        Space.DRIVE: model.drive[:WORDS].copy(),
        Space.DESCRIPTOR: [low | high << 16 for word in words for low, high in _pairs(word)],
    }
    seeds = rng.integers(1, 1 << 63, (1, config.unit_lanes), dtype=np.uint64)
    job = model.run(0, 1, seeds=seeds)
    left = {
        Space.STATE: model.state[:WORDS],
        Space.RANK: model.rank[:15] if config.mix_window else model.rank[:1],
        Space.NOISE: model.codes[:WORDS],
        Space.SUM: job.sums[0][:WORDS],
        Space.SQUARE: job.squares[0][:WORDS],
        Space.SAMPLE: job.samples[0],
    }
    dut = Fabric(config)

    async def bench(ctx):
        for space, values in written.items():
            for address, value in enumerate(elements(config, space, values)):
                await access(ctx, dut.bus, space, address, value)
        for unit, seed in enumerate(seeds[0]):
            for half in range(2):
                value = int(seed) >> 32 * half & 0xFFFFFFFF
                await access(ctx, dut.bus, Space.SEED, 2 * unit + half, value)
        start = StartRegister.const({"levels": 1, "reseed": 1, "tag": 1})
        await access(ctx, dut.bus, Space.CONTROL, Control.START, start.as_bits())
        await ctx.tick().until(~dut.events.idle)  # far away a few cycles after the access ends
        await ctx.tick().until(dut.events.idle)
        for space, values in left.items():
            for address, value in enumerate(elements(config, space, values)):
                found = await access(ctx, dut.bus, space, address)
                found &= (1 << spaces(config)[space].bits) - 1
                assert found == value, (space, address)
        issued = await access(ctx, dut.bus, Space.CONTROL, Control.ISSUED)
        assert issued == model.counters["issued"]
        events = ctx.get(dut.events.as_value())
        assert events & Event.IDLE and events & Event.ROOM

    simulate(dut, bench, deadline=20_000)


def _pairs(words):
    return zip(words[0::2], words[1::2], strict=True)
