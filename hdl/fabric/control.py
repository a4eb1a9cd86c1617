# SPDX-License-Identifier: Apache-2.0
"""The control space: jobs, counters, and the registers between them and the bus."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.arithmetic import select
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric.bank import AccessSignature, BusView
from ornstein.hdl.fabric.jobs import Jobs
from ornstein.hdl.fabric.scrubber import ScrubSignature
from ornstein.hdl.hops import hops
from ornstein.hdl.regmap import (
    COUNTERS,
    ELEMENT_BITS,
    EVENTS,
    SCRUBBED,
    Control,
    ScrubRegister,
    Space,
    StartRegister,
    StatusRegister,
    checksum_register,
    registers,
    words_register,
)
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing


class ControlRegisters(wiring.Component):
    """The registers of :class:`ornstein.hdl.regmap.Control`.

    Members
    -------
    access : AccessSignature, in
    word : unsigned(32), out; the register that the bus reads, zero if it reads another space
    start_refused : out; a write of the present word to START would be one job too many
    running, finished, start, job, bank, idle, aborting : as in
        :class:`ornstein.hdl.fabric.jobs.Jobs`; with a scrubber, a job also runs while the memories
        are verified behind it, which CYCLES does not count
    bank_offset : out; register BANK_OFFSET
    counted : one bit for each of :data:`ornstein.hdl.regmap.COUNTERS` but CYCLES, in; counts in
        this cycle
    samples : unsigned(32), in; register SAMPLES
    taken : unsigned(32), out; register TAKEN
    half_full : in; the sample ring is at least half full
    events : EVENTS, out
    scrub : ScrubSignature, out; only of fabrics with a scrubber
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        scrub = {"scrub": Out(ScrubSignature())} if config.scrub else {}
        super().__init__(
            scrub
            | {
                "access": In(AccessSignature(config)),
                "word": Out(ELEMENT_BITS),
                "start_refused": Out(1),
                "running": In(1),
                "finished": In(1),
                "start": Out(1),
                "job": Out(StartRegister),
                "bank": Out(1),
                "idle": Out(1),
                "aborting": Out(1),
                "bank_offset": Out(range(config.drive_depth)),
                "counted": In(len(COUNTERS) - 1),
                "samples": In(ELEMENT_BITS),
                "taken": Out(ELEMENT_BITS),
                "half_full": In(1),
                "events": Out(EVENTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        distance = hops(Timing.of(self._config).hop, m, platform)
        info = spaces(self._config)[Space.CONTROL]
        view = BusView(m, distance, self.access, info, "control")
        address = self.access.address[: info.address_bits]

        def written(register: Control):
            """The bus writes that register in this cycle."""
            named = Signal(name=f"to_{register.name.lower()}")
            m.d.sync += named.eq(self.access.selected & (address == register))
            return named, view.written[0] & named

        m.submodules.jobs = jobs = Jobs()
        to_start, start_written = written(Control.START)
        m.d.comb += [
            jobs.offer.eq(view.wdata),
            jobs.offered.eq(start_written),
            jobs.running.eq(self.running),
            jobs.finished.eq(self.finished),
            self.start_refused.eq(to_start & ~jobs.known & jobs.status.pending),
            self.start.eq(jobs.start),
            self.job.eq(jobs.job),
            self.bank.eq(jobs.bank),
            self.idle.eq(jobs.idle),
            self.aborting.eq(jobs.aborting),
            jobs.abort.eq(written(Control.ABORT)[1]),
            self.events.idle.eq(jobs.idle),
            self.events.room.eq(~jobs.status.pending),
            self.events.samples.eq(self.half_full),
        ]

        counters = {
            register: Signal(ELEMENT_BITS, name=register.name.lower()) for register in COUNTERS
        }
        clear = Signal()
        m.d.sync += clear.eq(written(Control.CLEAR)[1])
        for position, (register, counter) in enumerate(counters.items()):
            counts = self._job_runs()
            if register != Control.CYCLES:
                counts = Signal(name=f"counts_{register.name.lower()}")
                m.d.sync += counts.eq(self.counted[position - 1])
            m.d.sync += counter.eq(counter + counts)
        with m.If(clear):
            m.d.sync += [counter.eq(0) for counter in counters.values()]

        with m.If(written(Control.BANK_OFFSET)[1]):
            m.d.sync += self.bank_offset.eq(view.wdata)
        status = Signal(StatusRegister)
        session = Signal.like(status.session)
        m.d.comb += [status.eq(jobs.status), status.session.eq(session)]
        with m.If(written(Control.STATUS)[1]):
            m.d.sync += session.eq(StatusRegister(view.wdata).session)
        if self._config.sample_depth:
            with m.If(written(Control.TAKEN)[1]):
                m.d.sync += self.taken.eq(view.wdata)

        values = counters | {
            Control.STATUS: status.as_value(),
            Control.BANK_OFFSET: self.bank_offset,
            Control.SAMPLES: self.samples,
            Control.TAKEN: self.taken,
        }
        if self._config.scrub:
            values |= self._scrub_registers(m, written, view)
        # A pair that is not read is zero, which takes a register's reset and no logic for its bits.
        ordered = [values.get(register, 0) for register in registers(self._config)]
        pairs = []
        for first in range(0, len(ordered), 2):
            pair = Signal(ELEMENT_BITS, name=f"registers_{first}", reset_less=True)
            read = self.access.selected & (address[1:] == first // 2)
            m.d.sync += pair.eq(Mux(read, select(address[:1], ordered[first : first + 2]), 0))
            pairs.append(pair)
        m.d.sync += self.word.eq(reduce(or_, pairs))
        return m

    def _job_runs(self):
        """What CYCLES counts: not the cycles in which a scrubber keeps a job from ending."""
        return self.running & ~self.scrub.checking if self._config.scrub else self.running

    def _scrub_registers(self, m: Module, written, view: BusView) -> dict[Control, Value]:
        """The registers that the scrubber uses. Returns what the bus reads of them."""
        scrub = self.scrub
        register = Signal(ScrubRegister)
        m.d.comb += [
            register.memories.eq(scrub.memories),
            register.mismatch.eq(scrub.mismatch),
            register.passes.eq(scrub.passes),
        ]
        wanted = written(Control.SCRUB)[1]
        m.d.sync += scrub.restart.eq(wanted)
        with m.If(wanted):
            m.d.sync += scrub.memories.eq(ScrubRegister(view.wdata).memories)
        for memory, space in enumerate(SCRUBBED):
            with m.If(written(words_register(space))[1]):
                m.d.sync += Value.cast(scrub.words[memory]).eq(view.wdata)
            with m.If(written(checksum_register(space))[1]):
                m.d.sync += scrub.expected[memory].eq(view.wdata)
        computed = {
            checksum_register(space): scrub.checksum[memory]
            for memory, space in enumerate(SCRUBBED)
        }
        return {Control.SCRUB: register.as_value()} | computed
