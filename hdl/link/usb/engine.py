# SPDX-License-Identifier: Apache-2.0
"""A small microprogrammed engine that runs the USB protocol between bytes and packets. It has 256
microprogram words and 512 bytes of memory.
"""

from amaranth.hdl import Array, Cat, Module, Mux, ResetSignal, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import targets
from ornstein.hdl.blockram import UNCHECKED
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.link.usb.line import LineSignature
from ornstein.hdl.protocol import END

__all__ = ["PAGE", "WORDS", "Engine", "Source", "When", "Word"]

WORDS = 256
"""Number of microprogram words."""
PAGE = 256
"""Number of bytes in each half of the memory."""


class When(enum.Enum, shape=4):
    """The condition under which ``then`` is the next word. It is evaluated before the present word
    takes effect."""

    NEVER = 0
    ZERO = 1  # accumulator == 0
    CARRY = 2  # the last sum carried; after a subtraction: the difference is not negative
    UPPER = 3  # pointer >= 128
    ODD = 4  # the pointer is odd
    ENDPOINT = 5  # bit 1 of the accumulator is set
    ACTIVE = 6  # a packet is being received
    GOOD_5 = 7  # the CRC-5 of the received token is right
    GOOD_16 = 8  # the CRC-16 of the received data packet is right
    SE0 = 9  # both wires are low
    CLOSED = 10  # a packet for the host is complete
    FULL = 11  # the last byte from the host is still waiting in the output stream


class Source(enum.Enum, shape=3):
    """The operand; without ``add`` it is also the result."""

    ZERO = 0
    MEMORY = 1  # the byte that was read from the memory
    LINE = 2  # the byte received
    POINTER = 3
    FILLED = 4  # number of bytes in the packet for the host


Word = data.StructLayout(
    {
        "go": 8,  # the next word if the condition is false
        "then": 8,  # the next word if the condition is true
        "test": When,
        "address": 8,  # address in the lower half of the memory; with pointed, bit 0 is the half
        "pointed": 1,  # the pointer is the address, within the half that bit 0 of address selects
        "source": Source,
        "negate": 1,  # with add: subtract the source from the accumulator
        "add": 1,  # the result is accumulator + source, otherwise the source
        "load": 1,  # write the result to the accumulator
        "write": 1,  # write the result to the memory
        "point": 1,  # write the result to the pointer
        "put": 1,  # write the result to the output stream
        "step": 1,  # increment the pointer
        "release": 1,  # the host has acknowledged the packet: empty it
        "wait": 1,  # wait until the transceiver is ready or idle
        "send": 1,  # with wait: send the result
        "checksum": 1,  # with send: send a byte of the checksum instead of the result
        "start": 1,  # with wait: the checksums begin after this byte
    }
)
"""A microprogram word. The word zero has no effect and continues at word zero."""


