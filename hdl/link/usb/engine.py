# SPDX-License-Identifier: Apache-2.0
"""A machine of 256 words of microprogram and 512 bytes, which runs the protocol of USB between
bytes and packets.
"""

from amaranth.hdl import Array, Cat, Module, Mux, ResetSignal, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.protocol import END
from ornstein.hdl.targets import ecp5

__all__ = ["PAGE", "WORDS", "Engine", "Source", "When", "Word"]

WORDS = 256
"""Of the microprogram."""
PAGE = 256
"""Bytes in each half of the memory."""


class When(enum.Enum, shape=4):
    """What decides which word is next, as it is before the present one acts."""

    NEVER = 0
    ZERO = 1  # the accumulator is
    CARRY = 2  # out of the last sum; of a difference, that it is not negative
    UPPER = 3  # the pointer is 128 or more
    ODD = 4  # the pointer is
    ENDPOINT = 5  # bit 1 of the accumulator
    ACTIVE = 6  # a packet is being received
    GOOD_5 = 7  # the CRC of the token received is right
    GOOD_16 = 8  # that of the data packet is
    SE0 = 9  # both wires are low
    CLOSED = 10  # a packet for the host is complete
    FULL = 11  # the last byte from the host has not been taken


class Source(enum.Enum, shape=3):
    """What the result is, if nothing is added."""

    ZERO = 0
    MEMORY = 1
    LINE = 2  # the byte received
    POINTER = 3
    FILLED = 4  # bytes of the packet for the host


Word = data.StructLayout(
    {
        "go": 8,  # the next word
        "then": 8,  # the next word where the test holds
        "test": When,
        "address": 8,  # in the lower half of the memory; pointed, bit 0 chooses the half
        "pointed": 1,  # the address is the pointer
        "source": Source,
        "negate": 1,  # with add: subtract the source
        "add": 1,  # the accumulator to the source, or the source alone, is the result
        "load": 1,  # it goes to the accumulator,
        "write": 1,  # to the memory,
        "point": 1,  # to the pointer,
        "put": 1,  # to the stream
        "step": 1,  # the pointer moves on
        "release": 1,  # the packet for the host has arrived there
        "wait": 1,  # until the transceiver is ready or idle
        "send": 1,  # with wait: the result
        "checksum": 1,  # with send: a byte of the checksum in place of it
        "start": 1,  # with wait: the checksums begin after this byte
    }
)
"""A word of the microprogram. Zero does nothing and goes to word zero."""


class Engine(wiring.Component):
    """Runs a microprogram, a word in two cycles: one to read the memory, one to act. That one lasts
    while it waits.

    It has an accumulator and a pointer of eight bits, and begins with word zero.

    Beside it bytes for the host fill a packet, the last ``MAX_PACKET`` bytes of the memory. It is
    complete when it is full or a frame has ended. ``release`` empties it; a full one that ended a
    frame is complete once more, without bytes: a host takes that for the end of what came in full
    packets.

    Parameters
    ----------
    program : its words
    contents : of the memory at power-up

    Members
    -------
    i : In(stream of 8), bytes to the host
    o : Out(stream of 8), bytes from the host
    send, data, checksum, start : out, and
    ready, byte, active, idle, good_5, good_16, se0 : in; as in
        :class:`ornstein.hdl.link.usb.transceiver.Transceiver`
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))
    send: Out(1)
    data: Out(8)
    checksum: Out(1)
    start: Out(1)
    ready: In(1)
    byte: In(8)
    active: In(1)
    idle: In(1)
    good_5: In(1)
    good_16: In(1)
    se0: In(1)

    def __init__(self, program: list[dict], contents: bytes):
        self._program, self._contents = program, contents
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        # in block RAM, but for an ECP5's, which the fabric fills; there logic is plenty
        rom, ram = (
            ({"ram_style": "logic"}, {"ram_style": "distributed"})
            if ecp5.is_target(platform)
            else ({}, {})
        )
        m.submodules.program = program = memory.Memory(
            shape=Word, depth=WORDS, init=self._program, attrs=rom
        )
        # a byte is read in one cycle and written in the next
        m.submodules.storage = storage = memory.Memory(
            shape=8, depth=2 * PAGE, init=self._contents, attrs=ram | {"no_rw_check": 1}
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

        # a word's two cycles; the second one lasts while it waits
        act, done = Signal(), Signal()
        m.d.sync += act.eq(~done)
        m.d.comb += done.eq(act & (~word.wait | self.ready | self.idle))

        # the result
        source, result, total = Signal(8), Signal(8), Signal(9)
        with m.Switch(word.source):
            for value, where in (
                (Source.MEMORY, stored),
                (Source.LINE, self.byte),
                (Source.POINTER, pointer),
                (Source.FILLED, filled),
            ):
                with m.Case(value):
                    m.d.comb += source.eq(where)
        m.d.comb += [
            total.eq(accumulator + (source ^ word.negate.replicate(8)) + word.negate),
            result.eq(Mux(word.add, total, source)),
        ]

        # where it goes
        writes = Signal()
        address = Mux(word.pointed, Cat(pointer, word.address[0]), word.address)
        m.d.comb += [
            read.addr.eq(address),
            writes.eq(done & word.write),
            self.data.eq(result),
            self.send.eq(act & word.send),
            self.checksum.eq(word.checksum),
            self.start.eq(done & word.start),
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

        # bytes for the host, in the cycles in which no word writes
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
            # a frame has an END before it and one after it
            m.d.sync += [filled.eq(filled + 1), in_frame.eq(~ends), ended.eq(ends & in_frame)]
        with m.If(done & word.release):
            m.d.sync += [filled.eq(0), ended.eq(ended & filled[-1])]

        # what follows
        holds = {
            When.NEVER: 0,
            When.ZERO: accumulator == 0,
            When.CARRY: carry,
            When.UPPER: pointer[-1],
            When.ODD: pointer[0],
            When.ENDPOINT: accumulator[1],
            When.ACTIVE: self.active,
            When.GOOD_5: self.good_5,
            When.GOOD_16: self.good_16,
            When.SE0: self.se0,
            When.CLOSED: closed,
            When.FULL: self.o.valid & ~self.o.ready,
        }
        taken = Signal()
        m.d.comb += [
            taken.eq(Array(holds[test] for test in When)[word.test.as_value()]),
            fetch.en.eq(done),
            fetch.addr.eq(Mux(taken, word.then, word.go)),
        ]
        with m.If(ResetSignal(allow_reset_less=True)):
            m.d.comb += [fetch.en.eq(1), fetch.addr.eq(0)]
        return m
