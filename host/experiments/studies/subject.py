# SPDX-License-Identifier: Apache-2.0
"""What is studied: the paper's program, ours and the aligned one, run on the integer model and
scored.

Every score is the centred cosine on held-out inputs (:mod:`ornstein.host.experiments.scores`).
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import sem
from threadpoolctl import threadpool_limits

from ornstein.hdl.config import REFERENCE, FabricConfig
from ornstein.host.compile.compiler import MARGIN, compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.scores import score
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import COLD_SAMPLES, recipe_problem
from ornstein.host.physics.problem import BIAS, Problem

FULL, PAPER, ALIGNED = "full", "paper", "aligned"
PROGRAMS = (FULL, PAPER, ALIGNED)
BUILDERS = {FULL: recipes.ours_full, PAPER: recipes.paper_full, ALIGNED: recipes.ours_aligned}
TITLES = {FULL: "full interface", PAPER: "paper's recipe", ALIGNED: "aligned skip"}

IDEAL = "ideal"
"""The axis of the points that nothing disturbs: what the others are compared with."""
FLOAT, EXACT, MODEL = "float", "float:exact", "model"


@dataclass(frozen=True, eq=False)
class Subject:
    """One trained model and the recipes fitted to it, by program name."""

    model: TrainedModel
    recipes: dict[str, Recipe]

    @classmethod
    def fit(cls, model: TrainedModel) -> "Subject":
        """The three recipes, each fitted on the training activations, by one thread: the same bits
        every time.
        """
        with threadpool_limits(1):
            return cls(model, {name: build(model) for name, build in BUILDERS.items()})

    @property
    def fingerprint(self) -> str:
        """Digest of the couplings, the closed-form answers and the targets: of the model, and of
        how it was fitted.
        """
        digest = hashlib.sha256(np.ascontiguousarray(self.model.y_test))
        with threadpool_limits(1):
            for recipe in self.recipes.values():
                digest.update(recipe.energy.matrix())
                digest.update(np.ascontiguousarray(recipe.predict(self.model.x_test)))
        return digest.hexdigest()[:16]

    def score(self, prediction: np.ndarray) -> float:
        """Centred cosine of predictions (n, D_dec) for the held-out inputs."""
        return score(prediction, self.model.y_test, self.model.y_train.mean(axis=0)).centred_cosine

    def relaxed(
        self,
        recipe: Recipe,
        *,
        fabric: FabricConfig = REFERENCE,
        spare: int = 0,
        seed: int = 1,
        kT: float = 0.0,
        samples: int = COLD_SAMPLES,
        **options,
    ) -> float:
        """Score of a recipe compiled, with formats from the training inputs, and run on the integer
        model.

        ``options`` are those of :func:`ornstein.host.models.run.recipe_problem`, ``spare`` that of
        :func:`ornstein.host.compile.compiler.compile_problem`.
        """
        problem = recipe_problem(recipe, kT=kT, samples=samples, **options)
        program = compile_problem(problem, fabric, self.model.x_train, spare=spare)
        return self.score(program.problem.decode(run(program, self.model.x_test, seed)))


def biased(recipe: Recipe, **options) -> Problem:
    """The float program of a recipe whose biases are its inputs, for those who make them elsewhere;
    kT = 0.
    """
    return replace(
        recipe_problem(recipe, kT=0.0, samples=COLD_SAMPLES, **options), entry=BIAS, interface=None
    )


def run(program: Program, inputs: np.ndarray, seed: int = 1) -> np.ndarray:
    """Mean states (n, units) of a program on the integer model, which is bit for bit the
    gateware.
    """
    device = ModelDevice(program.config)
    device.load(program)
    return device.run(inputs, seed=seed).mean


def full_scale(recipe: Recipe, values: np.ndarray) -> np.ndarray:
    """(units,) one range a module that holds values (n, units) with a margin: what a converter
    would be built for.
    """
    reach = np.empty(recipe.energy.units)
    for place in recipe.energy.slices.values():
        reach[place] = MARGIN * np.abs(values[:, place]).max()
    return reach


def summary(device: str, scores: list[float], **more) -> dict:
    """Results of a point: mean score, its standard error over the draws (None if there is one), and
    each draw's.
    """
    return {
        "device": device,
        "draws": len(scores),
        "centred": float(np.mean(scores)),
        "error": float(sem(scores)) if len(scores) > 1 else None,
        "scores": [float(value) for value in scores],
        **more,
    }
