# SPDX-License-Identifier: Apache-2.0
"""Boards: the machine's clocks and pins on real hardware, and how a bitstream is built and written.

This file imports no vendor package, so the list of boards is available without the ``synth`` extra.
"""

import importlib
from dataclasses import dataclass

from ornstein.boards import programmers
from ornstein.boards.programmers import Programmer
from ornstein.hdl.config import BITSY, HX8K, ICEBREAKER, ULX3S, FabricConfig

FT2232H, FT231X, ORNSTEIN = (0x0403, 0x6010), (0x0403, 0x6015), (0x1209, 0x0001)
"""USB (vendor, product) numbers of the serial ports: two FTDI chips, and the gateware's own USB
device (:mod:`ornstein.hdl.link.usb.descriptors`)."""

MAC16_LIMIT_MHZ = 50.0
"""Clock limit of an iCE40UP5K multiplier whose inner pipeline registers are bypassed, from the data
sheet FPGA-DS-02008. nextpnr does not know it."""


@dataclass(frozen=True)
class BoardInfo:
    """A board that a bitstream can be built for.

    Attributes
    ----------
    name : key in :data:`BOARDS`, and the module of this package that defines the board's
        ``Platform``, ``Board`` and ``CLOCKS``
    title : the board's full name, for display
    device : the FPGA
    family : the FPGA's family, a key of :data:`ornstein.boards.build.TOOLCHAINS`
    synthesis : options for the Yosys synthesis command
    config : the configuration of the fabric that is built for the board
    limit_mhz : the data sheet's limit for the fabric's clock, which place and route does not check;
        None if place and route knows every limit
    programmer : the program that writes the bitstream
    usb : USB (vendor, product) numbers of the board's serial port
    """

    name: str
    title: str
    device: str
    family: str
    synthesis: str
    config: FabricConfig
    limit_mhz: float | None
    programmer: Programmer
    usb: tuple[int, int]

    @property
    def module(self):
        """The module that defines ``Platform`` and ``Board``; needs the ``synth`` extra."""
        return importlib.import_module(f"{__name__}.{self.name}")


BOARDS = {
    board.name: board
    for board in (
        BoardInfo(
            "icebreaker",
            "1BitSquared iCEBreaker",
            "iCE40UP5K",
            "ice40",
            "-device u",
            ICEBREAKER,
            limit_mhz=MAC16_LIMIT_MHZ,
            programmer=programmers.ICEBREAKER,
            usb=FT2232H,
        ),
        BoardInfo(
            "bitsy",
            "1BitSquared iCEBreaker-bitsy",
            "iCE40UP5K",
            "ice40",
            "-device u",
            BITSY,
            limit_mhz=MAC16_LIMIT_MHZ,
            programmer=programmers.ICEBREAKER_BITSY,
            usb=ORNSTEIN,
        ),
        BoardInfo(
            "hx8k",
            "Lattice iCE40HX8K-B-EVN",
            "iCE40HX8K",
            "ice40",
            "-device hx",
            HX8K,
            limit_mhz=None,
            programmer=programmers.HX8K,
            usb=FT2232H,
        ),
        # limits of an 18 x 18 multiplier, speed grades 6 and 8: data sheet FPGA-DS-02012
        BoardInfo(
            "ulx3s",
            "Radiona ULX3S-85F",
            "LFE5U-85F",
            "ecp5",
            "",
            ULX3S,
            limit_mhz=142.0,
            programmer=programmers.ULX3S,
            usb=FT231X,
        ),
        BoardInfo(
            "orangecrab",
            "OrangeCrab r0.2 85F",
            "LFE5U-85F",
            "ecp5",
            "",
            ULX3S,
            limit_mhz=178.0,
            programmer=programmers.ORANGECRAB,
            usb=ORNSTEIN,
        ),
    )
}
