# SPDX-License-Identifier: Apache-2.0
"""What a build achieves: the path that limits its clock, and the program that users run first at
that clock.
"""

from ornstein.boards import BoardInfo
from ornstein.hdl.schedule import step_cycles
from ornstein.host import recipes
from ornstein.host.demo import compile_recipe
from ornstein.host.model_file import TrainedModel
from ornstein.host.program import ProgramError

KT, SAMPLES = 1e-3, 64
"""Temperature and averaged steps of the demo's aligned program, as the benchmarks run it."""


def missed_mhz(routed: dict) -> float:
    """By how much the clock that misses its target most misses it; zero or less where all
    are met.
    """
    return max(
        (clock["constraint"] - clock["achieved"] for clock in routed["fmax"].values()), default=0.0
    )


def critical_path(routed: dict) -> dict | None:
    """The slowest path within one clock domain of the file that nextpnr's ``--report`` writes; None
    without one.

    ``start`` and ``end`` name cells, ``levels`` counts the lookup tables and other logic between
    them, ``logic_ns`` holds clock-to-output and set-up times too, ``routing_ns`` the wires.
    """

    def total(path, *kinds):
        return sum(part["delay"] for part in path if part["type"] in kinds)

    paths = [
        entry["path"]
        for entry in routed["critical_paths"]
        if entry["from"] == entry["to"] and entry["path"]
    ]
    if not paths:
        return None
    path = max(paths, key=lambda parts: sum(part["delay"] for part in parts))
    return {
        "start": path[0]["from"]["cell"],
        "end": path[-1]["to"]["cell"],
        "levels": sum(part["type"] == "logic" for part in path),
        "logic_ns": round(total(path, "clk-to-q", "logic", "setup"), 2),
        "routing_ns": round(total(path, "routing"), 2),
    }


def demo_speed(info: BoardInfo, clock_mhz: float) -> dict[str, float | None]:
    """cycles_per_step (one input's share), steps_per_s and inferences_per_s of the demo's aligned
    program.

    Cycles are counted by :func:`ornstein.hdl.schedule.step_cycles`; a step is one of relaxation, an
    inference a whole job's share, conditioning included, of which the link takes no part. None
    where the program does not fit.
    """
    model = TrainedModel.load()
    try:
        program = compile_recipe(
            recipes.ours_aligned(model), model, info.config, kT=KT, samples=SAMPLES
        )
    except ProgramError:
        return dict.fromkeys(("cycles_per_step", "steps_per_s", "inferences_per_s"))
    levels = [
        (level, level.steps * step_cycles(info.config, passes))
        for level, passes in program.schedule()
    ]
    chains = program.layout.chains
    relaxing = sum(cycles for level, cycles in levels if level.keep)
    step = relaxing / sum(level.steps for level, _ in levels if level.keep) / chains
    return {
        "cycles_per_step": round(step, 2),
        "steps_per_s": round(1e6 * clock_mhz / step, 1),
        "inferences_per_s": round(
            1e6 * clock_mhz * chains / sum(cycles for _, cycles in levels), 2
        ),
    }
