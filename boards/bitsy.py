"""1BitSquared iCEBreaker-bitsy: an iCE40UP5K whose link is native USB, in the chip with the fabric.

It does not fit yet: of 5,280 cells the fabric and its bridge take about 4,300, and USB about 1,900.
"""

from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import wiring
from amaranth_boards.icebreaker_bitsy import ICEBreakerBitsyPlatform

from ornstein.boards.wiring import on_usb, request
from ornstein.hdl import ice40
from ornstein.hdl.config import BITSY, FabricConfig

CONFIG = BITSY
CLOCKS = {"sync": 24_000_000, "usb_io": 48_000_000, "usb": 12_000_000}
"""The fabric's and USB's: what the PLL makes of the 12 MHz oscillator, its half, and half of that."""


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
        m.submodules.pll = pll = ice40.PllClock(pad.io, reference=12_000_000, frequency=CLOCKS["usb_io"], halved=True)
        slow = Signal()  # a register, which place and route puts on a clock network of its own
        for name, clock in (("sync", pll.half), ("usb_io", pll.clock), ("usb", slow)):
            m.domains += (domain := ClockDomain(name))
            m.d.comb += [domain.clk.eq(clock), domain.rst.eq(pll.reset)]
        m.domains.divider = divider = ClockDomain(local=True, reset_less=True)
        m.d.comb += divider.clk.eq(pll.half)
        m.d.divider += slow.eq(~slow)
        platform.add_clock_constraint(slow, CLOCKS["usb"])
        on_usb(m, platform, self._config)
        return m
