# SPDX-License-Identifier: Apache-2.0
"""Boards: what wraps the machine's byte streams on real hardware, and how its bitstream is built.

This file imports no vendor package, so that the list of boards is there without the ``synth``
extra.
"""

import importlib
from dataclasses import dataclass

from ornstein.boards import programmers
from ornstein.boards.programmers import Programmer
from ornstein.hdl.config import BITSY, HX8K, ICEBREAKER, ULX3S, FabricConfig

FT2232H, FT231X, ORNSTEIN = (0x0403, 0x6010), (0x0403, 0x6015), (0x1209, 0x0001)
"""(vendor, product) of the serial ports: FTDI's chips, and the gateware's own USB
(:mod:`ornstein.hdl.link.usb.descriptors`)."""


@dataclass(frozen=True)
class BoardInfo:
    """A board that a bitstream can be built for.

    Attributes
    ----------
    name : also the module in this package that holds its ``Platform``, ``Board`` and ``CLOCKS``
    title : for people
    device : the FPGA
    family : of the FPGA, a key of :data:`ornstein.boards.build.TOOLCHAINS`
    synthesis : options of its Yosys command
    config : the fabric that is built for it
    limit_mhz : what the data sheet allows the fabric's clock, which place and route does not check;
        None if nothing in the fabric is slower than place and route says
    programmer : what writes its bitstream
    usb : (vendor, product) of its serial port
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
        """The module with ``Platform`` and ``Board``; needs the ``synth`` extra."""
        return importlib.import_module(f"{__name__}.{self.name}")


BOARDS = {
    board.name: board
    for board in (
        # MAC16 without its inner pipeline registers: FPGA-DS-02008
        BoardInfo(
            "icebreaker",
            "1BitSquared iCEBreaker",
            "iCE40UP5K",
            "ice40",
            "-device u",
            ICEBREAKER,
            limit_mhz=50.0,
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
            limit_mhz=50.0,
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
        # 18 x 18 multiplier between registers in the fabric, speed grades 6 and 8: FPGA-DS-02012
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
