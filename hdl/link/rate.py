# SPDX-License-Identifier: Apache-2.0
"""Selects the rate of a serial line: it changes on request, and falls back to the first rate when
no valid request is received.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Rate"]


class Rate(wiring.Component):
    """Changes the rate after the answer to the request has been sent. It returns to the first rate
    if bytes have been received but no valid request for ``patience`` strobes of ``silence``.

    So a host can always reach the device, whatever rate an earlier host left it at: the first bytes
    at the wrong rate make it fall back. While nothing is received, the rate does not change.

    Parameters
    ----------
    count : number of rates, at least 2
    patience : number of strobes of ``silence``, at least 1

    Members
    -------
    ask : In(1), change to the rate ``index``
    index : In(range(count))
    idle : In(1), nothing is waiting to be sent
    heard : In(1), a byte has been received
    valid : In(1), a valid request has been received
    silence : In(1), a strobe at regular intervals while no byte is received
    rate : Out(range(count)), the present rate; zero at power-up
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
        doubtful = Signal()  # bytes have been received since the last valid request
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
