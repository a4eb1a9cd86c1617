# SPDX-License-Identifier: Apache-2.0
"""Experiment C: the full pipeline and everything it must be compared with.

The float64 column is the paper's linear solve, the gateware column the relaxation at kT = 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.gateware import relax
from ornstein.host.experiments.paper.networks import Conditioning, train_conditioning
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.scoring import agrees, scored
from ornstein.host.experiments.paper.subjects import (
    Subject,
    decoder_part,
    halves,
    oracle_bias,
)
from ornstein.host.experiments.paper.sweep import SEEDS, significant_gap
from ornstein.host.experiments.scores import COSINE, QUANTITIES
from ornstein.host.models import recipes
from ornstein.host.models.recipes import ALIGNED, FULL, Recipe
from ornstein.host.physics.couplings import DECODER, ENCODER
from ornstein.host.physics.problem import Problem, equilibrium
from ornstein.host.physics.timestep import time_steps
from ornstein.sim.energy import Energy

PIPELINE, CONSTANT_MEAN = "full", "constant mean"
LABELS = {FULL: "ours, closed form", ALIGNED: "ours, no digital weights"}
"""Our recipes in the paper's tables, by key."""
LINEAR_MAP = f"linear map of rank {recipes.RANK}"
PARAMETERS = "parameters"


@dataclass(frozen=True, eq=False)
class Configuration:
    """One row of the production test.

    Attributes
    ----------
    case : key of the row, which is also what tables show
    parameters : trained weights, None for an oracle
    answers : decoder means (n, D) of every training, in closed form
    relaxed : runs the first training on the fabric and returns its decoder means, or None
    """

    case: str
    parameters: int | None
    answers: list[np.ndarray]
    relaxed: Callable[[], np.ndarray] | None = None


