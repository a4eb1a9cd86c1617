# SPDX-License-Identifier: Apache-2.0
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from helpers.link_bench import seeded, simulate
from ornstein.hdl.link.states import States


class Walk(wiring.Component):
    """Three states: on along the row with ``on``, else back to the first."""

    on: In(1)
    place: Out(range(3))
    wrong: Out(1)

    def elaborate(self, platform):
        m = Module()
        states = States(m, "A", "B", "C")
        for place, name in enumerate("ABC"):
            with states(name):
                m.d.comb += self.place.eq(place)
                with m.If(self.on):
                    states.go("BCA"[place])
                with m.Elif(~states["A"]):
                    states.go("A")
        m.d.comb += self.wrong.eq(sum(states[name] for name in "ABC") != 1)
        return m


def test_walk():
    rng = seeded(1)
    dut = Walk()

    async def bench(ctx):
        place = 0
        for _ in range(200):
            assert ctx.get(dut.place) == place
            assert not ctx.get(dut.wrong)
            on = rng.random() < 0.7
            ctx.set(dut.on, on)
            await ctx.tick()
            place = (place + 1) % 3 if on else 0

    simulate(dut, bench)
