# SPDX-License-Identifier: Apache-2.0
"""1BitSquared iCEBreaker-bitsy: an iCE40UP5K whose link is native USB, in the chip with
the fabric.
"""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth_boards.icebreaker_bitsy import ICEBreakerBitsyPlatform

from ornstein.boards.wiring import on_usb, request
from ornstein.hdl.config import BITSY, FabricConfig
from ornstein.hdl.link.usb.transceiver import CLOCK_HZ
from ornstein.hdl.targets import ice40

CONFIG = BITSY
REFERENCE = 12_000_000
"""Of the oscillator, in Hz."""
CLOCKS = {"sync": CLOCK_HZ}
"""The fabric's is USB's: what the PLL makes of the oscillator's."""


class Platform(ICEBreakerBitsyPlatform):
    """The board. Its default clock is left alone: the PLL needs the pin for itself."""

    default_clk = None


class Board(wiring.Component):
    """Clocks, USB and machine."""

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
        on_usb(m, platform, self._config, "sync")
        return m
