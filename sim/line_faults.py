# SPDX-License-Identifier: Apache-2.0
"""A line that damages what it carries, and a device that is reset, for tests of the host."""

import enum
import re
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from ornstein.hdl.protocol import END, ESC
from ornstein.sim.transport import Transport

_REMEMBERED = 32
"""Pieces of the past that are carried again."""
_LONGEST_DELAY = 40
"""Bytes that a delayed byte may come late by."""
_LONGEST_GARBAGE = 80
_LONGEST_SILENCE = 12
"""Reads for which the device seems silent."""
_BABBLE = 3000
"""Bytes that something else on the line says at once."""
_FRAME = re.compile(b"%c[^%c]+%c" % (END, END, END))


class LineFault(enum.Enum):
    """What can happen to the bytes of a line, in either direction."""

    FLIP = "a bit changes"
    DROP = "a byte is lost"
    DOUBLE = "a byte comes twice"
    DELAY = "a byte comes late"
    SWAP = "two neighbours change places"
    GARBAGE = "random bytes are put in"
    CUT = "the rest is lost"
    AGAIN = "something old comes again"
    SILENCE = "answers are held back"
    BABBLE = "something else talks"
    TWICE = "a frame comes twice"
    OVERTAKEN = "a frame comes behind later ones"
    REFLECTED = "a frame also goes back to its sender"


_OF_FRAMES = LineFault.TWICE, LineFault.OVERTAKEN, LineFault.REFLECTED


class FaultyLine(Transport):
    """A transport through which bytes are damaged at random.

    Parameters
    ----------
    transport : the line that it stands before; it is closed with this one
    rng : decides where and how

    Attributes
    ----------
    rate : faults per byte
    kinds : the faults to choose from
    injected : faults so far
    before_write : called before each write, for instance to reset the device
    """

    def __init__(self, transport: Transport, rng: np.random.Generator):
        self._transport, self._rng = transport, rng
        self.rate = 0.0
        self.kinds = tuple(LineFault)
        self.injected = 0
        self.before_write: Callable[[], None] = lambda: None
        self.window, self.negotiable = transport.window, transport.negotiable
        self._late = {True: b"", False: b""}  # by whether they are the host's
        self._past = {True: deque[bytes](maxlen=_REMEMBERED), False: deque(maxlen=_REMEMBERED)}
        self._silent = 0
        self._held = b""

    def now(self) -> float:
        """What it carries is simulated in the calling thread, so that nothing times out because
        other programs keep that from a processor.
        """
        return time.thread_time()

    def write(self, data: bytes) -> None:
        self.before_write()
        self._transport.write(self._carried(data, True))

    def read(self, timeout: float) -> bytes:
        data = self._carried(self._transport.read(timeout), False)
        if self._silent:
            self._silent -= 1
            self._held += data
            return b""
        data, self._held = self._held + data, b""
        return data

    def heal(self) -> None:
        """Damages nothing from now on; what is on its way still arrives."""
        self.rate, self._silent = 0.0, 0

    def close(self) -> None:
        self._transport.close()

    def _carried(self, data: bytes, from_host: bool) -> bytes:
        """Returns what arrives of these bytes."""
        if not data:
            return data
        past = self._past[from_host]
        arriving = bytearray(data + self._late[from_host])
        self._late[from_host] = b""
        for _ in range(int(self._rng.binomial(len(data), self.rate))):
            self.injected += 1
            fault = self.kinds[int(self._rng.integers(len(self.kinds)))]
            self._damage(arriving, fault, past, from_host)
        past.append(data)
        return bytes(arriving)

    def _damage(
        self, data: bytearray, fault: LineFault, past: deque[bytes], from_host: bool
    ) -> None:
        """Does it to the bytes in place."""
        rng = self._rng
        place = int(rng.integers(len(data))) if data else 0
        if not data or fault == LineFault.SILENCE:
            self._silent += int(rng.integers(1, _LONGEST_SILENCE + 1))
        elif fault == LineFault.FLIP:
            data[place] ^= 1 << int(rng.integers(8))
        elif fault == LineFault.DROP:
            del data[place]
        elif fault == LineFault.DOUBLE:
            data.insert(place, data[place])
        elif fault == LineFault.DELAY:
            byte, later = data.pop(place), place + int(rng.integers(1, _LONGEST_DELAY + 1))
            if later < len(data):
                data.insert(later, byte)
            else:
                self._late[from_host] += bytes([byte])
        elif fault == LineFault.SWAP:
            data[place : place + 2] = data[place : place + 2][::-1]
        elif fault == LineFault.GARBAGE:
            data[place:place] = rng.bytes(int(rng.integers(1, _LONGEST_GARBAGE + 1)))
        elif fault == LineFault.CUT:
            del data[place:]
        elif fault == LineFault.AGAIN:
            data += past[int(rng.integers(len(past)))] if past else b""
        elif fault in _OF_FRAMES:
            self._damage_frame(data, fault, place, from_host)
        else:
            said = (b"login: ", bytes([END]), bytes([ESC]), rng.bytes(_BABBLE))
            data[place:place] = said[int(rng.integers(len(said)))]

    def _damage_frame(self, data: bytearray, fault: LineFault, place: int, from_host: bool) -> None:
        """Does it in place to the frame at ``place`` or the one behind it. Bytes that hold no whole
        frame count as one.
        """
        spans = [found.span() for found in _FRAME.finditer(data)]
        behind = [span for span in spans if span[1] > place] or [(0, len(data))]
        (first, end), later = behind[0], behind[1:]
        frame = bytes(data[first:end])
        if fault == LineFault.TWICE:
            data[end:end] = frame
        elif fault == LineFault.REFLECTED:
            self._late[not from_host] += frame
        else:
            overtaking = int(self._rng.integers(len(later) + 1))
            if overtaking < len(later):
                place = later[overtaking][1]
                data[place:place] = frame
            else:
                self._late[from_host] += frame
            del data[first:end]
