# SPDX-License-Identifier: Apache-2.0
"""The speed that a board reaches at its clock with the program that users run first."""

from ornstein.boards import BoardInfo
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.program import ProgramError
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


def demo_speed(info: BoardInfo, clock_mhz: float) -> dict[str, float | None]:
    """Returns the speed of the demo's aligned program, at kT = 0, on a board with that clock.

    Cycles are counted by :func:`ornstein.hdl.schedule.step_cycles`. The link takes no part.

    Returns
    -------
    cycles_per_step : clock cycles of one relaxation step for one input
    steps_per_s : relaxation steps a second
    inferences_per_s : whole inferences a second
    All are None if the program does not fit the board.
    """
    model = TrainedModel.load()
    try:
        program = compile_recipe(recipes.ours_aligned(model), model, info.config)
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
        "inferences_per_s": round(1e6 * clock_mhz / program.input_cycles, 2),
    }
