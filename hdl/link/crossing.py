# SPDX-License-Identifier: Apache-2.0
"""A stream from one clock domain to another, element by element."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Crossing"]


class Crossing(wiring.Component):
    """Holds one element until the other side has taken it: small, and fast enough for a link that
    is slower still.

    An element takes about three cycles of each domain. The clocks may have any relation.

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
        # each side turns its own flag: equal flags mean that nothing is held. No reset, so that
        # none comes alone.
        sent, taken, sent_there, taken_here = (
            Signal(name=name, reset_less=True)
            for name in ("sent", "taken", "sent_there", "taken_here")
        )
        m.submodules.forward = FFSynchronizer(sent, sent_there, o_domain=self._o_domain)
        m.submodules.back = FFSynchronizer(taken, taken_here, o_domain=self._i_domain)
        m.d.comb += [
            self.i.ready.eq(sent == taken_here),
            self.o.valid.eq(sent_there != taken),
            self.o.payload.eq(held),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d[self._i_domain] += [held.eq(self.i.payload), sent.eq(~sent)]
        with m.If(self.o.valid & self.o.ready):
            m.d[self._o_domain] += taken.eq(~taken)
        return m
