# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""What the USB transceiver sends, whatever it is given to send and whatever is on the wires, proved
of the levels that it drives; and the rules of the stream of bytes that the USB engine gives out.
"""

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from helpers.formal import PROVED, REFUTED, always, examined, given, hesitates, implies
from helpers.microprogram import ANY, constant_addresses, pointer_values
from ornstein.hdl.link.usb import engine, transceiver
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.link.usb.program import serial_port

BIT = 2  # cycles
J, SE0 = 0b01, 0b00


class Inside:
    """Gives access to the signals of a transceiver under proof."""

    def __init__(self, monkeypatch):
        self.signals: list[Signal] = []

        def signal(*shape, src_loc_at=0, **options):
            made = Signal(*shape, src_loc_at=src_loc_at + 1, **options)
            self.signals.append(made)
            return made

        monkeypatch.setattr(transceiver, "Signal", signal)


class Sent(wiring.Component):
    """No level lasts longer than seven bits, since a zero, which changes it, follows six ones
    (7.1.9); and a packet ends with SE0 for two bits and J for one (7.1.13.2).

    Beside what is to be proved stand the facts about the transceiver's registers that the induction
    needs, which are proved with it.
    """

    d_p: In(2)
    d_n: In(1)
    data: In(8)
    send: In(1)
    checksum: In(1)
    start: In(1)

    def __init__(self, inside: Inside):
        self.inside = inside
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        dut = transceiver.Transceiver()
        m.submodules.transceiver = dut.elaborate(platform)  # names its signals
        m.d.comb += [
            dut.d_p.eq(self.d_p),
            dut.d_n.eq(self.d_n),
            dut.line.data.eq(self.data),
            dut.line.send.eq(self.send),
            dut.line.checksum.eq(self.checksum),
            dut.line.start.eq(self.start),
        ]
        levels, before, driven = Signal(2), Signal(2), Signal()
        lasts, lasted = (
            Signal(5),
            Signal(5, init=1),
        )  # cycles of the present levels, and of the last
        ends = Signal()  # SE0 was driven in this packet
        low = levels == SE0
        m.d.comb += [
            levels.eq(Cat(dut.o_p, dut.o_n)),
            lasts.eq(Mux(driven & (levels != before), 1, lasted + 1)),
        ]
        m.d.sync += [
            driven.eq(dut.oe),
            before.eq(levels),
            lasted.eq(Mux(dut.oe, lasts, 1)),
            ends.eq(dut.oe & (low | ends)),
        ]
        always(m, implies(dut.oe & ~low & ~ends, lasts <= 7 * BIT))
        always(m, implies(dut.oe & low, lasts <= 2 * BIT))
        always(m, implies(dut.oe & ends & ~low, levels == J))
        always(m, implies(dut.oe & ends & ~low & (lasts == 1), lasted == 2 * BIT))
        always(m, implies(ends & ~dut.oe, (before == J) & (lasted == BIT)))

        # made first; Amaranth names no signals that are made in one statement
        driving, ending = self.inside.signals[:2]
        named = {signal.name: signal for signal in self.inside.signals}
        second, ones, count = named["second"], named["ones"], named["count"]
        always(m, implies(driving & ~ending, (ones <= 6) & (lasts == 2 * ones + 1 + second)))
        always(m, implies(ending, driving & (count <= 3)))
        at_zero = ending & (count == 0)
        always(m, implies(at_zero, second & (ones < 6) & (lasts == 2 * ones + 2)))
        in_se0 = ending & ((count == 1) | (count == 2))
        always(m, implies(in_se0, (ones == 0) & (lasts == 2 * count - 1 + second)))
        always(m, implies(ending & (count == 3), (ones == 0) & (lasts == 1 + second)))
        begun = ending & ((count == 1) & second | (count == 2) | (count == 3))
        always(m, implies(dut.oe, ends == begun))
        return m


@pytest.mark.parametrize("stuffed, outcome", [(6, PROVED), (7, REFUTED)])
def test_levels_that_are_sent(tmp_path, monkeypatch, stuffed, outcome):
    """By induction. A transceiver that stuffs after seven ones is refuted."""
    monkeypatch.setattr(transceiver, "_STUFFED", stuffed)
    specification = Sent(Inside(monkeypatch))
    proved = outcome == PROVED
    assert examined(specification, tmp_path, depth=3 if proved else 20, induction=proved) == outcome


class Engine(wiring.Component):
    """An engine under proof, whatever the transceiver and the streams do.

    Proved with what a subclass states is that the present word is that of the microprogram at
    ``place``.
    """

    i_valid: In(1)
    i_payload: In(8)
    o_ready: In(1)
    byte: In(8)
    flags: In(6)

    def __init__(self, program: list[dict], contents: bytes, monkeypatch):
        self.program, self.contents = program, contents
        self.memories: list[memory.Memory] = []
        self.signals: list[Signal] = []

        class Kept(memory.Memory):
            def __init__(kept, **options):
                super().__init__(**options)
                self.memories.append(kept)

        def signal(*shape, src_loc_at=0, **options):
            made = Signal(*shape, src_loc_at=src_loc_at + 1, **options)
            self.signals.append(made)
            return made

        monkeypatch.setattr(engine.memory, "Memory", Kept)
        monkeypatch.setattr(engine, "Signal", signal)
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        self.dut = dut = engine.Engine(self.program, self.contents)
        m.submodules.engine = dut.elaborate(platform)  # makes its memories and signals
        (fetch,) = self.memories[0].read_ports
        line = dut.line
        m.d.comb += [
            dut.i.valid.eq(self.i_valid),
            dut.i.payload.eq(self.i_payload),
            dut.o.ready.eq(self.o_ready),
            line.byte.eq(self.byte),
            Cat(line.ready, line.idle, line.active, line.good_5, line.good_16, line.se0).eq(
                self.flags
            ),
        ]
        self.word, self.place, begun = fetch.data, Signal(8), Signal()
        m.d.sync += begun.eq(1)
        with m.If(fetch.en):
            m.d.sync += self.place.eq(fetch.addr)
        m.submodules.copy = copy = memory.Memory(
            shape=engine.Word, depth=engine.WORDS, init=self.program
        )
        at_place = copy.read_port(domain="comb")
        m.d.comb += at_place.addr.eq(self.place)
        fetched = fetch.data.as_value() == at_place.data.as_value()
        given(m, begun | fetched)  # a reset has fetched word zero
        always(m, fetched)
        self.state(m)
        return m


class Given(Engine):
    """The stream of bytes from the host keeps its rules: a byte that is offered stays until it is
    taken. For a word that puts a byte finds none in the stream.
    """

    def state(self, m):
        always(m, implies(self.word.put, ~self.dut.o.valid))
        always(m, hesitates(m, self.dut.o, "sync"))


def test_bytes_from_the_host_keep_the_rules_of_streams(tmp_path, monkeypatch):
    """By induction, whatever the engine's memory holds."""
    specification = Given(*serial_port(), monkeypatch)
    assert examined(specification, tmp_path, depth=2) == PROVED


