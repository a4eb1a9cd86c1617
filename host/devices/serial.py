# SPDX-License-Identifier: Apache-2.0
"""Boards at a serial port: FTDI and other USB bridges, or USB CDC-ACM."""

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
"""Where Linux lists USB serial ports."""

# s; pyserial sets the port up anew at every change of its time-out, so that stays as it is
_POLL = 0.05
_WRITE_TIMEOUT = 5.0


class SerialTransport(Transport):
    """The serial port of that name, at ``baud`` bits per second, eight data bits, no parity.

    Raises LinkError if the port cannot be opened. ``negotiable`` lets the link change the rate
    later.
    """

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
            self._port.set_low_latency_mode(
                True
            )  # an FTDI otherwise holds short answers back for 16 ms
        if latency_timer(port).is_file():
            with contextlib.suppress(OSError):  # the same by another way, where the user may
                latency_timer(port).write_text("1")

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """``serial:PORT``, whose rate is negotiated, or ``serial:PORT?baud=N``, which stays at N.

        Raises LinkError if it is neither.
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

    def set_baud(self, baud: int):
        before = self._port.baudrate
        try:
            self._port.flush()
            self._port.baudrate = baud
        except (OSError, ValueError, serial.PortNotOpenError) as error:
            with contextlib.suppress(OSError, ValueError, serial.PortNotOpenError):
                self._port.baudrate = before
            raise LinkError(
                f"{self._name} cannot be set to {baud} baud ({_reason(error)}); give it a rate that it "
                "takes as serial:PORT?baud=N"
            ) from error

    def write(self, data: bytes):
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise LinkError(
                f"{self._name} took no bytes for {_WRITE_TIMEOUT:g} s; check the cable and flow control"
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

    def close(self):
        self._port.close()

    def _failed(self, error: Exception) -> LinkError:
        return LinkError(
            f"{self._name} failed ({_reason(error)}); plug the board in again and retry"
        )


def latency_timer(port: str) -> Path:
    """The file that holds the milliseconds for which an FTDI waits for more before it sends what it
    has.

    It exists only under Linux and only for a driver that has such a timer.
    """
    return USB_SERIAL / Path(port).resolve().name / "latency_timer"


def _reason(error: Exception) -> str:
    """The operating system's own words where there are any; pyserial wraps them several times."""
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def _ports() -> str:
    names = sorted(port.device for port in list_ports.comports())
    return (
        f"ports here: {', '.join(names)}" if names else "no serial port is here; plug the board in"
    )
