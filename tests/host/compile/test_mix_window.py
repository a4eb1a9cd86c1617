# SPDX-License-Identifier: Apache-2.0
"""Pairs of modules that the window of MIX mixes: what is stored, in which cycles, and that answers
are those of mixing one module after the other.
"""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import LATE_OPTIONS, ULX3S, WIDE, FabricConfig
from ornstein.hdl.isa import Operation, Pass
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.allocation import fits_window, store_factors
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.consistency import check_program
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.compile.relaxing import Mix, QuantizedEnergy
from ornstein.host.devices.device import Outputs
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.bench.programs import random_biases, skip_energy
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

PLAIN = replace(ULX3S, name="plain", mix_window=False)
SMALL = replace(WIDE, name="small", mix_window=True, rank_lanes=2, unit_lanes=4)


def gram_and_skip(rank: int, kT: float = 0.0, config: FabricConfig = ULX3S) -> Program:
    """Two modules of 64 units, whose modes mix."""
    stages = Stage(3, kT), Stage(2, kT, accumulate=True)
    problem = Problem("mixed", (skip_energy((64,), rank, 0.1),), stages, dt=1.0, entry=BIAS)
    return compile_problem(problem, config, random_biases(128, 8))


def answers(program: Program, config: FabricConfig | None = None) -> Outputs:
    """Of the fabric that the program is compiled for, if no other is named."""
    device = ModelDevice(config or program.config)
    device.load(program)
    return device.run(random_biases(128, 11))


def relaxing(program: Program) -> list[Pass]:
    return next(passes for level, passes in program.schedule if level.keep)


def test_a_chains_words_are_mixed_in_as_many_cycles_as_there_are():
    """The lanes of the first three unit lanes hold the coefficients of the word of the present
    cycle and of those one and two before.
    """
    mixes = {
        (0, place): Mix(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]) + 10 * place, 0) for place in (0, 1)
    }
    factors = {side: np.ones((4, 4)) for side in mixes}
    energy = skip_energy((4,), 4, 0.1)
    found = store_factors(
        SMALL, (), (QuantizedEnergy(energy, factors, {}, {}, mixes, energy, ()),), 2, window=True
    )
    (placed,) = found.energies
    assert placed.windows == {0: 4} and not placed.coefficients and not placed.mixed_chains
    chain = [
        [5, 6, 1, 2, 0, 0, 0, 0],
        [0, 0, 15, 16, 11, 12, 0, 0],
        [7, 8, 3, 4, 0, 0, 0, 0],
        [0, 0, 17, 18, 13, 14, 0, 0],
    ]
    assert found.image[4:].tolist() == [[0] * 8, *chain, *chain]


@pytest.mark.parametrize(("rank", "chains", "cycles"), [(16, 8, 34.125), (64, 4, 136.25)])
def test_a_step_takes_a_cycle_for_each_rank_word_that_is_mixed(rank, chains, cycles):
    """A step of 64 units takes two cycles for each mode to project and expand, and no pass waits:
    at least 0.95 of the lanes' time is useful.
    """
    program = gram_and_skip(rank)
    passes = relaxing(program)
    words = 2 * rank // 16
    assert program.layout.chains == chains
    assert not any(step.wait for step in passes)
    assert step_cycles(ULX3S, passes) == chains * (2 * rank + words) + 1 == chains * cycles
    assert (4 * 64 * rank + 4 * rank) / (128 * cycles) >= 0.95


@pytest.mark.parametrize("rank", [16, 64])
def test_answers_are_those_of_mixing_one_module_after_the_other(rank):
    """Every product, sum and shift is the same; at kT = 0 the number of chains does not matter."""
    plain = gram_and_skip(rank, config=PLAIN)
    window = gram_and_skip(rank)
    assert {step.inner for step in relaxing(window) if step.operation == Operation.MIX} == {1}
    assert {step.inner for step in relaxing(plain) if step.operation == Operation.MIX} == {2}
    np.testing.assert_array_equal(answers(window).sums, answers(plain).sums)


def test_the_last_cycle_reads_a_word_that_counts_for_nothing():
    """No other word may be left over from another program."""
    program = gram_and_skip(16)
    check_program(program)
    row = program.layout.levels + next(
        index
        for index, step in enumerate(
            Pass.unpack(row) for row in program.descriptors[program.layout.levels :]
        )
        if step.operation == Operation.MIX
    )
    factor = program.factor.copy()
    factor[Pass.unpack(program.descriptors[row]).factor + 16, 0] = 1
    with pytest.raises(ProgramError, match="a pass reads rank words 16 to 16, which the program"):
        check_program(replace(program, factor=factor))


def test_other_couplings_are_mixed_as_ever():
    """One of three modules, one of a module with another coupling, one narrowed unlike."""
    energy = skip_energy((4,), 4, 0.1)
    mixes = {(0, place): Mix(np.ones((2, 4)), 0) for place in (0, 1)}
    quantized = QuantizedEnergy(energy, {}, {}, {}, mixes, energy, ())
    assert fits_window(quantized, 0)
    unlike = mixes | {(0, 1): Mix(np.ones((2, 4)), 1)}
    assert not fits_window(replace(quantized, mixes=unlike), 0)
    assert not fits_window(replace(quantized, mixes={}), 0)
    gram = Coupling(("e0",), (np.ones((4, 1)),), np.ones((1, 1, 1)))
    two = replace(energy, couplings=(*energy.couplings, gram))
    assert not fits_window(replace(quantized, energy=two), 0)
    names = "a", "b", "c"
    three = Coupling(names, (np.ones((4, 1)),) * 3, np.ones((3, 3, 1)))
    modules = tuple(Module(name, 4) for name in names)
    of_three = {(0, place): Mix(np.ones((3, 2)), 0) for place in range(3)}
    wide = QuantizedEnergy(Energy(modules, (three,)), {}, {}, {}, of_three, energy, ())
    assert not fits_window(wide, 0)


def test_a_fabric_without_a_window_refuses_the_program():
    program = gram_and_skip(16)
    with pytest.raises(
        ProgramError, match="mixes in a window of MIX, which fabric 'plain' was built"
    ):
        program.check_fits(PLAIN)


def test_a_program_without_a_window_runs_on_a_fabric_with_one():
    program = gram_and_skip(16, config=PLAIN)
    program.check_fits(ULX3S)
    np.testing.assert_array_equal(answers(program).sums, answers(program, ULX3S).sums)


def test_a_program_file_keeps_the_option(tmp_path):
    assert "mix_window" in LATE_OPTIONS
    program = gram_and_skip(16)
    save_program(program, tmp_path / "mixed.program")
    assert load_program(tmp_path / "mixed.program").config == ULX3S
