"""SLIP framing (RFC 1055) of byte streams."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.protocol import END, ESC, ESC_END, ESC_ESC

__all__ = ["Deframer", "Framer", "Item", "Outgoing"]


class Item(data.Struct):
    """What a line's bytes mean: a byte of a frame, or a frame's end."""

    data: 8
    end: 1      # a frame ends here; there is no data
    error: 1    # this follows an ESC that escapes nothing: the frame is damaged


class Outgoing(data.Struct):
    """A byte to send, and whether its frame ends with it."""

    data: 8
    last: 1


class Deframer(wiring.Component):
    """Takes SLIP apart. Latency 1; one byte a cycle. Every END is passed on, also that of an empty frame.

    Members
    -------
    i : In(stream of 8), bytes from the line
    o : Out(stream of :class:`Item`), from registers
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(Item))

    def elaborate(self, platform):
        m = Module()
        escaped = Signal()
        escape = Signal()  # an ESC, which says nothing by itself
        item = Signal(Item, reset_less=True)
        m.d.comb += [
            escape.eq((self.i.payload == ESC) & ~escaped),
            self.i.ready.eq(self.o.ready | ~self.o.valid),
            self.o.payload.eq(item),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & ~escape),
                item.data.eq(self.i.payload),
                item.end.eq(self.i.payload == END),
                item.error.eq(0),
            ]
            with m.If(self.i.valid):
                m.d.sync += escaped.eq(escape)
            with m.If(escaped):
                with m.Switch(self.i.payload):
                    with m.Case(ESC_END):
                        m.d.sync += item.data.eq(END)
                    with m.Case(ESC_ESC):
                        m.d.sync += item.data.eq(ESC)
                    with m.Default():
                        m.d.sync += item.error.eq(1)
        return m


class Framer(wiring.Component):
    """Puts frames into SLIP, with END before and after each. Latency 1, at a frame's first byte 2; one byte a cycle,
    two cycles for an escaped one.

    Members
    -------
    i : In(stream of :class:`Outgoing`)
    o : Out(stream of 8), bytes for the line
    """

    i: In(stream.Signature(Outgoing))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        held = Signal(Outgoing, reset_less=True)
        full = Signal()
        is_end = Signal(reset_less=True)
        special = Signal(reset_less=True)
        sent = Signal()  # the held byte leaves
        m.d.comb += self.i.ready.eq(~full | sent)
        with m.If(self.i.ready):
            m.d.sync += [
                full.eq(self.i.valid),
                held.eq(self.i.payload),
                is_end.eq(self.i.payload.data == END),
                special.eq((self.i.payload.data == END) | (self.i.payload.data == ESC)),
            ]
        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [self.o.payload.eq(END), self.o.valid.eq(full)]
                with m.If(full & self.o.ready):
                    m.next = "BYTE"
            with m.State("BYTE"):
                m.d.comb += [self.o.payload.eq(held.data), self.o.valid.eq(full)]
                with m.If(special):
                    m.d.comb += self.o.payload.eq(ESC)
                    with m.If(full & self.o.ready):
                        m.next = "ESCAPED"
                with m.Elif(full & self.o.ready):
                    m.d.comb += sent.eq(1)
                    with m.If(held.last):
                        m.next = "END"
            with m.State("ESCAPED"):
                m.d.comb += [self.o.payload.eq(Mux(is_end, ESC_END, ESC_ESC)), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.comb += sent.eq(1)
                    m.next = "BYTE"
                    with m.If(held.last):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.payload.eq(END), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.next = "BEGIN"
        return m
