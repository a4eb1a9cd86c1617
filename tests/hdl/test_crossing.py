# SPDX-License-Identifier: Apache-2.0
import random

import pytest
from amaranth.sim import Simulator

from ornstein.hdl.link.crossing import Crossing


@pytest.mark.parametrize("i_period, o_period", [(1, 1), (1, 4.1), (3.7, 1)])
def test_every_element_crosses_once_and_in_order(i_period, o_period):
    """Clocks of any ratio, a sender and a receiver that pause at random; about three cycles of each
    an element.
    """
    rng = random.Random(5)
    sent = [rng.randrange(256) for _ in range(200)]
    arrived = []
    dut = Crossing(8, i_domain="fast", o_domain="slow")
    simulator = Simulator(dut)
    simulator.add_clock(i_period * 1e-6, domain="fast")
    simulator.add_clock(o_period * 1e-6, domain="slow", phase=0.3e-6)

    async def send(ctx):
        for element in sent:
            if rng.random() < 0.2:
                await ctx.tick("fast").repeat(rng.randrange(1, 9))
            ctx.set(dut.i.payload, element)
            ctx.set(dut.i.valid, 1)
            await ctx.tick("fast").until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            ctx.set(dut.i.payload, rng.randrange(256))

    async def receive(ctx):
        while len(arrived) < len(sent):
            if rng.random() < 0.2:
                await ctx.tick("slow").repeat(rng.randrange(1, 9))
            ctx.set(dut.o.ready, 1)
            (element,) = await ctx.tick("slow").sample(dut.o.payload).until(dut.o.valid)
            arrived.append(element)
            ctx.set(dut.o.ready, 0)

    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=False)
    simulator.run_until(len(sent) * 10 * (i_period + o_period) * 1e-6)
    assert arrived == sent
