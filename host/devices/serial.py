# SPDX-License-Identifier: Apache-2.0
"""Serial ports as transports: FTDI and other USB bridges, and boards that are USB devices."""

import contextlib
import time
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

import serial
from serial.tools import list_ports

from ornstein.sim.transport import LinkError, Transport

DEFAULT_BAUD = 1_000_000

USB_SERIAL = Path("/sys/bus/usb-serial/devices")
"""The folder in which Linux lists USB serial ports."""

_POLL = 0.05
"""Seconds that pyserial waits for bytes.

Changing this makes pyserial configure the port anew, so it never changes, and longer waits poll.
"""
_WRITE_TIMEOUT = 5.0
"""Seconds that a write may take."""


class SerialTransport(Transport):
    """A serial port, with eight data bits and no parity.

    Parameters
    ----------
    port : name of the port
    baud : bits per second
    negotiable : whether the link may change the rate later

    Raises
    ------
    LinkError
        The port cannot be opened.
    """

    through_usb = True

    def __init__(self, port: str, *, baud: int = DEFAULT_BAUD, negotiable: bool = False):
        self._name = port
        self.negotiable = negotiable
        try:
            self._port = serial.Serial(
                port, baud, timeout=_POLL, write_timeout=_WRITE_TIMEOUT, exclusive=True
            )
        except (OSError, ValueError) as error:
            raise LinkError(
                f"cannot open the serial port {port} at {baud} baud ({_reason(error)}); {_ports()}"
            ) from error
        with contextlib.suppress(NotImplementedError, OSError, ValueError):
            # an FTDI otherwise holds short answers back for 16 ms
            self._port.set_low_latency_mode(True)
        if latency_timer(port).is_file():
            with contextlib.suppress(OSError):  # the same where only this file may be written
                latency_timer(port).write_text("1")

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Opens the port of a URI.

        ``serial:PORT`` lets the link negotiate the rate, ``serial:PORT?baud=N`` keeps it at N.
        Raises LinkError if the URI is neither, or the port cannot be opened.
        """
        scheme, _, rest = uri.partition(":")
        port, _, query = rest.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        negotiable = "baud" not in options
        baud = options.pop("baud", str(DEFAULT_BAUD))
        if scheme != "serial" or not port or options or not baud.isdecimal() or int(baud) == 0:
            raise LinkError(f"{uri!r} is no serial device; write serial:PORT or serial:PORT?baud=N")
        return cls(port, baud=int(baud), negotiable=negotiable)

    @property
    def baud(self) -> int:
        return self._port.baudrate

    def set_baud(self, baud: int) -> None:
        before = self._port.baudrate
        try:
            self._port.flush()
            self._port.baudrate = baud
        except (OSError, ValueError, serial.PortNotOpenError) as error:
            with contextlib.suppress(OSError, ValueError, serial.PortNotOpenError):
                self._port.baudrate = before
            raise LinkError(
                f"{self._name} cannot be set to {baud} baud ({_reason(error)}); give it a rate "
                "that it takes as serial:PORT?baud=N"
            ) from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise LinkError(
                f"{self._name} took no bytes for {_WRITE_TIMEOUT:g} s; check the cable and flow "
                "control"
            ) from error
        except (OSError, serial.PortNotOpenError) as error:
            raise self._failed(error) from error

    def read(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        try:
            while True:
                data = self._port.read(self._port.in_waiting or 1)
                if data or time.monotonic() >= deadline:
                    return data
        except (OSError, serial.PortNotOpenError) as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._port.close()

    def _failed(self, error: Exception) -> LinkError:
        return LinkError(
            f"{self._name} failed ({_reason(error)}); plug the board in again and retry"
        )


def latency_timer(port: str) -> Path:
    """Returns the file with the milliseconds for which an FTDI collects bytes before it sends them.

    The file exists only under Linux, and only for drivers that have such a timer.
    """
    return USB_SERIAL / Path(port).resolve().name / "latency_timer"


def _reason(error: Exception) -> str:
    """Returns the operating system's message if there is one, else the error's first line."""
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def _ports() -> str:
    """Returns a list of the serial ports, for error messages."""
    names = sorted(port.device for port in list_ports.comports())
    return (
        f"ports here: {', '.join(names)}" if names else "no serial port is here; plug the board in"
    )
