# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.engine.noise.NoiseSource` against its integer model."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ornstein.hdl.config import SEED_WIDTH
from ornstein.hdl.engine.noise import advance, code, dither

PERIOD = 20  # ns
DRAWS = 5000


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
