# SPDX-License-Identifier: Apache-2.0
"""Formats of inputs and biases, and the layers of the interface in integers."""

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import REFERENCE, STATE_WIDTH, TINY, FabricConfig
from ornstein.host.compile.compiler import compile_first, compile_problem
from ornstein.host.compile.conditioning import (
    BiasFormats,
    activation_table,
    choose_biases,
    evaluate_interface,
    quantize_interface,
    silu_table,
)
from ornstein.host.compile.formats import (
    TOP,
    FormatError,
    StateFormat,
    choose_state,
    expect_states,
    realise_time_step,
)
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.request import Request
from ornstein.host.devices.model import ModelDevice
from ornstein.host.physics.interface import Interface, Layer, silu
from ornstein.host.physics.problem import STATE, Problem
from ornstein.sim.energy import Energy, Module
from ornstein.sim.stages import Stage

MODULES = Module("a", 6), Module("b", 5)


def problem_of(layers: list[Layer], size: int, **offset: np.ndarray) -> Problem:
    constants = {"a": np.zeros(6), "b": np.zeros(5), **offset}
    return toy(
        energies=(Energy(MODULES, j2=0.1),),
        entry="interface",
        stages=(Stage(1, accumulate=True),),
        dt=1.25,
        interface=Interface(np.zeros(size), np.ones(size), tuple(layers), constants),
    )


def linear(
    target: str, gain: float, *, source: str = "input", size: int = 1, hidden: int = 1
) -> Layer:
    """A layer that adds ``gain * hidden`` times the sum of its source to every unit."""
    units = {module.name: module.units for module in MODULES}[target]
    return Layer(
        source, np.ones((size, hidden)), None, np.full((hidden, units), float(gain)), target
    )


def formats_of(
    problem: Problem, inputs, config: FabricConfig = TINY
) -> tuple[Request, StateFormat, BiasFormats]:
    request = Request(problem, config, np.asarray(inputs, float))
    step = realise_time_step(request)
    state = choose_state(request, step, expect_states(request, step), spare=0)
    return request, state, choose_biases(request, step, state, evaluate_interface(request))


def row(formats, name: str):
    (found,) = (row for row in formats.ranges if row.name == name)
    return found


# ---- evaluation ----------------------------------------------------------------------------------


def test_layers_run_in_order_on_the_biases_so_far():
    layers = [linear("a", 2), linear("b", 1, source="bias:a", size=6)]
    request = Request(problem_of(layers, 1, a=np.full(6, 10.0)), TINY, np.array([[1.0], [3.0]]))
    first, second = evaluate_interface(request)
    assert first.source_module is None and second.source_module == "a"
    np.testing.assert_array_equal(first.produced, [[12.0] * 6, [16.0] * 6])
    np.testing.assert_array_equal(second.values, first.produced)
    np.testing.assert_array_equal(second.hidden, [[72.0], [96.0]])
    np.testing.assert_array_equal(second.produced, [[72.0] * 5, [96.0] * 5])


def test_a_layer_that_reads_a_bias_of_zero_is_left_out():
    layers = [linear("a", 1, source="bias:b", size=5), linear("b", 1)]
    request = Request(problem_of(layers, 1), TINY, np.ones((1, 1)))
    assert [found.layer for found in evaluate_interface(request)] == layers[1:]


def test_without_an_interface_there_are_no_layers():
    assert evaluate_interface(Request(toy(), TINY, toy_inputs())) == ()


# ---- biases --------------------------------------------------------------------------------------


def test_biases_get_the_finest_format_that_holds_them():
    inputs = np.hstack([toy_inputs()[:, :5], 40 * toy_inputs()[:, 5:]])
    _, _, formats = formats_of(toy(), inputs)
    for name, part in (("a", slice(0, 5)), ("b", slice(5, 8))):
        reach = 1.25 * np.abs(inputs[:, part]).max()
        index, scale = formats.shifts[name], formats.scales[name]
        assert reach * scale <= TOP
        assert (
            not index
            or reach * scale * 2 ** (TINY.bias_shifts[index] - TINY.bias_shifts[index - 1]) > TOP
        )
        np.testing.assert_array_equal(formats.input_lsb[part], 1 / scale)
        assert row(formats, f"bias of {name}").clipped == 0.0
    assert formats.shifts["b"] > formats.shifts["a"]


def test_initial_states_come_in_steps_of_the_state_and_biases_without_calibration_values():
    _, state, formats = formats_of(toy(entry=STATE, offset=np.ones(8)), toy_inputs())
    np.testing.assert_array_equal(formats.input_lsb, state.lsb)
    assert row(formats, "bias of a").clipped is None


def test_inputs_behind_an_interface_share_one_step():
    _, _, formats = formats_of(problem_of([linear("a", 0.1, size=2, hidden=8)], 2), [[3.0, -1.0]])
    assert formats.input_lsb.tolist() == [2.0**-13] * 2  # 3.75 needs up to 4 = 2^15 steps
    found = row(formats, "input, centred and scaled")
    assert (found.low, found.high, found.clipped) == (-3.75, 3.75, 0.0)
    assert row(formats, "bias of a").clipped == 0.0
    assert row(formats, "bias of b").clipped is None, "no layer makes it"


def test_biases_beyond_the_widest_format_are_refused():
    """The state here is far finer than the biases ask for."""
    request = Request(toy(), TINY, toy_inputs())
    with pytest.raises(FormatError, match=r"biases of module 'a' reach .*, more than the widest"):
        choose_biases(request, realise_time_step(request), StateFormat(2.0**-40, 0, ()), ())


