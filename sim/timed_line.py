# SPDX-License-Identifier: Apache-2.0
"""Lines to a simulated device on which time goes on while the host computes.

Time is that of the line and of the device's clock. Whatever the simulation takes, it does not
count; what the host computes between two calls counts with the processor's time of its thread. So
what a board's link and its host reach together can be measured without the board, and on a machine
that others use too.
"""

import time
from pathlib import Path

from amaranth.back import verilog as back
from amaranth.hdl import ClockDomain, Module, Signal
from sliplib import encode

from ornstein.hdl import protocol
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.protocol import Opcode
from ornstein.hdl.regmap import Line, Space
from ornstein.hdl.top import on_serial_line
from ornstein.sim import netlist, verilated
from ornstein.sim.netlist import NetlistTransport
from ornstein.sim.usb_host import BITS_PER_SECOND, UsbHost, UsbTransport

FTDI_SECONDS, FTDI_BYTES = 0.001, 510
"""An FTDI chip passes on what it has received after its shortest latency, or once a packet of USB
is full."""
_END = bytes([protocol.END])
_READ = 2048
"""Elements that are read to measure how fast answers travel."""
_STEP = 0.00005
"""Seconds between two looks of a waiting host."""


def serial_library(config: FabricConfig, line: Line) -> Path:
    """Returns the compiled simulator of a fabric behind a UART, bit by bit, which is built if the
    cache does not hold it.

    Raises ToolError if Verilator or a C++ compiler is missing, or the build failed.
    """
    return verilated.library(
        f"{config.name}-uart",
        lambda: _serial_verilog(config, line),
        netlist.HARNESS,
        depends=repr((config, line)),
        sources=(Path(__file__),),
    )


def _serial_verilog(config: FabricConfig, line: Line) -> str:
    """Returns the module ``top`` with the ports that the harness drives, wired as on a board."""
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    rx, tx = Signal(init=1), Signal()
    on_serial_line(m, config, line, rx, tx)
    ports = {"sync_clk": (clock.clk, None), "rx": (rx, None), "tx": (tx, None)}
    return back.convert(m, name="top", ports=ports, emit_src=False, strip_internal_attrs=True)


class HostClock:
    """Counts the processor's time of the calling thread.

    ``computed`` returns the seconds since ``resume`` was called last.
    """

    def __init__(self) -> None:
        self.resume()

    def computed(self) -> float:
        return time.thread_time() - self._since

    def resume(self) -> None:
        self._since = time.thread_time()


class TimedSerial(NetlistTransport):
    """A serial line through an FTDI chip; see the module. Time-outs are in seconds of the line.

    Parameters
    ----------
    built : the simulator that :func:`serial_library` returned
    line : line of the device; both ends start at its first rate
    """

    def __init__(self, built: Path, line: Line):
        super().__init__(built, line)
        self._clock, self._host = line.clock, HostClock()
        self._held = b""  # bytes that the FTDI chip has not passed on
        self._passed = b""  # bytes that wait for the host
        self._pass_at = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the line so far."""
        return self.cycles / self._clock

    def now(self) -> float:
        return self.seconds

    def write(self, data: bytes) -> None:
        self._go_on(self._host.computed())
        super().write(data)
        self._host.resume()

    def read(self, timeout: float) -> bytes:
        self._go_on(self._host.computed())
        deadline = self.seconds + timeout
        while not self._passed and self.seconds < deadline:
            self._go_on(_STEP)
        data, self._passed = self._passed, b""
        self._host.resume()
        return data

    def _go_on(self, seconds: float) -> None:
        """Lets the time of the line go on."""
        end = self.cycles + int(seconds * self._clock)
        while self.cycles < end:
            self._held += self._run(min(end - self.cycles, int(_STEP * self._clock)))
            if len(self._held) >= FTDI_BYTES or self.seconds >= self._pass_at:
                self._passed, self._held = self._passed + self._held, b""
                self._pass_at = self.seconds + FTDI_SECONDS


class TimedUsb(UsbTransport):
    """The bulk endpoints of an enumerated device, on whose bus nothing else happens; see the
    module. Time-outs are in seconds of the bus.
    """

    def __init__(self, host: UsbHost):
        super().__init__(host)
        self._clock, self._queue = HostClock(), b""

    @property
    def seconds(self) -> float:
        """Seconds of the bus so far."""
        return self._host.time / BITS_PER_SECOND

    def now(self) -> float:
        return self.seconds

    def write(self, data: bytes) -> None:
        self._go_on(self._clock.computed())
        self._queue += data
        self._clock.resume()

    def read(self, timeout: float) -> bytes:
        self._go_on(self._clock.computed())
        deadline = self.seconds + timeout
        while not self._arrived and self.seconds < deadline:
            self._go_on(0.0)
        data, self._arrived = self._arrived, b""
        self._clock.resume()
        return data

    def rates(self) -> tuple[float, float]:
        """Measures the bytes a second that travel to the device and from it, one way alone; the
        device must have nothing to answer.
        """
        begin, size = self.seconds, 64 * MAX_PACKET
        for _ in range(size // MAX_PACKET):  # frames without content mean nothing to it
            self._host.until(self._host.out, self._endpoint, _END * MAX_PACKET)
        there = size / (self.seconds - begin)
        request = protocol.request(1, Opcode.READ, Space.FACTOR, 0, _READ)
        self._host.until(self._host.out, self._endpoint, _END + encode(request) + _END)
        begin, got = self.seconds, b""
        while got.count(_END) < 2:
            got += self._host.in_(self._endpoint) or b""
        return there, len(got) / (self.seconds - begin)

    def _go_on(self, seconds: float) -> None:
        """Lets the time of the bus go on: a transaction of each endpoint by turns, at least one."""
        end = self.seconds + seconds
        while True:
            packet = self._queue[:MAX_PACKET]
            if packet and self._host.out(self._endpoint, packet):
                self._queue = self._queue[len(packet) :]
                self.sent += len(packet)
            got = self._host.in_(self._endpoint) or b""
            self._arrived += got
            self.received += len(got)
            if self.seconds >= end:
                return
