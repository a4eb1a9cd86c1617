# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from amaranth.hdl import Module, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from helpers.vendor_bench import assert_equal
from ornstein.hdl.engine.sums import both_ways

WIDTH = 5
SEED = 1


class Sums(wiring.Component):
    """The sums of a grid of products as a component of its own."""

    def __init__(self, units, ranks):
        self.units, self.ranks = units, ranks
        super().__init__(
            {
                "products": In(WIDTH * units * ranks),
                "across_units": In(1),
                "counted": In(units),
                "of_ranks": Out((WIDTH + units.bit_length() - 1) * ranks),
                "of_units": Out((WIDTH + ranks.bit_length() - 1) * units),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = data.View(data.ArrayLayout(signed(WIDTH), self.units * self.ranks), self.products)
        totals = both_ways(
            m, list(lanes), self.ranks, self.across_units, list(self.counted), platform
        )
        for port, sums in zip((self.of_ranks, self.of_units), totals, strict=True):
            width = len(port) // len(sums)
            assert all(len(total) == width for total in sums)
            m.d.comb += [
                port[width * place : width * (place + 1)].eq(total)
                for place, total in enumerate(sums)
            ]
        return m


@pytest.mark.parametrize("units, ranks", [(1, 8), (2, 2), (2, 8), (4, 4), (8, 16), (8, 2), (4, 1)])
def test_sums_both_ways(units, ranks):
    """A new grid of random and extreme products every cycle, summed now across units and now across
    ranks, and some of the sums of units not counted."""
    component = Sums(units, ranks)
    half = 1 << WIDTH - 1
    rng = np.random.default_rng(SEED)
    grids = rng.integers(-half, half, (200, units, ranks))
    grids[:4] = [[[-half]], [[-half]], [[half - 1]], [[half - 1]]]
    across = rng.integers(0, 2, len(grids))
    across[:4] = [0, 1, 0, 1]
    counted = rng.integers(0, 2, (len(grids) + 10, units))
    unit_delay, rank_delay = (count.bit_length() - 1 for count in (units, ranks))

    def unpacked(value, count, width):
        return [(value >> width * place & (1 << width) - 1) for place in range(count)]

    async def bench(ctx):
        for cycle in range(len(grids) + 1 + max(unit_delay, rank_delay)):
            ctx.set(component.counted, int(counted[cycle] @ (1 << np.arange(units))))
            if cycle < len(grids):
                ctx.set(component.across_units, int(across[cycle]))
            if 0 < cycle <= len(grids):
                lanes = grids[cycle - 1].ravel()
                ctx.set(
                    component.products,
                    sum(
                        (int(lane) % (2 * half)) << WIDTH * place
                        for place, lane in enumerate(lanes)
                    ),
                )
            for port, delay, axis, meant in (
                (component.of_ranks, unit_delay, 0, 1),
                (component.of_units, rank_delay, 1, 0),
            ):
                number = cycle - 1 - delay
                if 0 <= number < len(grids) and (across[number] == meant or min(units, ranks) == 1):
                    expected = grids[number].sum(axis=axis)
                    if not meant:
                        expected *= counted[cycle - (ranks > 1)]
                    width = len(port) // len(expected)
                    assert unpacked(ctx.get(port), len(expected), width) == list(
                        expected % (1 << width)
                    ), number
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run_until(1e-6 * 2 * len(grids))


def test_carry_cells_equal_plain_additions(tmp_path):
    """An ECP5's carry cells that add one of two."""
    assert_equal(
        lambda: Sums(2, 4),
        tmp_path,
        warm=4,
        stimuli={
            "products": "{$urandom, $urandom}",
            "across_units": "$urandom % 2 != 0",
            "counted": "$urandom",
        },
        compare="1",
        outputs=["of_ranks", "of_units"],
        device="LFE5U-85F",
    )
