# SPDX-License-Identifier: Apache-2.0
"""Radiona ULX3S with an ECP5-85F: an FT231X is the link's serial port."""

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from ornstein.boards.wiring import on_uart, request
from ornstein.hdl.config import ULX3S, FabricConfig
from ornstein.hdl.regmap import Line
from ornstein.hdl.targets import ecp5

CONFIG = ULX3S
CLOCKS = {"sync": 90_000_000}
"""The fabric's: what the PLL makes of the 25 MHz oscillator, a multiple of the baud rate."""
LINE = Line.at(CLOCKS["sync"], (1_000_000, 3_000_000))
"""The FT231X does no more than the second; it makes these rates exactly, and so does the fabric's
clock.
"""


class Platform(ULX3S_85F_Platform):
    """The board. Only the PLL uses the oscillator."""

    default_clk = None


class Board(wiring.Component):
    """Clock, serial port and machine."""

    def __init__(self, config: FabricConfig = CONFIG):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer("i", request(platform, "clk25"))
        m.domains += ecp5.Clocks.driven(CLOCKS)
        m.submodules.clocks = clocks = ecp5.Clocks(CLOCKS, reference=25e6)
        m.d.comb += clocks.i.eq(oscillator.i)
        on_uart(m, platform, self._config, LINE)
        return m
