# SPDX-License-Identifier: Apache-2.0
"""Problems: what is derived from them, and the refusal of those that make no sense."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.host.physics.interface import Interface, Layer, Readout
from ornstein.host.physics.problem import Problem, ProblemError, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Energy, EnergyError, Module
from ornstein.sim.stages import Stage

AVERAGE = Stage(5, 0.1, accumulate=True)


def small_interface():
    return Interface(
        np.array([1.0, 2.0]),
        np.array([2.0, 1.0]),
        (Layer("input", np.eye(2), None, np.ones((2, 5)), "a"),),
        {"a": np.arange(5.0)},
    )


def test_what_is_read_belongs_to_the_last_stage_that_accumulates():
    energies = toy_energy(), toy_energy(across=0.05)
    problem = toy(
        energies=energies,
        stages=(
            Stage(3, 1.0, accumulate=True),
            Stage(7, 0.5, accumulate=True, energy=1),
            Stage(2, 0.25),
        ),
    ).check()
    assert (problem.steps, problem.samples, problem.kT) == (12, 10, 0.5)
    assert problem.energy is energies[1]


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 8),
        ({"bias_sets": 3}, 24),
        ({"entry": "state"}, 8),
        ({"entry": "interface", "interface": small_interface()}, 2),
    ],
)
def test_numbers_in_an_input(changes, size):
    assert toy(**changes).check().input_size == size


def test_biases_of_each_entry():
    inputs = toy_inputs(2)
    np.testing.assert_array_equal(toy().biases(inputs), inputs[:, None])
    sets = np.hstack([inputs, -inputs])
    np.testing.assert_array_equal(
        toy(bias_sets=2).biases(sets), np.stack([inputs, -inputs], axis=1)
    )
    np.testing.assert_array_equal(toy(entry="state").biases(inputs), np.zeros((2, 1, 8)))
    offset = np.arange(8.0)
    np.testing.assert_array_equal(
        toy(entry="state", offset=offset).biases(inputs)[:, 0], [offset, offset]
    )


def test_an_interface_leaves_the_modules_it_does_not_name_without_bias():
    biases = toy(entry="interface", interface=small_interface()).biases(np.array([[3.0, 1.0]]))
    np.testing.assert_allclose(
        biases[0, 0], [*(np.arange(5) + 0.0), 0, 0, 0]
    )  # (3 - 1) / 2 + (1 - 2) / 1 = 0


def test_decoding_reads_the_target_through_the_readout():
    means = toy_inputs(2)
    np.testing.assert_array_equal(toy().decode(means), means)
    np.testing.assert_array_equal(toy(target="b").decode(means), means[:, 5:])
    readout = Readout(np.full(3, 2.0), np.ones(3))
    np.testing.assert_array_equal(
        toy(target="b", readout=readout).decode(means), 2 * means[:, 5:] + 1
    )


def test_equilibrium_burns_in_then_averages():
    energy = toy_energy()
    step = choose_time_step([energy], tolerance=1e-3, dt=1.0)
    burn, average = equilibrium(step, kT=0.5, samples=40, thin=2)
    assert burn == Stage(step.steps - 1, 0.5)
    assert average == Stage(40, 0.5, accumulate=True, thin=2)
    # uncoupled units reach equilibrium in one step of 1 / (2 j2), and the first step is read
    bare = energy.without_couplings()
    at_once = choose_time_step([bare], dt=1 / (2 * bare.j2))
    assert equilibrium(at_once, kT=0.0) == (Stage(1, 0.0, accumulate=True),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energies": ()}, "needs at least one energy and one stage"),
        ({"stages": ()}, "needs at least one energy and one stage"),
        (
            {
                "energies": (
                    toy_energy(),
                    replace(toy_energy(), modules=(Module("b", 3), Module("a", 5))),
                )
            },
            "all energies must have the modules",
        ),
        ({"energies": (toy_energy(), toy_energy(j4=0.1))}, "the same j2 and j4"),
        ({"energies": (toy_energy(), replace(toy_energy(), j2=0.2))}, "the same j2 and j4"),
        ({"stages": (Stage(5, 0.1),)}, "no stage accumulates"),
        ({"stages": (AVERAGE, Stage(0))}, "stage 1 needs steps >= 1, .* not 0, 0 and 0.0"),
        ({"stages": (replace(AVERAGE, thin=-1),)}, "stage 0 needs .* not 5, -1 and 0.1"),
        ({"stages": (replace(AVERAGE, kT=-0.5),)}, "a finite kT >= 0, not 5, 0 and -0.5"),
        ({"stages": (replace(AVERAGE, kT=np.nan),)}, "a finite kT"),
        ({"stages": (replace(AVERAGE, kT=np.inf),)}, "a finite kT"),
        (
            {"stages": (replace(AVERAGE, energy=1),)},
            "stage 0 names energy 1 of 1 and bias set 0 of 1",
        ),
        ({"stages": (replace(AVERAGE, bias=-1),)}, "bias set -1 of 1"),
        ({"integrator": "rk4"}, "integrator must be 'lm' or 'em', not 'rk4'"),
        ({"rounding": "floor"}, "rounding must be 'nearest' or 'stochastic', not 'floor'"),
        ({"entry": "door"}, "entry must be 'interface', 'bias' or 'state', not 'door'"),
        ({"entry": "interface"}, "an interface belongs to entry 'interface'"),
        ({"interface": small_interface()}, "an interface belongs to entry 'interface'"),
        (
            {"dt": 6.0},
            "dt = 6.0 is unstable or not positive; the largest curvature 0.35 allows dt < 5.714",
        ),
        ({"dt": 0.0}, "dt = 0.0 is unstable or not positive"),
        ({"dt": -1.0}, "dt = -1.0 is unstable or not positive"),
        ({"dt": np.nan}, "dt = nan is unstable"),
        (
            {"energies": toy_energy()},
            r"energies must be a tuple of Energy, not Energy; a single one is written \(energy,\)",
        ),
        ({"stages": AVERAGE}, r"stages must be a tuple of Stage, not Stage"),
        ({"target": "c"}, r"the target 'c' is none of \['a', 'b'\]"),
        (
            {"entry": "state", "offset": np.zeros(3)},
            r"offset must be 8 finite numbers, not an array of shape \(3,\)",
        ),
        ({"entry": "state", "offset": [1.0]}, "offset must be 8 finite numbers"),
        (
            {"target": "b", "readout": Readout(np.ones(5), np.zeros(3))},
            r"readout.scale must be 3 finite numbers, not an array of shape \(5,\)",
        ),
    ],
)
def test_nonsense_is_refused_in_one_line(changes, message):
    with pytest.raises(ProblemError, match=message) as caught:
        toy(**changes).check()
    assert "\n" not in str(caught.value) and "toy" in str(caught.value)


def test_wrong_arguments_are_named_before_a_problem_is_checked_too():
    with pytest.raises(ProblemError, match="the target 'c' is none of"):
        toy(target="c").decode(np.zeros((1, 8)))
    with pytest.raises(ProblemError, match="offset must be 8 finite numbers"):
        toy(entry="state", offset=np.zeros(3)).biases(np.zeros((1, 8)))


def test_wells_bound_the_time_step():
    """With all of M negative, the curvature is that in the wells, twice the eigenvalue."""
    wells = Energy.from_precision(-np.eye(3), j4=0.25)
    problem = Problem("wells", (wells,), (AVERAGE,), dt=0.9, entry="bias")
    assert problem.check() is problem
    with pytest.raises(ProblemError, match="the largest curvature 2 allows dt < 1"):
        replace(problem, dt=1.1).check()


def test_an_energy_that_is_not_positive_definite_is_refused_by_its_eigenvalue():
    with pytest.raises(EnergyError, match=r"smallest eigenvalue is -0\.1"):
        toy(energies=(toy_energy(across=0.3),)).check()
