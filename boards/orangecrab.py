# SPDX-License-Identifier: Apache-2.0
"""OrangeCrab r0.2 with an ECP5-85F: the link is native USB."""

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_85FPlatform

from ornstein.boards.wiring import on_usb, request
from ornstein.hdl.config import ULX3S, FabricConfig
from ornstein.hdl.link.usb.transceiver import CLOCK_HZ
from ornstein.hdl.targets import ecp5

CONFIG = ULX3S
CLOCKS = {"sync": 108_000_000, "usb": CLOCK_HZ}
"""The fabric's and USB's: what the PLL makes of the 48 MHz oscillator."""


class Platform(OrangeCrabR0_2_85FPlatform):
    """The board. Only the PLL uses the oscillator; the suffix for dfu-util is left to dfu-util."""

    default_clk = None
    required_tools = LatticeECP5Platform.required_tools
    command_templates = LatticeECP5Platform.command_templates


class Board(wiring.Component):
    """Clocks, USB and machine."""

    def __init__(self, config: FabricConfig = CONFIG):
        self._config = config
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.oscillator = oscillator = io.Buffer("i", request(platform, "clk"))
        m.domains += ecp5.Clocks.driven(CLOCKS)
        m.submodules.clocks = clocks = ecp5.Clocks(CLOCKS, reference=48e6)
        m.d.comb += clocks.i.eq(oscillator.i)
        on_usb(m, platform, self._config, "usb")
        return m
