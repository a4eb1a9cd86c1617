# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.engine.noise.NoiseSource` against its integer model."""

import itertools
import math
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ornstein.hdl.config import SEED_WIDTH
from ornstein.hdl.engine.noise import VARIANCE, advance, code, dither
from ornstein.sim.cosim.results import Figure, record

PERIOD = 20  # ns
DRAWS = 5000
MOMENT_DRAWS = 20_000
MOST_DEVIATION = 5.0
"""Standard errors that a moment may be off; three of them are by chance in one run of 500,000."""


async def started(dut):
    """The source after reset."""
    dut.seed.value = 0
    dut.load.value = 0
    dut.advance.value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test(timeout_time=20 * DRAWS * PERIOD, timeout_unit="ns")
async def draws_equal_the_model(dut):
    await started(dut)
    state = 1
    for seed in (0, 1, (1 << SEED_WIDTH) - 1, random.getrandbits(SEED_WIDTH), None):
        if seed is not None:
            dut.seed.value = seed
            dut.load.value = 1
            await RisingEdge(dut.clk)
            dut.load.value = 0
            before, state = state, seed or 1
        for _ in range(DRAWS // 5):
            moves = random.random() < 0.8
            dut.advance.value = moves
            await ReadOnly()
            assert dut.state.value.to_unsigned() == state
            assert dut.code.value.to_signed() == code(before)
            assert dut.dither.value.to_unsigned() == dither(state)
            await RisingEdge(dut.clk)
            before, state = state, advance(state) if moves else state
        dut.advance.value = 0


@cocotb.test(timeout_time=2 * MOMENT_DRAWS * PERIOD, timeout_unit="ns")
async def moments_are_those_of_the_variable(dut):
    """Mean, variance and the correlation of neighbouring draws. A draw is +1 or -1 with half of the
    probability ``VARIANCE`` each, so that its square has the variance VARIANCE (1 - VARIANCE).
    """
    await started(dut)
    dut.seed.value = random.getrandbits(SEED_WIDTH) | 1
    dut.load.value = 1
    await RisingEdge(dut.clk)
    dut.load.value, dut.advance.value = 0, 1
    draws = []
    for _ in range(MOMENT_DRAWS + 2):
        await RisingEdge(dut.clk)
        draws.append(dut.code.value.to_signed())
    draws = draws[2:]  # those of the seed
    count = len(draws)
    figures = [
        Figure(
            name="mean of the draws",
            measured=sum(draws) / count,
            expected=0.0,
            error=math.sqrt(VARIANCE / count),
        ),
        Figure(
            name="variance of the draws",
            measured=sum(draw**2 for draw in draws) / count,
            expected=VARIANCE,
            error=math.sqrt(VARIANCE * (1 - VARIANCE) / count),
        ),
        Figure(
            name="covariance of neighbouring draws",
            measured=sum(a * b for a, b in itertools.pairwise(draws)) / (count - 1),
            expected=0.0,
            error=VARIANCE / math.sqrt(count - 1),
        ),
    ]
    for figure in figures:
        record(figure)
    for figure in figures:
        assert abs(figure.deviation) < MOST_DEVIATION, figure
