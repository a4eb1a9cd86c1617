# SPDX-License-Identifier: Apache-2.0
"""The time step and the leak that are chosen for an energy."""

import numpy as np
import pytest

from ornstein.host import (
    Coupling,
    Energy,
    Module,
    compile_problem,
    equilibrium_problem,
    open_device,
)
from ornstein.host.physics.timestep import MOST_HALVINGS, SHAPE_BOUND, TimeStepError
from ornstein.host.sampling.problems import candidates, paces, splits
from ornstein.sim.energy import EnergyError
from ornstein.sim.stages import Stage


def lattice(j2: float) -> Energy:
    """A 4 x 4 lattice of units with periodic neighbours: M = 0.2 I + Laplacian."""
    matrix = 0.2 * np.eye(16)
    for unit in range(16):
        row, column = divmod(unit, 4)
        for other in (4 * ((row + 1) % 4) + column, 4 * row + (column + 1) % 4):
            matrix[[unit, other], [unit, other]] += 1
            matrix[[unit, other], [other, unit]] -= 1
    return Energy.from_precision(matrix, j2=j2)


def first_stages(pace):
    return Stage(pace.step.steps), Stage(1, accumulate=True)


def test_a_lattice_whose_leak_fits_no_format_gets_another():
    """The split into leak and couplings is arbitrary; it is chosen, and M stays what it is."""
    options = {"kT": 0.0, "tolerance": 1e-3}
    energy = lattice(j2=0.1)
    tried = list(candidates("lattice", energy, first_stages, **options))
    assert {round(problem.energy.j2, 6) for problem in tried} == {0.1, 2.1, 4.1}
    for problem in tried:
        np.testing.assert_allclose(problem.energy.matrix(), energy.matrix(), atol=1e-13)


def test_time_steps_fall_by_halves_and_steps_rise():
    energy = Energy.from_precision(np.diag([1.0, 4.0]))
    options = {"kT": 0.1, "tolerance": 1e-2, "dt": None}
    tried = [pace.step for pace in paces(energy, shape_matters=True, **options)]
    assert len(tried) == MOST_HALVINGS + 1
    assert tried[0].dt == pytest.approx(SHAPE_BOUND / 4.0)
    np.testing.assert_allclose([step.dt for step in tried], tried[0].dt / 2.0 ** np.arange(6))
    assert tried[-1].steps > 20 * tried[0].steps
    (coarse, *_) = paces(energy, shape_matters=False, **options)
    assert coarse.step.dt == pytest.approx(2 / 5.0, rel=0.05)
    assert coarse.relaxation_steps == round(1 / coarse.step.dt)


def test_a_time_step_of_ones_own_is_kept_or_refused():
    wells = Energy.from_precision(-np.eye(2), j4=0.25)
    options = {"kT": 0.1, "tolerance": 1e-2, "shape_matters": True}
    (pace,) = paces(wells, dt=0.5, **options)
    assert pace.step.dt == 0.5
    with pytest.raises(TimeStepError, match="allows dt < 1"):
        list(paces(wells, dt=1.5, **options))


def test_modules_are_kept_when_the_leak_changes():
    factors = np.ones((2, 1)), np.ones((1, 1))
    mix = np.array([[0.0, 0.1], [0.1, 0.0]])[..., None]
    energy = Energy((Module("a", 2), Module("b", 1)), (Coupling(("a", "b"), factors, mix),), j2=0.9)
    found = list(splits(energy))
    assert found[0] is energy and len(found) > 1
    for split in found:
        assert split.modules == energy.modules
        np.testing.assert_allclose(split.matrix(), energy.matrix(), atol=1e-14)


@pytest.mark.parametrize("j2", [None, 0.1])
def test_fabric_leak_time_step_and_calibration_are_chosen_for_a_lattice(j2):
    """Nothing but the energy is named, and biases of order one are answered."""
    lattice_energy = Energy.from_precision(lattice(0.1).matrix(), j2=j2)
    problem = equilibrium_problem(lattice_energy, samples=64)
    program = compile_problem(problem)
    biases = np.random.default_rng(0).normal(size=(4, 16))
    with open_device(f"model:{program.config.name}") as device:
        device.load(program)
        means = device.run(biases).mean
    exact = lattice_energy.mean(biases)
    assert np.linalg.norm(means - exact) / np.linalg.norm(exact) < 0.02


def test_an_equilibrium_problem_of_wells_is_stable_and_one_of_a_wrong_energy_is_refused():
    wells = Energy.from_precision(-np.eye(2), j4=0.25)
    problem = equilibrium_problem(wells, kT=0.1, samples=8, thin=4)
    assert 0 < problem.dt < 1 and problem.samples == 8 and problem.stages[-1].thin == 4
    with pytest.raises(EnergyError, match="not positive definite"):
        one = np.ones((1, 1))
        negative = Coupling(("z",), (one,), -np.ones((1, 1, 1)))
        equilibrium_problem(Energy((Module("z", 1),), (negative,)))
    with pytest.raises(TimeStepError, match="the tolerance 2 must be between 0 and 1"):
        equilibrium_problem(wells, tolerance=2)