def test_a_strong_layer_widens_the_format_of_its_target():
    """Half of what the first layer adds is taken away again. What is left would fit the next finer
    format, whose steps are a quarter as large, but the factors would not.
    """
    layers = [linear("a", 1, hidden=4), linear("a", -0.5, hidden=4)]
    _, _, formats = formats_of(problem_of(layers, 1), [[1.0], [-1.0]], REFERENCE)
    assert formats.shifts["a"] == 3
    assert row(formats, "bias of a").high * 4 * formats.scales["a"] <= TOP


def test_a_layer_stronger_than_any_format_is_refused():
    """A bias fed back into itself a hundredfold."""
    layers = [linear("a", 1), linear("a", 100, source="bias:a", size=6)]
    with pytest.raises(
        FormatError, match="a layer of the interface into module 'a' is too strong for the 12-bit"
    ):
        formats_of(problem_of(layers, 1), np.ones((1, 1)))


def test_the_first_problem_that_formats_can_hold_is_compiled():
    refused = problem_of([linear("a", 1), linear("a", 100, source="bias:a", size=6)], 1)
    fits, inputs = problem_of([linear("a", 1)], 1), np.ones((1, 1))
    assert compile_first((refused, fits), TINY, inputs).problem is fits
    with pytest.raises(FormatError, match="too strong for the 12-bit"):
        compile_first((refused, refused), TINY, inputs)


def test_stored_sums_beyond_the_format_are_counted_as_the_fabric_counts_them():
    """The second layer takes away half of what the first one stores, and the format follows what is
    left. Two of four inputs exceed it after the first layer, in all six units.
    """
    layers = [linear("a", 1, hidden=16), linear("a", -0.5, hidden=16)]
    problem, inputs = problem_of(layers, 1), np.array([[1.0], [0.1], [-0.9], [-0.01]])
    _, _, formats = formats_of(problem, inputs, REFERENCE)
    clipped = row(formats, "bias of a").clipped
    assert clipped == 2 / 8
    program = compile_problem(problem, REFERENCE, inputs)
    assert row(program, "bias of a").clipped == clipped
    device = ModelDevice(REFERENCE)
    device.load(program)
    assert device.run(inputs).counters["state_saturations"] == clipped * 2 * 4 * 6


# ---- layers --------------------------------------------------------------------------------------


def quantized(problem: Problem, inputs, config: FabricConfig = TINY):
    request, _, formats = formats_of(problem, inputs, config)
    return quantize_interface(request, evaluate_interface(request), formats), formats


def test_a_layer_in_integers_is_the_layer():
    """The product of the factors, by their shifts, is the real product by the LSBs."""
    rng = np.random.default_rng(3)
    layer = Layer("input", rng.normal(size=(3, 2)), None, rng.normal(size=(2, 6)) / 4, "a")
    found, formats = quantized(problem_of([layer], 3), rng.normal(size=(20, 3)))
    (integers,) = found.layers
    shift = (
        TINY.project_shifts[integers.project_shift]
        + TINY.expand_shifts[integers.expand_shift]
        + TINY.coupling_bits
    )
    steps = integers.project @ integers.expand.T * 2.0**-shift
    real = layer.project @ layer.expand * formats.input_lsb[:, None] * formats.scales["a"]
    np.testing.assert_allclose(steps, real, atol=2e-3 * np.abs(real).max())
    assert not found.activation.any() and not found.constants
    assert found.ranges[0].clipped == 0.0


def test_constants_are_in_steps_of_their_biases():
    problem = problem_of([], 1, b=np.linspace(-1, 1, 5))
    found, formats = quantized(problem, np.ones((1, 1)))
    assert list(found.constants) == ["b"]
    np.testing.assert_array_equal(
        found.constants["b"], np.rint(np.linspace(-1, 1, 5) * formats.scales["b"])
    )
    offset = np.concatenate([np.zeros(5), np.ones(3)])
    found, formats = quantized(toy(entry=STATE, offset=offset), toy_inputs())
    assert list(found.constants) == ["b"] and found.constants["b"][0] == formats.scales["b"]


def test_two_activated_layers_share_one_table():
    layers = [
        Layer("input", np.ones((2, 1)), "silu", np.ones((1, 6)), "a"),
        Layer("input", np.ones((2, 1)), "silu", np.ones((1, 5)), "b"),
    ]
    found, _ = quantized(problem_of(layers, 2), toy_inputs()[:, :2])
    assert found.activation.any()
    layers[1] = Layer("input", 0.1 * np.ones((2, 1)), "silu", np.ones((1, 5)), "b")
    with pytest.raises(ProgramError, match="two activated layers need one format"):
        quantized(problem_of(layers, 2), toy_inputs()[:, :2])


# ---- activation ----------------------------------------------------------------------------------


def test_the_activation_table_is_silu():
    """Entries meet, and interpolating them errs by at most an eighth of the curvature times the
    entry squared.
    """
    unit, out = 8 / TOP, 8 / TOP
    table = silu_table(unit, out).astype(np.int64)
    argument = np.arange(-(1 << STATE_WIDTH - 1), 1 << STATE_WIDTH - 1)
    value, slope = table[argument >> 8 & 255].T
    answer = value + (slope * (argument & 255) + 128 >> 8)
    assert (
        np.abs(answer * out - silu(argument * unit)).max() < 0.5 / 8 * (256 * unit) ** 2 + 2 * out
    )
    following = table[(np.arange(-128, 127) + 1) & 255, 0]
    np.testing.assert_array_equal(table[np.arange(-128, 127) & 255].sum(axis=1), following)


def test_an_activation_too_steep_for_its_slope_is_refused():
    with pytest.raises(
        ProgramError, match=r"the activation rises by \d+ an entry, more than 12 bits"
    ):
        activation_table(lambda step: 9 * step)
