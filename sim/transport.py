# SPDX-License-Identifier: Apache-2.0
"""The interface between a link and the line to its device: bytes in both directions."""

import time
from abc import ABC, abstractmethod
from typing import Self

from ornstein.hdl.protocol import MAX_REQUEST


class LinkError(RuntimeError):
    """The line or its device failed; one line says what was asked, what happened and what to do."""


class Transport(ABC):
    """A byte stream to a device and back.

    Attributes
    ----------
    window : bytes that may be in flight besides the request that the device works on, which every
        device's queue holds
    negotiable : whether the line has a rate that the link may change
    through_usb : whether the bytes leave the host in packets of USB, each write in packets of its
        own
    """

    window: int = MAX_REQUEST
    negotiable: bool = False
    through_usb: bool = False

    @property
    def baud(self) -> int | None:
        """Bits per second of the host's end; None if the line has no rate."""
        return None

    def set_baud(self, baud: int) -> None:
        """Changes the rate of the host's end once all written bytes have left.

        Raises LinkError if the line has no such rate.
        """
        raise LinkError("this line has no rate that could be changed")

    def now(self) -> float:
        """Returns the seconds of the clock by which time-outs count; only differences mean
        anything.
        """
        return time.monotonic()

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Sends all bytes. Raises LinkError if the line does not take them."""

    @abstractmethod
    def read(self, timeout: float) -> bytes:
        """Waits up to ``timeout`` seconds for bytes; returns those that have arrived, or none."""

    @abstractmethod
    def close(self) -> None:
        """Releases the line; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
