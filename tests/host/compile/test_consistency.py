# SPDX-License-Identifier: Apache-2.0
"""A program whose parts contradict each other is refused before a device sees it."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import random_program, toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.consistency import check_program
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.devices.device import open_device
from ornstein.host.devices.selftest import builtin_program
from ornstein.host.physics.problem import STATE
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def program() -> Program:
    stages = Stage(50, 0.01), Stage(20, 0.01, accumulate=True, thin=5)
    problem = toy(stages=stages, entry=STATE, offset=np.full(8, 0.1))
    return compile_problem(problem, TINY, toy_inputs())


@pytest.mark.parametrize("seed", range(20))
def test_what_the_compiler_makes_agrees(seed):
    check_program(random_program(seed)[0])


def refused(program: Program) -> str:
    """The one line with which it is refused; a device that has another program keeps it."""
    with pytest.raises(ProgramError) as caught:
        check_program(program)
    assert "\n" not in str(caught.value)
    with open_device("model:tiny") as device, pytest.raises(ProgramError):
        device.load(program)
    return str(caught.value)


def with_layout(**changes):
    return lambda program: replace(program, layout=replace(program.layout, **changes))


def with_array(name, change):
    """The program with an array that ``change`` returns anew, or changes in place."""

    def changed(program):
        array = getattr(program, name).copy()
        found = change(array)
        return replace(program, **{name: array if found is None else found})

    return changed


def with_descriptor(kind, index, **changes):
    """The program with fields of a level, or of the index-th pass, changed."""

    def changed(program):
        rows = program.descriptors.copy()
        row = index + (program.layout.levels if kind is Pass else 0)
        rows[row] = replace(kind.unpack(rows[row]), **changes).pack()
        return replace(program, descriptors=rows)

    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replace(p, state_lsb=float("nan")), "state_lsb is nan"),
        (lambda p: replace(p, state_lsb=-p.state_lsb), "state_lsb is -"),
        (lambda p: replace(p, state_lsb=p.state_lsb * 1.5), "is no power of two"),
        (lambda p: replace(p, dt=0.0), "dt is 0.0"),
        (with_array("input_lsb", lambda a: a.fill(np.nan)), "input_lsb is no row of positive"),
        (with_array("input_lsb", lambda a: a[:-1].copy()), "input_lsb has 7 steps for 8 numbers"),
        (with_array("factor", lambda a: a.astype(float)), "factor is float64"),
        (with_array("factor", lambda a: a[:, :1].copy()), "factor is int16"),
        (with_array("factor", lambda a: a.fill(2048)), "factor holds values beyond 12 bits"),
        (with_array("activation", lambda a: a[:-1].copy()), "activation has 255 entries"),
        (with_array("activation", lambda a: a.fill(2048)), "slopes beyond 12 bits"),
        (with_array("descriptors", lambda a: a[:3].copy()), "but there are 3"),
        (with_layout(chains=0), "layout.chains is 0"),
        (with_layout(chains=-3), "layout.chains is -3"),
        (with_layout(chains=9), "exceed state_depth = 64"),
        (with_layout(input_word=-40), "overlap or lie before the memory"),
        (with_layout(bank_offset=7), "overlap or lie before the memory"),
        (with_layout(input_words=10**9), "layout.input_words is 1000000000 instead of 8"),
        (with_layout(state_words=7), "layout.state_words is 7 instead of 8"),
        (with_layout(module_parts=((0, 8),)), "layout.module_parts is"),
        (with_layout(input_word=120), "drive words exceed 128"),
        (with_layout(constant_word=0), "inputs and constants overlap"),
        (with_layout(sampled_words=10**9), "layout.sampled_words is 1000000000"),
        (with_layout(first_level=1, levels=2), "its first levels do not load the state"),
        (with_layout(levels=2), "stage 1 has 20 steps, not 0"),
        (with_layout(levels=200), "200 levels from descriptor 0 on are not among"),
        (with_descriptor(Level, 2, steps=40), "stage 1 has 20 steps, not 40"),
        (with_descriptor(Level, 2, accumulate=0), "stage 1 is"),
        (with_descriptor(Level, 2, clear=0), "its sums are not cleared once"),
        (with_descriptor(Level, 2, leak=3), "stage 1 is"),
        (with_descriptor(Level, 1, amplitude=1), "stage 0 is"),
        (with_descriptor(Level, 1, first=250), "a level repeats the descriptors 250 to"),
        (with_descriptor(Pass, 0, dest=60_000), "state words 60000 to 60007 are not among the 64"),
        (with_descriptor(Pass, 0, bias=125), "drive words 125 to 132 are not among the 128"),
        (with_descriptor(Pass, 0, outer=65_536), "65536 words in a loop"),
        (with_descriptor(Pass, 0, bias_shift=3, shift=7), None),
    ],
)
def test_contradictions_are_refused(program, change, message):
    if message is None:  # what the engine ignores may be anything that exists
        check_program(change(program))
    else:
        assert message in refused(change(program))


def projecting(program: Program) -> int:
    """Index of the first pass that projects the state."""
    rows = program.descriptors[program.layout.levels :]
    passes = [Pass.unpack(row) for row in rows]
    return next(i for i, step in enumerate(passes) if step.operation == Operation.PROJECT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": 65_535}, "factor words 65535 to"),
        ({"stride": 65_535}, "factor words"),
        ({"source": 65_535}, "state words 65535 to"),
        ({"dest": 32}, "rank words 32 to"),
        ({"shift": 7}, "shift 7 is not among the 4 project_shifts"),
        ({"from_drive": 1, "source": 127}, "drive words 127 to"),
        ({"operation": Operation.ACTIVATE, "inner": 3}, "3 lanes, but fabric 'tiny' has 2"),
        (
            {"operation": Operation.EXPAND, "stride": 0, "to_drive": 1, "outer": 1},
            "overwrites inputs or const",
        ),
        ({"operation": Operation.EXPAND}, "leaves out rank words, but fabric 'tiny' was built"),
    ],
)
def test_passes_stay_within_the_memories(program, changes, message):
    assert message in refused(with_descriptor(Pass, projecting(program), **changes)(program))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from_drive": 0, "source": 40}, "a pass reads state words 40 to"),
        ({"from_drive": 1, "source": 100}, "a pass reads drive words 100 to"),
        ({"factor": 220}, "a pass reads factor words 220 to"),
        ({"dest": 20}, "a pass reads rank words"),  # the passes behind it read where it wrote
    ],
)
def test_no_pass_reads_what_an_earlier_program_left(changes, message):
    """The words are among the memory's, so that the answer would depend on what ran before."""
    program, _ = builtin_program(TINY)
    found = refused(with_descriptor(Pass, projecting(program), wait=1, **changes)(program))
    assert message in found and "neither holds nor has written" in found


