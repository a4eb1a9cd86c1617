# SPDX-License-Identifier: Apache-2.0
"""The registers that carry micro-operations along the pipeline."""

from amaranth.hdl import Module, Signal

from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.micro import MicroPipe, micro_layout

FIRST, LAST = -2, 3


def test_every_stage_is_the_one_before_a_cycle_later():
    m, rng = Module(), seeded(1)
    valid, micro = Signal(), Signal(micro_layout(TINY))
    pipe = MicroPipe(m, FIRST, valid, micro, LAST)
    sent = [(rng.getrandbits(1), rng.getrandbits(5)) for _ in range(40)]

    async def bench(ctx):
        for now, (flag, dest) in enumerate(sent):
            ctx.set(valid, flag)
            ctx.set(micro.dest, dest)
            for time in range(FIRST, min(LAST, FIRST + now) + 1):
                stage = pipe[time]
                found = ctx.get(stage.valid), ctx.get(stage.micro.dest)
                assert found == sent[now - (time - FIRST)]
            await ctx.tick()

    simulate(m, bench)