class Engine(wiring.Component):
    """Runs a microprogram. A word takes two cycles: one to read the memory and one to take effect;
    the second lasts as long as the word waits.

    The engine has an 8-bit accumulator and an 8-bit pointer, and starts at word zero.

    In parallel, bytes for the host fill a packet in the last ``MAX_PACKET`` bytes of the memory.
    The packet is complete when it is full or when a frame has ended. ``release`` empties it. If the
    released packet was full and also ended a frame, an empty packet follows: it tells the host that
    a transfer of full packets has ended.

    Parameters
    ----------
    program : the microprogram, a list of field values for each word
    contents : initial contents of the memory

    Members
    -------
    i : In(stream of 8), bytes to the host
    o : Out(stream of 8), bytes from the host
    line : Out(LineSignature()), the packets' bytes to and from the transceiver
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))
    line: Out(LineSignature())

    def __init__(self, program: list[dict], contents: bytes):
        self._program, self._contents = program, contents
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        line = self.line
        target = targets.of(platform)
        m.submodules.program = program = memory.Memory(
            shape=Word, depth=WORDS, init=self._program, attrs=target.rom
        )
        # A word reads the memory in its first cycle and writes it in its second.
        m.submodules.storage = storage = memory.Memory(
            shape=8, depth=2 * PAGE, init=self._contents, attrs=target.ram | UNCHECKED
        )
        fetch, read, write = (
            program.read_port(),
            storage.read_port(domain="comb"),
            storage.write_port(),
        )
        word = fetch.data
        stored = Signal(8, reset_less=True)
        accumulator, pointer = Signal(8), Signal(8)
        carry = Signal()
        filled = Signal(range(MAX_PACKET + 1))
        m.d.sync += stored.eq(read.data)

        # The two cycles of a word; the second lasts as long as the word waits.
        act, done = Signal(), Signal()
        m.d.sync += act.eq(~done)
        m.d.comb += done.eq(act & (~word.wait | line.ready | line.idle))

        # The result.
        source, result, total = Signal(8), Signal(8), Signal(9)
        with m.Switch(word.source):
            for value, operand in (
                (Source.MEMORY, stored),
                (Source.LINE, line.byte),
                (Source.POINTER, pointer),
                (Source.FILLED, filled),
            ):
                with m.Case(value):
                    m.d.comb += source.eq(operand)
        m.d.comb += [
            total.eq(accumulator + (source ^ word.negate.replicate(8)) + word.negate),
            result.eq(Mux(word.add, total, source)),
        ]

        # The result's destinations.
        writes = Signal()
        address = Mux(word.pointed, Cat(pointer, word.address[0]), word.address)
        m.d.comb += [
            read.addr.eq(address),
            writes.eq(done & word.write),
            line.data.eq(result),
            line.send.eq(act & word.send),
            line.checksum.eq(word.checksum),
            line.start.eq(done & word.start),
        ]
        with m.If(done & word.load):
            m.d.sync += [accumulator.eq(result), carry.eq(total[8])]
        with m.If(done & word.point):
            m.d.sync += pointer.eq(result)
        with m.If(done & word.step):
            m.d.sync += pointer.eq(pointer + 1)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(done & word.put):
            m.d.sync += [self.o.payload.eq(result), self.o.valid.eq(1)]

        # Bytes for the host are stored in the cycles in which no word writes.
        in_frame, ends, ended, closed = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            ends.eq(self.i.payload == END),
            closed.eq(filled[-1] | ended),
            self.i.ready.eq(~closed & ~writes),
            write.addr.eq(Mux(writes, address, 2 * PAGE - MAX_PACKET + filled[:-1])),
            write.data.eq(Mux(writes, result, self.i.payload)),
            write.en.eq(writes | self.i.valid & ~closed),
        ]
        with m.If(self.i.valid & self.i.ready):
            # A frame begins and ends with an END.
            m.d.sync += [filled.eq(filled + 1), in_frame.eq(~ends), ended.eq(ends & in_frame)]
        with m.If(done & word.release):
            m.d.sync += [filled.eq(0), ended.eq(ended & filled[-1])]

        # The next word.
        conditions = {
            When.NEVER: 0,
            When.ZERO: accumulator == 0,
            When.CARRY: carry,
            When.UPPER: pointer[-1],
            When.ODD: pointer[0],
            When.ENDPOINT: accumulator[1],
            When.ACTIVE: line.active,
            When.GOOD_5: line.good_5,
            When.GOOD_16: line.good_16,
            When.SE0: line.se0,
            When.CLOSED: closed,
            When.FULL: self.o.valid & ~self.o.ready,
        }
        taken = Signal()
        m.d.comb += [
            taken.eq(Array(conditions[test] for test in When)[word.test.as_value()]),
            fetch.en.eq(done),
            fetch.addr.eq(Mux(taken, word.then, word.go)),
        ]
        with m.If(ResetSignal(allow_reset_less=True)):
            m.d.comb += [fetch.en.eq(1), fetch.addr.eq(0)]
        return m
