# SPDX-License-Identifier: Apache-2.0
"""The link's bytes over native USB: a CDC-ACM serial port, down to the transceiver.

Wires and bits are in :mod:`~ornstein.hdl.link.usb.transceiver`; packets, transactions and requests
in a microprogram (:mod:`~ornstein.hdl.link.usb.program`) of a small machine
(:mod:`~ornstein.hdl.link.usb.engine`); what the host is told in
:mod:`~ornstein.hdl.link.usb.descriptors`.
"""

from amaranth.hdl import Cat, DomainRenamer, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.link.crossing import Crossing
from ornstein.hdl.link.usb.engine import Engine
from ornstein.hdl.link.usb.program import serial_port
from ornstein.hdl.link.usb.transceiver import Transceiver

__all__ = ["UsbSerial"]


class UsbSerial(wiring.Component):
    """Serial port on two wires and a pull-up; its streams are in ``sync``.

    A packet to the host is complete when a frame ends or when the packet is full, so an answer
    never waits for the next one. The device holds one packet in each direction. It does not support
    suspend: while the host sleeps, the device draws as much current as before.

    Parameters
    ----------
    pins : object with ``d_p`` and ``d_n``, each with ``i``, ``o`` and ``oe`` as
        :class:`amaranth.lib.io.DDRBuffer` has them, ``i`` and ``o`` for half a cycle each; and
        ``pullup`` with ``o``
    domain : clock domain of the pins; its frequency is
        :data:`ornstein.hdl.link.usb.transceiver.CLOCK_HZ`. The streams cross between it and
        ``sync`` unless it is ``sync`` itself.

    Members
    -------
    i : In(stream of 8), bytes to the host
    o : Out(stream of 8), bytes from the host
    """

    i: In(stream.Signature(8))
    o: Out(stream.Signature(8))

    def __init__(self, pins, domain: str):
        self._pins, self._domain = pins, domain
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        rename, pins = DomainRenamer(self._domain), self._pins
        transceiver, engine = Transceiver(), Engine(*serial_port())
        m.submodules.transceiver = rename(transceiver)
        m.submodules.engine = rename(engine)
        m.d.comb += [
            transceiver.d_p.eq(Cat(pins.d_p.i)),
            transceiver.d_n.eq(Cat(pins.d_n.i)),
            Cat(pins.d_p.o).eq(transceiver.o_p.replicate(2)),
            Cat(pins.d_n.o).eq(transceiver.o_n.replicate(2)),
            pins.d_p.oe.eq(transceiver.oe),
            pins.d_n.oe.eq(transceiver.oe),
            pins.pullup.o.eq(1),
        ]
        connect(m, engine.line, transceiver.line)
        if self._domain == "sync":
            connect(m, flipped(self.i), engine.i)
            connect(m, engine.o, flipped(self.o))
        else:
            m.submodules.inward = inward = Crossing(8, i_domain=self._domain, o_domain="sync")
            m.submodules.outward = outward = Crossing(8, i_domain="sync", o_domain=self._domain)
            connect(m, flipped(self.i), outward.i)
            connect(m, outward.o, engine.i)
            connect(m, engine.o, inward.i)
            connect(m, inward.o, flipped(self.o))
        return m
