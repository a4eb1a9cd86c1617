# SPDX-License-Identifier: Apache-2.0
"""The speed of boards, from the schedule and the clock."""

from dataclasses import replace

import pytest

from ornstein.boards import BOARDS
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Line
from ornstein.host.devices.device import prediction_only
from ornstein.host.devices.line_bytes import bytes_per_input
from ornstein.host.experiments.speed import LineRates, demo_speed
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


def test_speed_is_the_clock_over_the_cycles():
    board = BOARDS["icebreaker"]
    slow, fast = demo_speed(board, 12.0), demo_speed(board, 48.0)
    assert fast["cycles_per_step"] == slow["cycles_per_step"]
    for name in ("steps_per_s", "inferences_per_s"):
        assert fast[name] == pytest.approx(4 * slow[name], rel=1e-3)
    assert fast["steps_per_s"] == pytest.approx(48e6 / fast["cycles_per_step"], rel=1e-3)
    # an inference is the eight steps of the aligned program, and loading the inputs before them
    assert fast["inferences_per_s"] == pytest.approx(fast["steps_per_s"] / 8, rel=0.03)


def test_the_line_carries_what_its_bytes_allow():
    board, clock = BOARDS["icebreaker"], 48e6
    line = Line.at(int(clock), (1_000_000, 3_000_000))
    found = demo_speed(board, clock / 1e6, LineRates.of(line))
    model = TrainedModel.load()
    program = compile_recipe(recipes.ours_aligned(model), model, board.config)
    sent, answered = bytes_per_input(
        program, program.encode(model.x_test), prediction_only(program.problem)
    )
    assert answered > sent > 2 * 64  # the words of the inputs; four bytes come back for each unit
    assert found["line_inferences_per_s"] == pytest.approx(300_000 / answered, rel=1e-3)
    assert found["limited_by"] == "line"
    assert demo_speed(board, 0.1, LineRates.of(line))["limited_by"] == "lanes"
    none = demo_speed(board, 48.0)
    assert (none["line_inferences_per_s"], none["limited_by"]) == (None, "lanes")


def test_the_ways_of_a_shared_line_take_turns():
    assert LineRates(1000.0, 500.0).inferences(100, 100) == 5.0
    assert LineRates(1000.0, 500.0, shared=True).inferences(100, 100) == pytest.approx(10 / 3)


def test_a_fabric_with_more_lanes_takes_fewer_cycles():
    small, large = (demo_speed(BOARDS[name], 48.0) for name in ("icebreaker", "ulx3s"))
    assert large["cycles_per_step"] < small["cycles_per_step"] / 2


def test_a_board_that_is_too_small_has_no_speed():
    tiny = replace(BOARDS["icebreaker"], config=TINY)
    assert set(demo_speed(tiny, 48.0).values()) == {None}
