# SPDX-License-Identifier: Apache-2.0
"""The levels of a job and their passes: what each reads and writes, and in which order."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import random_program, toy, toy_energy, toy_inputs
from ornstein.hdl.config import TINY, ULX3S, FabricConfig
from ornstein.hdl.isa import Operation
from ornstein.hdl.schedule import place_waits, step_cycles
from ornstein.host.compile.allocation import allocate_vectors, store_factors
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.conditioning import (
    choose_biases,
    evaluate_interface,
    quantize_interface,
)
from ornstein.host.compile.formats import (
    choose_amplitudes,
    choose_state,
    expect_states,
    realise_time_step,
)
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.relaxing import quantize_energy
from ornstein.host.compile.request import Request
from ornstein.host.compile.schedule import (
    conditioning_passes,
    loading_passes,
    sampled_words,
    schedule_levels,
    step_passes,
)
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.bench.programs import random_biases, skip_energy
from ornstein.host.physics.interface import Interface, Layer
from ornstein.host.physics.problem import BIAS, STATE, Problem
from ornstein.sim.energy import Coupling
from ornstein.sim.stages import EM, LM, Stage

GRAM = Coupling(("a",), (np.full((5, 1), 0.2),), np.full((1, 1, 1), 0.1))
PLAIN = replace(ULX3S, name="plain", mix_window=False)
IN_TURN = [Operation.PROJECT, Operation.MIX, Operation.EXPAND]


class Compiled:
    """Everything that the passes of the schedule are written from, and those passes."""

    def __init__(
        self,
        problem: Problem,
        inputs: np.ndarray | None = None,
        chains: int = 1,
        config: FabricConfig = TINY,
    ):
        self.request = Request(problem, config, toy_inputs() if inputs is None else inputs)
        step = realise_time_step(self.request)
        states = expect_states(self.request, step)
        state = choose_state(self.request, step, states, 0)
        amplitudes = choose_amplitudes(self.request, step, state)
        layers = evaluate_interface(self.request)
        self.biases = choose_biases(self.request, step, state, layers)
        interface = quantize_interface(self.request, layers, self.biases)
        energies = tuple(
            quantize_energy(self.request, index, step, state, states)
            for index in range(len(problem.energies))
        )
        self.vectors = allocate_vectors(self.request, interface, chains)
        self.factors = store_factors(config, interface.layers, energies, chains)
        self.loading = loading_passes(self.request, self.vectors)
        self.conditioning = conditioning_passes(self.request, interface, self.factors, self.vectors)
        self.steps = tuple(
            step_passes(self.request, energy, placed, self.biases, self.vectors)
            for energy, placed in zip(energies, self.factors.energies, strict=True)
        )
        self.levels = schedule_levels(
            self.request,
            step,
            state,
            amplitudes,
            self.vectors,
            self.loading,
            self.conditioning,
            self.steps,
        )


def test_states_start_at_zero():
    (step,) = Compiled(toy()).loading
    assert step.operation == Operation.EXPAND and not step.biased and not step.coupled
    assert (step.dest, step.outer) == (0, 8)


def test_states_start_at_the_inputs():
    compiled = Compiled(toy(entry=STATE), chains=2)
    assert [(step.dest, step.bias) for step in compiled.loading] == [(0, 0), (8, 8)]
    assert all(step.biased and step.banked and step.bias_shift == 3 for step in compiled.loading)


def test_a_word_that_cannot_be_loaded_as_it_is_is_refused():
    config = replace(TINY, name="odd", bias_shifts=(6, 8, 10))
    with pytest.raises(ProgramError, match="bias_shifts of fabric 'odd' lack 12, which loads a"):
        Compiled(toy(entry=STATE), config=config)
    assert Compiled(toy(), config=config).loading, "where nothing is loaded, nothing is needed"


def interface_problem(*layers: Layer, offset: np.ndarray) -> Problem:
    constants = {"a": offset, "b": np.zeros(3)}
    interface = Interface(np.zeros(2), np.ones(2), layers, constants)
    return toy(entry="interface", interface=interface)


def test_conditioning_reads_what_earlier_layers_left():
    """Module a starts from its constant, then adds to what it has; module b starts from nothing."""
    weak = np.full((2, 5), 0.1)
    layers = (
        Layer("input", np.ones((2, 2)), "silu", weak, "a"),
        Layer("input", np.ones((2, 2)), None, weak, "a"),
        Layer("bias:a", np.ones((5, 2)) / 5, None, weak[:, :3], "b"),
    )
    compiled = Compiled(interface_problem(*layers, offset=np.ones(5)), toy_inputs()[:, :2])
    vectors = compiled.vectors
    project, activate, expand, project_2, expand_2, project_3, expand_3 = compiled.conditioning
    assert activate.operation == Operation.ACTIVATE
    assert (activate.source, activate.dest) == (project.dest, project.dest)
    assert project.banked and project.from_drive and project.source == vectors.input_of(0)
    assert expand.to_drive and expand.biased and expand.bias == vectors.constant["a"]
    assert expand.dest == expand_2.dest == expand_2.bias == vectors.produced["a"][0]
    assert project_2.dest == project.dest + 1, "every layer has rank words of its own"
    assert not project_3.banked and project_3.source == vectors.produced["a"][0]
    assert not expand_3.biased and expand_3.dest == vectors.produced["b"][0]


def test_a_skip_projects_and_expands_the_other_side():
    compiled = Compiled(toy(), chains=2)
    (passes,) = compiled.steps
    operations = [step.operation for step in passes]
    assert operations == [Operation.PROJECT] * 4 + [Operation.EXPAND] * 4
    of_a, of_b, _, _, to_a, to_b, _, to_b_of_second = passes
    assert (of_a.inner, of_b.inner) == (5, 3) and (to_a.outer, to_b.outer) == (5, 3)
    assert to_a.source == of_b.dest and to_b.source == of_a.dest
    assert to_a.factor == of_a.factor == compiled.factors.energies[0].module["a"]
    assert to_b_of_second.dest == 8 + 5 and to_b_of_second.bias == 8 + 5
    assert all(step.biased and step.banked for step in passes[4:])


def test_mixed_couplings_are_mixed_before_they_are_expanded():
    energy = replace(toy_energy(), couplings=(*toy_energy().couplings, GRAM))
    (passes,) = Compiled(toy(energies=(energy,))).steps
    projecting, mixing, expanding = passes[:3], passes[3:6], passes[6:]
    assert {step.operation for step in mixing} == {Operation.MIX}
    assert [step.inner for step in mixing] == [2, 1, 2], (
        "terms of the skip, the Gram term, the skip"
    )
    assert [step.dest for step in projecting] == [0, 1, 2]
    assert [step.dest for step in mixing] == [3, 4, 5]
    assert [step.source for step in expanding] == [3, 5]
    assert [step.inner for step in expanding] == [2, 1]


def gram_and_skip(kT: float = 0.1) -> Problem:
    """Two modules of 64 units, whose 16 modes mix."""
    stages = (Stage(4, kT, accumulate=True),)
    return Problem("gram and skip", (skip_energy((64,), 16, 0.1),), stages, dt=1.0, entry=BIAS)


def test_one_pass_mixes_two_chains_whose_words_lie_side_by_side():
    compiled = Compiled(gram_and_skip(), random_biases(128, 8), 4, PLAIN)
    (passes,) = compiled.steps
    projecting, mixing, expanding = (
        [step for step in passes if step.operation == operation] for operation in IN_TURN
    )
    first_of, second_of = compiled.factors.energies[0].coefficients.values()
    assert [step.source for step in projecting] == list(range(0, 64, 8))
    assert [step.dest for step in projecting] == [0, 2, 1, 3, 4, 6, 5, 7]
    assert [(step.outer, step.inner, step.stride) for step in mixing] == [(2, 2, 2)] * 4
    assert [step.source for step in mixing] == [0, 0, 4, 4]
    assert [step.dest for step in mixing] == [8, 12, 10, 14]
    assert [step.factor for step in mixing] == [first_of, second_of] * 2
    assert [step.source for step in expanding] == [8, 12, 9, 13, 10, 14, 11, 15]


def test_mixing_is_ordered_so_that_no_pass_waits():
    """Of a chain's 36 cycles, 32 project and expand."""
    (passes,) = Compiled(gram_and_skip(), random_biases(128, 8), 4, PLAIN).steps
    placed = place_waits(PLAIN, list(passes))
    assert not any(step.wait for step in placed)
    assert step_cycles(PLAIN, placed) == 4 * 36
    expanded = [step.dest for step in passes if step.operation == Operation.EXPAND]
    assert expanded == list(range(0, 64, 8)), "noise is drawn in the order of chains and modules"


