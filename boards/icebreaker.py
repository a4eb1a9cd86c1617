# SPDX-License-Identifier: Apache-2.0
"""1BitSquared iCEBreaker: an iCE40UP5K with an FT2232H, whose second channel is the link's serial
port.
"""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth_boards.icebreaker import ICEBreakerPlatform

from ornstein.boards.wiring import on_uart, request
from ornstein.hdl.config import ICEBREAKER, FabricConfig
from ornstein.hdl.regmap import Line
from ornstein.hdl.targets import ice40

CONFIG = ICEBREAKER
REFERENCE = 12_000_000
"""Of the oscillator, in Hz."""
CLOCKS = {"sync": 48_000_000}
"""The fabric's: what the PLL makes of the oscillator's, a multiple of the baud rate, met with
margin.
"""
LINE = Line.at(CLOCKS["sync"], (1_000_000, 3_000_000))
"""The FT2232H makes these rates exactly, and so does the fabric's clock."""


class Platform(ICEBreakerPlatform):
    """The board. Its default clock is left alone: the PLL needs the pin for itself."""

    default_clk = None


class Board(wiring.Component):
    """Clock, serial port and machine."""

    def __init__(self, config: FabricConfig = CONFIG):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        pad = request(platform, "clk12")
        m.submodules.pll = pll = ice40.PllClock(
            pad.io, reference=REFERENCE, frequency=CLOCKS["sync"]
        )
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [sync.clk.eq(pll.clock), sync.rst.eq(pll.reset)]
        on_uart(m, platform, self._config, LINE)
        return m
