"""Lattice iCE40HX8K-B-EVN: no multipliers, so logic multiplies; an FT2232H's second channel is the serial port."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import io, wiring
from amaranth.lib.wiring import connect
from amaranth_boards.ice40_hx8k_b_evn import ICE40HX8KBEVNPlatform

from ornstein.hdl import ice40
from ornstein.hdl.config import HX8K, FabricConfig
from ornstein.hdl.link.uart import Uart
from ornstein.hdl.top import Top

CONFIG = HX8K
CLOCK_HZ = 48_000_000
"""Of the fabric: what the PLL makes of the 12 MHz oscillator, a multiple of the baud rate."""
BAUD = 3_000_000
"""The FT2232H makes it exactly, and so does the fabric's clock."""


class Platform(ICE40HX8KBEVNPlatform):
    """The board. The PLL takes the oscillator itself."""

    default_clk = None


class Board(wiring.Component):
    """Clock, serial port and machine."""

    def __init__(self, config: FabricConfig = CONFIG):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer("i", platform.request("clk12", dir="-"))
        m.submodules.pll = pll = ice40.PllClock(oscillator.i, reference=12_000_000, frequency=CLOCK_HZ)
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [sync.clk.eq(pll.clock), sync.rst.eq(pll.reset)]
        names = "rx", "tx", "rts", "cts", "dtr", "dsr", "dcd"
        pins = platform.request("uart", 0, dir=dict.fromkeys(names, "-"))
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.submodules.uart = uart = Uart(CLOCK_HZ // BAUD)
        m.submodules.top = top = Top(self._config)
        connect(m, uart.o, top.i)
        connect(m, top.o, uart.i)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]
        return m
