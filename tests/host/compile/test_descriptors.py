# SPDX-License-Identifier: Apache-2.0
"""The descriptor memory: levels, then passes, which levels share where they are the same."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import TINY
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.host.compile.descriptors import encode_descriptors
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.schedule import ScheduledLevel

LOAD = Pass(operation=Operation.EXPAND, outer=4, inner=1)
PROJECT = Pass(operation=Operation.PROJECT, outer=1, inner=4, stride=1)


def test_levels_come_first_and_share_their_passes():
    levels = (
        ScheduledLevel(Level(steps=1), (LOAD,)),
        ScheduledLevel(Level(steps=9, keep=1), (PROJECT, LOAD)),
        ScheduledLevel(Level(steps=5, keep=1), (PROJECT, LOAD)),
    )
    words = encode_descriptors(TINY, levels, bank_offset=0)
    assert words.shape == (6, 8) and words.dtype == np.uint16
    unpacked = [Level.unpack(row) for row in words[:3]]
    assert [(level.first, level.passes, level.steps) for level in unpacked] == [
        (3, 1, 1),
        (4, 2, 9),
        (4, 2, 5),
    ]
    assert Pass.unpack(words[3]) == LOAD


def test_waits_are_set_where_a_step_repeats():
    """The projection needs the states that the step before has written, if there is one."""
    for steps, wait in ((1, 0), (2, 1)):
        level = ScheduledLevel(Level(steps=steps), (PROJECT, LOAD))
        words = encode_descriptors(TINY, (level,), bank_offset=0)
        assert Pass.unpack(words[1]).wait == wait


@pytest.mark.parametrize(
    ("level", "step", "message"),
    [
        (Level(steps=70_000), LOAD, "Level.steps = 70000 does not fit its 16 bits"),
        (Level(steps=1), replace(LOAD, outer=1000), "EXPAND loops over 1000 words, but fabric"),
    ],
)
def test_what_cannot_be_encoded_is_refused(level, step, message):
    with pytest.raises(ProgramError, match=f"the schedule cannot be encoded: {message}"):
        encode_descriptors(TINY, (ScheduledLevel(level, (step,)),), bank_offset=0)


def test_too_many_descriptors_are_refused():
    levels = (ScheduledLevel(Level(steps=1), (LOAD,)),) * 3
    small = replace(TINY, name="small", descriptor_depth=3)
    with pytest.raises(
        ProgramError, match="the program needs descriptor_depth >= 4, but fabric 'small' has 3"
    ):
        encode_descriptors(small, levels, bank_offset=0)


def test_more_steps_than_any_fabric_counts_are_refused():
    levels = (ScheduledLevel(Level(steps=65_535), (LOAD,)),) * 256
    message = "stages of 16,776,960 steps take 256 levels, .* ask for fewer steps"
    with pytest.raises(ProgramError, match=message):
        encode_descriptors(TINY, levels, bank_offset=0)
