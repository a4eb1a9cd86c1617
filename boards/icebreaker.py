# SPDX-License-Identifier: Apache-2.0
"""1BitSquared iCEBreaker: an iCE40UP5K with an FT2232H, whose second channel is the link's serial
port.
"""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth_boards.icebreaker import ICEBreakerPlatform

from ornstein.boards.wiring import on_uart, request
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Line
from ornstein.hdl.targets import ice40

REFERENCE = 12_000_000
"""Frequency of the oscillator in Hz."""
CLOCKS = {"sync": 48_000_000}
"""Frequency in Hz of each clock domain, which the PLL makes: a multiple of the baud rate."""
LINE = Line.at(CLOCKS["sync"], (1_000_000, 3_000_000))
"""Rates that both the FT2232H and the fabric's clock can make exactly."""


class Platform(ICEBreakerPlatform):
    """The board, without a default clock: the PLL is connected to the oscillator's pin itself."""

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
        pad = request(platform, "clk12")
        m.submodules.pll = pll = ice40.PllClock(
            pad.io, reference=REFERENCE, frequency=CLOCKS["sync"]
        )
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [sync.clk.eq(pll.clock), sync.rst.eq(pll.reset)]
        on_uart(m, platform, self._config, LINE)
        return m
