# SPDX-License-Identifier: Apache-2.0
"""Experiment B: the bottleneck of the encoder, with the decoder's bias given by an oracle.

So does the paper. The float64 column is its linear solve, the gateware column the relaxation at
kT = 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.gateware import relax
from ornstein.host.experiments.paper.networks import BATCH, MLP_STEPS, SWEEP_STEPS, train
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.scoring import agrees, scored, script_cosine
from ornstein.host.experiments.paper.subjects import Subject, decoder_part, halves
from ornstein.host.experiments.scores import CENTRED, COSINE, R2
from ornstein.host.physics.couplings import ENCODER
from ornstein.host.physics.regression import reduced_rank, validated_ridge

BOTTLENECKS = (4, 8, 16, 32, 64, 96, 128)
MLP_BOTTLENECKS = (8, 16, 32, 64)
SEEDS = 3
"""Trainings of every network of the paper. Their mean is given and their spread is the error."""
CLOSED_FORM_RANK = 4

LINEAR, MLP, CLOSED_FORM, CONSTANT, NONE = "linear", "MLP", "closed form", "constant", "none"
"""Kinds of encoders."""
DECODER_COSINE, ENCODER_COSINE = f"decoder {COSINE}", "encoder cosine"
"""Quantities of the table."""


@dataclass(frozen=True)
class Encoder:
    """A kind of encoder and the width of its bottleneck, None if it has none."""

    kind: str
    width: int | None = None

    @property
    def label(self) -> str:
        """The encoder in tables."""
        if self.width is not None:
            return f"{self.kind}, bottleneck {self.width}"
        return {
            CLOSED_FORM: f"closed form, rank {CLOSED_FORM_RANK}",
            CONSTANT: "constant encoder bias",
            NONE: "no encoder",
        }[self.kind]


def conditioning_sweep(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment B."""
    experiment = Experiment("B", "Conditioning sweep")
    for subject in subjects:
        a, _, b = halves(subject.energy())
        oracle = subject.model.y_test @ b
        for encoder, biases in _encoders(subject, subject.model.x_train @ a, seed):
            say(f"B: conditioning sweep, {subject.name}, {encoder.kind}")
            runs = [np.hstack([bias, oracle]) for bias in biases]
            _encoder_rows(experiment, subject, encoder, runs, runner)
    return experiment


def _encoders(
    subject: Subject, target: np.ndarray, seed: int
) -> Iterator[tuple[Encoder, list[np.ndarray]]]:
    """Yields every encoder with its biases (n, D) of every training."""
    model, size = subject.model, subject.size
    x, wanted = model.x_train[:BATCH], target[:BATCH]

    def fit(widths: tuple[int, ...], steps: int, linear: bool) -> list[np.ndarray]:
        rngs = [np.random.default_rng([seed, draw]) for draw in range(SEEDS)]
        return [train(x, wanted, widths, steps, rng, linear=linear)(model.x_test) for rng in rngs]

    for width in BOTTLENECKS:
        yield Encoder(LINEAR, width), fit((size, width, size), SWEEP_STEPS, True)
    for width in MLP_BOTTLENECKS:
        yield Encoder(MLP, width), fit((size, 2 * width, width, size), MLP_STEPS, False)
    centre, level = model.x_train.mean(axis=0), target.mean(axis=0)
    inputs, outputs = model.x_train - centre, target - level
    ridge = validated_ridge(inputs, outputs, CLOSED_FORM_RANK)
    regression = reduced_rank(inputs, outputs, CLOSED_FORM_RANK, ridge)
    yield Encoder(CLOSED_FORM), [level + regression(model.x_test - centre)]
    yield Encoder(CONSTANT), [np.tile(level, (len(model.x_test), 1))]
    yield Encoder(NONE), [np.zeros((len(model.x_test), size))]


def _encoder_rows(
    experiment: Experiment,
    subject: Subject,
    encoder: Encoder,
    runs: list[np.ndarray],
    runner: Runner,
) -> None:
    """Adds the rows of an encoder from the biases (n, units) of its trainings."""
    model, energy, row = subject.model, subject.energy(), f"{subject.name}, {encoder.label}"
    means = [energy.mean(run) for run in runs]
    relaxed, _ = relax(runner, energy, runs[0])
    by_seed = [scored(decoder_part(energy, mean), model.y_test, subject.centre) for mean in means]
    gateware = scored(decoder_part(energy, relaxed), model.y_test, subject.centre)
    reported_cosine = (
        reported.SWEEP_COSINE.get(subject.key) if encoder.kind in (LINEAR, MLP) else None
    )
    for quantity in (COSINE, CENTRED, R2):
        paper = reported_cosine if quantity == COSINE else None
        values = [scores[quantity][0] for scores in by_seed]
        error = np.hypot(np.std(values), by_seed[0][quantity][1])
        experiment.add(
            row,
            f"decoder {quantity}",
            subject=subject.network,
            case=encoder,
            reference=paper,
            float64=np.mean(values),
            gateware=gateware[quantity][0],
            error=error,
            note=PROSE(
                "note_sweep",
                cosine=quantity == COSINE,
                trained=subject.trained,
                paper=paper,
                value=np.mean(values),
                trainings=len(values),
                agrees=paper is not None and agrees(float(np.mean(values)), paper, float(error)),
                gap=significant_gap(gateware[quantity][0], values[0], float(error)),
            ),
        )
    _encoder_cosine_row(experiment, subject, encoder, means, relaxed)


def _encoder_cosine_row(
    experiment: Experiment,
    subject: Subject,
    encoder: Encoder,
    means: list[np.ndarray],
    relaxed: np.ndarray,
) -> None:
    part, x = subject.energy().slices[ENCODER], subject.model.x_test
    values = [script_cosine(mean[:, part], x) for mean in means]
    gateware, error = script_cosine(relaxed[:, part], x), float(np.std(values))
    experiment.add(
        f"{subject.name}, {encoder.label}",
        ENCODER_COSINE,
        subject=subject.network,
        case=encoder,
        float64=np.mean(values),
        gateware=gateware,
        error=error,
        note=PROSE("note_gap", gap=significant_gap(gateware, values[0], error)),
    )


def significant_gap(gateware: float, float64: float, error: float) -> float | None:
    """Returns by how much the fabric's answer to the same biases differs, if it is more than error.

    That is the work of its coefficients and its rounding.
    """
    gap = gateware - float64
    return gap if abs(gap) > error else None
