# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.engine.lanes.Lanes`: sums in plain integers, and the
cycles in which they appear.

``FABRIC`` in the environment names the fabric that was built.
"""

import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from ornstein.hdl.config import MIX_WINDOW
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import micro_layout
from ornstein.hdl.timing import Timing
from ornstein.sim.cosim.programs import fabric

CONFIG = fabric(os.environ["FABRIC"])
WINDOW = MIX_WINDOW if CONFIG.mix_window else 1
RANKS, UNITS = CONFIG.rank_lanes, CONFIG.unit_lanes
MICRO = micro_layout(CONFIG)
TIMING = Timing.of(CONFIG)
ARRIVAL = TIMING.read
RANK_TIME, UNIT_TIME = TIMING.rank - ARRIVAL, TIMING.unit - ARRIVAL  # after the memories' data
PERIOD = 20  # ns
LOOPS = 600
LONGEST = 8


def packed(values, width):
    """Equal lanes as one number, lane 0 lowest."""
    return sum((value & (1 << width) - 1) << width * lane for lane, value in enumerate(values))


def unpacked(value, width, count):
    """Inverse of :func:`packed`, signed."""
    half = 1 << width - 1
    return [((value >> width * lane) + half) % (2 * half) - half for lane in range(count)]


def micro(**fields):
    return sum(int(value) << MICRO[name].offset for name, value in fields.items())


def numbers(width, count, small):
    """Signed numbers, extremes and small ones among them."""
    high = (1 << width - 1) - 1
    if small:
        return [random.randint(-3, 3) for _ in range(count)]
    return [random.choice([high, -high - 1, random.randint(-high - 1, high)]) for _ in range(count)]


def wrap(value):
    half = 1 << CONFIG.accumulator_width - 1
    return (value + half) % (2 * half) - half


def inner_loop(operation: Operation, dest: int) -> tuple[list[tuple], tuple]:
    """(inputs of each cycle, result): operands of one inner loop, and (dest, numbers[, clipped])
    that it gives.
    """
    length, small = random.randint(1, LONGEST), random.random() < 0.5
    words = [[0] * RANKS for _ in range(WINDOW)]  # of this cycle and those before, the latest first
    shift = random.randrange(len(CONFIG.project_shifts))
    rank_sums, unit_sums, cycles = [0] * RANKS, [0] * UNITS, []
    for n in range(length):
        factor = numbers(CONFIG.factor_width, RANKS * UNITS, small)
        vector, rank = numbers(16, UNITS, False), numbers(16, RANKS, False)
        words = [rank, *words[:-1]]
        for r in range(RANKS):
            for u in range(UNITS):
                product = factor[u * RANKS + r]
                if operation == Operation.PROJECT:
                    rank_sums[r] += product * vector[u]
                elif operation == Operation.MIX and u < WINDOW:
                    rank_sums[r] += product * words[u][r]
                elif operation == Operation.EXPAND:
                    unit_sums[u] += product * rank[r]
        cycles.append(
            (
                micro(
                    operation=operation,
                    project=operation == Operation.PROJECT,
                    first=n == 0,
                    last=n == length - 1,
                    shift=shift,
                    dest=dest,
                    **({"begins": n == 0} if CONFIG.mix_window else {}),
                ),
                packed(factor, CONFIG.factor_width),
                packed(vector, 16),
                packed(rank, 16),
            )
        )
    if operation == Operation.EXPAND:
        return cycles, (dest, [wrap(total) for total in unit_sums])
    scale = CONFIG.project_shifts[shift]
    shifted = [wrap(total + (1 << scale - 1)) >> scale for total in rank_sums]
    clipped = [min(max(total, -1 << 15), (1 << 15) - 1) for total in shifted]
    return cycles, (dest, clipped, clipped != shifted)


@cocotb.test(timeout_time=6 * LOOPS * LONGEST * PERIOD, timeout_unit="ns")
async def inner_loops_of_all_operations(dut):
    dut.valid.value, dut.micro.value, dut.factor.value, dut.vector.value, dut.rank.value = (
        0,
        0,
        0,
        0,
        0,
    )
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, "ns").start()
    for _ in range(3):
        await RisingEdge(dut.clk)
    dut.rst.value = 0

    now, saturated = 0, 0
    late = TIMING.spread
    factors = [0] * (late + 1)  # of this cycle and the last ones
    rank_results, unit_results = {}, {}  # by the cycle in which they must appear

    def dest_of(micro_value):
        field = MICRO["dest"]
        return micro_value.to_unsigned() >> field.offset & (1 << field.width) - 1

    async def cycle():
        nonlocal now
        await ReadOnly()
        assert dut.rank_valid.value == (now in rank_results), now
        assert dut.unit_valid.value == (now in unit_results), now
        assert dut.unit_soon.value == (now + ARRIVAL in unit_results), now
        if now in rank_results:
            found = unpacked(dut.rank_next.value.to_unsigned(), 16, RANKS)
            assert (
                dest_of(dut.rank_micro.value),
                found,
                dut.rank_saturated.value,
            ) == rank_results.pop(now)
        if now in unit_results:
            found = unpacked(dut.unit_sums.value.to_unsigned(), CONFIG.accumulator_width, UNITS)
            assert (dest_of(dut.unit_micro.value), found) == unit_results.pop(now)
        if now + ARRIVAL in unit_results:
            assert dest_of(dut.unit_soon_micro.value) == unit_results[now + ARRIVAL][0]
        await RisingEdge(dut.clk)
        factors[1:] = factors[:late]
        dut.factor.value = factors[late]
        now += 1

    for _ in range(LOOPS):
        operation = random.choice(list(Operation))
        inputs, result = inner_loop(operation, random.randrange(1 << MICRO["dest"].width))
        for last, values in zip([False] * (len(inputs) - 1) + [True], inputs, strict=True):
            while random.random() < 0.1:
                dut.valid.value = 0
                await cycle()
            dut.valid.value = 1
            dut.micro.value, factors[0], dut.vector.value, dut.rank.value = values
            dut.factor.value = factors[late]
            if last and operation == Operation.EXPAND:
                unit_results[now + UNIT_TIME] = result
            elif last and operation != Operation.ACTIVATE:
                rank_results[now + RANK_TIME] = result
                saturated += result[2]
            await cycle()
        if operation == Operation.ACTIVATE:
            dut.valid.value = 0
            for _ in range(TIMING.lookup - 1):
                await cycle()
    dut.valid.value = 0
    for _ in range(max(RANK_TIME, UNIT_TIME) + 2):
        await cycle()
    assert not rank_results and not unit_results
    assert 0 < saturated < LOOPS // 2
