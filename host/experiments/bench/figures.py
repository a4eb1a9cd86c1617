# SPDX-License-Identifier: Apache-2.0
"""The table of all figures of ``ornstein bench``, and how one row of it is filled in.

A figure is a measured value beside the limit, the goal or the peer that it is compared with. What a
figure is, its unit, what its note says and any fixed reference stand in `DEFINITIONS`; the modules
beside this one measure the values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Self

Progress = Callable[[str], None]
"""A function that is told what is being measured."""

CYCLES_PREFIX = "cycles_per_step_"
"""The names of the figures on the cycles of a step begin with this; one definition serves all."""
UTILISATION_PREFIX = "lane_utilisation_"
IN_CYCLES = "streaming_over_relaxation", "sd15_cycles_over_bound"
"""Other figures whose value is in cycles."""
LINK_TOLERANCE = 0.01
"""Part of the cycles of a stream that may change with the moments at which the host looks."""
STORED = Path(__file__).with_name("cycles.json")
"""The figures of the present gateware that no commit may make worse, as ``ornstein bench --json``
has written them."""
SAMPLES_PREFIX, MEMORY_PREFIX = "samples_over_", "memory_over_"
JOULES_PREFIX = "joules_icebreaker_"
"""The names of the figures beside the peers begin with these and end with the units."""
BOARD_PREFIX = "inferences_"
"""The names of the figures on a board behind its link begin with this and end with the board."""
RTL_GOAL = 3e6
"""Clock cycles a second that the Verilated gateware should reach."""


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    Attributes
    ----------
    value, reference : both in ``unit``; None where they could not be measured on this machine
    ratio : value over reference, None if either is None
    note : what the figure means, and why it is missing if it is
    """

    name: str
    value: float | None
    unit: str
    reference: float | None
    ratio: float | None
    note: str


@dataclass(frozen=True)
class Definition:
    """What a figure is, before it is measured.

    Attributes
    ----------
    note : text with places in braces, which the measurement fills in
    reference : the fixed value to compare with; None if the reference is measured too
    """

    unit: str
    note: str
    reference: float | None = None


_GAIN = (
    "a batch of {inputs} inputs of 500 steps on all {cores} cores against one; the goal is at "
    "least 1.8 on two"
)
_LINE_LIMIT = (
    "what a line carries of the aligned demo program, {sent:.0f} bytes to an iCEBreaker and "
    "{answered:.0f} from it for each input, both ways at once, against its lanes at {mhz:g} MHz"
)

DEFINITIONS = {
    "compile_s": Definition("s", "compiling the aligned program; the limit is 2 s", 2.0),
    "lane_utilisation_d64_k16_p8": Definition(
        "of lanes x cycles",
        "streamed aligned skips, from the counters of the fabric; the goal is at least 0.95",
        1.0,
    ),
    "lane_utilisation_min": Definition(
        "of lanes x cycles",
        "the least over D = 64, 320, 1280 with rank 16, 64 and over 2, 4, 8 modules, on 8, 32, 128 "
        "lanes: at {place}, {chains} inputs at once; the goal is at least 0.90",
        1.0,
    ),
    "lane_utilisation_mixed_min": Definition(
        "of lanes x cycles",
        "the same with Gram terms, the least over D = 64, 320 and rank 16, 64: at {place}, "
        "{chains} inputs at once",
        1.0,
    ),
    "lane_utilisation_narrow_min": Definition(
        "of lanes x cycles",
        "skips of rank 4 on fabrics of four rank lanes, the least over D = 64, 320: at {place}, "
        "{chains} inputs at once; the goal is at least 0.90",
        1.0,
    ),
    CYCLES_PREFIX: Definition(
        "cycles",
        "the bound is 4 D k / lanes; lane utilisation {share:.3f}, {chains} inputs at once",
    ),
    "cycle_fit_residual": Definition(
        "of the cycles",
        "largest relative residual of cycles = {slope:.4f} x (4 D k / lanes) + {constant:.2f}, "
        "with D summed over the pairs of modules",
        0.03,
    ),
    "streaming_over_relaxation": Definition(
        "cycles",
        "{inputs} inputs of the aligned demo program, with inputs and read-outs over the link, "
        "against the cycles in which relaxation issues micro-operations; the goal is at most 1.05",
    ),
    "rtl_cycles_per_s": Definition(
        "cycles/s", "the whole demo fabric with its link, on one core", RTL_GOAL
    ),
    "rtl_all_cores": Definition("of one core's speed", _GAIN),
    "rtl_build_s": Definition(
        "s",
        "making the Verilog, running Verilator, compiling its C++, with an empty cache",
        90.0,
    ),
    "rtl_start_s": Definition(
        "s", "opening a simulator that is built and reading its identity", 1.0
    ),
    "rtl_over_icarus": Definition("cycles/s", "{outcome}"),
    "rtl_over_pysim": Definition("cycles/s", "the same design and bytes; the goal is at least 50"),
    "model_over_float": Definition(
        "steps/s",
        "steps of one input in a batch of {inputs}, against float64 dynamics in NumPy, both on one "
        "core; the goal is at least 4",
    ),
    "model_all_cores": Definition("of one core's speed", _GAIN),
    "model_over_rtl": Definition("steps/s", "the same program; the goal is at least 10"),
    SAMPLES_PREFIX: Definition("samples/s", "independent samples: {outcome}"),
    MEMORY_PREFIX: Definition("MiB", "largest resident memory: {outcome}"),
    JOULES_PREFIX: Definition(
        "J",
        "an independent sample of {units:,} units on an iCEBreaker at {mhz} MHz, modelled from the "
        "power of its cells, not measured",
    ),
    "sd15_cycles_over_bound": Definition(
        "cycles/step",
        "{modules} modules, rank {rank}, {lanes} lanes, {steps} steps; the gateware and the "
        "integer model are equal in every bit; the goal is at most 1.1; the program takes {words} "
        "of {depth} factor words, the fabric about {rams} of {most_rams} block RAMs",
    ),
    "line_limit_3_mbaud": Definition("inputs/s", _LINE_LIMIT),
    "line_limit_12_mbaud": Definition("inputs/s", _LINE_LIMIT),
    BOARD_PREFIX: Definition(
        "inputs/s",
        "through the board's link, simulated from its pins on, with the time that the host "
        "computes: {outcome}; the goal is at least 0.9",
    ),
    "link_over_line_rate": Definition(
        "bytes/s",
        "payload bytes of a whole factor memory over a serial port paced to {baud} baud (ten bits "
        "a byte); the goal is at least 0.9",
    ),
    "model_memory_growth": Definition(
        "MiB",
        "growth of the process's largest resident memory from input {first:,} to input {last:,} of "
        "one stream",
    ),
}


