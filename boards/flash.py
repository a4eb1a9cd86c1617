# SPDX-License-Identifier: Apache-2.0
"""Writes a finished build to a board with the board's own programmer."""

import shutil
import subprocess
from pathlib import Path

from ornstein.boards import BOARDS
from ornstein.boards.build import REPORT, TOOLCHAINS
from ornstein.sim.toolchain import ToolError


class FlashError(RuntimeError):
    """A board that could not be programmed; one line that says why and what to do."""


def command(board: str, folder: Path, memory: str | None = None) -> list[str]:
    """The command that writes the build in ``folder/board``.

    Parameters
    ----------
    board : a key of ``BOARDS``
    folder : where builds are kept
    memory : ``flash`` to stay, ``sram`` until power goes; what the board keeps, if left out

    Raises
    ------
    FlashError
        The board is unknown, has no such memory, or nothing is built for it.
    """
    if board not in BOARDS:
        raise FlashError(f"no board is called {board!r}; there are {', '.join(BOARDS)}")
    info = BOARDS[board]
    arguments = info.programmer.arguments(memory)
    if arguments is None:
        other = "--sram" if memory == "flash" else "--flash"
        raise FlashError(f"{info.title} cannot be programmed with --{memory}; use {other}")
    place = Path(folder) / board
    bitstream = place / TOOLCHAINS[info.family].bitstream
    if not (bitstream.is_file() and (place / REPORT).is_file()):
        raise FlashError(
            f"there is no finished build in {place}; "
            f"first run: ornstein build {board} --output {folder}"
        )
    return [info.programmer.tool, *arguments, str(bitstream)]


def flash(board: str, folder: Path, memory: str | None = None) -> list[str]:
    """Runs :func:`command` and returns it. The programmer's own messages go to the terminal.

    Raises
    ------
    FlashError
        As :func:`command`, or the programmer failed.
    ToolError
        The programmer is not installed.
    """
    line = command(board, folder, memory)
    programmer = BOARDS[board].programmer
    if shutil.which(line[0]) is None:
        raise ToolError(
            f"{line[0]}, the programmer of {BOARDS[board].title}, is missing; install it with: "
            f"{programmer.install}"
        )
    status = subprocess.run(line, check=False).returncode
    if status:
        hint = f"; {programmer.hint}" if programmer.hint else ""
        raise FlashError(
            f"{line[0]} ended with {status}; "
            "is the board plugged in and yours to use (ornstein doctor)?" + hint
        )
    return line
