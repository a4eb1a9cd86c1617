# SPDX-License-Identifier: Apache-2.0
"""Precision: how many bits the factors, the state and the noise gain need.

The score is that of the integer model, at kT = 0 except on the axis of the noise gain. Beside it
stands what the same bits do to the covariance at kT = 1. It follows without sampling from the law
of the quantized chain (docs/physics.md, "Fixed point and noise").
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from ornstein.hdl.config import REFERENCE, STATE_WIDTH, FabricConfig
from ornstein.host.compile.compiler import compile_first, compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of, thresholds
from ornstein.host.experiments.studies.subject import (
    EXACT,
    IDEAL,
    MODEL,
    PROGRAMS,
    PROSE,
    Subject,
    biased,
    run,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.run import LOSS, compile_recipe, recipe_problems, samples_needed
from ornstein.host.physics.problem import NEAREST, STOCHASTIC, Problem

FACTORS, COUPLINGS, ROUNDED, DITHERED, GAIN = (
    "factor bits",
    "coupling bits",
    "state bits",
    "state bits, stochastic",
    "noise gain bits",
)
AXES = (
    Axis(FACTORS, "bits of couplings and interface", falling=True, linear=True),
    Axis(COUPLINGS, "bits of the couplings alone", falling=True, linear=True),
    Axis(ROUNDED, "bits of the state, to nearest", falling=True, linear=True),
    Axis(DITHERED, "bits of the state, stochastic", falling=True, linear=True),
    Axis(GAIN, "bits of the noise gain", falling=True, linear=True),
)
FACTOR_BITS, STATE_BITS, GAIN_BITS = range(4, 17), range(6, 17), range(4, 17)
GAIN_SAMPLES = 256
"""Averaged steps on the axis of the noise gain, which has no effect at kT = 0."""


def chain_covariance(matrix: np.ndarray, *, kT: float, dt: float, lsb: float) -> np.ndarray:
    """Returns the covariance (units, units) of a chain that rounds its state once a step.

    The Leimkuhler-Matthews step is z' = A z + (R + R') s / 2 + e with A = 1 - dt M, s^2 = 2 kT dt
    and e uniform over one LSB. With r = s R' / 2 the pair (z, r) is a first-order chain, whose
    covariance C solves C = T C T' + Q. The rounding of projections is left out.
    """
    units = len(matrix)
    eye, zero = np.eye(units), np.zeros((units, units))
    half = kT * dt / 2
    transition = np.block([[eye - dt * matrix, eye], [zero, zero]])
    noise = np.block([[(half + lsb**2 / 12) * eye, half * eye], [half * eye, half * eye]])
    return solve_discrete_lyapunov(transition, noise)[:units, :units]


def covariance_error(program: Program, exact: np.ndarray, kT: float = 1.0) -> float:
    """Returns the relative Frobenius distance of a program's covariance from ``exact``.

    The latter is kT M^-1 (units, units) at kT = 1 in float64.
    """
    found = chain_covariance(program.matrices[0], kT=kT, dt=program.dt, lsb=program.state_lsb)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def rounded_temperature(kT: float, bits: int) -> float:
    """Returns the temperature of a noise gain sqrt(kT) that is rounded to ``bits`` bits.

    The full scale of the gain is kT = 1.
    """
    steps = 1 << bits
    return float((np.rint(np.sqrt(kT) * steps) / steps) ** 2)


def fabric_of(bits: int) -> FabricConfig:
    """Returns the reference fabric with factors of so many bits.

    The shifts after a projection follow the bits, and accumulators are wide enough for all.
    """
    more = bits - REFERENCE.factor_width
    return replace(
        REFERENCE,
        name=f"{bits}-bit factors",
        factor_width=bits,
        accumulator_width=40,
        project_shifts=tuple(shift + more for shift in REFERENCE.project_shifts),
    )


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns the scores and the error of the covariance at so many bits."""
    recipe = subject.recipes[program]
    if axis == IDEAL:
        exact = subject.score(recipe.predict(subject.model.x_test))
        return summary(EXACT, [exact], covariance_error=0.0)
    bits = int(value)
    if axis == GAIN:
        return _gain(subject, generators, program, bits)
    if axis == COUPLINGS:
        problems = biased(recipe, subject.model, rounding=NEAREST)
        training, held_out = (
            recipe.biases(x) for x in (subject.model.x_train, subject.model.x_test)
        )
    else:
        rounding = STOCHASTIC if axis == DITHERED else NEAREST
        problems = recipe_problems(recipe, subject.model, rounding=rounding)
        training, held_out = subject.model.x_train, subject.model.x_test
    fabric, spare = _format(axis, bits)
    compiled = compile_first(problems, fabric, training, spare=spare)
    problem = compiled.problem
    warm = compile_problem(_heated(problem), fabric, training, spare=spare)
    draws = generators if axis == DITHERED else generators[:1]
    seeds = [int(rng.integers(1, 2**31)) for rng in draws]
    scores = [subject.score(problem.decode(run(compiled, held_out, seed))) for seed in seeds]
    error = covariance_error(warm, recipe.energy.covariance(1.0))
    return summary(MODEL, scores, covariance_error=error)


