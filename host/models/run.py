# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a program: the float problem, its inputs, and the number of steps to average."""

from typing import Any

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.models.model_file import Activations
from ornstein.host.models.recipes import Recipe
from ornstein.host.physics.interface import places, sides, split
from ornstein.host.physics.problem import BIAS, INTERFACE, NEAREST, Problem, equilibrium
from ornstein.sim.reference import mean_error
from ornstein.sim.stages import LM, Stage

COLD_SAMPLES = 16
"""Averaged steps at kT = 0, where averaging only smooths the rounding of the states."""
LOSS = 0.002
"""Centred cosine that sampling at a temperature may cost."""


def recipe_problem(
    recipe: Recipe,
    *,
    kT: float,
    samples: int,
    dt: float = 1.0,
    integrator: str = LM,
    rounding: str = NEAREST,
    stages: tuple[Stage, ...] | None = None,
) -> Problem:
    """Returns the float problem of a recipe.

    Inputs enter through the recipe's interface. An oracle has no interface, so its inputs are its
    biases; :func:`recipe_inputs` makes them.

    Parameters
    ----------
    kT : temperature of every step
    samples : averaged steps; steps for the slowest mode to relax come before them
    dt : time step
    integrator, rounding : see :class:`ornstein.host.physics.problem.Problem`
    stages : a schedule that replaces the one that ``kT`` and ``samples`` ask for

    Returns
    -------
    A problem that decodes the decoder's mean if the energy has one pair of modules. A problem with
    several pairs decodes nothing; use :meth:`ornstein.host.models.recipes.Recipe.decode`.
    """
    has_interface = recipe.interface is not None
    single_pair = len(recipe.energy.modules) == 2
    return Problem(
        name=recipe.name,
        energies=(recipe.energy,),
        stages=stages or equilibrium(recipe.energy, kT=kT, samples=samples, dt=dt),
        dt=dt,
        integrator=integrator,
        rounding=rounding,
        entry=INTERFACE if has_interface else BIAS,
        interface=recipe.interface,
        readout=recipe.readout if single_pair else None,
        target=recipe.energy.modules[1].name if single_pair else None,
    )


def recipe_inputs(recipe: Recipe, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns what a device is given for activations x (n, D_enc) and targets y (n, D_dec).

    That is x itself (n, D_enc), or for an oracle the biases (n, units) that it makes of x and y.
    """
    return x if recipe.interface is not None else recipe.biases(x, y)


def compile_recipe(
    recipe: Recipe,
    model: Activations,
    fabric: FabricConfig,
    *,
    kT: float = 0.0,
    samples: int = COLD_SAMPLES,
    **options: Any,
) -> Program:
    """Compiles a recipe for a fabric, with number formats chosen for the training activations.

    ``options`` are the remaining ones of :func:`recipe_problem`. Raises ProgramError if the fabric
    cannot hold the program.
    """
    problem = recipe_problem(recipe, kT=kT, samples=samples, **options)
    return compile_problem(problem, fabric, recipe_inputs(recipe, model.x_train, model.y_train))


def samples_needed(
    recipe: Recipe, model: Activations, kT: float, dt: float = 1.0, loss: float = LOSS
) -> int:
    """Returns after how many averaged steps sampling costs no decoder more than ``loss``.

    The loss is one of centred cosine, averaged over the held-out inputs. An error of length e
    relative to the centred target turns the answer by an angle with 1 - cos = e^2 / 2, and
    :func:`ornstein.sim.reference.mean_error` gives the error of one averaged step. The result is 0
    at kT = 0.
    """
    energy = recipe.energy
    _, decoders = sides(energy)
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
