# SPDX-License-Identifier: Apache-2.0
"""Stages that halve the time step: their levels and passes carry the difference, so that nothing is
stored twice, and the dynamics is that of float64.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import ICEBREAKER, REFERENCE, TINY, ULX3S
from ornstein.hdl.isa import Operation
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.devices.device import open_device
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.bench.programs import random_biases, skip_energy
from ornstein.host.physics.problem import BIAS, Problem, ProblemError
from ornstein.sim.reference import relax
from ornstein.sim.stages import EM, LM, Stage


def two_rates(
    halvings: int, gram: float, kT: float = 0.0, steps: int = 1, dt: float = 2.0
) -> Problem:
    """Relaxes in large steps, then in small ones."""
    stages = Stage(2, kT), Stage(steps, kT, accumulate=True, halvings=halvings)
    return Problem("two rates", (skip_energy((32,), 8, gram),), stages, dt=dt, entry=BIAS)


@pytest.mark.parametrize("config", [REFERENCE, ICEBREAKER, ULX3S], ids=lambda config: config.name)
@pytest.mark.parametrize("gram", [0.0, 0.1])
@pytest.mark.parametrize("halvings", [2, 4])
def test_the_steps_are_those_of_float64(config, gram, halvings):
    """Within three LSBs of the state: one for rounding in each step, and what couplings round."""
    inputs = 10 * random_biases(64, 12)
    program = compile_problem(two_rates(halvings, gram), config, inputs)
    device = ModelDevice(config)
    device.load(program)
    found = device.run(inputs).mean
    options = {"dt": program.dt, "integrator": LM, "initial": np.zeros_like(inputs)}
    exact = relax(
        program.realised,
        inputs[:, None],
        program.problem.stages,
        rng=np.random.default_rng(0),
        **options,
    ).mean
    assert np.abs(found - exact).max() < 3 * program.state_lsb
    (first, _), (second, _) = program.schedule[-2:]
    assert first.leak == second.leak << halvings


def test_nothing_is_stored_twice():
    """One list of passes more; factors, constants and inputs are those of a single time step."""
    inputs = random_biases(64, 12)
    alone, both = (compile_problem(two_rates(count, 0.1), ICEBREAKER, inputs) for count in (0, 2))
    assert both.factor.shape == alone.factor.shape
    assert both.layout.input_words == alone.layout.input_words
    (_, large), (_, small) = both.schedule[-2:]
    for step, other in zip(large, small, strict=True):
        expands = step.operation == Operation.EXPAND
        changed = {"shift": step.shift + 2, "bias_shift": step.bias_shift - 1} if expands else {}
        assert other == replace(step, **changed)


@pytest.mark.parametrize("integrator", [LM, EM])
def test_a_stage_has_the_temperature_of_its_own_time_step(integrator):
    """The variance at dt / 4 within five of its standard errors: states that are four correlation
    times apart in 16 chains' rows count as independent."""
    problem = replace(two_rates(2, 0.0, 0.05, 4000), integrator=integrator)
    inputs = np.zeros((16, 64))
    program = compile_problem(problem, REFERENCE, random_biases(64, 12))
    device = ModelDevice(REFERENCE)
    device.load(program)
    outputs = device.run(inputs, seed=3)
    energy, dt = program.realised[0], program.dt / 4
    matrix = energy.matrix()
    expected = 0.05 * np.linalg.inv(matrix)
    if integrator == EM:
        expected = expected @ np.linalg.inv(np.eye(64) - dt * matrix / 2)
    ratio = (outputs.second.mean(0) / expected.diagonal()).mean()
    slowest = energy.eigenvalues()[0]
    independent = 16 * 4000 * dt * slowest / 2
    assert abs(ratio - 1) < 5 * np.sqrt(2 / independent / 8)  # eight soft modes at least


def test_gateware_and_model_agree(device):
    stages = Stage(6, 0.01), Stage(5, 0.01, accumulate=True, halvings=2), Stage(3, halvings=4)
    program = compile_problem(toy(stages=stages), TINY, toy_inputs())
    runs = []
    for uri in ("rtl:tiny", "model:tiny"):
        one = device(uri)
        one.load(program)
        runs.append(one.run(toy_inputs(), seed=2).sums)
    np.testing.assert_array_equal(*runs)


def test_the_float_device_takes_the_same_steps():
    program = compile_problem(two_rates(2, 0.0), REFERENCE, random_biases(64, 12))
    with open_device("float") as device:
        device.load(program)
        found = device.run(random_biases(64, 3)).mean
    exact = np.zeros((3, 64))
    matrix = program.problem.energy.matrix()
    for dt in (program.dt, program.dt, program.dt / 4):
        exact = exact - dt * (exact @ matrix - random_biases(64, 3))
    np.testing.assert_allclose(found, exact, atol=1e-12)


def test_a_program_file_keeps_them(tmp_path):
    program = compile_problem(two_rates(2, 0.0), REFERENCE, random_biases(64, 12))
    save_program(program, tmp_path / "p.program")
    assert load_program(tmp_path / "p.program").problem.stages == program.problem.stages


def test_several_time_steps_have_no_relaxation_of_their_own():
    assert compile_problem(two_rates(0, 0.0), REFERENCE, random_biases(64, 9)).relaxation
    assert compile_problem(two_rates(2, 0.0), REFERENCE, random_biases(64, 9)).relaxation is None


@pytest.mark.parametrize(
    ("halvings", "message"),
    [
        (1, r"no bias_shifts of \(6, 8, 10, 12\) serve stages that halve the time step \[0, 1\]"),
        (8, r"no bias_shifts of \(6, 8, 10, 12\) serve stages that halve the time step \[0, 8\]"),
    ],
)
def test_what_the_shifts_do_not_reach_is_refused(halvings, message):
    with pytest.raises(ProgramError, match=message):
        compile_problem(two_rates(halvings, 0.0), REFERENCE, random_biases(64, 9))


def test_impossible_halvings_are_refused():
    with pytest.raises(ProblemError, match="stage 1 needs halvings >= 0, and 0 under a quartic"):
        two_rates(-1, 0.0).check()
    quartic = toy(energies=(toy_energy(j4=0.05),), stages=(Stage(3, accumulate=True, halvings=2),))
    with pytest.raises(ProblemError, match="stage 0 needs halvings >= 0, and 0 under a quartic"):
        quartic.check()
