# SPDX-License-Identifier: Apache-2.0
"""The speed of boards through their links, on the smallest fabric."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from helpers.programs import toy, toy_inputs
from ornstein.boards import BOARDS
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.experiments import link_speed
from ornstein.host.experiments.speed import line_speed

pytest.importorskip("amaranth_boards")


@pytest.mark.parametrize("name", ["icebreaker", "bitsy"])
def test_a_board_is_measured_through_its_own_line(name, monkeypatch):
    """No faster than the line that was measured or is set, with the bytes of the program."""
    program = compile_problem(toy(target="b"), TINY, toy_inputs())
    model = SimpleNamespace(x_test=toy_inputs(24))
    monkeypatch.setattr(link_speed, "TrainedModel", SimpleNamespace(load=lambda: model))
    monkeypatch.setattr(link_speed, "demo_program", lambda info, model: program)
    found = link_speed.link_speed(replace(BOARDS[name], config=TINY), 80)
    assert found.rates.shared == (name == "bitsy")
    if name == "icebreaker":
        assert found.rates.there == found.rates.back == 300_000
    assert 0 < found.inferences < line_speed(found.rates, program, model.x_test)
