# SPDX-License-Identifier: Apache-2.0
"""Bits on the wires of full-speed USB: two line samples a cycle in, a bit every two cycles out.

Universal Serial Bus Specification 2.0: 7.1.7 (line states), 7.1.8 (NRZI), 7.1.9 (bit stuffing),
7.1.10 (sync pattern), 7.1.13 to 7.1.15 (end of packet, data rate and jitter), 8.3.5 (checksums).
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CLOCK_HZ", "Transceiver"]

CLOCK_HZ = 24_000_000
"""Of the domain: two cycles, four samples a bit."""

_STUFFED = 6
"""Ones in a row after which a zero is stuffed."""
_TOO_MANY = 7
"""Ones in a row that no packet has; the idle line has."""


def _shifted(register, bit, taps: tuple[int, ...]):
    """A CRC register one bit on; ``taps`` are those of its polynomial besides the lowest."""
    return Cat(
        bit,
        *(
            register[place - 1] ^ bit if place in taps else register[place - 1]
            for place in range(1, len(register))
        ),
    )


class Transceiver(wiring.Component):
    """Packets as bytes, from and to the wires. Half duplex: one shift register, NRZI decoder, run
    of ones and CRC-16 serve both ways.

    Receiving, the middle of a bit is two samples after the last edge of D+, which tolerates an edge
    that is more than a sample (20 ns) early or late; 7.1.15 allows 18.5 ns. A packet begins where
    five zeros and a one were received. A bit that hubs may have left before the end of a packet
    (7.1.9.1) does no harm.

    Sending begins with the byte of ``send`` while the line is idle; the first one is to be the sync
    pattern, 0x80. It ends when no byte is offered where one is due: the transceiver closes the
    packet.

    Members
    -------
    d_p : unsigned(2), in; samples of D+, the older one in bit 0, half a cycle apart; free of
        metastability
    d_n : in; sample of D- at the time of the older one
    o_p, o_n : out; what to drive D+ and D- to
    oe : out; drive them
    send : in; offer ``data``, held until ``ready`` or ``idle``
    data : unsigned(8), in
    checksum : in, with ``send``; send the next byte of the packet's CRC-16 in place of ``data``
    start : in, with ``ready``; the checksums begin with the next bit
    ready : out, one cycle; receiving, ``byte`` is complete; sending, a byte is due, and taken if
        there is one
    byte : unsigned(8), out
    active : out; a packet is being received
    idle : out; none is being received or sent
    good_5, good_16 : out; the CRC-5 or CRC-16 of the bytes received since ``start`` is right; once
        not ``active``
    se0 : out; both wires are low
    """

    d_p: In(2)
    d_n: In(1)
    o_p: Out(1)
    o_n: Out(1)
    oe: Out(1)
    send: In(1)
    data: In(8)
    checksum: In(1)
    start: In(1)
    ready: Out(1)
    byte: Out(8)
    active: Out(1)
    idle: Out(1)
    good_5: Out(1)
    good_16: Out(1)
    se0: Out(1)

    def elaborate(self, platform):
        m = Module()
        driving, ending = Signal(), Signal()
        bit, strobe = Signal(), Signal()  # a bit passes in the cycles with strobe
        level = Signal(init=1)  # of D+ in the bit before
        ones = Signal(3)  # in a row, up to _TOO_MANY
        count = Signal(3)  # bits of the byte that have passed
        shift = Signal(8, init=-1)
        crc_5, crc_16 = Signal(5), Signal(16)

        # where the middle of a received bit is: phase counts samples since the last edge
        last = Signal(init=1)
        phase = Signal(2)
        edges = Cat(self.d_p[0] ^ last, self.d_p[1] ^ self.d_p[0])
        middle, low = Signal(), Signal()
        m.d.sync += last.eq(self.d_p[1])
        with m.If(edges[1]):
            m.d.sync += phase.eq(1)
        with m.Elif(edges[0]):
            m.d.sync += phase.eq(2)
        with m.Else():
            m.d.sync += phase.eq(phase + 2)
        m.d.comb += [
            middle.eq(~edges[0] & ((phase == 2) | (phase == 1) & ~edges[1])),
            low.eq(~last & ~self.d_n),
        ]

        # the bit that passes
        second, check = Signal(), Signal()  # second cycle of a sent bit; sending the checksum
        stuffed, own = Signal(), Signal()
        m.d.sync += second.eq(~second | ~driving)
        m.d.comb += [
            stuffed.eq(ones == _STUFFED),
            own.eq(ending | Mux(check, ~crc_16[-1], shift[0]) & ~stuffed),
            bit.eq(Mux(driving, own, last ^ ~level)),
            strobe.eq(Mux(driving, second, middle)),
        ]
        advance, synchronised, broken = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(strobe & ~stuffed),
            synchronised.eq(bit & (shift[3:] == 0) & ~driving),
            broken.eq(bit & stuffed),
            self.byte.eq(Cat(shift[1:], bit)),
        ]
        with m.If(strobe):
            m.d.sync += [level.eq(level ^ ~bit), self.se0.eq(low)]
            with m.If(~bit):
                m.d.sync += ones.eq(0)
            with m.Elif(ones != _TOO_MANY):
                m.d.sync += ones.eq(ones + 1)
            with m.If(low | broken):
                m.d.sync += self.active.eq(0)
            with m.Elif(synchronised):
                m.d.sync += self.active.eq(1)
        with m.If(advance):
            feedback = (crc_16[-1] ^ bit) & ~check
            m.d.sync += [
                shift.eq(self.byte),
                count.eq(count + 1),
                crc_5.eq(_shifted(crc_5, crc_5[-1] ^ bit, (2,))),
                crc_16.eq(_shifted(crc_16, feedback, (2, 15))),
            ]
        with m.If(self.idle):
            m.d.sync += count.eq(0)
        with m.If(self.start):
            m.d.sync += [crc_5.eq(-1), crc_16.eq(-1)]
        # at the ends of bytes; what remains of a register after a packet with its checksum is known
        with m.If(self.active & (count == 0)):
            m.d.sync += [self.good_5.eq(crc_5 == 0b01100), self.good_16.eq(crc_16 == 0x800D)]
        with m.If(self.active & strobe & broken):
            m.d.sync += [self.good_5.eq(0), self.good_16.eq(0)]

        # bytes
        due = Signal()
        m.d.comb += [
            due.eq(driving & ~second & (count == 0) & ~stuffed & ~ending),
            self.ready.eq(due | self.active & advance & (count == 7) & ~low),
            self.idle.eq(~self.active & ~driving),
            self.oe.eq(driving),
        ]
        with m.If(self.send & (due | self.idle)):
            m.d.sync += [driving.eq(1), shift.eq(self.data), check.eq(self.checksum)]
        with m.Elif(due):
            m.d.sync += ending.eq(1)
        with m.If(self.send & self.idle):
            m.d.sync += level.eq(1)
        with m.If(self.send & self.idle | ending):
            m.d.sync += ones.eq(0)
        # the end: SE0 for two bits, J for one
        closing = ending & (count != 0)
        with m.If(ending & strobe & (count == 3)):
            m.d.sync += [driving.eq(0), ending.eq(0), check.eq(0)]
        m.d.comb += [
            self.o_p.eq(Mux(closing, count == 3, level)),
            self.o_n.eq(~closing & ~level),
        ]
        return m
