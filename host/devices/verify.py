# SPDX-License-Identifier: Apache-2.0
"""Compares a board's netlist with the integer model, bit by bit.

The netlist is driven by the same host code and the same bytes as the board itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ornstein.boards import BOARDS, ORNSTEIN, BoardInfo
from ornstein.boards.build import NETLIST, BuildError
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.targets.ice40 import PllClock
from ornstein.host.compile.program import Program
from ornstein.host.devices.comparison import compared_numbers, differences
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.images import memory_images
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.selftest import builtin_program
from ornstein.sim import bitstream, netlist
from ornstein.sim.families import FAMILIES
from ornstein.sim.netlist import Netlist, NetlistTransport, library
from ornstein.sim.usb_host import UsbHost, UsbTransport

LEVELS = {"synth": ("top.json",), "routed": (NETLIST,), "bitstream": ("top.bin", "top.pcf")}
"""For each level, the files of a build that its netlist is in: after synthesis, after place and
route, and as the board gets it.
"""
BOARD_LEVELS = {
    "icebreaker": ("synth", "routed"),
    "bitsy": ("synth", "routed"),
    "hx8k": ("synth", "routed", "bitstream"),
    "ulx3s": ("synth", "routed"),
    "orangecrab": ("synth", "routed"),
}
"""Levels at which each board can be verified.

IceStorm cannot turn the multipliers and the SPRAM of a bitstream back into Verilog, and for the
ECP5 there is no such program.
"""
INPUTS, SEED = 2, 3
_TIMEOUT = 7200.0
"""Seconds of silence after which the link repeats its requests. The simulated line loses nothing; a
cycle takes ten microseconds on an iCE40's netlist and a tenth of a millisecond on that of an ECP5,
and a request up to 150,000 cycles.
"""


@dataclass(frozen=True)
class Verification:
    """What was simulated and compared.

    Attributes
    ----------
    board, level : the netlist
    cells : number of the device's cells that it uses
    cycles : simulated cycles of its clock
    bytes_sent, bytes_received : bytes that crossed its link
    baud : rate of its serial line; None over USB
    steps, inputs : of the program that was run
    compared : number of values of each kind that were compared
    differences : one line each; none if all bits agree
    """

    board: str
    level: str
    cells: int
    cycles: int
    bytes_sent: int
    bytes_received: int
    baud: int | None
    steps: int
    inputs: int
    compared: dict[str, int]
    differences: list[str]


def verify(
    board: str,
    level: str,
    folder: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> Verification:
    """Runs the self-test's program on the netlist and on the model, and compares.

    The program (:func:`short_program`) has an interface with an activation, a coupling, two
    temperatures, stochastic rounding and averages.

    Parameters
    ----------
    board : a key of ``BOARDS`` that was built in ``folder``
    level : one of the board's in :data:`BOARD_LEVELS`
    progress : called with a line of text

    Raises
    ------
    BuildError
        The board cannot be verified, or its netlist is not there.
    ToolError
        A tool that the simulation needs is missing or fails.
    LinkError
        The netlist does not answer as a device.
    """
    files = netlist_files(board, level, folder)
    info = BOARDS[board]
    progress("reading the netlist")
    made = read(info, level, files)
    progress("building the simulator")
    transport = connected(info, level, made, tick=lambda cycles: progress(f"{cycles:,} cycles"))
    program, inputs = short_program(info.config)
    compared = {"clock": len(made.clocks), "identity": 1}
    found = clock_differences(info, made)
    with FabricDevice(transport, f"netlist:{board}-{level}", timeout=_TIMEOUT) as device:
        baud = device.link.baud
        if device.config != info.config:
            found.append("identity: the fabric is not the board's")
        else:
            run_compared, run_differences = compare_run(device, program, inputs)
            compared |= run_compared
            found += run_differences
    return Verification(
        board=board,
        level=level,
        cells=made.cells,
        cycles=transport.cycles,
        bytes_sent=transport.sent,
        bytes_received=transport.received,
        baud=baud,
        steps=program.problem.steps,
        inputs=INPUTS,
        compared=compared,
        differences=found,
    )


def short_program(config: FabricConfig) -> tuple[Program, np.ndarray]:
    """Returns the self-test's program, and inputs (INPUTS, 8) for it.

    It is compiled for a state memory with room for these inputs alone, so that its schedule is
    shorter, and the simulated time in which the line carries it.
    """
    program, inputs = builtin_program(config)
    room = INPUTS * program.layout.state_words
    program, _ = builtin_program(replace(config, state_depth=room))
    return program, inputs[:INPUTS]


def compare_run(
    device: FabricDevice, program: Program, inputs: np.ndarray
) -> tuple[dict[str, int], list[str]]:
    """Loads the program, and runs it on the device and on the integer model.

    Returns how many values of each kind were compared, and a line for each difference. Raises
    DeviceError if the program differs that the device reads back when it is loaded.
    """
    device.load(program)
    loaded = sum(len(image.elements) for image in memory_images(program))
    found = device.run(inputs, seed=SEED)
    with ModelDevice(device.config) as model:
        model.load(program)
        expected = model.run(inputs, seed=SEED)
    compared = {"elements of the program": loaded, **compared_numbers(expected)}
    return compared, differences(found, expected)


def read(info: BoardInfo, level: str, files: list[Path]) -> Netlist:
    """Reads a board's netlist from the files of :func:`netlist_files`.

    Raises ToolError if a tool is missing or cannot read them.
    """
    if level == "bitstream":
        return bitstream.read(*files)
    (file,) = files
    return netlist.read(file, FAMILIES[info.family])


def netlist_files(board: str, level: str, folder: Path) -> list[Path]:
    """Returns the files of a build that hold the netlist.

    Raises BuildError if the board cannot be verified at that level, or a file is missing.
    """
    if board not in BOARDS:
        raise BuildError(f"no board is called {board!r}; there are {', '.join(BOARDS)}")
    if level not in BOARD_LEVELS[board]:
        raise BuildError(
            f"{board} cannot be verified at the level {level!r}; there are "
            f"{', '.join(BOARD_LEVELS[board])}"
        )
    files = [Path(folder) / board / name for name in LEVELS[level]]
    for file in files:
        if not file.is_file():
            raise BuildError(
                f"{file} is missing; make it with: ornstein build {board} --output {folder}"
            )
    return files


def connected(
    info: BoardInfo, level: str, made: Netlist, tick: Callable[[int], None]
) -> NetlistTransport | UsbTransport:
    """Returns a transport to the simulated netlist; ``tick`` is called with its cycles.

    Raises ToolError if the simulator cannot be built, LinkError if the netlist does not enumerate
    over USB.
    """
    name = f"{info.name}-{level}"
    if info.usb != ORNSTEIN:
        return NetlistTransport(library(name, made), info.module.LINE, tick=tick)
    host = UsbHost(library(name, made, usb=True))
    host.idle(PllClock.START_CYCLES)  # a host waits much longer
    host.enumerate()
    return UsbTransport(host, tick=tick)


def clock_differences(info: BoardInfo, made: Netlist) -> list[str]:
    """Returns a line for each of the board's clocks that the PLL is not set to make.

    The simulation leaves the PLL out, so its settings are compared on their own.
    """
    return [
        f"clock {name}: the PLL is set to {float(found) / 1e6:g} MHz instead of "
        f"{expected / 1e6:g} MHz"
        for (name, expected), ratio in zip(
            info.module.CLOCKS.items(), made.clocks.values(), strict=True
        )
        if (found := info.module.REFERENCE * ratio) != expected
    ]
