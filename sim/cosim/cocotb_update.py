# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.engine.update.Update`: passes of the integer model, unit by
unit.

``FABRIC`` in the environment names the preset that was built; it has one unit lane.
"""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ornstein.hdl.config import preset
from ornstein.hdl.engine.noise import advance, code, dither
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.timing import Timing
from ornstein.sim.model import FabricModel

CONFIG = preset(os.environ["FABRIC"])
PERIOD = 20  # ns
PASSES = 60
UNITS = 50
DRAW_STAGE, LATENCY = Timing.of(CONFIG).draw, Timing.of(CONFIG).update


def random_expand():
    """(model, level, pass): memories, and an EXPAND over the first words of state and drive."""
    rng = np.random.default_rng(random.getrandbits(32))
    model = FabricModel(CONFIG)
    factors = rng.choice([1, 16, 1 << CONFIG.factor_width - 1])
    model.factor[:] = rng.integers(-factors, factors, model.factor.shape)
    for memory in (model.state, model.drive, model.rank):
        memory[:] = rng.integers(-1 << 15, 1 << 15, memory.shape)
    model.codes[:] = rng.integers(-1, 2, model.codes.shape)
    level = Level(
        keep=random.getrandbits(1),
        midpoint=random.getrandbits(1),
        dither=random.getrandbits(1),
        passes=1,
        first=1,
        steps=1,
        leak=random.randrange(1 << CONFIG.leak_bits),
        amplitude=random.randrange(1 << random.randint(1, 28)),
        quartic=random.randrange(1 << random.randint(1, 16)),
    )
    step = Pass(
        operation=Operation.EXPAND,
        coupled=random.getrandbits(1),
        biased=random.getrandbits(1),
        to_drive=random.getrandbits(1),
        shift=random.randrange(len(CONFIG.expand_shifts)),
        bias_shift=random.randrange(len(CONFIG.bias_shifts)),
        outer=UNITS,
        inner=random.randint(1, 4),
        bias=UNITS,
    )
    model.descriptors[:2] = [level.pack(), step.pack()]
    return model, level, step


@cocotb.test(timeout_time=4 * PASSES * UNITS * PERIOD, timeout_unit="ns")
async def passes_equal_the_model(dut):
    for signal in (
        dut.valid,
        dut.state,
        dut.drive,
        dut.accumulator,
        dut.code,
        dut.previous,
        dut.dither,
        dut.coupled,
        dut.biased,
        dut.noisy,
        dut.shift,
        dut.bias_shift,
    ):
        signal.value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    clipped = 0
    for _ in range(PASSES):
        model, level, step = random_expand()
        state, drive, codes = (
            model.state[:, 0].tolist(),
            model.drive[:, 0].tolist(),
            model.codes[:, 0].tolist(),
        )
        sums = [
            int(
                np.sum(
                    model.factor[o * step.inner : (o + 1) * step.inner].astype(np.int64)
                    * model.rank[: step.inner]
                )
            )
            for o in range(UNITS)
        ]
        seeds = [random.getrandbits(63) | 1]
        model.run(0, 1, seeds=np.array([seeds], np.uint64))
        while len(seeds) < UNITS:
            seeds.append(seeds[-1] if step.to_drive else advance(seeds[-1]))
        expected = (model.drive if step.to_drive else model.state)[:UNITS, 0].tolist()
        before = clipped

        for name in ("keep", "midpoint", "leak", "quartic", "amplitude"):
            getattr(dut, name).value = getattr(level, name)
        dut.dither_on.value = level.dither
        for name in ("coupled", "biased", "shift", "bias_shift"):
            getattr(dut, name).value = getattr(step, name)
        dut.noisy.value = not step.to_drive
        await RisingEdge(dut.clk)  # a level is there before its first unit
        for cycle in range(UNITS + LATENCY + 1):
            dut.valid.value = cycle < UNITS
            if cycle < UNITS:
                dut.state.value, dut.drive.value = state[cycle], drive[UNITS + cycle]
                dut.accumulator.value = sums[cycle]
            drawn = cycle - DRAW_STAGE
            draws = 0 <= drawn < UNITS
            if draws:
                dut.dither.value = dither(seeds[drawn])
            if 0 <= drawn - 1 < UNITS:
                dut.code.value, dut.previous.value = code(seeds[drawn - 1]), codes[drawn - 1]
            await ReadOnly()
            assert dut.draw.value == (draws and not step.to_drive)
            if 0 <= cycle - LATENCY < UNITS:
                assert dut.next.value.to_signed() == expected[cycle - LATENCY], (
                    level,
                    step,
                    cycle - LATENCY,
                )
                clipped += int(dut.saturated.value)
            await RisingEdge(dut.clk)
        assert clipped - before == model.counters["state_saturations"]
    assert 0 < clipped < PASSES * UNITS
