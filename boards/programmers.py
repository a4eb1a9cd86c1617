# SPDX-License-Identifier: Apache-2.0
"""The programs that write bitstreams to the boards, their arguments and packages. Pure data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Programmer:
    """A command line program that writes a bitstream to a board.

    Attributes
    ----------
    tool : the program
    package : its package in Debian and Ubuntu
    flash : arguments before the file name that write the flash memory; None if the program cannot
    sram : arguments before the file name that load the SRAM, which loses the bitstream with power;
        None if the program cannot
    hint : what the user must do to the board first, if anything
    """

    tool: str
    package: str
    flash: tuple[str, ...] | None = None
    sram: tuple[str, ...] | None = None
    hint: str = ""

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"sudo apt install {self.package}"

    def arguments(self, memory: str | None) -> tuple[str, ...] | None:
        """The arguments for ``flash`` or ``sram``, by default for ``flash`` if there are any; None
        if the program cannot write that memory.
        """
        if memory is None:
            return self.sram if self.flash is None else self.flash
        return getattr(self, memory)


_ICEPROG = ("iceprog", "fpga-icestorm")
_DFU = ("dfu-util", "dfu-util")

# The arguments come from amaranth-boards 0.0.21, the help of iceprog and openFPGALoader (-S and -m
# load the SRAM, -f writes the flash) and the manual page of dfu-util (the id after the comma is
# the boot loader's).
ICEBREAKER = Programmer(*_ICEPROG, flash=())
ICEBREAKER_BITSY = Programmer(
    *_DFU,
    flash=("-d", ",1d50:6146", "-a", "0", "-R", "-D"),
    hint="hold its button while you plug it in: the boot loader then waits",
)
HX8K = Programmer(
    *_ICEPROG, flash=(), sram=("-S",), hint="its jumpers choose between flash and SRAM"
)
ULX3S = Programmer(
    "openFPGALoader", "openfpgaloader", flash=("-b", "ulx3s", "-f"), sram=("-b", "ulx3s", "-m")
)
ORANGECRAB = Programmer(
    *_DFU,
    flash=("-d", ",1209:5af0", "-a", "0", "-D"),
    hint="hold its button while you plug it in: the boot loader then waits",
)
