# SPDX-License-Identifier: Apache-2.0
"""OrangeCrab r0.2 with an ECP5-85F: the link is native USB."""

from amaranth.hdl import Module
from amaranth.lib import io, wiring
from amaranth.vendor import LatticeECP5Platform
from amaranth_boards.orangecrab_r0_2 import OrangeCrabR0_2_85FPlatform

from ornstein.boards.wiring import on_usb, request
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.usb.transceiver import CLOCK_HZ
from ornstein.hdl.targets import ecp5

REFERENCE = 48_000_000
"""Frequency of the oscillator in Hz."""
CLOCKS = {"sync": 108_000_000, "usb": CLOCK_HZ}
"""Frequency in Hz of the fabric's and USB's clock domains, which the PLL makes."""


class Platform(OrangeCrabR0_2_85FPlatform):
    """The board, without a default clock: only the PLL uses the oscillator.

    The suffix for dfu-util, which amaranth-boards would append to the bitstream, is left out.
    """

    default_clk = None
    required_tools = LatticeECP5Platform.required_tools
    command_templates = LatticeECP5Platform.command_templates


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
        m.submodules.oscillator = oscillator = io.Buffer("i", request(platform, "clk"))
        m.domains += ecp5.Clocks.driven(CLOCKS)
        m.submodules.clocks = clocks = ecp5.Clocks(CLOCKS, reference=REFERENCE)
        m.d.comb += clocks.i.eq(oscillator.i)
        on_usb(m, platform, self._config, "usb")
        return m
