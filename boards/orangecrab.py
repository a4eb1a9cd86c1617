"""OrangeCrab r0.2 with an ECP5-85F: the link is a USB serial port made by the fabric's neighbour in the chip."""

from types import SimpleNamespace

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import io, wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import connect
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_85FPlatform

from ornstein.hdl import ecp5
from ornstein.hdl.config import ULX3S, FabricConfig
from ornstein.hdl.link.usb import UsbSerial
from ornstein.hdl.top import Top

CONFIG = ULX3S
CLOCK_HZ = 96_000_000
"""Of the fabric."""


class Platform(OrangeCrabR0_2_85FPlatform):
    """The board. The PLL takes the oscillator itself."""

    default_clk = None
    # without the suffix for dfu-util, whose tool is not on PyPI
    required_tools = LatticeECP5Platform.required_tools
    command_templates = LatticeECP5Platform.command_templates


class Board(wiring.Component):
    """Clocks, USB and machine."""

    def __init__(self, config: FabricConfig = CONFIG):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer("i", platform.request("clk", dir="-"))
        frequencies = {"sync": CLOCK_HZ, "usb_io": 48e6, "usb": 12e6}
        m.submodules.pll = pll = ecp5.Pll(reference=48e6, frequencies=tuple(frequencies.values()))
        m.d.comb += pll.i.eq(oscillator.i)
        for index, name in enumerate(frequencies):
            m.domains += (domain := ClockDomain(name))
            m.d.comb += domain.clk.eq(pll.clocks[index])
            m.submodules[f"reset_{name}"] = ResetSynchronizer(~pll.locked, domain=name)
        pins = platform.request("usb", 0, dir=dict.fromkeys(("d_p", "d_n", "pullup"), "-"))
        m.submodules.d_p = d_p = io.Buffer("io", pins.d_p)
        m.submodules.d_n = d_n = io.Buffer("io", pins.d_n)
        m.submodules.pullup = pullup = io.Buffer("o", pins.pullup)
        m.submodules.usb = usb = UsbSerial(SimpleNamespace(d_p=d_p, d_n=d_n, pullup=pullup))
        m.submodules.top = top = Top(self._config)
        connect(m, usb.o, top.i)
        connect(m, top.o, usb.i)
        return m
