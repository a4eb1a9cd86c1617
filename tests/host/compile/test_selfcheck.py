# SPDX-License-Identifier: Apache-2.0
"""The run of a program on calibration inputs when it is compiled: what it measures is what the
program loses, and what it can mend it mends.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import random_program, toy, toy_energy, toy_inputs
from ornstein.hdl.config import REFERENCE, TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.compile.selfcheck import (
    INPUTS,
    LOSS_TOLERANCE,
    PRODUCTS,
    Loss,
    cold_problem,
    loss_checks,
)
from ornstein.host.devices.model import ModelDevice
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import NEAREST, STATE, STOCHASTIC, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

LOSS = "loss of the answers on calibration inputs, relative"
COLD = Stage(200), Stage(1, accumulate=True)


def measured(program, name=LOSS):
    return {check.name: check.measured for check in program.checks}.get(name)


def answers(program, inputs):
    with ModelDevice(program.config) as device:
        device.load(program)
        return device.run(inputs, seed=1).mean


def test_the_loss_is_that_of_the_answers():
    """Relaxed to the end, the float answer is the closed form; no input is left out of so few."""
    inputs = toy_inputs(6)
    readout = Readout(np.array([1.0, 5.0, 0.2]), np.ones(3))
    program = compile_problem(toy(target="b", readout=readout, stages=COLD), TINY, inputs)
    problem = program.problem
    exact = problem.decode(problem.energy.mean(inputs))
    error = problem.decode(answers(program, inputs)) - exact
    spread = exact - exact.mean(axis=0)
    loss = np.sqrt(np.sum(error**2) / np.sum(spread**2))
    assert measured(program) == pytest.approx(loss, rel=0.05)
    assert 0 < loss < LOSS_TOLERANCE and program.warnings() == ()


@pytest.mark.parametrize("seed", range(20))
def test_random_programs_lose_little(seed):
    program, _ = random_program(seed)
    loss = measured(program)
    if loss is None:
        assert program.problem.energy.j4
    else:
        assert 0 <= loss < LOSS_TOLERANCE


def test_thermal_motion_counts_as_spread():
    """Answers a tenth as large as thermal motion are not held to their own size."""
    inputs = 0.01 * toy_inputs()
    hot = compile_problem(
        toy(stages=(Stage(50, 1.0), Stage(20, 1.0, accumulate=True))), TINY, inputs
    )
    assert measured(hot) < 1e-3
    assert measured(compile_problem(toy(stages=COLD), TINY, inputs)) > measured(hot)


def test_without_anything_to_answer_there_is_no_loss():
    assert measured(compile_problem(toy(stages=COLD), TINY, np.zeros((3, 8)))) is None


def test_an_energy_of_several_minima_is_not_compared():
    """A rounding error chooses among them."""
    wells = toy_energy(across=0.4, j4=0.05)
    assert wells.eigenvalues()[0] < 0
    assert measured(compile_problem(toy(energies=(wells,), dt=0.25), TINY, toy_inputs())) is None


def test_saturated_words_are_warned_of():
    warned = [check.warning for check in loss_checks(Loss(0.01, 5), None)]
    assert warned[0] == "" and warned[1].startswith("5 words saturated while")
    assert not any(check.warning for check in loss_checks(Loss(0.01, 0), None))


def test_the_loss_of_a_force_that_the_fabric_limits():
    """In one step the quartic term moves units from 15 to -660 in float64. The fabric's cubic term
    never reverses a state.
    """
    energy = replace(toy_energy(j4=0.05), couplings=())
    inputs = np.array([[1.0] * 8, [15.0] * 4 + [-1.0] * 4])
    problem = toy(entry=STATE, energies=(energy,), stages=(Stage(1, accumulate=True),))
    program = compile_problem(problem, TINY, inputs)
    assert measured(program) > 0.5
    assert any(line.startswith("formats and rounding put") for line in program.warnings())


def test_long_relaxations_are_cut():
    stages = Stage(60_000, 0.1), Stage(50_000, 0.1, accumulate=True, thin=1000)
    program = compile_problem(toy(stages=stages, entry=STATE), REFERENCE, toy_inputs())
    cold = cold_problem(program)
    products = sum(stage.steps for stage in cold.stages) * len(program.factor)
    assert products * REFERENCE.lanes * INPUTS < 1.5 * PRODUCTS
    assert {stage.kT for stage in cold.stages} == {0.0} and not cold.stages[1].thin
    assert cold.rounding == STOCHASTIC


def slow_energy() -> Energy:
    """Twelve units beside twelve; the slowest mode takes 1,000 times as long as the fastest."""
    rng = np.random.default_rng(0)
    factors = tuple(np.linalg.qr(rng.normal(size=(12, 4)))[0] for _ in range(2))
    mix = np.zeros((2, 2, 4))
    mix[0, 1] = mix[1, 0] = 0.2 * 999 / 1001 * np.array([1, 0.8, 0.5, 0.3])
    return Energy((Module("a", 12), Module("b", 12)), (Coupling(("a", "b"), factors, mix),))


def test_rounding_that_stops_a_slow_mode_is_replaced(tmp_path):
    """To nearest, a step's last drift of a slow mode rounds to nothing hundreds of LSBs away from
    the equilibrium.
    """
    energy = slow_energy()
    step = choose_time_step([energy])
    inputs = np.random.default_rng(0).normal(size=(20, 24))
    problem = toy(energies=(energy,), stages=equilibrium(step, kT=0.0), dt=step.dt)
    program = compile_problem(problem, REFERENCE, inputs)
    assert problem.rounding == NEAREST and program.problem.rounding == STOCHASTIC
    nearest = measured(program, "loss with rounding to nearest, relative")
    assert nearest > LOSS_TOLERANCE and measured(program) < nearest / 2
    exact = energy.mean(inputs)
    error = np.linalg.norm(answers(program, inputs) - exact) / np.linalg.norm(exact)
    assert error < 0.03
    (line,) = program.warnings()
    assert f"would put the answers {nearest:.1%} of their spread off" in line
    save_program(program, tmp_path / "p")
    assert load_program(tmp_path / "p").warnings() == program.warnings()


def test_an_outlier_sets_no_range():
    """One entry of 400 inputs is 100 times as large: the formats are those of the other inputs, and
    the one that is refused is counted.
    """
    inputs = np.random.default_rng(2).normal(size=(400, 8))
    far = inputs.copy()
    far[17, 3] = 400.0
    problem = toy(stages=COLD)
    sound = compile_problem(problem, TINY, np.delete(inputs, 17, axis=0))
    program = compile_problem(problem, TINY, far)
    assert program.state_lsb == sound.state_lsb
    np.testing.assert_array_equal(program.input_lsb, sound.input_lsb)
    assert measured(program) == pytest.approx(measured(sound), rel=0.5)
    (line,) = program.warnings()
    assert line.startswith("1 of 400 calibration inputs reach more than 4 times as far as the rest")
    clipped = [row.clipped for row in program.ranges if row.name == "bias of a"]
    assert clipped == [1 / (400 * 5)]
    assert replace(program, checks=sound.checks).warnings() == ()