def test_a_pass_reads_no_factors_beyond_those_of_the_program(program):
    shorter = with_array("factor", lambda a: a[:-1].copy())(program)
    assert "a pass reads factor words" in refused(shorter)


def test_a_pass_that_starts_too_early_is_refused():
    """The gateware would read words that are not there yet; the model would not show it."""
    program, _ = random_program(1)
    rows = program.descriptors[program.layout.levels :]
    waiting = next(i for i, row in enumerate(rows) if Pass.unpack(row).wait)
    assert "does not wait" in refused(with_descriptor(Pass, waiting, wait=0)(program))
    for index in range(len(rows)):  # a wait too many costs time alone
        check_program(with_descriptor(Pass, index, wait=1)(program))


def test_a_refused_program_leaves_the_loaded_one(program):
    with open_device("model:tiny") as device:
        device.load(program)
        expected = device.run(toy_inputs(), seed=3).sums
        with pytest.raises(ProgramError):
            device.load(with_descriptor(Pass, 0, dest=60_000)(program))
        np.testing.assert_array_equal(device.run(toy_inputs(), seed=3).sums, expected)


def test_more_averaged_steps_than_the_sums_hold_are_refused():
    """Two accumulating levels would wrap the gateware's sums but not the model's."""
    stages = Stage(40_000, 0.01, accumulate=True), Stage(20_000, 0.01, accumulate=True)
    program = compile_problem(toy(stages=stages), TINY, toy_inputs())
    longer = (stages[0], replace(stages[1], steps=30_000))
    program = replace(program, problem=replace(program.problem, stages=longer))
    program = with_descriptor(Level, 2, steps=30_000)(program)
    assert "70000 states overflow sums of 65536" in refused(program)
