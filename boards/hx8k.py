# SPDX-License-Identifier: Apache-2.0
"""Lattice iCE40HX8K-B-EVN: no multipliers, so logic multiplies; an FT2232H's second channel is the
serial port.
"""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import io, wiring
from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform

from ornstein.boards.wiring import on_uart, request
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import Line
from ornstein.hdl.targets import ice40

REFERENCE = 12_000_000
"""Frequency of the oscillator in Hz."""
CLOCKS = {"sync": 48_000_000}
"""Frequency in Hz of each clock domain, which the PLL makes: a multiple of the baud rate."""
LINE = Line.at(CLOCKS["sync"], (1_000_000, 3_000_000, 12_000_000), spare=512)
"""Rates that both the FT2232H and the fabric's clock can make exactly. The spare bytes keep the
line busy at 12 Mbaud while the host has not heard of an answer yet, for up to half a millisecond.
"""


class Platform(ICE40HX8KBEVNPlatform):
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
        m.submodules.oscillator = oscillator = io.Buffer("i", request(platform, "clk12"))
        m.submodules.pll = pll = ice40.PllClock(
            oscillator.i, reference=REFERENCE, frequency=CLOCKS["sync"]
        )
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [sync.clk.eq(pll.clock), sync.rst.eq(pll.reset)]
        on_uart(m, platform, self._config, LINE)
        return m
