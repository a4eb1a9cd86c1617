# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Chip distance: near, nothing takes time but a choice; far, every hop takes a cycle."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import TINY, ULX3S
from ornstein.hdl.hops import Far, Near, hops
from ornstein.hdl.timing import Timing

LANES = 8
POLICIES = pytest.mark.parametrize("hop", [0, 1], ids=["near", "far"])


def test_only_several_unit_lanes_are_far():
    assert isinstance(hops(Timing.of(TINY).hop, Module()), Near)
    assert isinstance(hops(Timing.of(ULX3S).hop, Module()), Far)


@POLICIES
def test_latencies(hop):
    """Of a relayed value, a choice that is two hops away, and a registered one that is one away."""
    m, rng = Module(), seeded(1)
    distance = hops(hop, m)
    index = Signal(range(LANES))
    values = [Signal(4, name=f"value_{lane}", init=rng.getrandbits(4)) for lane in range(LANES)]
    relayed, chosen, picked = Signal(3), Signal(4), Signal(4)
    m.d.comb += [
        relayed.eq(distance.relay(index, "relayed")),
        chosen.eq(distance.choose(index, values, "chosen")),
        picked.eq(distance.pick(index, values, "picked")),
    ]
    sent = [rng.randrange(LANES) for _ in range(50)]

    async def bench(ctx):
        for now, lane in enumerate(sent):
            ctx.set(index, lane)
            words = [ctx.get(value) for value in values]
            if now >= 3:
                assert ctx.get(relayed) == sent[now - hop]
                # the values never change; the index comes a hop before them
                assert ctx.get(chosen) == words[sent[now - 3 * hop]]
                assert ctx.get(picked) == words[sent[now - 1 - hop]]
            await ctx.tick()

    simulate(m, bench)


@POLICIES
def test_early_takes_no_time(hop):
    m, rng = Module(), seeded(2)
    soon, now, found = Signal(), Signal(), Signal()
    m.d.sync += now.eq(soon)
    m.d.comb += found.eq(hops(hop, m).early(now, soon, "kept"))

    async def bench(ctx):
        for _ in range(50):
            ctx.set(soon, rng.getrandbits(1))
            assert ctx.get(found) == ctx.get(now)
            await ctx.tick()

    simulate(m, bench)


def misled(platform=None, valid=None):
    """A far user that is told something else a cycle ahead than what comes."""
    m = Module()
    soon, now = Signal(), Signal()
    m.d.sync += now.eq(~soon)
    found = Far(m, platform).early(now, soon, "misled", valid)

    m.d.comb += Signal().eq(found)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.run_until(5e-6)


def test_a_wrong_announcement_is_noticed_in_simulation():
    with pytest.raises(AssertionError, match="misled differs from what it anticipates"):
        misled()


def test_it_may_be_wrong_where_it_is_not_meant():
    misled(valid=Signal())


def test_gateware_for_a_chip_has_no_assertions():
    misled(platform=object())
