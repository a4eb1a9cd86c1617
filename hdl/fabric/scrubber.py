# SPDX-License-Identifier: Apache-2.0
"""The scrubber: verifies the memories that hold a program by their checksums.

It shares the bus with the link. After each job, and again and again while none runs, it makes a
pass: it reads the verified words of each memory through the port that the bus reads them through,
and compares their checksum with the one that the host wrote. A job ends for the host only when the
pass behind it has ended, so that whatever was wrong while the job ran shows in the registers before
its result is read. The next job waits until then, too.
"""

from functools import reduce
from operator import or_, xor

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.hops import hops
from ornstein.hdl.link.states import States
from ornstein.hdl.regmap import SCRUBBED, ScrubRegister, WordsRegister
from ornstein.hdl.scrub import (
    BURST,
    CHECKSUM_BITS,
    HANDOVER,
    QUIET,
    SETUP,
    START,
    STEP,
    Rows,
    carries,
    drain,
    latency,
)
from ornstein.hdl.spaces import bus_width, spaces
from ornstein.hdl.timing import Timing


class ScrubSignature(wiring.Signature):
    """The scrubber's registers, from the view of those who hold them.

    Members
    -------
    memories : Out; those that are verified, a bit each in the order of SCRUBBED
    restart : Out, one cycle; the host has written ``memories``
    words : Out; first and last word of each memory
    expected : Out; the checksum that each memory must have
    checksum : In; the one that it had last
    mismatch : In; memories whose checksum differed since ``restart``
    passes : In; modulo 2**24
    checking : In; a job's end waits for a pass
    """

    def __init__(self):
        register, count = ScrubRegister.as_shape(), len(SCRUBBED)
        checksums = data.ArrayLayout(CHECKSUM_BITS, count)
        super().__init__(
            {
                "memories": Out(count),
                "restart": Out(1),
                "words": Out(data.ArrayLayout(WordsRegister, count)),
                "expected": Out(checksums),
                "checksum": In(checksums),
                "mismatch": In(count),
                "passes": In(register["passes"].width),
                "checking": In(1),
            }
        )


def element_layout(config: FabricConfig) -> data.StructLayout:
    """What the bus reads of each memory, all unit lanes of the factors at once; a field of unsigned
    elements for each memory."""
    return data.StructLayout(
        {
            space.name.lower(): data.ArrayLayout(
                spaces(config)[space].bits, Rows.of(config, space).together
            )
            for space in SCRUBBED
        }
    )


