# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a program: the float problem, its inputs, and the number of steps to average."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ornstein.hdl.config import REFERENCE, FabricConfig
from ornstein.host.compile.advice import compile_or_advise
from ornstein.host.compile.program import Program
from ornstein.host.models.model_file import Activations
from ornstein.host.models.recipes import Recipe
from ornstein.host.physics.interface import places, sides, split
from ornstein.host.physics.problem import BIAS, INTERFACE, NEAREST, Problem, equilibrium
from ornstein.host.physics.timestep import TOLERANCE, TimeStep, choose_time_step, time_steps
from ornstein.sim.reference import mean_error
from ornstein.sim.stages import LM, Stage

COLD_SAMPLES = 1
"""Averaged steps at kT = 0, where averaging could only smooth the rounding of the states."""
LOSS = 0.002
"""Centred cosine that sampling at a temperature may cost."""


def recipe_problem(
    recipe: Recipe,
    *,
    kT: float = 0.0,
    samples: int = COLD_SAMPLES,
    dt: float | None = None,
    tolerance: float = TOLERANCE,
    integrator: str = LM,
    rounding: str = NEAREST,
    stages: tuple[Stage, ...] | None = None,
) -> Problem:
    """Returns the float problem of a recipe.

    Inputs enter through the recipe's interface or its drive. An oracle has neither, so its inputs
    are its biases; :func:`recipe_inputs` makes them.

    Parameters
    ----------
    kT : temperature of every step
    samples : averaged steps; steps for the slowest mode to relax come before them
    dt : time step; by default the one that the spectrum asks for
    tolerance : share of the distance from equilibrium that may be left at the first read
    integrator, rounding : see :class:`ornstein.host.physics.problem.Problem`
    stages : a schedule that replaces the one that ``kT`` and ``samples`` ask for

    Returns
    -------
    A problem that decodes the decoder's mean if the energy has one pair of modules. A problem with
    several pairs decodes nothing; use :meth:`ornstein.host.models.recipes.Recipe.decode`.
    """
    step = recipe_time_step(recipe, dt=dt, tolerance=tolerance, stages=stages or ())
    single_pair = len(recipe.energy.modules) == 2
    return Problem(
        name=recipe.name,
        energies=(recipe.energy,),
        stages=stages or equilibrium(step, kT=kT, samples=samples),
        dt=step.dt,
        integrator=integrator,
        rounding=rounding,
        entry=BIAS if recipe.interface is None else INTERFACE,
        interface=recipe.interface,
        drive=recipe.drive,
        readout=recipe.readout if single_pair else None,
        target=recipe.energy.modules[1].name if single_pair else None,
    )


def recipe_problems(
    recipe: Recipe,
    model: Activations,
    *,
    kT: float = 0.0,
    samples: int | None = None,
    dt: float | None = None,
    tolerance: float = TOLERANCE,
    stages: tuple[Stage, ...] | None = None,
    **options: Any,
) -> Iterator[Problem]:
    """Returns the problems of a recipe to try in turn, with smaller and smaller time steps.

    Parameters
    ----------
    samples : averaged steps; by default as many as :func:`samples_needed` asks for at the time step
    dt : time step; by default the one that the spectrum asks for, and its halves where number
        formats are too narrow for it

    ``options`` are the remaining ones of :func:`recipe_problem`.
    """
    shape_matters = _shape_matters(recipe, stages or ())
    for step in time_steps(
        [recipe.energy], tolerance=tolerance, shape_matters=shape_matters, dt=dt
    ):
        count = samples
        if count is None:
            count = max(COLD_SAMPLES, samples_needed(recipe, model, kT, dt=step.dt))
        yield recipe_problem(
            recipe, kT=kT, samples=count, dt=step.dt, tolerance=tolerance, stages=stages, **options
        )


def recipe_time_step(
    recipe: Recipe,
    *,
    dt: float | None = None,
    tolerance: float = TOLERANCE,
    stages: tuple[Stage, ...] = (),
) -> TimeStep:
    """Returns the time step of a recipe's energy: ``dt``, or the one with the fewest steps.

    Where the shape of the states' distribution matters, because ``stages`` stream samples of it or
    the energy is quartic, the step is small enough for that. Raises TimeStepError if the tolerance
    is out of range or ``dt`` is unstable.
    """
    shape_matters = _shape_matters(recipe, stages)
    return choose_time_step(
        [recipe.energy], tolerance=tolerance, shape_matters=shape_matters, dt=dt
    )


def _shape_matters(recipe: Recipe, stages: tuple[Stage, ...]) -> bool:
    return recipe.energy.j4 > 0 or any(stage.thin and stage.kT for stage in stages)


def recipe_inputs(recipe: Recipe, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns what a device is given for activations x (n, D_enc) and targets y (n, D_dec).

    That is x itself (n, D_enc), or for an oracle the biases (n, units) that it makes of x and y.
    """
    return x if recipe.oracle is None else recipe.biases(x, y)


def compile_recipe(
    recipe: Recipe,
    model: Activations,
    fabric: FabricConfig = REFERENCE,
    *,
    spare: int = 0,
    **options: Any,
) -> Program:
    """Compiles a recipe for a fabric, with number formats chosen for the training activations.

    ``spare`` is that of :func:`ornstein.host.compile.compiler.compile_problem`, ``options`` are
    those of :func:`recipe_problems`. Raises ProgramError if the fabric cannot hold the program.
    """
    problems = recipe_problems(recipe, model, **options)
    calibration = recipe_inputs(recipe, model.x_train, model.y_train)
    return compile_or_advise(problems, fabric, calibration, spare=spare)


def samples_needed(
    recipe: Recipe,
    model: Activations,
    kT: float,
    *,
    dt: float | None = None,
    tolerance: float = TOLERANCE,
    loss: float = LOSS,
) -> int:
    """Returns after how many averaged steps sampling costs no decoder more than ``loss``.

    ``dt`` and ``tolerance`` are those of :func:`recipe_time_step`: the steps fall as 1 / dt.

    The loss is one of centred cosine, averaged over the held-out inputs. An error of length e
    relative to the centred target turns the answer by an angle with 1 - cos = e^2 / 2, and
    :func:`ornstein.sim.reference.mean_error` gives the error of one averaged step. The result is 0
    at kT = 0.
    """
    energy = recipe.energy
    _, decoders = sides(energy)
    dt = recipe_time_step(recipe, dt=dt, tolerance=tolerance).dt
    error = mean_error(energy.matrix(), kT=kT, dt=dt, samples=1)[places(energy, decoders)]
    centred = model.y_test - model.y_train.mean(axis=0)
    needs = [
        np.mean(np.sum(noise**2) / np.sum(target**2, axis=1)) / (2 * loss)
        for noise, target in zip(
            split(energy, decoders, error * recipe.readout.scale),
            split(energy, decoders, centred),
            strict=True,
        )
    ]
    return int(np.ceil(max(needs)))
