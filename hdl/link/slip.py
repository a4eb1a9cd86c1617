# SPDX-License-Identifier: Apache-2.0
"""SLIP framing (RFC 1055) of byte streams."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.protocol import END, ESC, ESC_END, ESC_ESC

__all__ = ["Deframer", "Framer", "Item", "Outgoing"]


class Item(data.Struct):
    """The meaning of a received byte: a byte of a frame, or the end of a frame."""

    data: 8
    end: 1  # a frame ends here; there is no data
    error: (
        1  # this follows an ESC that escapes nothing: the frame is damaged, the data mean nothing
    )


class Outgoing(data.Struct):
    """A byte to send, and whether its frame ends with it."""

    data: 8
    last: 1


class Deframer(wiring.Component):
    """Removes SLIP framing. Latency 0, one byte a cycle. Every END is passed on, even of an empty
    frame.

    Members
    -------
    i : In(stream of 8), bytes from the line
    o : Out(stream of :class:`Item`), not valid while ``i`` is an ESC, which is taken when ``o`` is
        ready
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(Item))

    def elaborate(self, platform):
        m = Module()
        byte, item = self.i.payload, self.o.payload
        escaped = Signal()
        escape = Signal()  # an ESC, which is not an item itself
        m.d.comb += [
            escape.eq((byte == ESC) & ~escaped),
            self.o.valid.eq(self.i.valid & ~escape),
            self.i.ready.eq(self.o.ready),
            item.data.eq(byte),
            item.end.eq(byte == END),
            item.error.eq(escaped & (byte != ESC_END) & (byte != ESC_ESC)),
        ]
        with m.If(escaped):
            # Correct for the two bytes that may follow an ESC; only four bits change.
            m.d.comb += item.data.eq(byte ^ Mux(byte[0], ESC_ESC ^ ESC, ESC_END ^ END))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += escaped.eq(escape)
        return m


class Framer(wiring.Component):
    """Adds SLIP framing, with END before and after each frame. Latency 1; a byte takes two cycles,
    an escaped byte three.

    Members
    -------
    i : In(stream of :class:`Outgoing`)
    o : Out(stream of 8), bytes for the line
    """

    i: In(stream.Signature(Outgoing))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        byte = self.i.payload.data
        special = Signal(reset_less=True)  # the offered byte must be escaped
        offered = Signal()  # ``i`` has been valid since the previous cycle or longer
        was_end = Signal(reset_less=True)  # the byte taken last was END
        was_last = Signal(reset_less=True)
        m.d.sync += [
            special.eq((byte == END) | (byte == ESC)),
            offered.eq(self.i.valid & ~self.i.ready),
        ]
        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [self.o.payload.eq(END), self.o.valid.eq(self.i.valid)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += [
                    self.o.payload.eq(Mux(special, ESC, byte)),
                    self.o.valid.eq(offered),
                    self.i.ready.eq(offered & self.o.ready),
                ]
                with m.If(self.i.ready):
                    m.d.sync += [was_end.eq(byte == END), was_last.eq(self.i.payload.last)]
                    with m.If(special):
                        m.next = "ESCAPED"
                    with m.Elif(self.i.payload.last):
                        m.next = "END"
            with m.State("ESCAPED"):
                m.d.comb += [self.o.payload.eq(Mux(was_end, ESC_END, ESC_ESC)), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BYTE"
                    with m.If(was_last):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(END), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BEGIN"
        return m