def _format(axis: str, bits: int) -> tuple[FabricConfig, int]:
    """Returns the fabric of a point, and how many top bits of the state stay unused."""
    if axis in (FACTORS, COUPLINGS):
        return fabric_of(bits), 0
    return REFERENCE, STATE_WIDTH - bits


def _heated(problem: Problem) -> Problem:
    """Returns the problem with every stage at kT = 1."""
    return replace(problem, stages=tuple(replace(stage, kT=1.0) for stage in problem.stages))


def _gain(subject: Subject, generators: list[np.random.Generator], program: str, bits: int) -> dict:
    """Returns the scores at the temperature that averaging affords, with its gain rounded.

    The error of the covariance is the largest at any temperature from kT = 0.1 to 1.
    """
    recipe = subject.recipes[program]
    kT = GAIN_SAMPLES / samples_needed(recipe, subject.model, 1.0, loss=LOSS)
    realised = rounded_temperature(kT, bits)
    compiled = compile_recipe(recipe, subject.model, kT=realised, samples=GAIN_SAMPLES)
    scores = [subject.answered(compiled, int(rng.integers(1, 2**31))) for rng in generators]
    decade = np.geomspace(0.1, 1.0, 1000)
    errors = [abs(rounded_temperature(wanted, bits) / wanted - 1) for wanted in decade]
    return summary(MODEL, scores, kT=kT, realised_kT=realised, covariance_error=float(max(errors)))


def conclude(rows: list[dict]) -> str:
    """Returns one sentence on the bits of factors, state and noise gain."""
    where = sentence_of(rows, AXES, lambda value: f"{value:.1f} bits")
    return PROSE(
        "precision",
        factors=where[FACTORS],
        couplings=where[COUPLINGS],
        rounded=where[ROUNDED],
        dithered=where[DITHERED],
        gain=where[GAIN],
        gain_free=all(found.value is None for found in thresholds(rows, AXES[-1:])),
        gain_bits=gain_bits_needed(rows),
    )


def gain_bits_needed(rows: list[dict]) -> int:
    """Returns the fewest bits of the noise gain that keep the covariance within 1 %."""
    return min(
        int(row["value"]) for row in rows if row["axis"] == GAIN and row["covariance_error"] <= 0.01
    )


STUDY = Study(
    name="precision",
    question="How many bits do factors, state and noise gain need?",
    axes=AXES,
    points=(
        *grid(program=PROGRAMS, axis=(IDEAL,), value=(0,)),
        *grid(axis=(FACTORS, COUPLINGS), value=FACTOR_BITS, program=PROGRAMS),
        *grid(axis=(ROUNDED, DITHERED), value=STATE_BITS, program=PROGRAMS),
        *grid(axis=(GAIN,), value=GAIN_BITS, program=PROGRAMS),
    ),
    measure=measure,
    conclude=conclude,
    draws=4,
    method=PROSE("precision_method"),
)