def figure(
    name: str, value: float | None, reference: float | None = None, **details: object
) -> Figure:
    """Returns the row of a figure, with its ratio.

    Parameters
    ----------
    name : a key of `DEFINITIONS`, or a name that begins with a prefix among them
    value, reference : in the unit of the definition; a fixed reference stands in the definition
    details : what the places in the definition's note are filled with
    """
    families = CYCLES_PREFIX, SAMPLES_PREFIX, MEMORY_PREFIX, JOULES_PREFIX, BOARD_PREFIX
    family = next((prefix for prefix in families if name.startswith(prefix)), name)
    definition = DEFINITIONS[family]
    if definition.reference is not None:
        reference = definition.reference
    ratio = value / reference if value is not None and reference else None
    note = definition.note.format(**details)
    return Figure(name, value, definition.unit, reference, ratio, note)


def compare(figures: list[Figure], stored: list[dict]) -> list[tuple[str, float]]:
    """Returns (name, new value over stored value) of the figures that both runs measured."""
    old = {row["name"]: row["value"] for row in stored}
    return [
        (row.name, row.value / old[row.name])
        for row in figures
        if row.value is not None and old.get(row.name)
    ]


def losses(found: dict[str, float], stored: list[dict]) -> list[str]:
    """Returns a line for each figure in cycles, and each share of the lanes' time, that is worse
    than in a stored run. Cycles do not depend on the machine, so that any loss is one of the code.

    Parameters
    ----------
    found : values by the name of the figure; those of other figures are left out
    stored : rows with ``name`` and ``value``
    """
    lines = []
    for row in stored:
        name, before, now = row["name"], row["value"], found.get(row["name"])
        if now is None or not before:
            continue
        if name.startswith(CYCLES_PREFIX) or name in IN_CYCLES:
            worse = now / before - 1
        elif name.startswith(UTILISATION_PREFIX):
            worse = before / now - 1
        else:
            continue
        if worse > (LINK_TOLERANCE if name == "streaming_over_relaxation" else 1e-9):
            lines.append(f"{name} was {before:.6g} and is {now:.6g}")
    return lines


class Stopwatch:
    """Measures a ``with`` block.

    Attributes
    ----------
    seconds : that it takes
    computing : seconds that cores compute for this process meanwhile
    """

    seconds = computing = 0.0

    def __enter__(self) -> Self:
        self._began, self._computed = perf_counter(), process_time()
        return self

    def __exit__(self, *exception: object) -> None:
        self.seconds = perf_counter() - self._began
        self.computing = process_time() - self._computed
