# SPDX-License-Identifier: Apache-2.0
"""Noise of many values, where a fabric has it: the shape of raw samples at a large time step."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.consistency import check_program
from ornstein.host.compile.program import ProgramError
from ornstein.host.devices.model import ModelDevice
from ornstein.host.physics.problem import STATE
from ornstein.sim.energy import Energy, Module
from ornstein.sim.stages import EM, LM, Stage

FINE = replace(TINY, name="fine", fine_noise=True)
SAMPLES = 40_000


def sampling(thin: int = 1, kT: float = 0.5):
    return toy(stages=(Stage(40, kT), Stage(20, kT, accumulate=True, thin=thin)))


def fine_levels(program) -> set[int]:
    return {level.fine for level, _ in program.schedule if level.keep}


def distances(config, dt_lambda: float, integrator: str = LM) -> tuple[float, float]:
    """(Kolmogorov-Smirnov distance to a normal distribution, relative error of the variance) of
    samples of independent units of leak 0.2.
    """
    units, kept = 8, 50
    energy = Energy((Module("a", units),))
    stages = Stage(100, 1.0), Stage(kept * 8, 1.0, accumulate=True, thin=8)
    problem = toy(
        energies=(energy,), stages=stages, dt=dt_lambda / 0.2, integrator=integrator, entry=STATE
    )
    inputs = np.zeros((SAMPLES // units // kept, units))
    program = compile_problem(problem, config, inputs)
    with ModelDevice(config) as device:
        device.load(program)
        samples = device.run(inputs, seed=3).samples.ravel()
    step = program.dt * 0.2
    deviation = np.sqrt(5.0 if integrator == LM else 5.0 / (1 - step / 2))
    distance = kstest(samples, "norm", args=(0, deviation)).statistic
    return float(distance), float(samples.var() / deviation**2 - 1)


@pytest.mark.parametrize(
    ("dt_lambda", "three_values", "fine"), [(0.95, 0.218, 0.02), (0.5, 0.035, 0.012)]
)
def test_samples_at_a_large_step_come_near_a_normal_distribution(dt_lambda, three_values, fine):
    """The variance is the same, within four standard errors."""
    coarse, coarse_variance = distances(TINY, dt_lambda)
    smooth, smooth_variance = distances(FINE, dt_lambda)
    assert coarse == pytest.approx(three_values, abs=0.012)
    assert smooth < fine
    error = np.sqrt(2 / SAMPLES)
    assert abs(coarse_variance) < 4 * error and abs(smooth_variance) < 4 * error


def test_euler_maruyama_draws_it_too():
    _, variance = distances(FINE, 0.5, EM)
    assert abs(variance) < 4 * np.sqrt(2 / SAMPLES)


def test_it_is_drawn_where_the_shape_of_samples_matters():
    """Sampled stages and quartic energies at a temperature; everywhere else the three values do."""
    inputs = toy_inputs()
    assert fine_levels(compile_problem(sampling(), FINE, inputs)) == {1}
    quartic = toy(energies=(toy_energy(j4=0.05),), dt=0.25)
    assert fine_levels(compile_problem(quartic, FINE, inputs)) == {1}
    for problem in (toy(), sampling(kT=0.0)):
        program = compile_problem(problem, FINE, inputs)
        assert fine_levels(program) == {0}
        program.check_fits(TINY)
    assert fine_levels(compile_problem(sampling(), TINY, inputs)) == {0}


def test_a_program_that_draws_it_needs_a_fabric_that_has_it():
    program = compile_problem(sampling(), FINE, toy_inputs())
    check_program(program)
    with pytest.raises(
        ProgramError, match="draws fine noise, which fabric 'tiny' was built without"
    ):
        program.check_fits(TINY)
    with pytest.raises(ProgramError, match="a level draws fine noise, but fabric 'tiny' was built"):
        check_program(replace(program, config=TINY))
