# SPDX-License-Identifier: Apache-2.0
"""Temperature against score at fixed numbers of averaged steps, beside the law of the mean."""

import numpy as np

from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of
from ornstein.host.experiments.studies.subject import (
    IDEAL,
    MODEL,
    PROGRAMS,
    PROSE,
    Subject,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import compile_recipe
from ornstein.host.physics.problem import Problem
from ornstein.sim.reference import average_variance
from ornstein.sim.stages import LM

TEMPERATURES = (
    *(float(f"{digit}e{exponent}") for exponent in range(-7, 0) for digit in (1, 3)),
    1.0,
)
SAMPLES = (16, 256)
AXES = tuple(
    Axis(f"{samples} samples", f"temperature kT, {samples} averaged steps") for samples in SAMPLES
)


def expected_score(subject: Subject, recipe: Recipe, problem: Problem) -> float:
    """Returns the centred cosine that the law of the mean expects of a recipe's averages.

    Noise of total variance V is nearly orthogonal to an answer p at kT = 0 and to its target. So it
    only makes the answer longer, and the cosine changes by a factor of |p| / sqrt(|p|^2 + V).
    ``problem`` says how many steps are averaged, of what time step and temperature.
    """
    rates, vectors = np.linalg.eigh(recipe.energy.matrix())
    seen = (
        vectors[recipe.energy.slices[recipe.energy.modules[1].name]] * recipe.readout.scale[:, None]
    )
    variance = average_variance(rates, problem.kT, problem.time_step, problem.samples, LM)
    spread = float(np.sum(seen**2 @ variance))
    centre = subject.model.y_train.mean(axis=0)
    answer = recipe.predict(subject.model.x_test) - centre
    target = subject.model.y_test - centre
    length = np.sum(answer**2, axis=1)
    return float(
        np.mean(
            np.sum(answer * target, axis=1)
            / np.linalg.norm(target, axis=1)
            / np.sqrt(length + spread)
        )
    )


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns the scores over draws of the noise; the axis says how many steps are averaged."""
    recipe = subject.recipes[program]
    if axis == IDEAL:
        return summary(MODEL, [subject.relaxed(recipe)])
    samples = int(axis.split()[0])
    compiled = compile_recipe(recipe, subject.model, kT=value, samples=samples)
    scores = [subject.answered(compiled, int(rng.integers(1, 2**31))) for rng in generators]
    expected = expected_score(subject, recipe, compiled.problem)
    return summary(MODEL, scores, samples=samples, expected=expected)


def conclude(rows: list[dict]) -> str:
    """Returns one sentence on the temperatures that averages afford, and on the law of the mean."""
    where = sentence_of(rows, AXES, lambda value: f"{value:.2g}")
    largest = max(abs(row["centred"] - row["expected"]) for row in rows if "expected" in row)
    axes = [(samples, where[axis.name]) for samples, axis in zip(SAMPLES, AXES, strict=True)]
    return PROSE("temperature", axes=axes, largest=largest)


STUDY = Study(
    name="temperature",
    question="How hot may the substrate be?",
    axes=AXES,
    points=(
        *grid(program=PROGRAMS, axis=(IDEAL,), value=(0.0,)),
        *grid(axis=tuple(axis.name for axis in AXES), value=TEMPERATURES, program=PROGRAMS),
    ),
    measure=measure,
    conclude=conclude,
    draws=4,
    method=PROSE("temperature_method"),
)
