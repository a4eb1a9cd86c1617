# SPDX-License-Identifier: Apache-2.0
"""Which of its rates a serial line runs at: changed on request, and given up where nobody can be
understood.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Rate"]


class Rate(wiring.Component):
    """Switches once the answer to the request has been sent, and back to the first rate when, for
    ``patience`` strobes of ``silence``, bytes were heard but no valid request. So no device is ever
    lost: a host that dies leaves it at any rate, and the first bytes of the next one,
    unintelligible, bring it back. A line on which nothing is heard stays.

    Parameters
    ----------
    count : rates to choose from, at least 2
    patience : strobes of ``silence``, at least 1

    Members
    -------
    ask, index : In; change to that rate
    idle : In, nothing waits to be sent
    heard : In, a byte has come
    valid : In, the bytes that have come made a valid request
    silence : In, strobes at even distances while no byte comes
    rate : Out, the rate in force; zero at power-up
    """

    def __init__(self, count: int, *, patience: int):
        if count < 2 or patience < 1:
            raise ValueError(
                f"count must be at least 2 and patience at least 1, not {count} and {patience}"
            )
        self._patience = patience
        super().__init__(
            {
                "ask": In(1),
                "index": In(range(count)),
                "idle": In(1),
                "heard": In(1),
                "valid": In(1),
                "silence": In(1),
                "rate": Out(range(count)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        asked = Signal.like(self.rate)
        doubtful = Signal()  # bytes have come since the last valid request
        waited = Signal(range(self._patience))
        with m.If(self.ask):
            m.d.sync += asked.eq(self.index)
        with m.If(self.idle):
            m.d.sync += self.rate.eq(asked)
        with m.If(self.valid):
            m.d.sync += [doubtful.eq(0), waited.eq(0)]
        with m.Elif(self.heard):
            m.d.sync += doubtful.eq(1)
        with m.Elif(doubtful & self.silence):
            m.d.sync += waited.eq(waited + 1)
            with m.If(waited == self._patience - 1):
                m.d.sync += [asked.eq(0), doubtful.eq(0), waited.eq(0)]
        return m
