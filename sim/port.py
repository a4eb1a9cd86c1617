# SPDX-License-Identifier: Apache-2.0
"""A serial port of the operating system with a simulated device behind it, in place of a board.

The port is a pseudo-terminal, which carries bytes at once and at any baud rate. This module adds
the time that bytes take, and the damage from rates that differ. The host's rate is known from the
terminal's settings, which both ends of a pseudo-terminal share.
"""

import os
import pty
import re
import termios
import threading
import time
import tty
from collections.abc import Callable
from typing import Self

from ornstein.sim.transport import Transport

_BAUDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if re.fullmatch(r"B\d+", name)
}
_BURST = 0.04
"""Seconds of line time that a port with a pace may make up for after a pause."""
_PAUSE = 0.0005
"""Seconds between two looks at the line."""


class Port:
    """A pseudo-terminal to a device. Use it as a context manager, which gives the port itself.

    Parameters
    ----------
    transport : Transport to the device; it is closed with the port
    pace : limit in bits per second for the host's bytes; None for no limit
    baud : returns the device's present rate. While the host's rate differs, each end receives the
        bytes that its receiver would make of the other's bits. None if rates do not matter, as with
        native USB.

    Attributes
    ----------
    name : name of the port, for the host to open
    """

    name: str

    def __init__(
        self,
        transport: Transport,
        *,
        pace: int | None = None,
        baud: Callable[[], int] | None = None,
    ):
        self._transport, self._pace, self._baud = transport, pace, baud
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        self._far, self._near = pty.openpty()
        tty.setraw(self._near)
        os.set_blocking(self._far, False)
        self.name = os.ttyname(self._near)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()
        os.close(self._far)
        os.close(self._near)
        self._transport.close()

    @property
    def host_baud(self) -> int:
        """Bits per second that the host has set."""
        return _BAUDS[termios.tcgetattr(self._far)[5]]

    def _serve(self) -> None:
        last, credit = time.perf_counter(), 0.0
        while not self._stop.is_set():
            now = time.perf_counter()
            if self._pace is None:
                credit = 4096.0
            else:
                credit = min(credit + (now - last) * self._pace / 10, _BURST * self._pace / 10)
            last = now
            data = self._read(int(credit))
            credit -= len(data)
            # the rate before the device works on the data: it changes it only after its answer
            baud = self._baud() if self._baud else None
            if data:
                self._transport.write(
                    data if baud is None else resampled(data, self.host_baud, baud)
                )
            answer = self._transport.read(0.0)
            if answer:
                self._write(answer if baud is None else resampled(answer, baud, self.host_baud))
            time.sleep(_PAUSE)

    def _read(self, most: int) -> bytes:
        try:
            return os.read(self._far, most) if most else b""
        except BlockingIOError:
            return b""

    def _write(self, data: bytes) -> None:
        while data and not self._stop.is_set():
            try:
                data = data[os.write(self._far, data) :]
            except BlockingIOError:  # the host does not read
                time.sleep(_PAUSE)


def resampled(data: bytes, sent: int, taken: int) -> bytes:
    """Returns what a receiver at ``taken`` baud makes of bytes sent back to back at ``sent`` baud.

    The format is 8N1. The receiver looks for a start bit, samples the middle of each bit, and drops
    a byte without a stop bit.
    """
    if sent == taken:
        return data
    levels = [level for byte in data for level in (0, *(byte >> bit & 1 for bit in range(8)), 1)]
    step = sent / taken  # bits of the sender during one bit of the receiver

    def level(when: float) -> int:
        """Returns the line's level at a time in bits of the sender."""
        return levels[int(when)] if when < len(levels) else 1

    received, now = bytearray(), 0.0
    while now < len(levels):
        if level(now):
            now = int(now) + 1.0
            continue
        bits = [level(now + (index + 0.5) * step) for index in range(10)]
        now += 9.5 * step
        if bits[9]:
            received.append(sum(bit << index for index, bit in enumerate(bits[1:9])))
        while level(now) == 0:  # after a missing stop bit, wait for the idle level
            now = int(now) + 1.0
    return bytes(received)
