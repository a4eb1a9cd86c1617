# SPDX-License-Identifier: Apache-2.0
"""The simulator of a fabric behind a UART, bit by bit."""

from pathlib import Path

from amaranth.back import verilog as back
from amaranth.hdl import ClockDomain, Module, Signal

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Line
from ornstein.hdl.top import on_serial_line
from ornstein.sim import netlist, verilated


def library(config: FabricConfig, line: Line) -> Path:
    """Returns the compiled simulator of a fabric behind a UART, which is built if the cache does
    not hold it.

    Raises ToolError if Verilator or a C++ compiler is missing, or the build failed.
    """
    return verilated.library(
        f"{config.name}-uart",
        lambda: _verilog(config, line),
        netlist.HARNESS,
        depends=repr((config, line)),
        sources=(Path(__file__),),
    )


def _verilog(config: FabricConfig, line: Line) -> str:
    """Returns the module ``top`` with the ports that the harness drives, wired as on a board."""
    m = Module()
    m.domains.sync = clock = ClockDomain(reset_less=True)
    rx, tx = Signal(init=1), Signal()
    on_serial_line(m, config, line, rx, tx)
    ports = {"sync_clk": (clock.clk, None), "rx": (rx, None), "tx": (tx, None)}
    return back.convert(m, name="top", ports=ports, emit_src=False, strip_internal_attrs=True)
