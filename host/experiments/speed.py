# SPDX-License-Identifier: Apache-2.0
"""The speed that a board reaches at its clock with the program that users run first."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ornstein.boards import BoardInfo
from ornstein.hdl.regmap import Line
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


@dataclass(frozen=True)
class LineRates:
    """What a line carries.

    Attributes
    ----------
    there, back : bytes a second to a device and from it, if nothing travels the other way
    shared : whether the two ways take turns, as on USB
    """

    there: float
    back: float
    shared: bool = False

    @classmethod
    def of(cls, line: Line) -> Self:
        """Returns what a serial line carries at its highest rate."""
        rate = max(line.bauds) / BITS_PER_BYTE
        return cls(rate, rate)

    def inferences(self, sent: float, answered: float) -> float:
        """Returns the inferences a second that the line carries with so many bytes for each."""
        seconds = sent / self.there, answered / self.back
        return 1 / (sum(seconds) if self.shared else max(seconds))


def demo_program(info: BoardInfo, model: TrainedModel) -> Program:
    """Returns the demo's aligned program, at kT = 0, for a board. Raises ProgramError if it does
    not fit.
    """
    return compile_recipe(recipes.ours_aligned(model), model, info.config)


def demo_speed(
    info: BoardInfo, clock_mhz: float, rates: LineRates | None = None
) -> dict[str, float | str | None]:
    """Returns the speed of :func:`demo_program` on a board with that clock.

    Cycles are counted by :func:`ornstein.hdl.schedule.step_cycles`.

    Returns
    -------
    cycles_per_step : clock cycles of one relaxation step for one input
    steps_per_s : relaxation steps a second
    inferences_per_s : whole inferences a second that the lanes reach, whatever the link does
    line_inferences_per_s : whole inferences a second that the board's line carries, where only the
        prediction is read; None without ``rates``
    limited_by : ``line`` or ``lanes``, whichever is slower
    All are None if the program does not fit the board.
    """
    model = TrainedModel.load()
    try:
        program = demo_program(info, model)
    except ProgramError:
        return dict.fromkeys(FIGURES)
    levels = [
        (level, level.steps * step_cycles(info.config, passes))
        for level, passes in program.schedule
    ]
    chains = program.layout.chains
    relaxing = sum(cycles for level, cycles in levels if level.keep)
    step = relaxing / sum(level.steps for level, _ in levels if level.keep) / chains
    lanes = 1e6 * clock_mhz / program.input_cycles
    carried = None if rates is None else line_speed(rates, program, model.x_test)
    figures = (
        round(step, 2),
        round(1e6 * clock_mhz / step, 1),
        round(lanes, 2),
        None if carried is None else round(carried, 2),
        "line" if carried is not None and carried < lanes else "lanes",
    )
    return dict(zip(FIGURES, figures, strict=True))


def line_speed(rates: LineRates, program: Program, inputs: np.ndarray) -> float:
    """Returns the inferences a second that a line carries where only the prediction is read."""
    selection = prediction_only(program.problem)
    return rates.inferences(*bytes_per_input(program, program.encode(inputs), selection))
