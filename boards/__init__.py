"""Boards: what wraps the machine's byte streams on real hardware, and how its bitstream is built.

This file imports no vendor package, so that the list of boards is there without the ``synth`` extra.
"""

import importlib
from dataclasses import dataclass

from ornstein.boards import programmers
from ornstein.boards.programmers import Programmer
from ornstein.hdl.config import ICEBREAKER, FabricConfig


@dataclass(frozen=True)
class BoardInfo:
    """A board that a bitstream can be built for.

    Attributes
    ----------
    name : also the module in this package that holds its ``Platform`` and ``Board``
    title : for people
    device : the FPGA
    config : the fabric that is built for it
    multiplier_limit_mhz : the data sheet's limit, which place and route does not check
    programmer : what writes its bitstream
    usb : (vendor, product) of its serial port
    """

    name: str
    title: str
    device: str
    config: FabricConfig
    multiplier_limit_mhz: float
    programmer: Programmer
    usb: tuple[int, int]

    @property
    def module(self):
        """The module with ``Platform`` and ``Board``; needs the ``synth`` extra."""
        return importlib.import_module(f"{__name__}.{self.name}")


BOARDS = {board.name: board for board in (
    BoardInfo("icebreaker", "1BitSquared iCEBreaker", "iCE40UP5K", ICEBREAKER, multiplier_limit_mhz=50.0,
              programmer=programmers.ICEBREAKER, usb=(0x0403, 0x6010)),
)}
