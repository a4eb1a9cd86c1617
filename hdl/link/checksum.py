# SPDX-License-Identifier: Apache-2.0
"""The protocol's CRC, one byte a cycle."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.protocol import CRC_BYTES

__all__ = ["Checksum"]


class Checksum(wiring.Component):
    """CRC-16/IBM-3740 of a sequence of bytes. Latency 1.

    A byte is multiplied by the polynomial x^16 + x^12 + x^5 + 1. The term x^12 shifts the byte's
    upper half out at the top, so that half is first folded into the lower one; three shifts do the
    rest.

    A byte equal to ``high`` shifts the CRC up by one byte. So to send the CRC, most significant
    byte first, send ``high`` as the next byte twice.

    Members
    -------
    start : In(1), a new sequence begins; ``valid`` is ignored in this cycle
    valid : In(1), ``data`` is the next byte
    data : In(8)
    high : Out(8), the CRC's most significant byte
    right : Out(1), the CRC is zero, as after a sequence that ends with its CRC
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
