# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.link.uart.Uart`, judged by the UART of cocotbext-uart.

``UART_LINES`` in the environment holds, as JSON, a pair for each divisor of the UART that was
built: the divisor, and the rate in bits per second at which a board uses it. ``LINES`` alone would
not do: readline sets it to the height of the terminal.
"""

import json
import os
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from cocotbext.uart import UartSink, UartSource

LINES = json.loads(os.environ["UART_LINES"])
RATES = cocotb.parametrize(rate=range(len(LINES)))
TOLERATED = 0.02
"""By what fraction the two ends' clocks may differ; :meth:`ornstein.hdl.regmap.Line.at` relies on
it."""
COUNT = 48
"""Bytes each way."""


class Bench:
    """The UART's streams, and the judge at the other end of its line.

    Parameters
    ----------
    rate : index of the divisor
    error : by what fraction the UART's bits are longer than the judge's, which are whole
        nanoseconds
    """

    def __init__(self, dut, rate: int, error: float):
        self.dut = dut
        divisor, baud = LINES[rate]
        bit = int(1e9 / baud)
        self.cycles = 10 * divisor  # that a byte takes
        self.source, self.sink = UartSource(dut.rx, baud=baud), UartSink(dut.tx, baud=baud)
        self.received, self.flagged = [], 0
        dut.rate.value = rate
        dut.i__valid.value, dut.o__ready.value = 0, 1
        half = round(500 * bit * (1 + error) / divisor)
        Clock(dut.clk, 2 * half, "ps").start()

    async def start(self) -> None:
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        cocotb.start_soon(self._take())
        for flag in (self.dut.overflow, self.dut.framing):
            cocotb.start_soon(self._watch(flag))
        await ClockCycles(self.dut.clk, 3)

    async def send(self, data: bytes) -> None:
        """Puts bytes into the UART's stream without a pause."""
        for byte in data:
            self.dut.i__payload.value, self.dut.i__valid.value = byte, 1
            await ReadOnly()
            if not self.dut.i__ready.value:
                await RisingEdge(self.dut.i__ready)
            await RisingEdge(self.dut.clk)
        self.dut.i__valid.value = 0

    async def _take(self) -> None:
        while True:
            await RisingEdge(self.dut.o__valid)
            await ReadOnly()
            self.received.append(int(self.dut.o__payload.value))

    async def _watch(self, flag) -> None:
        while True:
            await RisingEdge(flag)
            self.flagged += 1


def some_bytes() -> bytes:
    """The extremes, and others at random."""
    return bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *random.randbytes(COUNT - 6)])


@cocotb.test(timeout_time=10, timeout_unit="ms")
@RATES
@cocotb.parametrize(error=[-TOLERATED, 0.0, TOLERATED])
async def bytes_pass_both_ways_at_once(dut, rate, error):
    """Without a pause between them, whichever clock is the faster."""
    bench = Bench(dut, rate, error)
    await bench.start()
    there, back = some_bytes(), some_bytes()
    bench.source.write_nowait(there)
    await bench.send(back)
    await bench.source.wait()
    await ClockCycles(dut.clk, 2 * bench.cycles)
    assert bytes(bench.received) == there
    assert bench.sink.read_nowait() == back
    assert bench.flagged == 0 and dut.idle.value


@cocotb.test(timeout_time=10, timeout_unit="ms")
@RATES
async def clocks_that_differ_too_much_do_not_agree(dut, rate):
    """So that agreement means something."""
    bench = Bench(dut, rate, 0.12)
    await bench.start()
    there, back = some_bytes(), some_bytes()
    bench.source.write_nowait(there)
    await bench.send(back)
    await bench.source.wait()
    await ClockCycles(dut.clk, 2 * bench.cycles)
    assert bytes(bench.received) != there
    assert bench.sink.read_nowait() != back
