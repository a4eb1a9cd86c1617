# SPDX-License-Identifier: Apache-2.0
"""Denoising: how imperfect a chip may be that decodes images, in decibels of the image."""

import numpy as np

from ornstein.host.devices.imperfections import Chip, Connections, ConverterErrors
from ornstein.host.experiments.denoise.run import FABRIC
from ornstein.host.experiments.studies.analysis import Axis, Study, percent, sentence_of
from ornstein.host.experiments.studies.denoiser import IMAGES, RANK
from ornstein.host.experiments.studies.subject import (
    DECIBELS,
    DENOISER,
    IDEAL,
    MODEL,
    PROSE,
    Subject,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid

SAMPLES = 16
"""Averaged steps on the second axis of the temperature."""
BIAS, READ, MISMATCH, DEAD, STUCK, ONE, AVERAGED = (
    "bias bits",
    "read-out bits",
    "mismatch",
    "dead",
    "stuck",
    "1 sample",
    f"{SAMPLES} samples",
)
AXES = (
    Axis(BIAS, "bits of the bias converters", falling=True, linear=True),
    Axis(READ, "bits of the read-out converters", falling=True, linear=True),
    Axis(MISMATCH, "device variation of a connection, rms"),
    Axis(DEAD, "share of connections that are dead"),
    Axis(STUCK, "share of connections that are stuck"),
    Axis(ONE, "temperature kT, one read"),
    Axis(AVERAGED, f"temperature kT, {SAMPLES} averaged steps"),
)
BITS = (5, 6, 7, 8, 9, 10, 12)
VARIATIONS = (1e-2, 2e-2, 5e-2, 1e-1, 2e-1)
FRACTIONS = {DEAD: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), STUCK: (1e-5, 3e-5, 1e-4, 3e-4, 1e-3)}
TEMPERATURES = {
    ONE: (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2),
    AVERAGED: (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
}


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns the scores in dB over draws of the chip, or of the noise at a temperature."""
    denoiser = subject.denoiser
    seeds = [int(rng.integers(1, 2**31)) for rng in generators]
    if axis in TEMPERATURES:
        samples = SAMPLES if axis == AVERAGED else 1
        scores = [denoiser.heated(value, samples, seed) for seed in seeds]
    else:
        drawn = seeds if axis in (MISMATCH, DEAD, STUCK) else seeds[:1]
        scores = [denoiser.on_chip(_chip(axis, value, seed)) for seed in drawn]
    return summary(MODEL, scores, DECIBELS)


def _chip(axis: str, value: float, seed: int) -> Chip:
    """Returns a chip with the imperfection of an axis alone."""
    if axis == BIAS:
        return Chip(bias_converter=ConverterErrors(bits=int(value)))
    if axis == READ:
        return Chip(read_converter=ConverterErrors(bits=int(value)))
    if axis == IDEAL:
        return Chip()
    return Chip(seed, connections=Connections(**{axis: value}))


def conclude(rows: list[dict]) -> str:
    """Returns one sentence on every imperfection."""
    bits = sentence_of(rows, AXES[:2], lambda value: f"{value:.1f} bits", DECIBELS)
    shares = sentence_of(rows, AXES[2:5], percent, DECIBELS)
    hot = sentence_of(rows, AXES[5:], lambda value: f"{value:.2g}", DECIBELS)
    return PROSE(
        "denoise",
        bias_bits=bits[BIAS],
        read_bits=bits[READ],
        mismatch=shares[MISMATCH],
        dead=shares[DEAD],
        stuck=shares[STUCK],
        one=hot[ONE],
        averaged=hot[AVERAGED],
        samples=SAMPLES,
    )


STUDY = Study(
    name="denoise",
    question="How imperfect may the substrate be that decodes images?",
    axes=AXES,
    points=(
        *grid(program=(DENOISER,), axis=(IDEAL,), value=(0.0,)),
        *grid(program=(DENOISER,), axis=(BIAS, READ), value=BITS),
        *grid(program=(DENOISER,), axis=(MISMATCH,), value=VARIATIONS),
        *(
            point
            for axis, values in (FRACTIONS | TEMPERATURES).items()
            for point in grid(program=(DENOISER,), axis=(axis,), value=values)
        ),
    ),
    measure=measure,
    conclude=conclude,
    draws=3,
    method=PROSE("denoise_method", images=IMAGES, rank=RANK, fabric=FABRIC),
    score=DECIBELS,
)