class MemoryChecksum(wiring.Component):
    """The checksum of one memory after the other, see :mod:`ornstein.hdl.scrub`.

    Members
    -------
    start : in; begin anew
    valid : in; an entry of the present memory
    memory : in; one bit a memory, constant from one cycle before its first entry to its last
    elements : element_layout, in, with ``valid``
    checksum : unsigned(32), out; two cycles after the entry
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "valid": In(1),
                "memory": In(len(SCRUBBED)),
                "elements": In(element_layout(config)),
                "checksum": Out(CHECKSUM_BITS, init=START),
            }
        )

    def elaborate(self, platform):
        m = Module()
        folded = []
        for present, space in zip(self.memory, SCRUBBED, strict=True):
            rows, places = Rows.of(self._config, space), self.elements[space.name.lower()]
            parts = [places[place] << rows.shift(place) for place in range(rows.together)]
            folded.append(Mux(present, reduce(xor, parts), 0))
        entry, adds = Signal(CHECKSUM_BITS, reset_less=True), Signal()
        m.d.sync += [entry.eq(reduce(or_, folded)), adds.eq(self.valid)]
        shifted_out = self.checksum[-STEP:]
        carried = reduce(
            xor, (Mux(out, carry, 0) for out, carry in zip(shifted_out, carries(), strict=True))
        )
        with m.If(self.start):
            m.d.sync += self.checksum.eq(START)
        with m.Elif(adds):
            m.d.sync += self.checksum.eq((self.checksum << STEP) ^ carried ^ entry)
        return m


class Scrubber(wiring.Component):
    """See the module. While it reads, it takes the address of the bus, and an access of the link
    waits: for a burst and its drain at most, some hundred cycles.

    Members
    -------
    bus : BusSignature, in; from the link
    onward : BusSignature, out; to the memories
    owns : out; the address is the scrubber's, and the memories must be read as while no job runs
    idle : in; no job runs or waits; :data:`ornstein.hdl.scrub.QUIET` cycles after an access it
        tells what that access has begun
    job_running, job_finished : in; of the sequencer
    running, finished : out; the same with the pass behind the job
    elements : element_layout, in; what the bus reads of each memory
    registers : ScrubSignature, in
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        bus = BusSignature(bus_width(config))
        super().__init__(
            {
                "bus": In(bus),
                "onward": Out(bus),
                "owns": Out(1),
                "idle": In(1),
                "job_running": In(1),
                "job_finished": In(1),
                "running": Out(1),
                "finished": Out(1),
                "elements": In(element_layout(config)),
                "registers": In(ScrubSignature()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        registers = self.registers
        states = States(m, "REST", "BLOCK", "SETUP", "BURST", "DRAIN", "COMPARE", "RELEASE")
        walk = _Walk(m, self._config, registers)
        m.submodules.checksum = checksum = MemoryChecksum(self._config)
        self._share_bus(m, states, walk)
        self._take_elements(m, platform, states, walk, checksum)
        pass_ends = self._run_passes(m, states, walk, checksum)

        enabled = Signal()
        m.d.sync += enabled.eq(registers.memories.any())
        m.d.comb += [
            self.running.eq(self.job_running | registers.checking),
            self.finished.eq(
                (self.job_finished & ~enabled) | (registers.checking & pass_ends),
            ),
        ]
        with m.If(pass_ends):
            m.d.sync += [registers.passes.eq(registers.passes + 1), registers.checking.eq(0)]
        with m.If(self.job_finished & enabled):
            m.d.sync += registers.checking.eq(1)
        return m

    def _share_bus(self, m: Module, states: States, walk: "_Walk"):
        """The link has the bus, but its requests wait outside of REST."""
        connect(m, flipped(self.bus), flipped(self.onward))
        m.d.comb += [
            self.onward.request.eq(self.bus.request & states["REST"]),
            self.owns.eq(states["SETUP"] | states["BURST"] | states["DRAIN"]),
            self.onward.address.eq(Mux(self.owns, walk.address, self.bus.address)),
        ]
        with m.If(self.onward.request):
            m.d.sync += walk.quiet.eq(0)
        with m.Elif(walk.quiet != QUIET):
            m.d.sync += walk.quiet.eq(walk.quiet + 1)

    def _take_elements(
        self, m: Module, platform, states: States, walk: "_Walk", checksum: MemoryChecksum
    ):
        """Elements to the checksum, as long after their addresses as each memory takes."""
        relay = hops(Timing.of(self._config).hop, m, platform).relay
        for space in SCRUBBED:
            name = space.name.lower()
            arrived = relay(Value.cast(self.elements[name]), f"{name}_elements")
            m.d.comb += Value.cast(checksum.elements[name]).eq(arrived)
        delays = [latency(self._config, space) for space in SCRUBBED]
        pipe = Signal(max(delays) + 1)  # bit n: an address stood at the bus n cycles ago
        m.d.sync += pipe.eq(Cat(states["BURST"], pipe))
        arrives = Cat(pipe[delay] for delay in delays)
        m.d.comb += [
            checksum.memory.eq(walk.memory),
            checksum.valid.eq((arrives & walk.memory).any()),
            checksum.start.eq(states["SETUP"]),
        ]

    def _run_passes(
        self, m: Module, states: States, walk: "_Walk", checksum: MemoryChecksum
    ) -> Signal:
        """The passes, memory by memory and burst by burst. Returns when a pass ends."""
        registers = self.registers
        wanted, ends, pass_ends = Signal(), Signal(), Signal()
        left = Signal(range(max(BURST, drain(self._config), HANDOVER)), reset_less=True)
        last = Signal()  # the last cycle of a state of several
        m.d.sync += wanted.eq(registers.checking | (self.idle & registers.memories.any()))

        def stay(state: str, cycles: int):
            """Goes to a state for that many cycles, two at least."""
            states.go(state)
            m.d.sync += [left.eq(cycles - 2), last.eq(0)]

        m.d.sync += [left.eq(left - 1), last.eq(left == 0)]
        with states("REST"):
            with m.If(~wanted):
                walk.restart()
            with m.Elif(~self.bus.request):
                states.go("BLOCK")
        with states("BLOCK"):
            with m.If(~wanted):
                states.go("REST")
            with m.Elif(walk.quiet == QUIET):
                with m.If(walk.fresh):
                    stay("SETUP", SETUP)
                with m.Else():
                    stay("BURST", BURST)
        with states("SETUP"), m.If(last):
            walk.begin()
            with m.If(walk.skipped):
                states.go("COMPARE")
            with m.Else():
                stay("BURST", BURST)
        with states("BURST"):
            walk.step()
            with m.If(last | walk.row_ends):
                stay("DRAIN", drain(self._config))
        with states("DRAIN"), m.If(last):
            walk.next_row()
            with m.If(walk.complete):
                states.go("COMPARE")
            with m.Elif(self.bus.request):
                stay("RELEASE", HANDOVER)
            with m.Else():
                stay("BURST", BURST)
        differs = Signal()
        m.d.sync += differs.eq(checksum.checksum != walk.expected)
        with states("COMPARE"):
            for memory, present in enumerate(walk.memory):
                with m.If(present & ~walk.skipped):
                    m.d.sync += [
                        registers.checksum[memory].eq(checksum.checksum),
                        registers.mismatch[memory].eq(registers.mismatch[memory] | differs),
                    ]
            walk.next_memory()
            m.d.sync += ends.eq(walk.memory[-1])
            stay("RELEASE", HANDOVER)
        with states("RELEASE"), m.If(last):
            m.d.comb += pass_ends.eq(ends)
            m.d.sync += ends.eq(0)
            states.go("REST")
        with m.If(registers.restart):
            m.d.sync += registers.mismatch.eq(0)
            walk.restart()
        return pass_ends


class _Walk:
    """Where a pass is, and the registers of its present memory.

    Attributes
    ----------
    quiet : cycles since the link last used the bus, up to QUIET
    memory : the present one, a bit each
    fresh : its first row has not begun
    skipped : it is not verified
    expected : its checksum as the host wrote it
    address : of the element at the bus
    row_ends : the present word is the last one of its row
    complete : all words of the memory have been read
    """

    def __init__(self, m: Module, config: FabricConfig, registers):
        self._m = m
        self.quiet = Signal(range(QUIET + 1))
        self.memory, self.fresh = Signal(len(SCRUBBED), init=1), Signal(init=1)
        self.skipped = Signal()
        self.expected = Signal(CHECKSUM_BITS, reset_less=True)
        self._first = Signal(WordsRegister, reset_less=True)
        self._word = Signal.like(self._first.first, name="word", reset_less=True)
        counts = [Rows.of(config, space).rows for space in SCRUBBED]
        self._row = Signal(range(max(2, *counts)), reset_less=True)
        self._last_row = Signal.like(self._row, name="last_row", reset_less=True)
        self.row_ends, self._row_ended = Signal(), Signal(reset_less=True, name="row_ended")
        self.complete = Signal(reset_less=True)
        infos = [spaces(config)[space] for space in SCRUBBED]
        addresses = [self._row[: info.lane_bits] | (self._word << info.lane_bits) for info in infos]
        self.address = Signal(max(info.address_bits for info in infos), reset_less=True)

        def of_present(values: list):
            return reduce(or_, (Mux(self.memory[n], value, 0) for n, value in enumerate(values)))

        count = len(SCRUBBED)
        m.d.comb += self.row_ends.eq(self._word == self._first.last)
        m.d.sync += [
            self.skipped.eq(~of_present(list(registers.memories))),
            self.expected.eq(of_present([registers.expected[n] for n in range(count)])),
            Value.cast(self._first).eq(
                of_present([Value.cast(registers.words[n]) for n in range(count)])
            ),
            self._last_row.eq(of_present([rows - 1 for rows in counts])),
            self.address.eq(of_present(addresses)),
        ]

    def restart(self):
        """Goes to the first memory of a pass."""
        self._m.d.sync += [self.memory.eq(1), self.fresh.eq(1)]

    def begin(self):
        """Goes to the first word of the present memory."""
        self._m.d.sync += [
            self._word.eq(self._first.first),
            self._row.eq(0),
            self.fresh.eq(0),
        ]

    def step(self):
        """Goes to the next word of the row."""
        self._m.d.sync += [
            self._word.eq(self._word + 1),
            self._row_ended.eq(self.row_ends),
            self.complete.eq(self.row_ends & (self._row == self._last_row)),
        ]

    def next_row(self):
        """Goes to the next row if the last one has ended. The row selects a lane behind the memory,
        so it stays until all of its elements have come."""
        with self._m.If(self._row_ended):
            self._m.d.sync += [self._word.eq(self._first.first), self._row.eq(self._row + 1)]

    def next_memory(self):
        """Goes to the next memory, after the last one to the first."""
        self._m.d.sync += [self.memory.eq(self.memory.rotate_left(1)), self.fresh.eq(1)]
