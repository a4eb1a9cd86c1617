# SPDX-License-Identifier: Apache-2.0
"""Comparisons with the integer model: every kind of difference is found and named."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import random_program, toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.comparison import ModelMismatchError, check_equals_model, differences
from ornstein.host.devices.device import Outputs, Selection
from ornstein.host.devices.model import ModelDevice
from ornstein.sim.stages import Stage


def outputs(sums, squares=None, samples=(), **counters) -> Outputs:
    return Outputs(
        mean=np.zeros(0),
        second=None,
        samples=np.array(samples),
        sums=np.array(sums),
        squares=None if squares is None else np.array(squares),
        counters=counters,
    )


def test_equal_outputs_have_no_differences():
    """Counters that the model lacks are not compared."""
    expected = outputs([[1, 2], [3, 4]], cycles=None, issued=9)
    assert differences(outputs([[1, 2], [3, 4]], cycles=100, issued=9), expected) == []


def test_differences_are_named():
    expected = outputs([[1, 2], [3, 4]], [[1, 4], [9, 16]], [[[5, 6]], [[7, 8]]], issued=9)
    found = outputs([[1, 2], [3, 5]], [[0, 4], [9, 0]], [[[5, 0]], [[7, 8]]], issued=8)
    assert differences(found, expected) == [
        "sums: 1 of 4 differ, first unit 1 of input 1: 5 instead of 4",
        "squares: 2 of 4 differ, first unit 0 of input 0: 0 instead of 1",
        "samples: 1 of 4 differ, first unit 1 of input 0: 0 instead of 6",
        "issued: 8 instead of 9",
    ]


def test_missing_arrays_and_other_shapes_are_differences():
    expected = outputs([[1, 2]], [[1, 4]])
    assert differences(outputs([[1, 2]]), expected) == ["squares: only the model has them"]
    assert differences(expected, outputs([[1, 2]])) == ["squares: only the device has them"]
    assert differences(outputs([[1]], [[1, 4]]), expected) == [
        "sums: shape (1, 1) instead of (1, 2)"
    ]


@pytest.fixture(scope="module")
def sampling():
    """A program that samples, and inputs for it."""
    stages = Stage(30, 0.01), Stage(20, 0.01, accumulate=True, thin=5)
    return compile_problem(toy(stages=stages), TINY, toy_inputs()), toy_inputs(5)


def test_the_gateware_equals_the_model(device, sampling):
    program, inputs = sampling
    rtl = device("rtl:tiny")
    rtl.load(program)
    check_equals_model(program, inputs, rtl.run(inputs, seed=4), 4)


def test_a_first_warm_run_is_compared_warm():
    program, inputs = random_program(0)
    with ModelDevice(program.config) as model:
        model.load(program)
        found = model.run(inputs, seed=4, warm=True)
    check_equals_model(program, inputs, found, 4, warm=True)
    with pytest.raises(ModelMismatchError):
        check_equals_model(program, inputs, found, 4)


def test_only_the_selection_is_compared(device, sampling):
    program, inputs = sampling
    rtl = device("rtl:tiny")
    rtl.load(program)
    found = rtl.run(inputs, seed=4, selection=Selection(second=False, samples=False, module="b"))
    check_equals_model(program, inputs, found, 4)
    wrong = found.sums.copy()
    wrong[4, 2] += 1
    with pytest.raises(ModelMismatchError, match=r"sums: 1 of 15 differ, first unit 2 of input 4"):
        check_equals_model(program, inputs, replace(found, sums=wrong), 4)


@pytest.mark.parametrize("name", ["sums", "squares", "samples"])
def test_a_single_wrong_number_is_a_mismatch(device, sampling, name):
    program, inputs = sampling
    model = device("model:tiny")
    model.load(program)
    found = model.run(inputs, seed=4)
    wrong = getattr(found, name).copy()
    wrong[(-1,) * wrong.ndim] += 1
    with pytest.raises(
        ModelMismatchError, match=rf"toy: .*\({name}: 1 of .* first unit 7 of input 4"
    ):
        check_equals_model(program, inputs, replace(found, **{name: wrong}), 4)


def test_a_wrong_counter_or_seed_is_a_mismatch(device, sampling):
    program, inputs = sampling
    model = device("model:tiny")
    model.load(program)
    found = model.run(inputs, seed=4)
    counters = found.counters | {"issued": found.counters["issued"] + 1}
    with pytest.raises(ModelMismatchError, match=r"\(issued: \d+ instead of \d+\)"):
        check_equals_model(program, inputs, replace(found, counters=counters), 4)
    with pytest.raises(ModelMismatchError, match="sums: "):
        check_equals_model(program, inputs, found, 5)


def test_a_device_without_second_moments_is_compared_without(device, sampling):
    program, inputs = sampling
    model = device("model:tiny")
    model.load(program)
    found = replace(model.run(inputs, seed=4), squares=None)
    check_equals_model(program, inputs, found, 4)
