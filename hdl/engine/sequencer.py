# SPDX-License-Identifier: Apache-2.0
"""The sequencer: runs jobs, levels, steps and passes, and issues one micro-operation of all lanes a
cycle.

The next pass is fetched from the descriptor memory while the present one runs, so that passes
follow each other without a gap as long as they last :attr:`Timing.fetch` cycles or more.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
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
    abort : in; held until ``finished``: end the job after the passes that are already fetched, and
        do not obey ``hold``
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
                "abort": In(1),
                "issue": Out(1),
                "micro": Out(micro_layout(config)),
                "factor": Out(range(config.factor_depth)),
                "source": Out(range(config.longest_loop)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        reader = _DescriptorReader(self._config)
        self._read_descriptors(m, platform, reader)
        walk, loops = _PassList(self._config, self.level), _Loops(self._config, self)
        m.d.comb += loops.held.eq(self.hold & ~self.abort)
        self._issue(m, loops, walk)
        settled = self._drain(m, loops)
        self._take_pass(m, reader, walk, loops, settled)
        self._run_levels(m, reader, walk, loops, settled)
        return m

    def _read_descriptors(self, m: Module, platform, reader: "_DescriptorReader") -> None:
        """Reads the descriptor ``wanted`` beat by beat into ``fetched``.

        The last of several beats is used straight from the memory's output.
        """
        sent, sent_part = reader.fetching, reader.part
        m.d.comb += self.descriptor_address.eq(Cat(reader.part, reader.wanted))
        relay = hops(self._timing.hop, m, platform).relay
        sent, sent_part = relay(sent, "sent"), relay(sent_part, "sent_part")
        m.d.sync += [reader.arriving.eq(sent), reader.arrived.eq(sent_part)]
        last_beat = self._config.descriptor_beats - 1
        with m.If(reader.fetching):
            with m.If(reader.part == last_beat):
                m.d.sync += reader.fetching.eq(0)
            with m.Else():
                m.d.sync += reader.part.eq(reader.part + 1)
        m.d.comb += reader.complete.eq(reader.arriving & (reader.arrived == last_beat))
        m.d.sync += reader.level_complete.eq(reader.complete & ~reader.fetching_pass)
        with m.If(reader.complete & reader.fetching_pass):
            m.d.sync += reader.pass_complete.eq(1)
        with m.If(reader.arriving):
            self._keep_beat(m, reader, reader.fetched)

    def _keep_beat(self, m: Module, reader: "_DescriptorReader", register: Value) -> None:
        """Writes the arriving beat to its place in a register, unless it is beyond the end."""
        width = self._config.descriptor_width
        with m.Switch(reader.arrived):
            for beat in range(len(register) // width):
                with m.Case(beat):
                    m.d.sync += register[beat * width : (beat + 1) * width].eq(self.descriptor_data)

    def _issue(self, m: Module, loops: "_Loops", walk: "_PassList") -> None:
        """Issues the present pass and steps its two loops.

        What the counters and the operation say is decoded a cycle ahead.
        """
        current, micro = loops.current, self.micro
        m.d.comb += [
            self.issue.eq(loops.active & ~loops.held),
            micro.operation.eq(current.operation),
            micro.project.eq(loops.project),
            micro.first.eq(loops.inner_first),
            micro.last.eq(loops.inner_last),
            micro.from_drive.eq(current.from_drive),
            micro.to_drive.eq(current.to_drive),
            micro.coupled.eq(current.coupled),
            micro.biased.eq(current.biased),
            micro.shift.eq(current.shift),
            micro.bias_shift.eq(current.bias_shift),
            micro.lane.eq(loops.lane),
            micro.dest.eq(loops.dest),
            micro.bias.eq(loops.bias),
            micro.clear.eq(walk.clear),
            micro.sample.eq(walk.sample),
        ]
        self._step_addresses(m, loops)
        if self._config.mix_window:
            m.d.comb += micro.begins.eq(loops.begins)
            with m.If(self.issue):
                m.d.sync += loops.begins.eq(0)
        with m.If(self.issue):
            with m.If(loops.inner_first):
                m.d.sync += [loops.factor_row.eq(self.factor), loops.source_row.eq(self.source)]
            m.d.sync += [
                loops.inner_first.eq(loops.inner_last),
                self.factor.eq(loops.next_factor),
                self.source.eq(loops.next_source),
            ]
            self._step_loops(m, loops)

    def _step_addresses(self, m: Module, loops: "_Loops") -> None:
        """The factor and source words after the present ones."""
        project, stride = loops.project, loops.current.stride
        m.d.comb += [
            loops.next_factor.eq(
                Mux(loops.inner_ends & project, loops.factor_row, self.factor)
                + Mux(~loops.inner_last & project, stride, 1)
            ),
            loops.next_source.eq(
                Mux(loops.inner_ends, loops.source_row, self.source)
                + Mux(
                    loops.inner_last,
                    loops.by_rows,
                    Mux(loops.by_rows, Mux(loops.mix, stride, 0), loops.source_step),
                )
            ),
        ]

    def _step_loops(self, m: Module, loops: "_Loops") -> None:
        """Counts the inner loop down, and at its end the outer one."""
        pass_last = loops.pass_last
        with m.If(loops.inner_last):
            m.d.sync += [
                loops.outer_left.eq(loops.outer_left - 1),
                loops.outer_last.eq(loops.outer_left == 1),
                pass_last.eq(pass_last | (loops.inner_single & (loops.outer_left == 1))),
                loops.inner_left.eq(loops.inner),
                loops.inner_last.eq(loops.inner_single),
                loops.inner_ends.eq(0),
                loops.lane.eq(0),
                loops.dest.eq(loops.dest + 1),
                loops.bias.eq(loops.bias + 1),
            ]
        with m.Else():
            m.d.sync += [
                loops.inner_left.eq(loops.inner_left - 1),
                loops.lane.eq(loops.lane + 1),
                loops.inner_last.eq(loops.inner_left == 1),
                loops.inner_ends.eq(loops.inner_left == 1),
                pass_last.eq(pass_last | (loops.outer_last & (loops.inner_left == 1))),
            ]

    def _drain(self, m: Module, loops: "_Loops") -> Signal:
        """Returns whether the pipeline is empty: ``draining`` has counted down after a pass."""
        draining = Signal(range(self._timing.drain + 1))
        settled = Signal(init=1)
        with m.If(loops.active):
            m.d.sync += [draining.eq(self._timing.drain), settled.eq(0)]
        with m.Elif(~settled):
            m.d.sync += [draining.eq(draining - 1), settled.eq(draining == 1)]
        return settled

    def _take_pass(
        self,
        m: Module,
        reader: "_DescriptorReader",
        walk: "_PassList",
        loops: "_Loops",
        settled: Signal,
    ) -> None:
        """Makes a complete pass the present one as soon as it need not wait, and fetches the next.

        It is decoded while its last beat arrives, so that it is known with ``pass_complete``.
        """
        config = self._config
        fetched_pass, arriving_pass = Signal(PASS), Signal(PASS)
        pass_waits = Signal(reset_less=True)
        drive_offset = Signal.like(self.bank_offset, reset_less=True)
        take = Signal()
        earlier_bits = (config.descriptor_beats - 1) * config.descriptor_width
        m.d.comb += [
            fetched_pass.eq(Cat(reader.fetched, self.descriptor_data)),
            arriving_pass.eq(Cat(reader.fetched[:earlier_bits], self.descriptor_data)),
            take.eq(reader.pass_complete & Mux(pass_waits, settled, loops.pass_last & ~loops.held)),
        ]
        m.d.sync += [
            pass_waits.eq(arriving_pass.wait),
            drive_offset.eq(Mux(arriving_pass.banked & self.bank, self.bank_offset, 0)),
        ]
        self._look_ahead(m, reader, walk)
        with m.If(take):
            self._begin_pass(m, fetched_pass, drive_offset, walk, loops)
            self._fetch_next(m, reader, walk)
        with m.Elif(self.issue & loops.pass_last):
            m.d.sync += loops.active.eq(0)

    def _look_ahead(self, m: Module, reader: "_DescriptorReader", walk: "_PassList") -> None:
        """Decodes where the list of passes stands.

        These comparisons may be late by a cycle: their counters have long been constant by then.
        """
        at_end = walk.index == self.level.passes[: len(walk.index)]
        m.d.sync += [
            walk.list_end.eq(at_end),
            walk.last_end.eq(at_end & (self.level.steps == 0) | self.abort),
            walk.thin_end.eq(walk.thin_left == 0),
            walk.next_descriptor.eq(Mux(walk.list_end, self.level.first, reader.wanted + 1)),
        ]

    def _begin_pass(
        self,
        m: Module,
        taken: data.View,
        drive_offset: Signal,
        walk: "_PassList",
        loops: "_Loops",
    ) -> None:
        """Loads the loops and addresses of the pass ``taken``."""
        inner_count = taken.inner[: len(loops.inner)]
        outer_count = taken.outer[: len(loops.outer_left)]
        m.d.sync += [
            loops.active.eq(1),
            loops.current.eq(taken),
            loops.inner_first.eq(1),
            loops.lane.eq(0),
            loops.inner.eq(inner_count),
            loops.inner_left.eq(inner_count),
            loops.outer_left.eq(outer_count),
            loops.inner_last.eq(inner_count == 0),
            loops.outer_last.eq(outer_count == 0),
            loops.inner_single.eq(inner_count == 0),
            loops.inner_ends.eq(0),
            loops.pass_last.eq((inner_count == 0) & (outer_count == 0)),
            loops.project.eq(taken.operation == Operation.PROJECT),
            loops.mix.eq(taken.operation == Operation.MIX),
            loops.by_rows.eq(
                (taken.operation == Operation.MIX) | (taken.operation == Operation.ACTIVATE)
            ),
            self.factor.eq(taken.factor),
            loops.dest.eq(taken.dest),
            walk.clear.eq(walk.first_step & self.level.clear),
            walk.sample.eq((self.level.thin != 0) & walk.thin_end),
        ]
        if self._config.mix_window:
            left_out = Mux(taken.operation == Operation.EXPAND, taken.stride, 0)
            m.d.sync += [loops.begins.eq(1), loops.source_step.eq(left_out + 1)]
        source = taken.source + Mux(taken.from_drive, drive_offset, 0)
        m.d.sync += [self.source.eq(source), loops.bias.eq(taken.bias + drive_offset)]

    def _fetch_next(self, m: Module, reader: "_DescriptorReader", walk: "_PassList") -> None:
        """Fetches the next pass: of this step, of the next one, or none."""
        m.d.sync += [
            reader.pass_complete.eq(0),
            reader.part.eq(0),
            reader.fetching.eq(~walk.last_end),
            walk.exhausted.eq(walk.last_end),
            walk.index.eq(Mux(walk.list_end, 0, walk.index + 1)),
            reader.wanted.eq(walk.next_descriptor),
        ]
        with m.If(walk.list_end):
            m.d.sync += [
                self.level.steps.eq(self.level.steps - 1),
                walk.first_step.eq(0),
                walk.thin_left.eq(Mux(walk.thin_end, self.level.thin, walk.thin_left) - 1),
            ]

    def _run_levels(
        self,
        m: Module,
        reader: "_DescriptorReader",
        walk: "_PassList",
        loops: "_Loops",
        settled: Signal,
    ) -> None:
        """Walks the levels of a job: fetches each, runs its passes, and waits for the pipeline."""
        descriptors = range(self._config.descriptor_depth)
        level_index, levels_left = (
            Signal(descriptors, reset_less=True),
            Signal(descriptors, reset_less=True),
        )
        levels_end = Signal(reset_less=True)

        def fetch(descriptor: Value) -> None:
            m.d.sync += [
                reader.wanted.eq(descriptor),
                reader.part.eq(0),
                reader.fetching.eq(1),
            ]

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
                with m.If(levels_end | self.abort):
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
                with m.If(reader.arriving):
                    self._keep_beat(m, reader, self.level.as_value())
                with m.If(reader.level_complete):
                    m.d.sync += [
                        reader.fetching_pass.eq(1),
                        walk.exhausted.eq(0),
                        walk.index.eq(0),
                        walk.first_step.eq(1),
                        walk.thin_left.eq(self.level.thin - 1),
                    ]
                    fetch(self.level.first)
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(walk.exhausted & ~loops.active & settled):
                    m.d.sync += reader.fetching_pass.eq(0)
                    m.next = "NEXT"


class _DescriptorReader:
    """Registers of the side that reads descriptors.

    Attributes
    ----------
    fetched : the beats read so far
    wanted, part : the descriptor being read, and its beat
    arrived : the beat that ``arriving`` announces
    fetching, arriving : a beat is asked for; a beat is at the memory's output
    fetching_pass : the descriptor being read is a pass, not a level
    complete : the last beat arrives, so that all of the descriptor is known
    level_complete, pass_complete : a level was complete in the cycle before; a pass waits
    """

    def __init__(self, config: FabricConfig):
        beats = config.descriptor_beats
        self.fetched = Signal(max(1, beats - 1) * config.descriptor_width, reset_less=True)
        self.wanted = Signal(range(config.descriptor_depth), reset_less=True)
        self.part, self.arrived = Signal(range(beats)), Signal(range(beats), reset_less=True)
        self.fetching, self.arriving = Signal(), Signal()
        self.fetching_pass = Signal()
        self.complete = Signal()
        self.level_complete, self.pass_complete = Signal(), Signal(name="pass_complete")


class _PassList:
    """Registers of the list of passes, which the reader walks until the level's steps are through.

    Attributes
    ----------
    index : the pass in the list
    exhausted : no pass of the level is left to read
    first_step : the step being read is the level's first
    thin_left : steps until the next that is sampled
    clear, sample : flags of the present pass
    list_end, last_end, thin_end : the list ends; so does the level; this step is sampled
    next_descriptor : of the pass after this one
    """

    def __init__(self, config: FabricConfig, level: data.View):
        descriptors = range(config.descriptor_depth)
        self.index = Signal(descriptors, reset_less=True)
        self.exhausted = Signal()
        self.first_step = Signal(reset_less=True)
        self.thin_left = Signal(len(level.thin), reset_less=True)
        self.clear, self.sample = Signal(reset_less=True), Signal(reset_less=True, name="sample")
        self.list_end, self.last_end = Signal(reset_less=True), Signal(reset_less=True)
        self.thin_end = Signal(reset_less=True)
        self.next_descriptor = Signal(descriptors, reset_less=True)


class _Loops:
    """Registers of the present pass: its two loops and its addresses.

    Attributes
    ----------
    active : there is a present pass
    held : nothing may be issued in this cycle
    current : its descriptor
    inner, inner_left, outer_left : count of the inner loop, and what is left of both
    inner_first, inner_last, outer_last : this is the first or last cycle of a loop
    lane : of an ACTIVATE
    factor_row, source_row : words with which the inner loop began
    dest, bias : words that the inner loop writes and reads
    inner_single : the inner loop has one cycle
    inner_ends : this is the inner loop's last cycle, but not its first
    project, mix, by_rows : the operation, decoded
    pass_last : this is the last cycle of the pass; also set while there is none
    next_factor, next_source : words of the next cycle
    begins : this is the first cycle of the pass
    source_step : words between those that PROJECT or EXPAND reads
    """

    def __init__(self, config: FabricConfig, sequencer: Sequencer):
        self.active, self.held = Signal(), Signal()
        self.current = Signal(PASS, reset_less=True)
        loop = range(config.longest_loop)
        self.inner = Signal(loop, reset_less=True)
        self.inner_left = Signal(loop, reset_less=True)
        self.outer_left = Signal(loop, reset_less=True)
        self.inner_first = Signal(reset_less=True)
        self.lane = Signal(range(max(2, config.rank_lanes)), reset_less=True)
        self.factor_row = Signal(sequencer.factor.shape(), reset_less=True)
        self.source_row = Signal(sequencer.source.shape(), reset_less=True)
        self.dest = Signal(sequencer.micro.dest.shape(), reset_less=True)
        self.bias = Signal(sequencer.micro.bias.shape(), reset_less=True)
        self.inner_last, self.outer_last = (
            Signal(reset_less=True),
            Signal(reset_less=True, name="outer_last"),
        )
        self.inner_single, self.inner_ends = (
            Signal(reset_less=True),
            Signal(reset_less=True, name="inner_ends"),
        )
        self.project, self.mix = Signal(reset_less=True), Signal(reset_less=True)
        self.by_rows = Signal(reset_less=True)
        self.pass_last = Signal(init=1)
        self.next_factor, self.next_source = (
            Signal.like(sequencer.factor),
            Signal.like(sequencer.source, name="next_source"),
        )
        self.source_step: Value = Const(1)
        if config.mix_window:
            self.begins = Signal(reset_less=True)
            self.source_step = Signal.like(sequencer.source, name="source_step", reset_less=True)
