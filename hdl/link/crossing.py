# SPDX-License-Identifier: Apache-2.0
"""Passes a stream from one clock domain to another, one element at a time."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Crossing"]


class Crossing(wiring.Component):
    """Holds one element until the other side has taken it. It is small, and faster than the link.

    An element takes about three cycles of each domain. The clocks may have any frequencies and
    phases.

    Parameters
    ----------
    shape : shape of an element
    i_domain, o_domain : names of the domains

    Members
    -------
    i : In(stream of shape), in ``i_domain``
    o : Out(stream of shape), in ``o_domain``
    """

    def __init__(self, shape, *, i_domain: str, o_domain: str):
        self._shape, self._i_domain, self._o_domain = shape, i_domain, o_domain
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        held = Signal(self._shape, reset_less=True)
        # Each side inverts its own flag; equal flags mean that no element is held. The flags have
        # no reset, because a reset of only one would make an element appear or vanish.
        sent, taken, sent_seen, taken_seen = (
            Signal(name=name, reset_less=True)
            for name in ("sent", "taken", "sent_seen", "taken_seen")
        )
        m.submodules.forward = FFSynchronizer(sent, sent_seen, o_domain=self._o_domain)
        m.submodules.back = FFSynchronizer(taken, taken_seen, o_domain=self._i_domain)
        m.d.comb += [
            self.i.ready.eq(sent == taken_seen),
            self.o.valid.eq(sent_seen != taken),
            self.o.payload.eq(held),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d[self._i_domain] += [held.eq(self.i.payload), sent.eq(~sent)]
        with m.If(self.o.valid & self.o.ready):
            m.d[self._o_domain] += taken.eq(~taken)
        return m
