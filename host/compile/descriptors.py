# SPDX-License-Identifier: Apache-2.0
"""The descriptor memory: levels and passes as the sequencer reads them."""

from dataclasses import replace

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.isa import Pass
from ornstein.hdl.schedule import place_waits
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.schedule import ScheduledLevel

_MOST = 256
"""Descriptors of the largest memory for them: a level says in eight bits where its passes are."""


def encode_descriptors(
    config: FabricConfig, levels: tuple[ScheduledLevel, ...], bank_offset: int
) -> np.ndarray:
    """Compiler pass: (count, 8) uint16, the levels and then their passes.

    Decides where passes wait for the pipeline. Levels of the same passes share them. Refuses
    fields beyond their bits, loops that the fabric cannot count, and more descriptors than it
    holds.
    """
    if len(levels) >= _MOST:
        steps = sum(scheduled.level.steps for scheduled in levels)
        raise ProgramError(
            f"stages of {steps:,} steps take {len(levels)} levels, and no fabric holds more than "
            f"{_MOST} descriptors; ask for fewer steps"
        )
    rows: list[list[int]] = []
    stored: dict[tuple[Pass, ...], int] = {}
    passes: list[Pass] = []
    for scheduled in levels:
        level = scheduled.level
        try:
            waiting = tuple(
                place_waits(
                    config,
                    list(scheduled.passes),
                    bank_offset=bank_offset,
                    repeated=level.steps > 1,
                )
            )
            if waiting not in stored:
                stored[waiting] = len(levels) + len(passes)
                passes += waiting
            rows.append(replace(level, first=stored[waiting], passes=len(waiting)).pack())
        except ValueError as error:
            raise ProgramError(f"the schedule cannot be encoded: {error}") from None
    rows += [step.pack() for step in passes]
    if len(rows) > config.descriptor_depth:
        raise ProgramError(
            f"the program needs descriptor_depth >= {len(rows)}, but fabric {config.name!r} has "
            f"{config.descriptor_depth}"
        )
    return np.array(rows, np.uint16)
