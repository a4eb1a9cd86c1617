# SPDX-License-Identifier: Apache-2.0
"""Numbers of ``ornstein score``: what a substrate makes of one skip of any network.

Programs are compiled with default options, answer the held-out activations on a device, and stand
beside the answers that need no substrate: the constant mean, the linear map of the same rank, and
ridge regression. At kT = 0 a harmonic energy is a linear map, so no program beats the linear maps
by more than chance.
"""

from dataclasses import asdict, dataclass

import numpy as np

from ornstein.host.compile.program import InputError, Program
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.common import UNABLE, Progress, Runner
from ornstein.host.experiments.scores import Scores, constant_mean, score, score_errors
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.rank import full_rank
from ornstein.host.models.recipes import ALIGNED, FULL, PAPER

CONSTANT, LINEAR, RIDGE = "constant mean", "linear map", "ridge regression"
"""Rows that need no substrate."""
PROGRAMS = (ALIGNED, FULL, PAPER)
"""Recipes that are run."""
STEPS_RUN = 5_000
"""Steps of the longest program that is run for its scores."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : what answers
    scores : on the held-out inputs, None if it cannot run
    weights : matrix weights that are computed digitally
    device : URI of where it ran, None for float64
    steps : of one input
    note : why it cannot run, or what it is
    """

    name: str
    scores: Scores | None
    weights: int | None = None
    device: str | None = None
    steps: int | None = None
    note: str = ""

    def document(self) -> dict:
        """Returns the row as results.json holds it."""
        fields = asdict(self)
        return {**fields, **(fields.pop("scores") or {})}


@dataclass(frozen=True)
class NetworkScores:
    """The table of one skip.

    Attributes
    ----------
    rows : references, then programs
    warnings : one line each
    """

    rows: list[Row]
    warnings: list[str]


def score_network(
    model: TrainedModel, runner: Runner, rank: int, progress: Progress | None = None
) -> NetworkScores:
    """Scores the references and every program of a skip on its held-out activations.

    Parameters
    ----------
    rank : of the linear map and of the programs' couplings, at most the units of either side
    progress : is told (what is being run, programs done, programs in all)
    """
    say = progress or (lambda what, done, total: None)
    centre = model.y_train.mean(axis=0)
    rows = reference_rows(model, rank)
    constant = np.tile(centre, (len(model.y_test), 1))
    warnings = []
    for number, key in enumerate(PROGRAMS):
        say("relaxing", number, len(PROGRAMS))
        try:
            recipe = recipes.of_rank(key, model, rank)
            run = runner.run_recipe(recipe, model)
        except UNABLE as error:
            rows.append(Row(_name(key), None, note=f"cannot run: {error}"))
            continue
        rows.append(
            Row(
                recipe.name,
                score(run.answers, model.y_test, centre),
                recipe.weights,
                run.device,
                run.program.problem.steps,
                recipe.note,
            )
        )
        if not is_better(run.answers, constant, model):
            warnings.append(_warning(recipe.name))
    say("relaxing", len(PROGRAMS), len(PROGRAMS))
    return NetworkScores(rows, warnings)


def reference_rows(model: TrainedModel, rank: int) -> list[Row]:
    """Returns the rows that need no substrate: float64 and fitted on the training activations."""
    centre, full = model.y_train.mean(axis=0), full_rank(model)
    rows = [Row(CONSTANT, constant_mean(model.y_test, centre), note="the same for every input")]
    for name, k, note in (
        (f"{LINEAR} of rank {rank}", rank, "reduced-rank regression"),
        (RIDGE, full, f"the linear map of full rank, {full}"),
    ):
        answers = recipes.align_pair(model, k).linear_map(model.x_test)
        rows.append(Row(name, score(answers, model.y_test, centre), note=note))
    return rows


def score_program(program: Program, model: TrainedModel, rank: int) -> NetworkScores:
    """Scores one compiled program of a skip on the integer model, beside the references.

    A program of more than :data:`STEPS_RUN` steps is not run; its realised couplings are then
    scored in closed form. One that cannot hold a held-out input has a row without scores.
    """
    centre = model.y_train.mean(axis=0)
    problem = program.problem
    references = reference_rows(model, rank)
    if problem.steps > STEPS_RUN:
        mean = program.realised[0].mean(problem.biases(model.x_test)[:, 0])
        where, note = None, f"closed form of the program's couplings; {problem.steps:,} steps"
    else:
        with ModelDevice(program.config) as device:
            device.load(program)
            try:
                mean = device.run(model.x_test, seed=1).mean
            except InputError as error:
                row = Row(program.name, None, note=f"cannot run: {error}")
                return NetworkScores([*references, row], [])
        where, note = "model", "this program"
    answers = problem.decode(mean)
    weights = problem.interface.weights if problem.interface else 0
    scores = score(answers, model.y_test, centre)
    row = Row(program.name, scores, weights, where, problem.steps, note)
    constant = np.tile(centre, (len(model.y_test), 1))
    warnings = [] if is_better(answers, constant, model) else [_warning(program.name)]
    return NetworkScores([*references, row], warnings)


def is_better(answers: np.ndarray, constant: np.ndarray, model: TrainedModel) -> bool:
    """Whether answers (n, D) lead the constant mean's R2 by two standard errors."""
    centre = model.y_train.mean(axis=0)
    lead = score(answers, model.y_test, centre).r2 - score(constant, model.y_test, centre).r2
    return lead > 2 * score_errors(answers, model.y_test, centre, constant).r2


def _warning(name: str) -> str:
    return f"{name} is no better than the constant mean on the held-out activations"


def _name(key: str) -> str:
    return {ALIGNED: "ours, aligned skip", FULL: "ours, full interface", PAPER: "paper's recipe"}[
        key
    ]
