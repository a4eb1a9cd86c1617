# SPDX-License-Identifier: Apache-2.0
"""A board's netlist against the integer model: the same host code and link bytes as on the board,
bit by bit.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ornstein.boards import BOARDS, ORNSTEIN, BoardInfo
from ornstein.boards.build import NETLIST, BuildError
from ornstein.hdl.targets.ice40 import PllClock
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.selftest import builtin_program
from ornstein.sim import bitstream, netlist
from ornstein.sim.netlist import Netlist, NetlistTransport, library
from ornstein.sim.usb_host import UsbHost, UsbTransport

LEVELS = {
    "synth": (netlist.read, "top.json"),
    "routed": (netlist.read, NETLIST),
    "bitstream": (bitstream.read, "top.bin", "top.pcf"),
}
"""The netlist after synthesis, after place and route, and as the board gets it: what reads it, and
files of a build.
"""
BOARD_LEVELS = {
    "icebreaker": ("synth", "routed"),
    "bitsy": ("synth", "routed"),
    "hx8k": ("synth", "routed", "bitstream"),
}
"""Levels at which a board can be verified: its primitives have simulation models, and there is a
host for its pins. IceStorm cannot turn multipliers and SPRAM of a bitstream back."""
INPUTS, SEED = 2, 3
_TIMEOUT = 120.0
"""Seconds of silence after which the link asks again; a simulated cycle takes some ten
microseconds.
"""


def verify(board: str, level: str, folder: Path, progress=None) -> dict:
    """Runs the self-test's program on the netlist and on the model.

    The program has an interface with an activation (the conditioning pass), a coupling, two
    temperatures, stochastic rounding and averages; :func:`ornstein.host.devices.selftest.builtin_program`.

    Parameters
    ----------
    board : a key of ``BOARDS`` that was built in ``folder``
    level : one of the board's in :data:`BOARD_LEVELS`
    progress : called with a line of text

    Returns
    -------
    board, level, cells (of the netlist), cycles (of the clock), bytes_sent, bytes_received, baud
    (None over USB), steps and inputs of the program, compared (how many numbers of each kind), and
    differences: one line each, none if all bits agree.

    Raises
    ------
    BuildError
        The board cannot be verified, or its netlist is not there.
    ToolError
        A tool that the simulation needs is missing or fails.
    LinkError
        The netlist does not answer as a device.
    """
    progress = progress or (lambda line: None)
    read, files = netlist_files(board, level, folder)
    info = BOARDS[board]
    progress("reading the netlist")
    made = read(*files)
    progress("building the simulator")
    transport = connected(info, level, made, tick=lambda cycles: progress(f"{cycles:,} cycles"))
    with (
        FabricDevice(transport, f"netlist:{board}-{level}", timeout=_TIMEOUT) as device,
        ModelDevice(info.config) as model,
    ):
        baud = device.link.baud
        program, inputs = builtin_program(info.config)
        inputs = inputs[:INPUTS]
        differences = clock_differences(info, made)
        found = right = None
        if device.config != info.config:
            differences.append("identity: the fabric is not the board's")
        else:
            device.load(program)
            loaded = device.verify()
            model.load(program)
            found, right = device.run(inputs, seed=SEED), model.run(inputs, seed=SEED)
            differences += compare(found, right)
    compared = (
        {"clock": 1, "identity": 1}
        if found is None
        else {
            "clock": 1,
            "identity": 1,
            "elements of the program, read back": loaded,
            "sums": found.sums.size,
            "counters": sum(value is not None for value in right.counters.values()),
        }
    )
    return {
        "board": board,
        "level": level,
        "cells": made.cells,
        "cycles": transport.cycles,
        "bytes_sent": transport.sent,
        "bytes_received": transport.received,
        "baud": baud,
        "steps": program.problem.steps,
        "inputs": len(inputs),
        "compared": compared,
        "differences": differences,
    }


def netlist_files(
    board: str, level: str, folder: Path
) -> tuple[Callable[..., Netlist], list[Path]]:
    """What reads the netlist, and its files.

    Raises BuildError if the board cannot be verified at that level, or a file is missing.
    """
    if board not in BOARDS:
        raise BuildError(f"no board is called {board!r}; there are {', '.join(BOARDS)}")
    if board not in BOARD_LEVELS:
        raise BuildError(
            f"the netlist of {board} cannot be simulated here; verify takes {', '.join(BOARD_LEVELS)}"
        )
    if level not in BOARD_LEVELS[board]:
        raise BuildError(
            f"{board} cannot be verified at the level {level!r}; there are "
            f"{', '.join(BOARD_LEVELS[board])}"
        )
    read, *names = LEVELS[level]
    files = [Path(folder) / board / name for name in names]
    for file in files:
        if not file.is_file():
            raise BuildError(
                f"{file} is missing; make it with: ornstein build {board} --output {folder}"
            )
    return read, files


def connected(
    info: BoardInfo, level: str, made: Netlist, tick: Callable[[int], None]
) -> NetlistTransport | UsbTransport:
    """The netlist behind a host of its link; ``tick`` is told its cycles. Raises ToolError, and
    LinkError if USB does not enumerate it."""
    name = f"{info.name}-{level}"
    if info.usb != ORNSTEIN:
        return NetlistTransport(library(name, made), info.module.LINE, tick=tick)
    host = UsbHost(library(name, made, usb=True))
    host.idle(PllClock.START_CYCLES)  # a host waits much longer
    host.enumerate()
    return UsbTransport(host, tick=tick)


def clock_differences(info: BoardInfo, made: Netlist) -> list[str]:
    """Whether the PLL, which the simulation leaves out, is set to make another clock than the
    board's.
    """
    wanted, makes = info.module.CLOCKS["sync"], info.module.REFERENCE * made.pll
    return (
        []
        if makes == wanted
        else [
            f"clock: the PLL is set to {float(makes) / 1e6:g} MHz instead of {wanted / 1e6:g} MHz"
        ]
    )


def compare(found, right) -> list[str]:
    """How outputs differ from those of the model; a line for the sums and each counter that the
    model has.
    """
    differences = []
    if not np.array_equal(found.sums, right.sums):
        wrong = np.argwhere(found.sums != right.sums)
        differences.append(
            f"sums: {len(wrong)} of {right.sums.size} differ, first unit {wrong[0][1]} of input "
            f"{wrong[0][0]}: {found.sums[tuple(wrong[0])]} instead of {right.sums[tuple(wrong[0])]}"
        )
    return differences + [
        f"{name}: {found.counters[name]} instead of {value}"
        for name, value in right.counters.items()
        if value is not None and found.counters[name] != value
    ]
