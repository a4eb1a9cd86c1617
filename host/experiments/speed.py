# SPDX-License-Identifier: Apache-2.0
"""The speed that a board reaches at its clock with the program that users run first."""

import numpy as np

from ornstein.boards import BoardInfo
from ornstein.hdl.regmap import NO_LINE, Line
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.devices.device import prediction_only
from ornstein.host.devices.line_bytes import bytes_per_input
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe

FIGURES = (
    "cycles_per_step",
    "steps_per_s",
    "inferences_per_s",
    "line_inferences_per_s",
    "limited_by",
)
BITS_PER_BYTE = 10
"""Bits on a serial line for each byte: a start bit, eight data bits and a stop bit."""


def demo_speed(
    info: BoardInfo, clock_mhz: float, line: Line = NO_LINE
) -> dict[str, float | str | None]:
    """Returns the speed of the demo's aligned program, at kT = 0, on a board with that clock.

    Cycles are counted by :func:`ornstein.hdl.schedule.step_cycles`.

    Returns
    -------
    cycles_per_step : clock cycles of one relaxation step for one input
    steps_per_s : relaxation steps a second
    inferences_per_s : whole inferences a second that the lanes reach, whatever the link does
    line_inferences_per_s : whole inferences a second that the board's serial line carries at its
        highest rate, both ways at once, where only the prediction is read; None without such a line
    limited_by : ``line`` or ``lanes``, whichever is slower
    All are None if the program does not fit the board.
    """
    model = TrainedModel.load()
    try:
        program = compile_recipe(recipes.ours_aligned(model), model, info.config)
    except ProgramError:
        return dict.fromkeys(FIGURES)
    levels = [
        (level, level.steps * step_cycles(info.config, passes))
        for level, passes in program.schedule()
    ]
    chains = program.layout.chains
    relaxing = sum(cycles for level, cycles in levels if level.keep)
    step = relaxing / sum(level.steps for level, _ in levels if level.keep) / chains
    lanes = 1e6 * clock_mhz / program.input_cycles
    carried = line_speed(line, program, model.x_test)
    figures = (
        round(step, 2),
        round(1e6 * clock_mhz / step, 1),
        round(lanes, 2),
        None if carried is None else round(carried, 2),
        "line" if carried is not None and carried < lanes else "lanes",
    )
    return dict(zip(FIGURES, figures, strict=True))


def line_speed(line: Line, program: Program, inputs: np.ndarray) -> float | None:
    """Returns the inferences a second that a serial line carries at its highest rate, None where
    there is none.
    """
    if not line.bauds:
        return None
    selection = prediction_only(program.problem)
    most = max(bytes_per_input(program, program.encode(inputs), selection))
    return max(line.bauds) / BITS_PER_BYTE / most