def test_a_microprogram_that_does_not_look_is_refuted(tmp_path, monkeypatch):
    specification = Given([{"source": engine.Source.ZERO, "put": 1}], b"", monkeypatch)
    assert examined(specification, tmp_path, depth=5, induction=False) == REFUTED


class Written(Engine):
    """What comes from the wires is written into the buffers of packets from the host alone, bytes
    to the host into that of the packet to the host, and nothing into a constant.

    That constants are what they were may be relied on when one is read, since no write before
    changed one. What is proved of the pointer are its values at every word.
    """

    def state(self, m):
        constants = constant_addresses(self.program)
        (read,), (write,) = self.memories[1].read_ports, self.memories[1].write_ports
        # Amaranth names no signals that are made in one statement
        names = [signal.name for signal in self.signals]
        stored, by_word = (self.signals[names.index(name)] for name in ("stored", "writes"))
        pointer = self.signals[names.index("carry") - 1]
        act = self.signals[names.index("filled") + 1]
        for address in constants:
            value = self.contents[address]
            given(m, implies(read.addr == address, read.data == value))
            reads = act & ~self.word.pointed & (self.word.address == address)
            always(m, implies(reads, stored == value))
        for place, values in pointer_values(self.program, self.contents).items():
            if values != ANY:
                always(m, implies(self.place == place, one_of(pointer, values)))

        received = by_word & (self.word.source == engine.Source.LINE)
        always(m, implies(received, (write.addr >= FROM_HOST) & (write.addr < engine.PAGE)))
        to_host = write.en & ~by_word
        always(m, implies(to_host, write.addr >= 2 * engine.PAGE - MAX_PACKET))
        always(m, implies(write.en, ~one_of(write.addr, constants)))


def one_of(value: Signal, values) -> Value:
    """Whether a value is one of the numbers, which may be many in a row."""
    known = set(values)
    firsts = sorted(number for number in known if number - 1 not in known)
    lasts = sorted(number for number in known if number + 1 not in known)
    ranges = zip(firsts, lasts, strict=True)
    return Cat((value >= first) & (value <= last) for first, last in ranges).any()


FROM_HOST = engine.PAGE - 1 - (MAX_PACKET + 2) - 11
"""The first byte of the buffers of packets from the host: of 11 bytes for requests, and of
MAX_PACKET + 3 to the end of the lower half.
"""


def test_packets_are_written_into_their_buffers(tmp_path, monkeypatch):
    """By induction, for packets of any length."""
    specification = Written(*serial_port(), monkeypatch)
    assert examined(specification, tmp_path, depth=2) == PROVED


def test_a_microprogram_that_writes_beyond_a_buffer_is_refuted(tmp_path, monkeypatch):
    """It stores what comes at the pointer, without a look at the pointer."""
    writes = {"source": engine.Source.LINE, "pointed": 1, "write": 1, "step": 1}
    program = [{"address": 0, "pointed": 0, "test": engine.When.NEVER, "go": 0, "then": 0} | writes]
    specification = Written(program, bytes(2 * engine.PAGE), monkeypatch)
    assert examined(specification, tmp_path, depth=8, induction=False) == REFUTED
