"""A board's netlist against the integer model: the same host code and link bytes as on the board, bit by bit."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from ornstein.boards import BOARDS
from ornstein.boards.build import NETLIST, BuildError
from ornstein.host.fabric_device import FabricDevice
from ornstein.host.model_device import ModelDevice
from ornstein.host.selftest import builtin_program
from ornstein.sim.netlist import CELL_PREFIXES, NetlistTransport, library

LEVELS = {"synth": "top.json", "routed": NETLIST}
"""Files of a build that hold the netlist after synthesis, and after place and route."""
BOARDS_WITH_MODELS = ("icebreaker",)
"""Boards whose primitives all have simulation models, and whose pins :file:`sim/netlist.v` knows."""
INPUTS, SEED = 2, 3
_TIMEOUT = 120.0
"""Seconds of silence after which the link asks again; a simulated cycle takes some ten microseconds."""


def verify(board: str, level: str, folder: Path, progress=None) -> dict:
    """Runs the self-test's program on the netlist and on the model.

    The program has an interface with an activation (the conditioning pass), a coupling, two temperatures, stochastic
    rounding and averages; :func:`ornstein.host.selftest.builtin_program`.

    Parameters
    ----------
    board : a key of ``BOARDS`` that was built in ``folder``
    level : a key of :data:`LEVELS`
    progress : called with a line of text

    Returns
    -------
    board, level, cells (of the netlist), cycles (of the clock), bytes_sent, bytes_received, baud, steps and inputs of
    the program, compared (how many numbers of each kind), and differences: one line each, none if all bits agree.

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
    file = netlist_file(board, level, folder)
    info = BOARDS[board]
    cells = netlist_cells(file)
    progress("building the simulator")
    built = library(f"{board}-{level}", file)
    transport = NetlistTransport(built, info.module.LINE, tick=lambda cycles: progress(f"{cycles:,} cycles"))
    with FabricDevice(transport, f"netlist:{board}-{level}", timeout=_TIMEOUT) as device, \
            ModelDevice(info.config) as model:
        baud = device.link.baud
        program, inputs = builtin_program(info.config)
        inputs = inputs[:INPUTS]
        differences = [] if device.config == info.config else ["identity: the fabric is not the board's"]
        found = right = None
        if not differences:
            device.load(program)
            loaded = device.verify()
            model.load(program)
            found, right = device.run(inputs, seed=SEED), model.run(inputs, seed=SEED)
            differences = compare(found, right)
    compared = {"identity": 1} if found is None else {
        "identity": 1, "elements of the program, read back": loaded, "sums": found.sums.size,
        "counters": sum(value is not None for value in right.counters.values())}
    return {"board": board, "level": level, "cells": cells, "cycles": transport.cycles, "bytes_sent": transport.sent,
            "bytes_received": transport.received, "baud": baud, "steps": program.problem.steps, "inputs": len(inputs),
            "compared": compared, "differences": differences}


def netlist_file(board: str, level: str, folder: Path) -> Path:
    """The netlist's file. Raises BuildError if there is none, or none that can be simulated."""
    if board not in BOARDS:
        raise BuildError(f"no board is called {board!r}; there are {', '.join(BOARDS)}")
    if board not in BOARDS_WITH_MODELS:
        raise BuildError(f"the netlist of {board} cannot be simulated here; verify takes "
                         f"{', '.join(BOARDS_WITH_MODELS)}")
    file = Path(folder) / board / LEVELS[level]
    if not file.is_file():
        raise BuildError(f"{file} is missing; make it with: ornstein build {board} --output {folder}")
    return file


def netlist_cells(file: Path) -> int:
    """How many cells of the device the netlist has."""
    kinds = Counter(cell["type"] for cell in json.loads(file.read_text())["modules"]["top"]["cells"].values())
    return sum(count for kind, count in kinds.items() if kind.startswith(CELL_PREFIXES))


def compare(found, right) -> list[str]:
    """How outputs differ from those of the model; a line for the sums and each counter that the model has."""
    differences = []
    if not np.array_equal(found.sums, right.sums):
        wrong = np.argwhere(found.sums != right.sums)
        differences.append(f"sums: {len(wrong)} of {right.sums.size} differ, first unit {wrong[0][1]} of input "
                           f"{wrong[0][0]}: {found.sums[tuple(wrong[0])]} instead of {right.sums[tuple(wrong[0])]}")
    return differences + [f"{name}: {found.counters[name]} instead of {value}"
                          for name, value in right.counters.items() if value is not None
                          and found.counters[name] != value]
