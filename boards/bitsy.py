# SPDX-License-Identifier: Apache-2.0
"""1BitSquared iCEBreaker-bitsy: an iCE40UP5K whose link is native USB, in the chip with
the fabric.
"""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth_boards.icebreaker_bitsy import ICEBreakerBitsyPlatform

from ornstein.boards.wiring import on_usb, request
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.usb.transceiver import CLOCK_HZ
from ornstein.hdl.targets import ice40

REFERENCE = 12_000_000
"""Frequency of the oscillator in Hz."""
CLOCKS = {"sync": CLOCK_HZ}
"""Frequency in Hz of each clock domain, which the PLL makes; fabric and USB share one domain."""


class Platform(ICEBreakerBitsyPlatform):
    """The board, without a default clock: the PLL is connected to the oscillator's pin itself."""

    default_clk = None


class Board(wiring.Component):
    """The board's top: clocks, USB and machine.

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
        on_usb(m, platform, self._config, "sync")
        return m
