# SPDX-License-Identifier: Apache-2.0
"""Radiona ULX3S with an ECP5-85F: an FT231X is the link's serial port."""

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from ornstein.boards.wiring import on_uart, request
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Line
from ornstein.hdl.targets import ecp5

REFERENCE = 25_000_000
"""Frequency of the oscillator in Hz."""
CLOCKS = {"sync": 90_000_000}
"""Frequency in Hz of each clock domain, which the PLL makes: a multiple of the baud rate."""
LINE = Line.at(CLOCKS["sync"], (1_000_000, 3_000_000))
"""Rates that both the FT231X and the fabric's clock can make exactly; the second is the FT231X's
highest."""


class Platform(ULX3S_85F_Platform):
    """The board, without a default clock: only the PLL uses the oscillator."""

    default_clk = None


class Board(wiring.Component):
    """The board's top: clock, serial port and machine.

    Parameters
    ----------
    config : configuration of the fabric
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer("i", request(platform, "clk25"))
        m.domains += ecp5.Clocks.driven(CLOCKS)
        m.submodules.clocks = clocks = ecp5.Clocks(CLOCKS, reference=REFERENCE)
        m.d.comb += clocks.i.eq(oscillator.i)
        on_uart(m, platform, self._config, LINE)
        return m
