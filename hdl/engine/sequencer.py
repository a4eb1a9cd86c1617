# SPDX-License-Identifier: Apache-2.0
"""The sequencer: runs jobs, levels, steps and passes, and issues one micro-operation of all lanes a
cycle.

The next pass is fetched from the descriptor memory while the present one runs, so that passes
follow each other without a gap as long as they last :attr:`Timing.fetch` cycles or more.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import isa
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.hops import hops
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import micro_layout
from ornstein.hdl.timing import Timing


def descriptor_layout(descriptor: type[isa.Descriptor]) -> data.FlexibleLayout:
    """The gateware's view of a packed descriptor; loop counts are less one, as stored."""
    return data.FlexibleLayout(
        isa.DESCRIPTOR_WORDS * isa.WORD_BITS,
        {
            name: data.Field(width, word * isa.WORD_BITS + low)
            for name, word, low, width in descriptor.layout()
        },
    )


PASS = descriptor_layout(isa.Pass)
LEVEL = descriptor_layout(isa.Level)


class Sequencer(wiring.Component):
    """Runs one job at a time: ``levels`` consecutive level descriptors from ``first``.

    Members
    -------
    start : in; begin the job given by ``first``, ``levels``, ``bank`` (held while it runs); only
        when not ``running``
    bank_offset : in; words added to banked drive addresses when ``bank`` is 1
    running : out
    finished : out, one cycle at the end of a job; everything is written by then
    level : Level, out; the present level, constant while its micro-operations are in flight but for
        ``steps``
    descriptor_address : out; word of ``descriptor_width`` bits of the descriptor memory
    descriptor_data : in, ``1 + hop`` cycles after ``descriptor_address``
    hold : in; issue nothing in this cycle
    issue : out; a micro-operation is issued in this cycle
    micro : out, with ``issue``
    factor, source : out, with ``issue``; the factor word, and the vector word (PROJECT) or rank
        word (others) to read
    """

    def __init__(self, config: FabricConfig):
        self._config, self._timing = config, Timing.of(config)
        index = range(config.descriptor_depth)
        super().__init__(
            {
                "start": In(1),
                "first": In(index),
                "levels": In(index),
                "bank": In(1),
                "bank_offset": In(range(config.drive_depth)),
                "running": Out(1),
                "finished": Out(1),
                "level": Out(LEVEL),
                "descriptor_address": Out(range(len(index) * config.descriptor_beats)),
                "descriptor_data": In(config.descriptor_width),
                "hold": In(1),
                "issue": Out(1),
                "micro": Out(micro_layout(config)),
                "factor": Out(range(config.factor_depth)),
                "source": Out(range(config.longest_loop)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config

        # fetch: the beats of the descriptor `wanted` into `fetched`; of several the last stays in
        # the memory's output
        beats, beat_width = config.descriptor_beats, config.descriptor_width
        fetched = Signal(max(1, beats - 1) * beat_width, reset_less=True)
        place = range(config.descriptor_depth)
        wanted = Signal(place, reset_less=True)
        part, arrived = Signal(range(beats)), Signal(range(beats), reset_less=True)
        fetching, arriving = Signal(), Signal()
        passing = Signal()  # what is fetched is a pass, not a level
        here = Signal()  # the last beat, and so the whole descriptor
        level_here, pass_here = Signal(), Signal()
        m.d.comb += self.descriptor_address.eq(Cat(part, wanted))
        sent, sent_part = fetching, part
        relay = hops(self._timing.hop, m, platform).relay
        sent, sent_part = relay(sent, "sent"), relay(sent_part, "sent_part")
        m.d.sync += [arriving.eq(sent), arrived.eq(sent_part)]
        with m.If(fetching):
            with m.If(part == beats - 1):
                m.d.sync += fetching.eq(0)
            with m.Else():
                m.d.sync += part.eq(part + 1)
        m.d.comb += here.eq(arriving & (arrived == beats - 1))
        m.d.sync += level_here.eq(here & ~passing)
        with m.If(here & passing):
            m.d.sync += pass_here.eq(1)

        def keep_beat(register):
            with m.Switch(arrived):
                for beat in range(len(register) // beat_width):
                    with m.Case(beat):
                        m.d.sync += register[beat * beat_width : (beat + 1) * beat_width].eq(
                            self.descriptor_data
                        )

        with m.If(arriving):
            keep_beat(fetched)

        # the list of passes, walked by the fetch side until the level's steps, which it counts
        # down, are through
        index = Signal(place, reset_less=True)
        exhausted = Signal()
        first_step = Signal(reset_less=True)
        thin_left = Signal(len(self.level.thin), reset_less=True)
        clear, sample = Signal(reset_less=True), Signal(reset_less=True)

        def fetch(descriptor):
            m.d.sync += [wanted.eq(descriptor), part.eq(0), fetching.eq(1)]

        # the present pass
        active = Signal()
        current = Signal(PASS, reset_less=True)
        loop = range(config.longest_loop)
        inner, inner_left, outer_left = (
            Signal(loop, name=name, reset_less=True)
            for name in ("inner", "inner_left", "outer_left")
        )
        inner_first = Signal(reset_less=True)
        lane = Signal(range(max(2, config.rank_lanes)), reset_less=True)
        factor_row = Signal(self.factor.shape(), reset_less=True)
        source_row = Signal(self.source.shape(), reset_less=True)
        dest = Signal(self.micro.dest.shape(), reset_less=True)
        bias = Signal(self.micro.bias.shape(), reset_less=True)

        # what the counters and the operation say is decoded a cycle ahead
        inner_last, outer_last = Signal(reset_less=True), Signal(reset_less=True)
        inner_single, inner_ends = (
            Signal(reset_less=True),
            Signal(reset_less=True),
        )  # ends: last, but not first
        project, mix, by_rows = (
            Signal(reset_less=True),
            Signal(reset_less=True),
            Signal(reset_less=True),
        )
        pass_last = Signal(init=1)  # also while there is no pass
        m.d.comb += [
            self.issue.eq(active & ~self.hold),
            self.micro.operation.eq(current.operation),
            self.micro.project.eq(project),
            self.micro.first.eq(inner_first),
            self.micro.last.eq(inner_last),
            self.micro.from_drive.eq(current.from_drive),
            self.micro.to_drive.eq(current.to_drive),
            self.micro.coupled.eq(current.coupled),
            self.micro.biased.eq(current.biased),
            self.micro.shift.eq(current.shift),
            self.micro.bias_shift.eq(current.bias_shift),
            self.micro.lane.eq(lane),
            self.micro.dest.eq(dest),
            self.micro.bias.eq(bias),
            self.micro.clear.eq(clear),
            self.micro.sample.eq(sample),
        ]
        next_factor, next_source = Signal.like(self.factor), Signal.like(self.source)
        m.d.comb += [
            next_factor.eq(
                Mux(inner_ends & project, factor_row, self.factor)
                + Mux(~inner_last & project, current.stride, 1)
            ),
            next_source.eq(
                Mux(inner_ends, source_row, self.source)
                + Mux(inner_last, by_rows, Mux(by_rows, Mux(mix, current.stride, 0), 1))
            ),
        ]
        with m.If(self.issue):
            with m.If(inner_first):
                m.d.sync += [factor_row.eq(self.factor), source_row.eq(self.source)]
            m.d.sync += [
                inner_first.eq(inner_last),
                self.factor.eq(next_factor),
                self.source.eq(next_source),
            ]
            with m.If(inner_last):
                m.d.sync += [
                    outer_left.eq(outer_left - 1),
                    outer_last.eq(outer_left == 1),
                    pass_last.eq(pass_last | (inner_single & (outer_left == 1))),
                    inner_left.eq(inner),
                    inner_last.eq(inner_single),
                    inner_ends.eq(0),
                    lane.eq(0),
                    dest.eq(dest + 1),
                    bias.eq(bias + 1),
                ]
            with m.Else():
                m.d.sync += [
                    inner_left.eq(inner_left - 1),
                    lane.eq(lane + 1),
                    inner_last.eq(inner_left == 1),
                    inner_ends.eq(inner_left == 1),
                    pass_last.eq(pass_last | (outer_last & (inner_left == 1))),
                ]

        # whatever was issued is through when `draining` has run down
        draining = Signal(range(self._timing.drain + 1))
        settled = Signal(init=1)
        with m.If(active):
            m.d.sync += [draining.eq(self._timing.drain), settled.eq(0)]
        with m.Elif(~settled):
            m.d.sync += [draining.eq(draining - 1), settled.eq(draining == 1)]

        # what is asked first of the next pass is decoded as it arrives, to be known with
        # `pass_here`
        following, coming = Signal(PASS), Signal(PASS)
        waits, offset = Signal(reset_less=True), Signal.like(self.bank_offset, reset_less=True)
        take = Signal()
        m.d.comb += [
            following.eq(Cat(fetched, self.descriptor_data)),
            coming.eq(Cat(fetched[: (beats - 1) * beat_width], self.descriptor_data)),
            take.eq(pass_here & Mux(waits, settled, pass_last & ~self.hold)),
        ]
        m.d.sync += [
            waits.eq(coming.wait),
            offset.eq(Mux(coming.banked & self.bank, self.bank_offset, 0)),
        ]

        # these counters stand still for longer than a cycle before anybody asks
        list_end, last_end, thin_end = (
            Signal(reset_less=True),
            Signal(reset_less=True),
            Signal(reset_less=True),
        )
        next_pass = Signal(place, reset_less=True)
        at_end = index == self.level.passes[: len(index)]
        m.d.sync += [
            list_end.eq(at_end),
            last_end.eq(at_end & (self.level.steps == 0)),
            thin_end.eq(thin_left == 0),
            next_pass.eq(Mux(list_end, self.level.first, wanted + 1)),
        ]

        inner_count, outer_count = following.inner[: len(inner)], following.outer[: len(outer_left)]
        with m.If(take):
            m.d.sync += [
                active.eq(1),
                current.eq(following),
                inner_first.eq(1),
                lane.eq(0),
                inner.eq(inner_count),
                inner_left.eq(inner_count),
                outer_left.eq(outer_count),
                inner_last.eq(inner_count == 0),
                outer_last.eq(outer_count == 0),
                inner_single.eq(inner_count == 0),
                inner_ends.eq(0),
                pass_last.eq((inner_count == 0) & (outer_count == 0)),
                project.eq(following.operation == Operation.PROJECT),
                mix.eq(following.operation == Operation.MIX),
                by_rows.eq(
                    (following.operation == Operation.MIX)
                    | (following.operation == Operation.ACTIVATE)
                ),
                self.factor.eq(following.factor),
                dest.eq(following.dest),
                clear.eq(first_step & self.level.clear),
                sample.eq((self.level.thin != 0) & thin_end),
            ]
            source = following.source + Mux(following.from_drive, offset, 0)
            m.d.sync += [self.source.eq(source), bias.eq(following.bias + offset)]
            # fetch the next pass: of this step, of the next one, or none
            m.d.sync += [
                pass_here.eq(0),
                part.eq(0),
                fetching.eq(~last_end),
                exhausted.eq(last_end),
                index.eq(Mux(list_end, 0, index + 1)),
                wanted.eq(next_pass),
            ]
            with m.If(list_end):
                m.d.sync += [
                    self.level.steps.eq(self.level.steps - 1),
                    first_step.eq(0),
                    thin_left.eq(Mux(thin_end, self.level.thin, thin_left) - 1),
                ]
        with m.Elif(self.issue & pass_last):
            m.d.sync += active.eq(0)

        level_index, levels_left = Signal(place, reset_less=True), Signal(place, reset_less=True)
        levels_end = Signal(reset_less=True)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        self.running.eq(1),
                        level_index.eq(self.first),
                        levels_left.eq(self.levels),
                        levels_end.eq(self.levels == 0),
                    ]
                    m.next = "NEXT"
            with m.State("NEXT"):
                with m.If(levels_end):
                    m.d.sync += self.running.eq(0)
                    m.d.comb += self.finished.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.d.sync += [
                        levels_left.eq(levels_left - 1),
                        levels_end.eq(levels_left == 1),
                        level_index.eq(level_index + 1),
                    ]
                    fetch(level_index)
                    m.next = "LEVEL"
            with m.State("LEVEL"):
                with m.If(arriving):
                    keep_beat(self.level.as_value())
                with m.If(level_here):
                    m.d.sync += [
                        passing.eq(1),
                        exhausted.eq(0),
                        index.eq(0),
                        first_step.eq(1),
                        thin_left.eq(self.level.thin - 1),
                    ]
                    fetch(self.level.first)
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(exhausted & ~active & settled):
                    m.d.sync += passing.eq(0)
                    m.next = "NEXT"
        return m
