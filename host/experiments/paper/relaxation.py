# SPDX-License-Identifier: Apache-2.0
"""Experiment G: distance from equilibrium step by step at kT = 0, against the decay M predicts.

The paper never runs these dynamics.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper.gateware import GATEWARE_INPUTS
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.models import recipes
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import recipe_inputs, recipe_problem
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Energy
from ornstein.sim.stages import Stage

TIME_STEPS = (0.5, 1.0, 2.0, 4.0)
TOLERANCE = 1e-3
"""Distance from equilibrium, relative to its length, at which a relaxation counts as done."""
STEPS_TO, DEPARTURE = f"steps to {TOLERANCE:g} of the length", "largest departure from the law"
FLOOR = "floor"
"""Quantities of the table."""
ABOVE_FLOOR = 5
"""The law is compared while it is above so many times the floor."""


@dataclass(frozen=True)
class Setting:
    """A recipe and its time step."""

    key: str
    recipe: str
    dt: float


def relaxation(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment G."""
    experiment = Experiment("G", "Relaxation")
    for subject, recipe in _recipes(subjects):
        fastest = recipe.energy.eigenvalues()[-1]
        for dt in TIME_STEPS:
            if dt * fastest < 2:  # stable
                say(f"G: relaxation, {subject.name}, {recipe.name}, dt = {dt:g}")
                _relax(experiment, subject, recipe, dt, runner)
    return experiment


def decay(energy: Energy, mean: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """Returns |(1 - dt M)^n m| / |m| for n = 1 to ``steps`` and means m (n, units).

    The discrete dynamics relax from zero so.
    """
    values, vectors = np.linalg.eigh(energy.matrix())
    weights = np.sum((mean @ vectors) ** 2, axis=0)
    powers = np.abs(1 - dt * values) ** (2 * np.arange(1, steps + 1)[:, None])
    return np.sqrt(powers @ weights / weights.sum())


def _recipes(subjects: list[Subject]) -> Iterator[tuple[Subject, Recipe]]:
    for subject in subjects:
        yield subject, recipes.paper_oracle(subject.model, subject.energy())
        if subject.trained:
            yield subject, recipes.ours_aligned(subject.model)


def _relax(
    experiment: Experiment, subject: Subject, recipe: Recipe, dt: float, runner: Runner
) -> None:
    model, energy = subject.model, recipe.energy
    x, y = model.x_test[:GATEWARE_INPUTS], model.y_test[:GATEWARE_INPUTS]
    steps = int(1.3 * choose_time_step([energy], tolerance=TOLERANCE, dt=dt).steps) + 4
    stages = (Stage(steps, accumulate=True, thin=1),)
    problem = recipe_problem(recipe, kT=0.0, samples=1, dt=dt, stages=stages)
    calibration = recipe_inputs(recipe, model.x_train, model.y_train)
    run = runner.run(problem, recipe_inputs(recipe, x, y), calibration)
    final = energy.mean(recipe.biases(x, y))
    length = np.linalg.norm(final)
    measured = np.linalg.norm(run.outputs.samples - final[:, None], axis=(0, 2)) / length
    law = decay(energy, final, run.program.dt, steps)
    slowest = run.program.dt * energy.eigenvalues()[0]
    band = run.program.state_lsb / 2 / slowest * np.sqrt(final.size) / length
    setting = Setting(recipe.key, recipe.name, dt)
    _rows(experiment, subject, setting, measured, law, float(band))
    experiment.arrays[subject.network, setting] = np.array([law, measured])


def _rows(
    experiment: Experiment,
    subject: Subject,
    setting: Setting,
    measured: np.ndarray,
    law: np.ndarray,
    band: float,
) -> None:
    """Adds the rows of one relaxation; ``band`` is the most that rounding leaves."""
    floor = float(np.median(measured[-max(1, len(measured) // 8) :]))
    above = law > ABOVE_FLOOR * floor
    gap = np.abs(measured[above] / law[above] - 1).max() if above.any() else None
    reached = _first(measured <= TOLERANCE)
    for quantity, float64, gateware, note in (
        (
            STEPS_TO,
            _first(law <= TOLERANCE),
            reached,
            PROSE("note_steps_to", reached=reached is not None, floor=floor),
        ),
        (
            DEPARTURE,
            0.0,
            gap,
            PROSE("note_departure", steps=int(above.sum()), times=ABOVE_FLOOR),
        ),
        (FLOOR, band, floor, PROSE("note_floor")),
    ):
        experiment.add(
            f"{subject.name}, {setting.recipe}, dt = {setting.dt:g}",
            quantity,
            subject=subject.network,
            case=setting,
            float64=float64,
            gateware=gateware,
            note=note,
        )


def _first(steps: np.ndarray) -> int | None:
    """Returns the number of the first step, counted from 1, that is true."""
    indices = np.flatnonzero(steps)
    return int(indices[0]) + 1 if len(indices) else None
