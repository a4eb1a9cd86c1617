# SPDX-License-Identifier: Apache-2.0
"""The protocol's CRC, a byte a cycle."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.protocol import CRC_BYTES

__all__ = ["Checksum"]


class Checksum(wiring.Component):
    """CRC-16/IBM-3740 of a row of bytes. Latency 1.

    Of the bytes ``x`` that the polynomial x^16 + x^12 + x^5 + 1 multiplies, the term x^12 falls out
    at the top again: folding the upper half of ``x`` into the lower accounts for it, and three
    shifts do the rest.

    A byte equal to ``high`` moves the CRC up by a byte, so whoever sends ``high`` as the next byte
    twice has sent it all, most significant byte first.

    Members
    -------
    start : In(1), a new row begins; ``valid`` means nothing then
    valid : In(1), ``data`` is the next byte
    data : In(8)
    high : Out(8), the CRC's most significant byte
    right : Out(1), the CRC is zero, as after a row that ended with its CRC
    """

    start: In(1)
    valid: In(1)
    data: In(8)
    high: Out(8)
    right: Out(1)

    def elaborate(self, platform):
        m = Module()
        crc = Signal(8 * CRC_BYTES, reset_less=True)
        out = self.high ^ self.data
        folded = out ^ (out >> 4)
        m.d.comb += [self.high.eq(crc[8:]), self.right.eq(crc == 0)]
        with m.If(self.start):
            m.d.sync += crc.eq(-1)
        with m.Elif(self.valid):
            m.d.sync += crc.eq((crc << 8) ^ (folded << 12) ^ (folded << 5) ^ folded)
        return m