@pytest.mark.parametrize("seed", [3, 39])
def test_no_step_takes_longer_than_one_operation_after_the_other(seed):
    """In these programs, mixing early leaves nothing to hide the latency of the last."""
    program, _ = random_program(seed)
    for passes in (passes for level, passes in program.schedule if level.keep):
        in_turn = sorted(passes, key=lambda step: IN_TURN.index(step.operation))
        other = step_cycles(program.config, place_waits(program.config, in_turn))
        assert step_cycles(program.config, passes) <= other


def test_answers_do_not_depend_on_how_many_chains_one_pass_mixes():
    inputs, found = random_biases(128, 11), []
    for words in (PLAIN.factor_depth, 2 * 8 + 2 * 2):  # the latter holds all coefficients once
        config = replace(PLAIN, name="few", factor_depth=words)
        program = compile_problem(gram_and_skip(0.0), config, inputs[:8])
        (relaxing,) = (passes for level, passes in program.schedule if level.keep)
        found.append([max(step.outer for step in relaxing if step.operation == Operation.MIX)])
        device = ModelDevice(config)
        device.load(program)
        found[-1].append(device.run(inputs).sums)
    (merged, sums), (single, same) = found
    assert (merged, single) == (2, 1)
    np.testing.assert_array_equal(sums, same)


