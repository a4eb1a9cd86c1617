# SPDX-License-Identifier: Apache-2.0
"""Jobs: one runs, one may wait."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.regmap import StartRegister, StatusRegister


class Jobs(wiring.Component):
    """Accepts a job, and starts it once none runs.

    Members
    -------
    offer : StartRegister, in; constant for a cycle before ``offered``
    offered : in; it is a job to accept, unless its tag is that of the last one
    known : out; its tag is that of the last one; one cycle after ``offer``
    running : in; a job runs
    finished : in; one cycle when a job ends
    start : out; one cycle when a job begins
    job : StartRegister, out; the job that begins
    bank : out; its bank, while it runs
    idle : out; no job runs or waits
    abort : in; drop the job that waits, and end the one that runs
    aborting : out; the running job is to end early
    status : StatusRegister, out; ``session`` is left at zero
    """

    offer: In(StartRegister)
    offered: In(1)
    known: Out(1)
    running: In(1)
    finished: In(1)
    start: Out(1)
    job: Out(StartRegister)
    bank: Out(1)
    idle: Out(1)
    abort: In(1)
    aborting: Out(1)
    status: Out(StatusRegister)

    def elaborate(self, platform):
        m = Module()
        pending = Signal()
        tag, done = Signal.like(self.status.tag), Signal.like(self.status.done)
        m.d.comb += [
            self.idle.eq(~self.running & ~pending),
            self.start.eq(pending & ~self.running),
            self.status.running.eq(self.running),
            self.status.pending.eq(pending),
            self.status.done.eq(done),
            self.status.tag.eq(tag),
        ]
        m.d.sync += self.known.eq(self.offer.tag == tag)
        with m.If(self.start):
            m.d.sync += [pending.eq(0), self.bank.eq(self.job.bank)]
        with m.If(self.finished):
            m.d.sync += done.eq(done + 1)
        with m.If(self.offered & ~self.known):
            m.d.sync += [self.job.eq(self.offer), pending.eq(1), tag.eq(self.offer.tag)]
        with m.If(self.abort):
            m.d.sync += [pending.eq(0), self.aborting.eq(self.running | self.start)]
        with m.Elif(self.finished):
            m.d.sync += self.aborting.eq(0)
        return m
