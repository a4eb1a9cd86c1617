# SPDX-License-Identifier: Apache-2.0
"""The link's bytes over native USB: a CDC-ACM serial port, down to the wires.

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
    """Serial port on two wires and a pull-up; streams in ``sync``.

    A packet to the host ends where a frame ends, or when it is full: an answer never waits for the
    next one. One packet is held each way. The device does not suspend: while the host is asleep it
    draws what it always does.

    Parameters
    ----------
    pins : object with ``d_p`` and ``d_n``, each with ``i``, ``o`` and ``oe`` as
        :class:`amaranth.lib.io.DDRBuffer` has them, ``i`` and ``o`` for half a cycle each; and
        ``pullup`` with ``o``
    domain : clock domain of the pins, of :data:`ornstein.hdl.link.usb.transceiver.CLOCK_HZ`;
        streams cross from and to it unless it is ``sync``

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
        wires, engine = Transceiver(), Engine(*serial_port())
        m.submodules.wires, m.submodules.engine = rename(wires), rename(engine)
        m.d.comb += [
            wires.d_p.eq(Cat(pins.d_p.i)),
            wires.d_n.eq(Cat(pins.d_n.i)),
            Cat(pins.d_p.o).eq(wires.o_p.replicate(2)),
            Cat(pins.d_n.o).eq(wires.o_n.replicate(2)),
            pins.d_p.oe.eq(wires.oe),
            pins.d_n.oe.eq(wires.oe),
            pins.pullup.o.eq(1),
        ]
        for name in ("send", "data", "checksum", "start"):
            m.d.comb += getattr(wires, name).eq(getattr(engine, name))
        for name in ("ready", "byte", "active", "idle", "good_5", "good_16", "se0"):
            m.d.comb += getattr(engine, name).eq(getattr(wires, name))
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
