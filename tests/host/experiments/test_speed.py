# SPDX-License-Identifier: Apache-2.0
"""The speed of boards, from the schedule and the clock."""

from dataclasses import replace

import pytest

from ornstein.boards import BOARDS
from ornstein.hdl.config import TINY
from ornstein.host.experiments.speed import demo_speed


def test_speed_is_the_clock_over_the_cycles():
    board = BOARDS["icebreaker"]
    slow, fast = demo_speed(board, 12.0), demo_speed(board, 48.0)
    assert fast["cycles_per_step"] == slow["cycles_per_step"]
    for name in ("steps_per_s", "inferences_per_s"):
        assert fast[name] == pytest.approx(4 * slow[name], rel=1e-3)
    assert fast["steps_per_s"] == pytest.approx(48e6 / fast["cycles_per_step"], rel=1e-3)
    # an inference is the eight steps of the aligned program, and loading the inputs before them
    assert fast["inferences_per_s"] == pytest.approx(fast["steps_per_s"] / 8, rel=0.03)


def test_a_fabric_with_more_lanes_takes_fewer_cycles():
    small, large = (demo_speed(BOARDS[name], 48.0) for name in ("icebreaker", "ulx3s"))
    assert large["cycles_per_step"] < small["cycles_per_step"] / 2


def test_a_board_that_is_too_small_has_no_speed():
    tiny = replace(BOARDS["icebreaker"], config=TINY)
    assert set(demo_speed(tiny, 48.0).values()) == {None}
