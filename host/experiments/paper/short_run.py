# SPDX-License-Identifier: Apache-2.0
"""Experiment I: what 400 steps at kT = 1, as the paper's energy account counts them, answer."""

import numpy as np

from ornstein.host.experiments.common import Experiment, Run, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.energy_account import floor_joules
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.sampling import STEPS_NEEDED
from ornstein.host.experiments.paper.scoring import scored
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.experiments.scores import COSINE, QUANTITIES
from ornstein.host.models import recipes
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import LOSS, recipe_time_step, samples_needed
from ornstein.sim import reference
from ornstein.sim.stages import LM, Stage

LAST, AVERAGE = "last state", f"average of {reported.STEPS}"
"""The two answers of a run."""


def four_hundred_steps(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment I."""
    experiment = Experiment("I", f"{reported.STEPS} steps at kT = 1")
    for subject in subjects:
        for recipe in (
            recipes.paper_oracle(subject.model, subject.energy()),
            recipes.exact_oracle(subject.model, subject.energy()),
            recipes.ours_full(subject.model),
            recipes.ours_aligned(subject.model),
        ):
            say(f"I: {reported.STEPS} steps, {subject.name}, {recipe.name}")
            stage = Stage(reported.STEPS, reported.KT, accumulate=True, thin=reported.STEPS)
            run = runner.run_recipe(recipe, subject.model, stages=(stage,))
            _score_rows(experiment, subject, recipe, run, runner.seed)
            _cost_rows(experiment, subject, recipe)
    variances = reported.KT * subjects[0].energy().variances()
    experiment.arrays["thermal spread"] = np.sqrt(variances.mean())
    return experiment


def _score_rows(
    experiment: Experiment, subject: Subject, recipe: Recipe, run: Run, seed: int
) -> None:
    model, biases = subject.model, recipe.biases(subject.model.x_test, subject.model.y_test)
    dynamics = reference.relax(
        (recipe.energy,),
        biases[:, None],
        run.program.problem.stages,
        dt=run.program.problem.time_step,
        integrator=LM,
        initial=np.zeros_like(biases),
        rng=np.random.default_rng(seed),
    )
    paper = reported.COSINE[subject.key]["full"] if subject.trained else None
    for when, states in (
        (LAST, (dynamics.samples[:, -1], run.outputs.samples[:, -1])),
        (AVERAGE, (dynamics.mean, run.outputs.mean)),
    ):
        float64, gateware = (
            scored(recipe.decode(state), model.y_test, subject.centre) for state in states
        )
        for quantity in QUANTITIES:
            experiment.add(
                f"{subject.name}, {recipe.name}",
                f"{when}, {quantity}",
                subject=subject.network,
                case=recipe.key,
                reference=paper if quantity == COSINE else None,
                float64=float64[quantity][0],
                gateware=gateware[quantity][0],
                error=np.hypot(float64[quantity][1], gateware[quantity][1]),
                note=PROSE("note_other_noise"),
            )


def _cost_rows(experiment: Experiment, subject: Subject, recipe: Recipe) -> None:
    steps, units = samples_needed(recipe, subject.model, reported.KT), recipe.energy.units
    for quantity, paper, value, note in (
        (
            STEPS_NEEDED,
            reported.STEPS,
            steps,
            PROSE("note_law_of_mean", dt=recipe_time_step(recipe).dt),
        ),
        (
            "k_B T x units x those steps, J",
            floor_joules(units),
            floor_joules(units, steps),
            PROSE("note_room", kelvin=reported.ROOM),
        ),
        (
            f"kT at which {reported.STEPS} averaged steps suffice",
            reported.KT,
            reported.STEPS / steps,
            PROSE("note_suffice", loss=LOSS),
        ),
    ):
        experiment.add(
            f"{subject.name}, {recipe.name}",
            quantity,
            subject=subject.network,
            case=recipe.key,
            reference=paper,
            float64=value,
            note=note,
        )
