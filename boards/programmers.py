# SPDX-License-Identifier: Apache-2.0
"""How the boards' bitstreams get onto them: programmers, their arguments, and where they come from.
Pure data.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Programmer:
    """A command line program that writes a bitstream to a board.

    Attributes
    ----------
    tool : the program
    package : Debian's and Ubuntu's package of it
    flash : arguments in front of the file that make the bitstream stay, None where that cannot be
        done
    sram : arguments in front of the file that load it until power goes, None where that cannot be
        done
    hint : what the user must do to the board before, if anything
    """

    tool: str
    package: str
    flash: tuple[str, ...] | None = None
    sram: tuple[str, ...] | None = None
    hint: str = ""

    @property
    def install(self) -> str:
        """The line that installs it."""
        return f"sudo apt install {self.package}"

    def arguments(self, memory: str | None) -> tuple[str, ...] | None:
        """Those for ``flash`` or ``sram``, or for what the board keeps if neither is asked for;
        None if it has none.
        """
        if memory is None:
            return self.sram if self.flash is None else self.flash
        return getattr(self, memory)


_ICEPROG = ("iceprog", "fpga-icestorm")
_DFU = ("dfu-util", "dfu-util")

# Arguments are those of amaranth-boards 0.0.21, of iceprog's and openFPGALoader's own help (-S and
# -m load into SRAM, -f writes the flash) and of dfu-util's manual page (the id behind the comma is
# that of the boot loader).
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
