# SPDX-License-Identifier: Apache-2.0
"""Bits on the wires of full-speed USB. Each cycle takes two samples of the line; a bit lasts two
cycles.

Universal Serial Bus Specification 2.0: 7.1.7 (line states), 7.1.8 (NRZI), 7.1.9 (bit stuffing),
7.1.10 (sync pattern), 7.1.13 to 7.1.15 (end of packet, data rate and jitter), 8.3.5 (checksums).
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.link.usb.line import LineSignature

__all__ = ["CLOCK_HZ", "Transceiver"]

CLOCK_HZ = 24_000_000
"""Frequency of the transceiver's clock: a bit lasts two cycles, or four samples."""

_STUFFED = 6
"""The sender inserts a zero after this many consecutive ones."""
_TOO_MANY = 7
"""No packet has this many consecutive ones; an idle line has."""


def _shifted(register, bit, taps: tuple[int, ...]):
    """A CRC register after one more bit; ``taps`` are those of its polynomial except the lowest."""
    return Cat(
        bit,
        *(
            register[place - 1] ^ bit if place in taps else register[place - 1]
            for place in range(1, len(register))
        ),
    )


class Transceiver(wiring.Component):
    """Converts packets between bytes and the levels of the two wires. Half duplex: one shift
    register, NRZI decoder, counter of ones and CRC-16 serve both directions.

    Reception: the middle of a bit is taken two samples after the last edge of D+. This tolerates an
    edge that is more than one sample (20 ns) early or late; section 7.1.15 allows 18.5 ns. A packet
    begins after five zeros and a one. The extra bit that hubs may insert before the end of a packet
    (7.1.9.1) does no harm.

    Transmission begins when ``line.send`` offers a byte while the line is idle. The first byte must
    be the sync pattern, 0x80. When no byte is offered at the time when one is needed, the
    transceiver ends the packet.

    Members
    -------
    d_p : In(2), samples of D+ half a cycle apart, the older one in bit 0; free of metastability
    d_n : In(1), sample of D- at the time of the older sample of D+
    o_p, o_n : Out(1), the levels to drive on D+ and D-
    oe : Out(1), drive D+ and D-
    line : In(LineSignature()), the packets' bytes
    """

    d_p: In(2)
    d_n: In(1)
    o_p: Out(1)
    o_n: Out(1)
    oe: Out(1)
    line: In(LineSignature())

    def elaborate(self, platform):
        m = Module()
        line = self.line
        driving, ending = Signal(), Signal()
        bit, strobe = Signal(), Signal()  # strobe marks the cycles in which ``bit`` is valid
        level = Signal(init=1)  # level of D+ during the previous bit
        ones = Signal(3)  # number of consecutive ones, at most _TOO_MANY
        count = Signal(3)  # number of bits of the present byte that are done
        shift = Signal(8, init=-1)
        crc_5, crc_16 = Signal(5), Signal(16)

        # Find the middle of a received bit: ``phase`` counts samples since the last edge.
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

        # The present bit, received or sent.
        second = Signal()  # second cycle of a sent bit
        check = Signal()  # the checksum is being sent
        stuffed, sent_bit = Signal(), Signal()
        m.d.sync += second.eq(~second | ~driving)
        m.d.comb += [
            stuffed.eq(ones == _STUFFED),
            sent_bit.eq(ending | Mux(check, ~crc_16[-1], shift[0]) & ~stuffed),
            bit.eq(Mux(driving, sent_bit, last ^ ~level)),
            strobe.eq(Mux(driving, second, middle)),
        ]
        advance, synchronised, broken = Signal(), Signal(), Signal()
        m.d.comb += [
            advance.eq(strobe & ~stuffed),
            synchronised.eq(bit & (shift[3:] == 0) & ~driving),
            broken.eq(bit & stuffed),
            line.byte.eq(Cat(shift[1:], bit)),
        ]
        with m.If(strobe):
            m.d.sync += [level.eq(level ^ ~bit), line.se0.eq(low)]
            with m.If(~bit):
                m.d.sync += ones.eq(0)
            with m.Elif(ones != _TOO_MANY):
                m.d.sync += ones.eq(ones + 1)
            with m.If(low | broken):
                m.d.sync += line.active.eq(0)
            with m.Elif(synchronised):
                m.d.sync += line.active.eq(1)
        with m.If(advance):
            feedback = (crc_16[-1] ^ bit) & ~check
            m.d.sync += [
                shift.eq(line.byte),
                count.eq(count + 1),
                crc_5.eq(_shifted(crc_5, crc_5[-1] ^ bit, (2,))),
                crc_16.eq(_shifted(crc_16, feedback, (2, 15))),
            ]
        with m.If(line.idle):
            m.d.sync += count.eq(0)
        with m.If(line.start):
            m.d.sync += [crc_5.eq(-1), crc_16.eq(-1)]
        # Checked at the end of each byte. After a packet and its correct checksum, a CRC register
        # holds a known constant.
        with m.If(line.active & (count == 0)):
            m.d.sync += [line.good_5.eq(crc_5 == 0b01100), line.good_16.eq(crc_16 == 0x800D)]
        with m.If(line.active & strobe & broken):
            m.d.sync += [line.good_5.eq(0), line.good_16.eq(0)]

        # Bytes.
        due = Signal()  # the next byte to send is needed now
        m.d.comb += [
            due.eq(driving & ~second & (count == 0) & ~stuffed & ~ending),
            line.ready.eq(due | line.active & advance & (count == 7) & ~low),
            line.idle.eq(~line.active & ~driving),
            self.oe.eq(driving),
        ]
        with m.If(line.send & (due | line.idle)):
            m.d.sync += [driving.eq(1), shift.eq(line.data), check.eq(line.checksum)]
        with m.Elif(due):
            m.d.sync += ending.eq(1)
        with m.If(line.send & line.idle):
            m.d.sync += level.eq(1)
        with m.If(line.send & line.idle | ending):
            m.d.sync += ones.eq(0)
        # The end of a packet: SE0 for two bits, then J for one bit.
        closing = ending & (count != 0)
        with m.If(ending & strobe & (count == 3)):
            m.d.sync += [driving.eq(0), ending.eq(0), check.eq(0)]
        m.d.comb += [
            self.o_p.eq(Mux(closing, count == 3, level)),
            self.o_n.eq(~closing & ~level),
        ]
        return m
