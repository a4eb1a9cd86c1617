# SPDX-License-Identifier: Apache-2.0
"""How long a host computes, measured without the simulation of the device beside it.

What a line brings in a run is recorded and given again to the same code, which then computes the
same, with its data in the caches as beside a board.
"""

import time
from collections.abc import Callable, Iterator

from ornstein.sim.timed_line import HostRates
from ornstein.sim.transport import Transport


class Recorder(Transport):
    """Passes everything on to a line and back.

    Attributes
    ----------
    reads : what each read has brought
    """

    def __init__(self, line: Transport):
        self._line = line
        self.window, self.through_usb = line.window, line.through_usb
        self.reads: list[bytes] = []

    def now(self) -> float:
        return self._line.now()

    def write(self, data: bytes) -> None:
        self._line.write(data)

    def read(self, timeout: float) -> bytes:
        data = self._line.read(timeout)
        self.reads.append(data)
        return data

    def close(self) -> None:
        self._line.close()


class Replay(Transport):
    """Gives what was recorded at once, and counts the time of the processor between two calls. Its
    clock stands still.
    """

    def __init__(self, recorded: Recorder):
        self.window, self.through_usb = recorded.window, recorded.through_usb
        self._reads: Iterator[bytes] = iter(recorded.reads)
        self._bytes = sum(map(len, recorded.reads))
        self._to_write = self._to_read = 0.0
        self._since = time.thread_time()

    def rates(self) -> HostRates:
        """Returns what the host has computed; the run has ended."""
        to_read = self._to_read + time.thread_time() - self._since
        return HostRates(self._to_write / self._bytes, to_read / self._bytes)

    def now(self) -> float:
        return 0.0

    def write(self, data: bytes) -> None:
        self._to_write += time.thread_time() - self._since
        self._since = time.thread_time()

    def read(self, timeout: float) -> bytes:
        self._to_read += time.thread_time() - self._since
        data = next(self._reads)
        self._since = time.thread_time()
        return data

    def close(self) -> None:
        pass


def host_rates(line: Transport, run: Callable[[Transport], object], repeats: int = 9) -> HostRates:
    """Runs once over the line, and then so many times, an odd number, with what it has brought.
    Returns the rates of the repetition whose time is the median.

    ``run`` must do the same each time with the transport that it is given.
    """
    recorder = Recorder(line)
    run(recorder)
    found = []
    for _ in range(repeats):
        replay = Replay(recorder)
        run(replay)
        found.append(replay.rates())
    found.sort(key=lambda rates: rates.to_write + rates.to_read)
    return found[repeats // 2]
