# SPDX-License-Identifier: Apache-2.0
"""What a link needs of a line: bytes out, bytes in, time-outs."""

from abc import ABC, abstractmethod
from typing import Self

from ornstein.hdl.protocol import MAX_REQUEST


class LinkError(RuntimeError):
    """The line or the device at its end fails; one line that says what was asked, what happened and
    what to do.
    """


class Transport(ABC):
    """A byte stream to a device and back.

    Attributes
    ----------
    window : bytes that may be on their way besides the request that the device works on; what its
        queue holds
    negotiable : whether the line has a rate that the link may change
    """

    window: int = MAX_REQUEST
    negotiable: bool = False

    @property
    def baud(self) -> int | None:
        """Bits per second of the host's end; None where the line has no rate."""
        return None

    def set_baud(self, baud: int):
        """Changes the host's end once all that was written has left. Raises LinkError if
        it cannot.
        """
        raise LinkError("this line has no rate that could be changed")

    @abstractmethod
    def write(self, data: bytes):
        """Sends all bytes. Raises LinkError if the line does not take them."""

    @abstractmethod
    def read(self, timeout: float) -> bytes:
        """What has arrived, at least a byte; empty if nothing came within ``timeout`` seconds."""

    @abstractmethod
    def close(self):
        """Releases the line; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception):
        self.close()
