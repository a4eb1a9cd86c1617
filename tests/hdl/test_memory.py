# SPDX-License-Identifier: Apache-2.0
from random import Random

import pytest
from amaranth.sim import Simulator

from helpers.vendor_bench import assert_equal
from ornstein.hdl.memory import FactorMemory, LaneMemory


@pytest.mark.parametrize("lanes, depth", [(8, 1024), (8, 768), (5, 200)])
def test_factor_memory_equals_plain_memory(tmp_path, lanes, depth):
    """Every lane is written somewhere first; then random reads, and writes with random lane masks
    in every second cycle at most. Low bits fill block RAMs lane by lane or, at other depths,
    together.
    """
    assert_equal(
        lambda: FactorMemory(lanes, 12, depth),
        tmp_path,
        warm=2 * depth,
        stimuli={
            "address": (
                f"warm ? cycle / 2 : (cycle % 2 || $urandom % 2) ? address : $urandom % {depth}"
            ),
            "write_data": "$urandom",
            "write_lanes": "cycle % 2 == 0 ? 0 : warm ? '1 : ($urandom % 2) ? 0 : $urandom",
        },
        compare="write_lanes == 0",
        outputs=["read_data"],
    )


@pytest.mark.parametrize("hop", [0, 1])
def test_a_hop_delays_writes_and_reads(hop):
    """A write reaches the cells ``hop`` cycles later; a word comes ``1 + 2 * hop`` cycles
    after its address.
    """
    dut = LaneMemory(2, 8, 16, hop)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def bench(ctx):
        ctx.set(dut.write_address, 5)
        ctx.set(dut.write_data, [0x21, 0x43])
        ctx.set(dut.write_lanes, 0b10)
        ctx.set(dut.read_address, 3)
        await ctx.tick()
        ctx.set(dut.write_lanes, 0)
        ctx.set(dut.read_address, 5)  # comes after the write, so the word is the new one
        for _ in range(1 + 2 * hop):
            assert list(ctx.get(dut.read_data)) == [0, 0]
            await ctx.tick()
        assert list(ctx.get(dut.read_data)) == [0, 0x43]

    sim.add_testbench(bench)
    sim.run()


def test_factors_without_gaps():
    """A write leaves the word's other lanes as they were, and stands when the address has
    gone on.
    """
    lanes, hop = 3, 1
    dut = FactorMemory(lanes, 12, 16, hop)
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    random = Random(5)
    expected = {word: [0] * lanes for word in range(16)}

    async def bench(ctx):
        for _ in range(200):
            word, mask, value = (
                random.randrange(16),
                random.randrange(1, 1 << lanes),
                random.randrange(1 << 12),
            )
            ctx.set(dut.address, word)
            await ctx.tick()
            ctx.set(dut.write_data, value)
            ctx.set(dut.write_lanes, mask)
            await ctx.tick()
            ctx.set(dut.write_lanes, 0)
            ctx.set(dut.address, random.randrange(16))
            await ctx.tick()
            for lane in range(lanes):
                if mask >> lane & 1:
                    expected[word][lane] = value
            ctx.set(dut.address, word)
            for _ in range(1 + 2 * hop):
                await ctx.tick()
            assert list(ctx.get(dut.read_data)) == expected[word]

    sim.add_testbench(bench)
    sim.run()
