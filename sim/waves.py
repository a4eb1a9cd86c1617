# SPDX-License-Identifier: Apache-2.0
"""Signal layouts of waveforms: which signals of the gateware a viewer shows, and in which groups.

An FST file ``waves.fst`` gets two files beside it: ``waves.gtkw`` for GTKWave, and ``waves.sucl``,
a command file for Surfer.
"""

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vcd.gtkw import GTKWSave

from ornstein.sim.toolchain import ToolError


@dataclass(frozen=True)
class Group:
    """Signals of one module of the gateware.

    Attributes
    ----------
    title : what stands above them
    module : last names of the module's path, joined by points
    signals : names in the module
    numbers : those of the signals that are two's complement numbers
    """

    title: str
    module: str
    signals: tuple[str, ...]
    numbers: tuple[str, ...] = ()


GROUPS = (
    Group(
        "Requests of the host",
        "bridge",
        (
            *("i__valid", "i__ready", "i__payload", "o__valid", "o__ready", "o__payload"),
            *("bus__request", "bus__write", "bus__space", "bus__address", "bus__wdata"),
            *("bus__done", "bus__status", "bus__rdata"),
        ),
    ),
    Group(
        "Job", "fabric", ("start", "running", "job_bank", "levels", "finished", "abort", "events")
    ),
    Group(
        "Sequencer",
        "fabric.sequencer",
        ("descriptor_address", "level", "issue", "micro", "hold", "draining"),
    ),
    Group(
        "Multiply lanes",
        "fabric.lanes",
        (
            *("factor", "vector", "rank", "unit_valid", "unit_sums"),
            *("rank_valid", "rank_next", "rank_saturated"),
        ),
    ),
    Group(
        "Update of unit lane 0",
        "units.lane_0.update",
        (
            *("valid", "state", "drive", "accumulator", "code", "dither", "amplitude"),
            *("next", "saturated"),
        ),
        ("state", "drive", "accumulator", "code", "next"),
    ),
    Group("Noise of unit lane 0", "units.lane_0.noise", ("advance", "state", "code"), ("code",)),
    Group(
        "Averages and samples",
        "fabric",
        ("accumulate", "sum_valid", "sum_address", "sum_word", "sampled", "entered", "taken"),
    ),
)
"""The signals of a whole machine that tell what it does."""


@dataclass(frozen=True)
class Trace:
    """A signal of a waveform: its full name, its bits, and whether it is a signed number."""

    name: str
    bits: int
    number: bool = False

    @property
    def in_gtkwave(self) -> str:
        """GTKWave's name: that of a vector ends with its range."""
        return f"{self.name}[{self.bits - 1}:0]" if self.bits > 1 else self.name


def write_layouts(waves: Path) -> list[Path]:
    """Writes the layouts of an FST file beside it; returns their files.

    Raises ToolError if the package that reads FST files is missing.
    """
    groups = layout(_widths(waves))
    gtkwave, surfer = waves.with_suffix(".gtkw"), waves.with_suffix(".sucl")
    with gtkwave.open("w", encoding="utf-8") as file:
        save = GTKWSave(file)
        save.dumpfile(str(waves.resolve()))
        save.treeopen("top.")
        for title, traces in groups:
            with save.group(title):
                for trace in traces:
                    save.trace(
                        trace.in_gtkwave,
                        alias=trace.name.rpartition(".")[2],
                        datafmt="signed" if trace.number else "hex",
                    )
    lines = []
    for title, traces in groups:
        lines += [f"divider_add {title}", *(f"variable_add {trace.name}" for trace in traces)]
    surfer.write_text("\n".join([*lines, "zoom_fit"]) + "\n", encoding="utf-8")
    return [gtkwave, surfer]


def layout(widths: dict[str, int]) -> list[tuple[str, list[Trace]]]:
    """Returns the groups to show, each a title and its signals, from all signals of a waveform.

    The first group holds the signals of the simulated module itself, ``top``. The others are those
    of :data:`GROUPS` whose module is part of the simulation.

    Parameters
    ----------
    widths : bits of each signal by its full name
    """
    ports = [Trace(name, bits) for name, bits in widths.items() if re.fullmatch(r"top\.\w+", name)]
    clocks = [trace for trace in ports if trace.name in ("top.clk", "top.rst")]
    groups = [("Top level", clocks + [trace for trace in ports if trace not in clocks])]
    for group in GROUPS:
        scope = _scope(widths, group.module)
        traces = [
            Trace(name, widths[name], signal in group.numbers)
            for signal in group.signals
            if (name := f"{scope}.{signal}") in widths
        ]
        if traces:
            groups.append((group.title, traces))
    return groups


def _scope(names: Iterable[str], module: str) -> str | None:
    """Returns the path of the module below ``top``; None if there is none."""
    ends = re.compile(rf"(top\.(?:\w+\.)*?{re.escape(module)})\.\w+")
    return next((match[1] for name in names if (match := ends.fullmatch(name))), None)


def check_reader() -> None:
    """Raises ToolError if the package that reads FST files is missing."""
    if importlib.util.find_spec("pywellen") is None:
        raise ToolError(
            "the package pywellen is missing, which reads waveforms; install it with: "
            "pip install 'ornstein[cosim]'"
        )


def _widths(waves: Path) -> dict[str, int]:
    """Returns the bits of every signal of an FST file by its full name."""
    check_reader()
    # a compiled module without type information
    from pywellen import Waveform  # pyright: ignore[reportAttributeAccessIssue]

    return {
        signal.full_name: signal.bitwidth
        for signal in Waveform(str(waves)).all_vars()
        if signal.bitwidth
    }
