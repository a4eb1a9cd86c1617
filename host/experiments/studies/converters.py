# SPDX-License-Identifier: Apache-2.0
"""Converters: how good the DACs and ADCs of a physical substrate would have to be.

Each unit has a DAC for its bias and an ADC for its relaxed mean; between them runs the integer
model. Converters are uniform and saturate, and those of a module share one range
(:func:`full_scale` of the training inputs). Offset and gain errors are static, normal, independent
from unit to unit, and not calibrated away.
"""

from typing import Any

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_first
from ornstein.host.compile.formats import MARGIN
from ornstein.host.devices.imperfections import Converter
from ornstein.host.experiments.studies.analysis import Axis, Study, percent, sentence_of
from ornstein.host.experiments.studies.subject import (
    IDEAL,
    MODEL,
    PROGRAMS,
    PROSE,
    Subject,
    biased,
    full_scale,
    run,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid

BITS = tuple(range(4, 17))
ERRORS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
AXES = (
    Axis("DAC bits", "bits of the bias DAC", falling=True, linear=True),
    Axis("ADC bits", "bits of the read-out ADC", falling=True, linear=True),
    Axis("DAC offset", "DAC offset, rms, share of full scale"),
    Axis("ADC offset", "ADC offset, rms, share of full scale"),
    Axis("DAC gain", "DAC gain error, rms"),
    Axis("ADC gain", "ADC gain error, rms"),
)


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns the scores with one kind of error in one kind of converter, which the axis names."""
    recipe = subject.recipes[program]
    training = recipe.biases(subject.model.x_train)
    compiled = compile_first(biased(recipe, subject.model), REFERENCE, training)
    biases = recipe.biases(subject.model.x_test)
    converter, _, kind = axis.partition(" ")
    error: dict[str, Any] = {}
    if axis != IDEAL:
        error[kind] = int(value) if kind == "bits" else value
    if converter == "DAC":
        ranges = full_scale(recipe, training)
    else:
        ranges = full_scale(recipe, recipe.energy.mean(training))
        undisturbed = run(compiled, biases)

    def converters(rng: np.random.Generator) -> Converter:
        return Converter.drawn(rng, len(ranges), **error)

    def means(rng: np.random.Generator) -> np.ndarray:
        if converter == "DAC":
            return run(compiled, converters(rng)(biases, ranges))
        return converters(rng)(undisturbed, ranges) if converter == "ADC" else undisturbed

    drawn = generators[:1] if kind in ("", "bits") else generators
    scores = [subject.score(compiled.problem.decode(means(rng))) for rng in drawn]
    return summary(MODEL, scores)


def conclude(rows: list[dict]) -> str:
    """Returns one sentence on each converter's bits, offset and gain."""
    bits = sentence_of(rows, AXES[:2], lambda value: f"{value:.1f} bits")
    errors = sentence_of(rows, AXES[2:], percent)
    found = {name.lower().replace(" ", "_"): text for name, text in (bits | errors).items()}
    return PROSE("converters", **found)


STUDY = Study(
    name="converters",
    question="How good must the converters be that write the biases and read the answers?",
    axes=AXES,
    points=(
        *grid(program=PROGRAMS, axis=(IDEAL,), value=(0.0,)),
        *grid(axis=("DAC bits", "ADC bits"), value=BITS, program=PROGRAMS),
        *grid(
            axis=("DAC offset", "ADC offset", "DAC gain", "ADC gain"),
            value=ERRORS,
            program=PROGRAMS,
        ),
    ),
    measure=measure,
    conclude=conclude,
    draws=8,
    method=PROSE("converters_method", margin=MARGIN),
)
