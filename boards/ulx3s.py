"""Radiona ULX3S with an ECP5-85F: an FT231X is the link's serial port."""

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import connect
from amaranth_boards.ulx3s import ULX3S_85F_Platform

from ornstein.hdl import ecp5
from ornstein.hdl.config import ULX3S, FabricConfig
from ornstein.hdl.link.uart import Uart
from ornstein.hdl.top import Top

CONFIG = ULX3S
CLOCK_HZ = 90_000_000
"""Of the fabric."""
BAUD = 3_000_000
"""The most that the FT231X does; it makes it exactly, and so does the fabric's clock."""


class Platform(ULX3S_85F_Platform):
    """The board. The PLL takes the oscillator itself."""

    default_clk = None


class Board(wiring.Component):
    """Clock, serial port and machine."""

    def __init__(self, config: FabricConfig = CONFIG):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer("i", platform.request("clk25", dir="-"))
        m.submodules.pll = pll = ecp5.Pll(reference=25e6, frequencies=(CLOCK_HZ,))
        m.domains.sync = sync = ClockDomain()
        m.d.comb += [pll.i.eq(oscillator.i), sync.clk.eq(pll.clocks)]
        m.submodules.reset = ResetSynchronizer(~pll.locked)
        pins = platform.request("uart", 0, dir={name: "-" for name in ("rx", "tx", "rts", "dtr")})
        m.submodules.rx = rx = io.Buffer("i", pins.rx)
        m.submodules.tx = tx = io.Buffer("o", pins.tx)
        m.submodules.uart = uart = Uart(CLOCK_HZ // BAUD)
        m.submodules.top = top = Top(self._config)
        connect(m, uart.o, top.i)
        connect(m, top.o, uart.i)
        m.d.comb += [uart.rx.eq(rx.i), tx.o.eq(uart.tx)]
        return m
