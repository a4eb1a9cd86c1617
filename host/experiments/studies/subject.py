# SPDX-License-Identifier: Apache-2.0
"""What is studied: three recipes and a denoiser, run on the integer model and scored.

The recipes are the full interface, the paper's recipe and the aligned skip; their score is the
centred cosine on held-out inputs (:mod:`ornstein.host.experiments.scores`). The denoiser, of
:mod:`ornstein.host.experiments.studies.denoiser`, is scored in decibels.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import sem
from threadpoolctl import threadpool_limits

from ornstein.host.compile.formats import MARGIN
from ornstein.host.compile.program import Program
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.common import UNABLE
from ornstein.host.experiments.prose import Prose
from ornstein.host.experiments.scores import score as scored
from ornstein.host.experiments.studies.denoiser import Denoiser
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.recipes import ALIGNED, FULL, PAPER, Recipe
from ornstein.host.models.run import compile_recipe, recipe_problems
from ornstein.host.physics.problem import BIAS, Problem

PROSE = Prose("ornstein.host.experiments.studies")
PROGRAMS = (FULL, PAPER, ALIGNED)
BUILDERS = {FULL: recipes.ours_full, PAPER: recipes.paper_full, ALIGNED: recipes.ours_aligned}
DENOISER = "denoiser"
TITLES = {
    FULL: "full interface",
    PAPER: "paper's recipe",
    ALIGNED: "aligned skip",
    DENOISER: "denoiser",
}

IDEAL = "ideal"
"""Axis of the points that nothing disturbs. All other points are compared with them."""
FLOAT, EXACT, MODEL = "float", "float:exact", "model"
"""Devices that measure points."""


@dataclass(frozen=True)
class Score:
    """What the points of a study are scored by.

    Attributes
    ----------
    name : in tables and plots
    column : in the rows
    loss : fall of the score, from that of the undisturbed program, that counts as lost
    lost : how sentences call that fall
    shown : smallest and largest fall that plots show
    """

    name: str
    column: str
    loss: float
    lost: str
    shown: tuple[float, float]


COSINE = Score("centred cosine", "centred", 0.01, "1 %", (1e-4, 1.3))
DECIBELS = Score("PSNR in dB", "psnr", 0.1, "0.1 dB", (1e-3, 30))


@dataclass(frozen=True, eq=False)
class Subject:
    """One trained model, and the recipes fitted to it by the name of the program.

    ``left_out`` says why a program cannot be made of this model, or does not fit the fabric. The
    denoiser is always that of the default network.
    """

    model: TrainedModel
    recipes: dict[str, Recipe]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def programs(self) -> tuple[str, ...]:
        """Programs that can be studied."""
        return (*self.recipes, DENOISER)

    @cached_property
    def denoiser(self) -> Denoiser:
        """The default network as a denoiser, with the images that it is scored on."""
        return Denoiser.load()

    @classmethod
    def fit(cls, model: TrainedModel) -> "Subject":
        """Fits the three recipes on the training activations.

        One thread fits them, so that the result is the same in every bit.
        """
        found, left_out = {}, {}
        with threadpool_limits(1):
            for name, build in BUILDERS.items():
                try:
                    recipe = build(model)
                    compile_recipe(recipe, model)
                except UNABLE as error:
                    left_out[name] = str(error)
                else:
                    found[name] = recipe
        return cls(model, found, left_out)

    @property
    def fingerprint(self) -> str:
        """Digest of the couplings, the closed-form answers and the targets.

        It changes with the models, and with how recipes and denoiser are fitted to them.
        """
        digest = hashlib.sha256(self.model.y_test.tobytes())
        with threadpool_limits(1):
            for recipe in self.recipes.values():
                digest.update(recipe.energy.matrix().tobytes())
                digest.update(recipe.predict(self.model.x_test).tobytes())
            digest.update(self.denoiser.closed_form.tobytes())
        return digest.hexdigest()[:16]

    def score(self, prediction: np.ndarray) -> float:
        """Returns the centred cosine of predictions (n, D_dec) for the held-out inputs."""
        return scored(prediction, self.model.y_test, self.model.y_train.mean(axis=0)).centred_cosine

    def relaxed(self, recipe: Recipe, **options: Any) -> float:
        """Returns the score of a recipe on the integer model, with formats from training inputs.

        ``options`` are those of :func:`ornstein.host.models.run.compile_recipe`.
        """
        return self.answered(compile_recipe(recipe, self.model, **options))

    def answered(self, program: Program, seed: int = 1) -> float:
        """Returns the score of a program's answers on the integer model."""
        return self.score(program.problem.decode(run(program, self.model.x_test, seed)))


def biased(recipe: Recipe, model: TrainedModel, **options: Any) -> Iterator[Problem]:
    """Returns the float problems of a recipe at kT = 0 whose inputs are its biases.

    They are for callers that make the biases themselves, outside of the recipe's interface or its
    drive. ``options`` are those of :func:`ornstein.host.models.run.recipe_problems`.
    """
    for problem in recipe_problems(recipe, model, **options):
        yield replace(problem, entry=BIAS, interface=None, drive=None)


def run(program: Program, inputs: np.ndarray, seed: int = 1) -> np.ndarray:
    """Returns the mean states (n, units) of a program on the integer model.

    The gateware gives the same in every bit.
    """
    with ModelDevice(program.config) as device:
        device.load(program)
        return device.run(inputs, seed=seed).mean


def full_scale(recipe: Recipe, values: np.ndarray) -> np.ndarray:
    """Returns the range (units,) for which the converter of each unit would be built.

    The units of a module share one range, which holds their values (n, units) with a margin.
    """
    ranges = np.empty(recipe.energy.units)
    for units in recipe.energy.slices.values():
        ranges[units] = MARGIN * np.abs(values[:, units]).max()
    return ranges


def summary(device: str, scores: list[float], score: Score = COSINE, **more: Any) -> dict:
    """Returns the results of a point, with ``more`` of them at the end.

    They are the mean score, its standard error over the draws (None if there is one draw only), and
    the score of each draw.
    """
    return {
        "device": device,
        "draws": len(scores),
        score.column: float(np.mean(scores)),
        "error": float(sem(scores)) if len(scores) > 1 else None,
        "scores": [float(value) for value in scores],
        **more,
    }
