# SPDX-License-Identifier: Apache-2.0
"""Lines to a simulated device on which time goes on while the host computes.

Time is that of the line and of the device's clock. Whatever the simulation takes, it does not
count; what the host computes between two calls does. So what a board's link and its host reach
together can be measured without the board, and on a machine that others use too.
"""

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from sliplib import encode

from ornstein.hdl import protocol
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.protocol import Opcode
from ornstein.hdl.regmap import Line, Space
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


@dataclass(frozen=True)
class HostRates:
    """Seconds that a host computes for each byte that it has read.

    Attributes
    ----------
    to_write : until it writes
    to_read : until it reads again, apart from what it computes until it writes
    """

    to_write: float
    to_read: float


class HostClock:
    """Says how long the host has computed since the line's last call.

    Without rates this is the processor's time of the calling thread. It is too long, because the
    simulation takes the host's data out of the caches: :func:`ornstein.sim.replay.host_rates`
    measures the rates without the simulation.

    Attributes
    ----------
    rates : HostRates; None measures each time
    """

    def __init__(self) -> None:
        self.rates: HostRates | None = None
        self._to_write = self._to_read = 0  # bytes whose time is not counted yet
        self.resume()

    def resume(self, received: int = 0) -> None:
        """Notes that the host goes on, with so many bytes that were read."""
        self._to_write += received
        self._to_read += received
        self._since = time.thread_time()

    def until_write(self) -> float:
        """Returns the seconds until a write."""
        size, self._to_write = self._to_write, 0
        if self.rates is None:
            return time.thread_time() - self._since
        return size * self.rates.to_write

    def until_read(self) -> float:
        """Returns the seconds until a read."""
        unwritten = self.until_write()
        size, self._to_read = self._to_read, 0
        return unwritten if self.rates is None else unwritten + size * self.rates.to_read


class TimedSerial(NetlistTransport):
    """A serial line through an FTDI chip; see the module. Time-outs are in seconds of the line.

    Parameters
    ----------
    built : the simulator that :func:`ornstein.sim.serial_simulator.library` returned
    line : line of the device; both ends start at its first rate

    Attributes
    ----------
    host : HostClock
    """

    through_usb = True

    def __init__(self, built: Path, line: Line):
        super().__init__(built, line)
        self._clock, self.host = line.clock, HostClock()
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
        self._go_on(self.host.until_write())
        super().write(data)
        self.host.resume()

    def read(self, timeout: float) -> bytes:
        self._go_on(self.host.until_read())
        deadline = self.seconds + timeout
        while not self._passed and self.seconds < deadline:
            self._go_on(_STEP)
        data, self._passed = self._passed, b""
        self.host.resume(len(data))
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

    Attributes
    ----------
    host : HostClock
    """

    def __init__(self, host: UsbHost):
        super().__init__(host)
        self.host = HostClock()
        self._packets: deque[bytes] = deque()  # that the host's controller has not sent yet

    @property
    def seconds(self) -> float:
        """Seconds of the bus so far."""
        return self._host.time / BITS_PER_SECOND

    def now(self) -> float:
        return self.seconds

    def write(self, data: bytes) -> None:
        self._go_on(self.host.until_write())
        self._packets += [data[n : n + MAX_PACKET] for n in range(0, len(data), MAX_PACKET)]
        self.host.resume()

    def read(self, timeout: float) -> bytes:
        self._go_on(self.host.until_read())
        deadline = self.seconds + timeout
        while not self._arrived and self.seconds < deadline:
            self._go_on(0.0)
        data, self._arrived = self._arrived, b""
        self.host.resume(len(data))
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
            if self._packets and self._host.out(self._endpoint, self._packets[0]):
                self.sent += len(self._packets.popleft())
            got = self._host.in_(self._endpoint) or b""
            self._arrived += got
            self.received += len(got)
            if self.seconds >= end:
                return
