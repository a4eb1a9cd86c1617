# SPDX-License-Identifier: Apache-2.0
"""Precision: how many bits the factors, the state and the noise gain need.

The score is that of the integer model at kT = 0. Beside it stands what the same bits do to the
covariance at kT = 1, from the law of the quantized chain (spec, section 2), without sampling.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from ornstein.hdl.config import REFERENCE, STATE_WIDTH, FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of
from ornstein.host.experiments.studies.subject import (
    EXACT,
    IDEAL,
    MODEL,
    PROGRAMS,
    Subject,
    biased,
    run,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.run import COLD_SAMPLES, LOSS, recipe_problem, samples_needed
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
"""Averaged steps on the axis of the noise gain, which does nothing at kT = 0."""


def chain_covariance(matrix: np.ndarray, *, kT: float, dt: float, lsb: float) -> np.ndarray:
    """Covariance (units, units) of a Leimkuhler-Matthews chain whose state is rounded to ``lsb``
    once a step.

    z' = A z + (R + R') s / 2 + e with A = 1 - dt M, s^2 = 2 kT dt and e uniform over one LSB. With
    r = s R' / 2 as part of the state, (z, r), the chain is a first-order one: C = T C T' + Q. What
    projections round is not in it.
    """
    units = len(matrix)
    eye, zero = np.eye(units), np.zeros((units, units))
    half = kT * dt / 2
    transition = np.block([[eye - dt * matrix, eye], [zero, zero]])
    noise = np.block([[(half + lsb**2 / 12) * eye, half * eye], [half * eye, half * eye]])
    return solve_discrete_lyapunov(transition, noise)[:units, :units]


def covariance_error(program: Program, exact: np.ndarray, kT: float = 1.0) -> float:
    """Relative Frobenius distance of what a program's chain settles in from kT M^-1 (``exact``, at
    kT = 1).
    """
    found = chain_covariance(program.matrices[0], kT=kT, dt=program.dt, lsb=program.state_lsb)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def rounded_temperature(kT: float, bits: int) -> float:
    """The temperature that a noise gain sqrt(kT) realises in ``bits`` bits whose full scale is kT =
    1.
    """
    steps = 1 << bits
    return float((np.rint(np.sqrt(kT) * steps) / steps) ** 2)


def fabric_of(bits: int) -> FabricConfig:
    """The reference fabric with factors of so many bits: its narrowing shifts move with them, its
    sums have room.
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
    """Scores and the covariance's error at so many bits."""
    recipe = subject.recipes[program]
    if axis == IDEAL:
        return summary(
            EXACT, [subject.score(recipe.predict(subject.model.x_test))], covariance_error=0.0
        )
    if axis == GAIN:
        return _gain(subject, generators, program, int(value))
    fabric, spare, rounding = REFERENCE, 0, NEAREST
    if axis in (FACTORS, COUPLINGS):
        fabric = fabric_of(int(value))
    else:
        spare, rounding = STATE_WIDTH - int(value), STOCHASTIC if axis == DITHERED else NEAREST
    inputs = [subject.model.x_train, subject.model.x_test]
    if axis == COUPLINGS:
        problem, inputs = (
            biased(recipe, rounding=rounding),
            [recipe.biases(part) for part in inputs],
        )
    else:
        problem = recipe_problem(recipe, kT=0.0, samples=COLD_SAMPLES, rounding=rounding)
    exact = recipe.energy.covariance(1.0)
    compiled, warm = (
        compile_problem(form, fabric, inputs[0], spare=spare)
        for form in (problem, _heated(problem))
    )
    seeds = [
        int(rng.integers(1, 2**31))
        for rng in (generators if rounding == STOCHASTIC else generators[:1])
    ]
    scores = [subject.score(problem.decode(run(compiled, inputs[1], seed))) for seed in seeds]
    return summary(MODEL, scores, covariance_error=covariance_error(warm, exact))


def _heated(problem: Problem) -> Problem:
    return replace(problem, stages=tuple(replace(stage, kT=1.0) for stage in problem.stages))


def _gain(subject: Subject, generators: list[np.random.Generator], program: str, bits: int) -> dict:
    """Scores at the temperature that averaging affords; the covariance's error is the largest from
    kT = 0.1 to 1.
    """
    recipe = subject.recipes[program]
    kT = GAIN_SAMPLES / samples_needed(recipe, subject.model, 1.0, loss=LOSS)
    realised = rounded_temperature(kT, bits)
    scores = [
        subject.relaxed(recipe, kT=realised, samples=GAIN_SAMPLES, seed=int(rng.integers(1, 2**31)))
        for rng in generators
    ]
    decade = np.geomspace(0.1, 1.0, 1000)
    errors = [abs(rounded_temperature(wanted, bits) / wanted - 1) for wanted in decade]
    return summary(MODEL, scores, kT=kT, realised_kT=realised, covariance_error=float(max(errors)))


def conclude(rows: list[dict]) -> str:
    """One sentence."""
    where = sentence_of(rows, AXES, lambda value: f"{value:.1f} bits")
    return (
        f"The score loses 1 % when factors fall to {where[FACTORS]}, the couplings alone to {where[COUPLINGS]}, or "
        f"the state to {where[ROUNDED]} if rounded to nearest, {where[DITHERED]} if stochastically; the noise gain "
        f"costs no score, but the covariance is off by more than 1 % below {_gain_needed(rows)} bits."
    )


def _gain_needed(rows: list[dict]) -> int:
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
    method="Integer model (bit for bit the gateware) at kT = 0 against the float64 closed form. Fewer bits of state "
    "are a coarser LSB, which coarsens the projections with it; biases keep their own finer one. The "
    "covariance at kT = 1 is the law of the quantized chain, a discrete Lyapunov equation in the realised "
    "couplings, to which rounding the state adds a twelfth of a squared LSB a step; what projections round is "
    "not in it. Error bars are standard errors over noise and dither; the rest has no random part.",
)
