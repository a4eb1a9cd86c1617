# SPDX-License-Identifier: Apache-2.0
"""A serial port of this operating system with a simulated device behind it: what a board's user
meets, without it.

The port is a pseudo-terminal. It carries bytes at once and knows no baud rate; both are put back
here, the rate from the terminal's settings, which both ends of a pseudo-terminal share.
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
"""Seconds of line time that a paced port may catch up."""
_PAUSE = 0.0005
"""Seconds between looks at the line."""


class Port:
    """Use as a context manager, which gives the port itself; ``name`` is what a user would open.

    Parameters
    ----------
    transport : Transport to the device; closed with the port
    pace : bits per second that the host's bytes are limited to; as fast as they come if left out
    baud : tells the device's present rate. While the host's differs, both receive what their
        receivers would make of the other's bits. Left out, rates do not matter, as with native USB.
    """

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
        """The rate that the host has set."""
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
            baud = (
                self._baud and self._baud()
            )  # a device changes its rate only after it has answered
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
    """What a receiver at ``taken`` baud makes of bytes sent back to back at ``sent`` baud (8N1).

    It looks for a start bit, samples the middle of each bit, and drops a byte without a stop bit.
    """
    if sent == taken:
        return data
    levels = [level for byte in data for level in (0, *(byte >> bit & 1 for bit in range(8)), 1)]
    step = sent / taken  # bits as sent, during one bit as taken

    def level(when: float) -> int:
        return levels[int(when)] if when < len(levels) else 1

    received, now = bytearray(), 0.0
    while now < len(levels):
        if level(now):
            now = int(now) + 1.0
            continue
        bits = [level(now + (place + 0.5) * step) for place in range(10)]
        now += 9.5 * step
        if bits[9]:
            received.append(sum(bit << place for place, bit in enumerate(bits[1:9])))
        while level(now) == 0:  # a break ends with the next high level
            now = int(now) + 1.0
    return bytes(received)