def production(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment C."""
    experiment = Experiment("C", "Production test")
    for subject in subjects:
        for configuration in _configurations(subject, runner, seed):
            say(f"C: production test, {subject.name}, {configuration.case}")
            _rows(experiment, subject, configuration)
    return experiment


# ---- configurations ------------------------------------------------------------------------------


def _configurations(subject: Subject, runner: Runner, seed: int) -> Iterator[Configuration]:
    """Yields the rows of the test in the order of the table."""
    model, energy = subject.model, subject.energy()
    a, _, b = halves(energy)
    encoder_bias, decoder_bias = model.x_train @ a, model.y_train @ b
    with_biases, without_biases = (
        [
            train_conditioning(
                model.x_train, encoder_bias, decoder_bias, draw + SEEDS * seed, biases=biases
            )
            for draw in range(SEEDS)
        ]
        for biases in (True, False)
    )
    yield from _given_biases(subject, runner, with_biases)
    yield _pipeline(PIPELINE, subject, runner, energy, with_biases)
    yield _pipeline("full, no biases", subject, runner, energy, without_biases)
    longer = recipes.paper_full(model, energy)
    yield _recipe("full, no biases, longer training", subject, runner, longer)
    leak = 2 * energy.j2
    uncoupled = [
        train_conditioning(
            model.x_train, leak * model.x_train, leak * model.y_train, draw + SEEDS * seed
        )
        for draw in range(SEEDS)
    ]
    bare = energy.without_couplings()
    yield _pipeline("full, no couplings", subject, runner, bare, uncoupled)
    yield Configuration(CONSTANT_MEAN, 0, [np.tile(subject.centre, (len(model.y_test), 1))])
    order = np.roll(np.arange(len(model.y_test)), 1)
    shuffled = [decoder_part(energy, energy.mean(fit(model.x_test)))[order] for fit in with_biases]
    yield Configuration("full, shuffled targets", with_biases[0].parameters, shuffled)
    alignment = recipes.align_pair(model)
    yield Configuration(LINEAR_MAP, None, [alignment.linear_map(model.x_test)])
    # the paper's budget fitted in closed form, on O(D k) connections, and the aligned skip
    for recipe in (recipes.ours_full(model), recipes.ours_aligned(model)):
        yield _recipe(LABELS[recipe.key], subject, runner, recipe)


def _given_biases(
    subject: Subject, runner: Runner, fits: list[Conditioning]
) -> Iterator[Configuration]:
    """Yields the rows whose biases load as they are, without an interface on the fabric."""
    model, energy = subject.model, subject.energy()
    x, y = model.x_test, model.y_test
    a, _, b = halves(energy)

    def given(case: str, parameters: int | None, *biases: np.ndarray) -> Configuration:
        answers = [decoder_part(energy, energy.mean(bias)) for bias in biases]

        def relaxed() -> np.ndarray:
            return decoder_part(energy, relax(runner, energy, biases[0])[0])

        return Configuration(case, parameters, answers, relaxed)

    zero, encoded = np.zeros_like(y), [fit.encoder(x) for fit in fits]
    parameters = fits[0].encoder.parameters
    yield given("oracle", None, oracle_bias(energy, x, y))
    yield given("exact oracle", None, np.hstack([x, y]) @ energy.matrix())
    yield given("encoder and oracle", parameters, *(np.hstack([bias, y @ b]) for bias in encoded))
    yield given("skip only", parameters, *(np.hstack([bias, zero]) for bias in encoded))
    yield given("skip only, exact encoder bias", None, np.hstack([x @ a, zero]))


def _pipeline(
    case: str, subject: Subject, runner: Runner, energy: Energy, fits: list[Conditioning]
) -> Configuration:
    """Returns a row of trained interfaces, of which the first runs on the fabric."""
    model, first = subject.model, fits[0]
    answers = [decoder_part(energy, energy.mean(fit(model.x_test))) for fit in fits]

    def relaxed() -> np.ndarray:
        problems = (
            Problem(
                "pipeline",
                (energy,),
                equilibrium(step, kT=0.0),
                dt=step.dt,
                interface=first.interface(ENCODER, DECODER),
            )
            for step in time_steps([energy])
        )
        run = runner.run_first(problems, first.inputs(model.x_test), first.inputs(model.x_train))
        return decoder_part(energy, run.outputs.mean)

    return Configuration(case, first.parameters, answers, relaxed)


def _recipe(case: str, subject: Subject, runner: Runner, recipe: Recipe) -> Configuration:
    return Configuration(
        case,
        recipe.weights,
        [recipe.predict(subject.model.x_test)],
        lambda: runner.run_recipe(recipe, subject.model).answers,
    )


# ---- rows ----------------------------------------------------------------------------------------


def _rows(experiment: Experiment, subject: Subject, configuration: Configuration) -> None:
    case, target = configuration.case, subject.model.y_test
    by_draw = [scored(answer, target, subject.centre) for answer in configuration.answers]
    relaxed = configuration.relaxed and scored(configuration.relaxed(), target, subject.centre)
    row = f"{subject.name}, {case}"
    for quantity in QUANTITIES:
        values = [scores[quantity][0] for scores in by_draw]
        error = float(np.hypot(np.std(values), by_draw[0][quantity][1]))
        paper = reported.COSINE[subject.key].get(case) if quantity == COSINE else None
        value, gateware = float(np.mean(values)), relaxed[quantity][0] if relaxed else None
        experiment.add(
            row,
            quantity,
            subject=subject.network,
            case=case,
            reference=paper,
            float64=value,
            gateware=gateware,
            error=error,
            note=PROSE(
                "note_production",
                trainings=len(values),
                relaxed=gateware is not None,
                gap=None if gateware is None else significant_gap(gateware, values[0], error),
                paper=paper,
                agrees=paper is not None and agrees(value, paper, error),
                value=value,
                trained=subject.trained,
            ),
        )
    if configuration.parameters is not None:
        experiment.add(
            row,
            PARAMETERS,
            subject=subject.network,
            case=case,
            reference=reported.PARAMETERS[subject.key].get(case),
            float64=configuration.parameters,
        )
