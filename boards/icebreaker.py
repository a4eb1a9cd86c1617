"""1BitSquared iCEBreaker: an iCE40UP5K with an FT2232H, whose second channel is the link's serial port."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import connect
from amaranth_boards.icebreaker import ICEBreakerPlatform

from ornstein.hdl import ice40
from ornstein.hdl.config import ICEBREAKER, FabricConfig
from ornstein.hdl.link.uart import Uart
from ornstein.hdl.top import Top

CONFIG = ICEBREAKER
CLOCK_HZ = 36_000_000
"""Of the fabric: what the PLL makes of the 12 MHz oscillator, a multiple of the baud rate, met with margin."""
BAUD = 3_000_000
"""The FT2232H makes it exactly, and so does the fabric's clock."""


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
        pad = platform.request("clk12", dir="-")
        m.submodules.pll = pll = ice40.PllClock(pad.io, reference=12_000_000, frequency=CLOCK_HZ)
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [sync.clk.eq(pll.clock), sync.rst.eq(pll.reset)]
        pins = platform.request("uart", 0, dir={"rx": "-", "tx": "-"})
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.submodules.uart = uart = Uart(CLOCK_HZ // BAUD)
        m.submodules.top = top = Top(self._config)
        connect(m, uart.o, top.i)
        connect(m, top.o, uart.i)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]
        return m
