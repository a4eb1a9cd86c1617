# SPDX-License-Identifier: Apache-2.0
"""Compiled programs: fabrics that cannot run them and inputs that they cannot take are refused."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import ICEBREAKER, PRESETS, REFERENCE, TINY, WIDE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import InputError, ProgramError
from ornstein.host.physics.interface import Interface, Layer
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs())


# ---- fabrics -------------------------------------------------------------------------------------


def test_a_program_runs_on_the_fabric_it_is_compiled_for(program):
    for config in PRESETS.values():
        compile_problem(toy(dt=0.25), config, toy_inputs()).check_fits(config)
    program.check_fits(
        replace(
            TINY,
            name="roomy",
            factor_depth=4096,
            state_depth=256,
            sample_depth=0,
            second_moment=False,
            quartic=False,
        )
    )


def test_the_states_that_a_program_touches_are_those_of_its_chains(program):
    """These a load has to set to zero, whatever the fabric has room for."""
    layout = program.layout
    assert program.touched_states == layout.chains * layout.state_words < TINY.state_depth


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rank_lanes", 4),
        ("unit_lanes", 2),
        ("factor_width", 10),
        ("accumulator_width", 36),
        ("leak_bits", 8),
        ("project_shifts", (8, 10)),
        ("expand_shifts", (0, 1)),
        ("bias_shifts", (6, 12)),
        ("sum_width", 40),
    ],
)
def test_another_kind_of_fabric_is_refused_by_the_field(program, field, value):
    with pytest.raises(
        ProgramError, match=rf"compiled for {field} = .*, but fabric 'other' has .*; compile it for"
    ):
        program.check_fits(replace(TINY, name="other", **{field: value}))


@pytest.mark.parametrize(
    ("field", "needed"),
    [
        ("factor_depth", 8),
        ("state_depth", 16),
        ("drive_depth", 32),
        ("rank_depth", 4),
        ("descriptor_depth", 13),
    ],
)
def test_a_smaller_memory_is_refused_by_the_field(program, field, needed):
    """Two inputs at once, of eight units: what each memory must hold follows from the program's
    shape.
    """
    smaller = 1 << (needed - 1).bit_length() - 1
    with pytest.raises(
        ProgramError, match=f"needs {field} >= {needed}, but fabric 'small' has {smaller}"
    ):
        program.check_fits(replace(TINY, name="small", **{field: smaller}))


def test_options_that_a_build_lacks_are_refused():
    quartic = compile_problem(toy(energies=(toy_energy(j4=0.05),)), TINY, toy_inputs())
    with pytest.raises(
        ProgramError, match="has a quartic term, which fabric 'plain' was built without"
    ):
        quartic.check_fits(replace(TINY, name="plain", quartic=False))
    streaming = compile_problem(
        toy(stages=(Stage(9, accumulate=True, thin=2),)), TINY, toy_inputs()
    )
    with pytest.raises(ProgramError, match="needs sample_depth >= 64, but fabric 'plain' has 0"):
        streaming.check_fits(replace(TINY, name="plain", sample_depth=0))


@pytest.mark.parametrize("config", [REFERENCE, WIDE, ICEBREAKER], ids=lambda config: config.name)
def test_other_presets_are_refused(program, config):
    with pytest.raises(ProgramError, match="'toy' is compiled for rank_lanes = 2"):
        program.check_fits(config)


# ---- inputs --------------------------------------------------------------------------------------


def test_inputs_become_drive_words(program):
    """Each module begins a new word, every number in steps of its LSB."""
    inputs = toy_inputs()
    words = program.encode(inputs).words
    assert (
        words.shape == (3, program.layout.input_words, TINY.unit_lanes) and words.dtype == np.int16
    )
    np.testing.assert_allclose(
        words[:, :, 0] * program.input_lsb, inputs, atol=program.input_lsb.max() / 2
    )
    wide = compile_problem(toy(), WIDE, inputs)
    words = wide.encode(inputs).words
    assert words.shape == (3, 3, 4)  # five units in two words, three in one
    assert not words[:, 1, 1:].any() and not words[:, 2, 3].any()
    np.testing.assert_allclose(
        words.reshape(3, -1)[:, [0, 1, 2, 3, 4, 8, 9, 10]] * wide.input_lsb,
        inputs,
        atol=wide.input_lsb.max() / 2,
    )


def test_whole_numbers_lists_and_bias_sets_are_taken(program):
    whole = np.array([[1, 0, -1, 1, 0, 0, 1, -1]])
    for same in (whole.astype(np.uint8).astype(np.int8), whole.tolist(), whole.astype(np.float32)):
        np.testing.assert_array_equal(
            program.encode(same).words, program.encode(whole.astype(float)).words
        )
    sets = np.random.default_rng(2).uniform(-1, 1, (4, 2, 8))
    double = compile_problem(toy(bias_sets=2), TINY, sets.reshape(4, 16))
    np.testing.assert_array_equal(
        double.encode(sets).words, double.encode(sets.reshape(4, 16)).words
    )


@pytest.mark.parametrize(
    "inputs", [np.zeros(8), np.zeros((1, 7)), np.zeros((1, 9)), np.zeros((2, 2, 8)), 1.0]
)
def test_wrong_shapes_are_refused(program, inputs):
    with pytest.raises(InputError, match=r"inputs have shape \(.*\); program 'toy' takes \(n, 8\)"):
        program.encode(inputs)


@pytest.mark.parametrize("kind", [complex, str, object, bool])
def test_what_are_no_numbers_is_refused(program, kind):
    with pytest.raises(InputError, match=r"inputs are of type .*; numbers are needed"):
        program.encode(np.zeros((1, 8)).astype(kind))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_its_place(program, value):
    inputs = toy_inputs()
    inputs[2, 6] = value
    with pytest.raises(InputError, match="input 2 is not finite at position 6"):
        program.encode(inputs)


def test_out_of_range_is_refused_by_its_place_and_the_limits(program):
    limit = 32767 * program.input_lsb[3]
    inputs = toy_inputs()
    inputs[1, 3] = limit
    program.encode(inputs)
    for sign in (1, -1):
        inputs[1, 3] = sign * (limit + program.input_lsb[3])
        with pytest.raises(
            InputError,
            match=f"input 1 is .* at position 3; program 'toy' takes "
            f"{-limit:.6g} to {limit:.6g} there",
        ):
            program.encode(inputs)


def test_the_limits_behind_an_interface_are_in_the_inputs_own_units():
    interface = Interface(
        np.array([10.0, 0.0]),
        np.array([2.0, 1.0]),
        (Layer("input", np.eye(2), None, np.full((2, 5), 0.1), "a"),),
        {"a": np.zeros(5)},
    )
    program = compile_problem(
        toy(entry="interface", interface=interface), TINY, np.array([[9.0, 1.0], [12.0, -1.0]])
    )
    reach = 32767 * program.input_lsb[0]
    program.encode([[10 + 1.999 * reach, 0.0]])
    with pytest.raises(
        InputError,
        match=f"at position 0; program 'toy' takes {10 - 2 * reach:.6g} to {10 + 2 * reach:.6g}",
    ):
        program.encode([[10 + 2.1 * reach, 0.0]])
    clipped, changed = program.clip([[10 + 2.1 * reach, 0.0], [10 - 9 * reach, 0.0], [10.0, 0.0]])
    np.testing.assert_allclose(clipped[:, 0], [10 + 2 * reach, 10 - 2 * reach, 10.0])
    assert changed.tolist() == [True, True, False]
    program.encode(clipped)


def test_clipping_changes_only_what_is_beyond_the_limits(program):
    low, high = program.input_limits()
    inputs = toy_inputs(4)
    inputs[1] = high * 1.5
    inputs[2, 3] = low[3] * 9
    inputs[3, 0] = np.nan
    clipped, changed = program.clip(inputs)
    assert changed.tolist() == [False, True, True, False]
    np.testing.assert_array_equal(clipped[0], inputs[0])
    np.testing.assert_array_equal(clipped[1], high)
    assert clipped[2, 3] == low[3] and np.isnan(clipped[3, 0])
    program.encode(clipped[:3])
    with pytest.raises(InputError, match="input 13 is not finite at position 0"):
        program.encode(clipped, first=10)
