# SPDX-License-Identifier: Apache-2.0
"""Temperature against score, at a fixed number of averaged steps, with the law of the
mean beside.
"""

import numpy as np

from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of
from ornstein.host.experiments.studies.subject import IDEAL, MODEL, PROGRAMS, Subject, summary
from ornstein.host.experiments.studies.sweep import grid
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


def expected_score(
    subject: Subject, program: str, cold: np.ndarray, kT: float, samples: int
) -> float:
    """Centred cosine that sampling leaves of answers ``cold`` (n, D_dec) at kT = 0, by the law of
    the mean.

    Noise of total variance V is nearly orthogonal to an answer p and to its target, so it only
    lengthens the answer: cos becomes cos |p| / sqrt(|p|^2 + V).
    """
    recipe = subject.recipes[program]
    rates, vectors = np.linalg.eigh(recipe.energy.matrix())
    seen = (
        vectors[recipe.energy.slices[recipe.energy.modules[1].name]] * recipe.readout.scale[:, None]
    )
    spread = float(np.sum(seen**2 @ average_variance(rates, kT, 1.0, samples, LM)))
    centre = subject.model.y_train.mean(axis=0)
    answer, target = cold - centre, subject.model.y_test - centre
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
    """Scores over draws of the noise; the axis says how many steps are averaged."""
    recipe = subject.recipes[program]
    if axis == IDEAL:
        return summary(MODEL, [subject.relaxed(recipe)])
    samples = int(axis.split()[0])
    scores = [
        subject.relaxed(recipe, kT=value, samples=samples, seed=int(rng.integers(1, 2**31)))
        for rng in generators
    ]
    return summary(
        MODEL,
        scores,
        samples=samples,
        expected=expected_score(
            subject, program, recipe.predict(subject.model.x_test), value, samples
        ),
    )


def conclude(rows: list[dict]) -> str:
    """One sentence."""
    where = sentence_of(rows, AXES, lambda value: f"{value:.2g}")
    apart = max(abs(row["centred"] - row["expected"]) for row in rows if "expected" in row)
    parts = [
        f"averaged over {axis.name.replace('samples', 'steps')}, at kT = {where[axis.name]}"
        for axis in AXES
    ]
    return f"The score loses 1 %, {'; '.join(parts)}; the law of the mean is met within {apart:.2g} everywhere."


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
    method="Integer model (bit for bit the gateware), Leimkuhler-Matthews, dt = 1; error bars are standard errors over "
    "runs with other noise. Lines are the law of the mean: the exact variance of an average of so many steps in "
    "equilibrium, which lengthens the answer and nothing else.",
)