def test_a_module_without_couplings_only_decays_to_its_bias():
    energy = replace(toy_energy(), couplings=())
    (passes,) = Compiled(toy(energies=(energy,))).steps
    assert [(step.operation, step.coupled, step.inner) for step in passes] == [
        (Operation.EXPAND, 0, 1)
    ] * 2


def test_stages_choose_their_energy_their_biases_and_their_noise():
    energies = toy_energy(), replace(toy_energy(), couplings=())
    stages = (
        Stage(7, 0.0),
        Stage(5, 0.1, accumulate=True, energy=1, bias=1),
        Stage(5, 0.1, accumulate=True),
    )
    problem = toy(energies=energies, stages=stages, bias_sets=2, integrator=EM)
    compiled = Compiled(problem, np.random.default_rng(0).uniform(-1, 1, (3, 16)))
    loading, cold, first, second = (scheduled.level for scheduled in compiled.levels)
    assert (loading.steps, loading.keep) == (1, 0)
    assert (cold.steps, cold.amplitude, cold.accumulate) == (7, 0, 0)
    assert first.amplitude == second.amplitude > 0
    assert (first.clear, second.clear) == (1, 0)
    assert [level.leak for level in (cold, first, second)] == [205] * 3
    assert not cold.midpoint and not cold.dither
    moved = [step.bias for step in compiled.levels[2].passes]
    assert moved == [step.bias + compiled.vectors.state_words for step in compiled.steps[1]]


def test_options_of_the_dynamics_are_in_every_level():
    compiled = Compiled(toy(integrator=LM, rounding="stochastic"))
    assert all(level.level.midpoint and level.level.dither for level in compiled.levels[1:])


def test_long_stages_are_split_at_whole_intervals_of_the_sample_stream():
    stages = Stage(200_000), Stage(150_000, 0.1, accumulate=True, thin=1000)
    config = replace(TINY, name="long", sample_depth=64, sum_width=40)
    compiled = Compiled(toy(stages=stages), chains=2, config=config)
    steps = [scheduled.level.steps for scheduled in compiled.levels[1:]]
    assert steps == [65_536] * 3 + [3392] + [65_000] * 2 + [20_000]
    assert [scheduled.level.clear for scheduled in compiled.levels[5:]] == [1, 0, 0]
    assert sampled_words(compiled.levels, compiled.vectors) == 150 * 2 * 8
