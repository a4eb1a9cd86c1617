# SPDX-License-Identifier: Apache-2.0
"""Serial ports: lists them, finds devices at them, and checks whether the user can use them."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from ornstein import boards
from ornstein.hdl.config import FabricConfig
from ornstein.host.devices.check import Check
from ornstein.host.devices.link import Link, NoAnswerError
from ornstein.host.devices.serial import DEFAULT_BAUD, SerialTransport, latency_timer
from ornstein.sim.transport import LinkError

BAUDS = (DEFAULT_BAUD, 3_000_000, 115_200, 12_000_000)
"""Rates at which a device is looked for; boards start with the first."""
RULES = Path(boards.__file__).with_name("99-ornstein.rules")
RULES_FOLDERS = (
    Path("/etc/udev/rules.d"),
    Path("/run/udev/rules.d"),
    Path("/usr/lib/udev/rules.d"),
    Path("/lib/udev/rules.d"),
)
_TIMEOUT = 0.2
"""Seconds that a device has to answer at one rate; an FTDI may hold each answer back for 16 ms."""


@dataclass(frozen=True)
class Found:
    """The result of asking at a port.

    Attributes
    ----------
    port : name of the port
    config : the fabric that answered; None if none did
    baud : the rate at which it answered; 0 if none did
    problem : why no fabric answered, one line; empty if one did
    """

    port: str
    config: FabricConfig | None = None
    baud: int = 0
    problem: str = ""

    def __str__(self) -> str:
        if self.config is None:
            return f"{self.port}: {self.problem}"
        return f"serial:{self.port}?baud={self.baud} (fabric {self.config.name})"


def candidates(*, every: bool = False) -> list[ListPortInfo]:
    """Returns the USB serial ports, those with a known board's identifiers first.

    With ``every``, all other serial ports follow.
    """
    known = {board.usb for board in boards.BOARDS.values()}
    return sorted(
        (port for port in list_ports.comports() if every or port.vid is not None),
        key=lambda port: (port.vid is None, (port.vid, port.pid) not in known, port.device),
    )


def ask(port: str, *, timeout: float = _TIMEOUT) -> Found:
    """Looks for a device at that port, at each of :data:`BAUDS`.

    ``timeout`` is in seconds per rate. Anything else at the port receives some bytes.
    """
    problem = "silent"
    try:
        with SerialTransport(port) as line:
            for baud in BAUDS:
                try:
                    line.set_baud(baud)
                except LinkError:  # the port has no such rate
                    continue
                link = Link(line, timeout=timeout, retries=0)
                try:
                    return Found(port, link.identify(), baud)
                except NoAnswerError:
                    continue
                except LinkError as error:
                    problem = str(error)
    except LinkError as error:
        problem = str(error)
    return Found(port, problem=problem)


def find(*, every: bool = False) -> SerialTransport:
    """Opens the port at which a device answers, at the device's rate.

    With ``every``, all serial ports are asked, otherwise those on USB. Raises LinkError if no
    device answers, or several do.
    """
    ports = candidates(every=every)
    found = [ask(port.device) for port in ports]
    answered = [one for one in found if one.config is not None]
    if len(answered) == 1:
        return SerialTransport(answered[0].port, baud=answered[0].baud, negotiable=True)
    if answered:
        raise LinkError(
            f"several devices answer: {', '.join(map(str, answered))}; name one of them"
        )
    if found:
        raise LinkError(
            f"no device answers ({'; '.join(map(str, found))}); check that a board is flashed and "
            "plugged in, or name its port as serial:PORT"
        )
    other = "" if every else " (serial:auto?ports=all tries the others too)"
    raise LinkError(
        f"no USB serial port is here{other}; plug the board in, and see ornstein doctor"
    )


# ---- checks of the doctor ------------------------------------------------------------------------


def examine() -> Iterator[Check]:
    """Checks permissions and latency of every USB serial port, udev rules, and programmers."""
    ports = candidates()
    for port in ports:
        yield _access(port.device)
        if sys.platform == "linux":
            yield from _latency(port.device)
    if not ports:
        yield Check(
            "serial ports",
            False,
            "no USB serial port is here; none is needed without a board",
            needed=False,
        )
    if sys.platform == "linux":
        yield _udev_rules()
    # boards with the same tool differ in its options
    programmers = {one.programmer.tool: one.programmer for one in boards.BOARDS.values()}
    for _, programmer in sorted(programmers.items()):
        path = shutil.which(programmer.tool)
        yield Check(
            f"programmer {programmer.tool}",
            path is not None,
            path or f"optional; {programmer.install}",
            needed=False,
        )


def _udev_rules() -> Check:
    """Checks that the rules are installed which let users open the boards' ports."""
    installed = [folder / RULES.name for folder in RULES_FOLDERS]
    found = next((file for file in installed if file.is_file()), None)
    if found is not None:
        return Check("udev rules", True, str(found), needed=False)
    return Check(
        "udev rules",
        False,
        f"to use boards without being root: sudo cp {RULES} {RULES_FOLDERS[0]}/ && "
        "sudo udevadm control --reload && sudo udevadm trigger",
        needed=False,
    )


def _access(port: str) -> Check:
    """Checks that the user may read and write the port."""
    if os.access(port, os.R_OK | os.W_OK):
        return Check(f"port {port}", True, "may be used", needed=False)
    return Check(
        f"port {port}",
        False,
        f"not yours to use: it belongs to the group {_group(port)}; sudo usermod -aG "
        f"{_group(port)} $USER, and log in again",
        needed=False,
    )


def _group(path: str) -> str:
    """Returns the name of the group to which a port belongs."""
    try:
        return Path(path).group()
    except (KeyError, OSError):  # the group has no name, or the port was just unplugged
        return "dialout"


def _latency(port: str) -> Iterator[Check]:
    """Checks that an FTDI port answers at once; other ports have no such timer and no check."""
    timer = latency_timer(port)
    if not timer.is_file():
        return
    wait = timer.read_text().strip()
    if wait == "1":
        yield Check(f"latency of {port}", True, "1 ms", needed=False)
    elif os.access(timer, os.W_OK):
        yield Check(
            f"latency of {port}",
            True,
            f"{wait} ms, set to 1 ms when a device is opened",
            needed=False,
        )
    else:
        yield Check(
            f"latency of {port}",
            False,
            f"{wait} ms for every short answer: {timer} belongs to root; install "
            f"the udev rules, or: echo 1 | sudo tee {timer}",
            needed=False,
        )
