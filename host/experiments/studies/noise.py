# SPDX-License-Identifier: Apache-2.0
"""Noise that is not ideal: unequal temperatures, correlated units, and a 1/f part.

The noise of the fabric is white and independent by construction. So this study runs on the float
reference, whose integrator takes its random numbers from
:class:`ornstein.host.devices.imperfections.ImperfectNoise`. Each program averages
`SAMPLES` steps at the temperature at which that many steps of ideal noise cost
:data:`ornstein.host.models.run.LOSS` by the law of the mean.
"""

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from ornstein.host.devices.imperfections import (
    TIMES,
    ImperfectNoise,
    flicker_variance,
    unequal_temperatures,
)
from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of
from ornstein.host.experiments.studies.subject import (
    FLOAT,
    IDEAL,
    PROGRAMS,
    PROSE,
    Subject,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import LOSS, recipe_problem, samples_needed
from ornstein.sim.energy import Energy
from ornstein.sim.reference import relax

SAMPLES = 512
DT = 1.0
"""Time step: the noise of one step is defined in units of it."""
IMBALANCE, COMMON, FLICKER = "imbalance", "common", "1/f"
AXES = (
    Axis(IMBALANCE, "spread of temperatures, rms of ln kT"),
    Axis(COMMON, "correlation between any two units", linear=True),
    Axis(FLICKER, "corner of 1/f noise, cycles a step"),
)
VALUES = {
    IMBALANCE: (0.1, 0.2, 0.5, 1.0, 1.5, 2.0),
    COMMON: (0.1, 0.3, 0.5, 0.7, 0.9, 0.99),
    FLICKER: (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
}


def force_covariance(noise: ImperfectNoise) -> np.ndarray:
    """Returns the covariance (units, units) of the numbers of one step, without 1/f noise."""
    units = len(noise.temperatures)
    correlation = (1 - noise.correlation) * np.eye(units) + noise.correlation
    return np.sqrt(np.outer(noise.temperatures, noise.temperatures)) * correlation


def covariance_error(energy: Energy, noise: ImperfectNoise) -> float:
    """Returns the relative Frobenius distance of the stationary covariance from kT M^-1.

    It is exact in continuous time, where one step is one unit. White noise of covariance Q gives
    M C + C M = 2 kT Q. A first-order force of variance s^2 and time t adds
    s^2 t M^-1 (1 + t M)^-1.
    """
    matrix = energy.matrix()
    exact = np.linalg.inv(matrix)
    found = solve_continuous_lyapunov(matrix, 2 * force_covariance(noise))
    if noise.corner:
        strength = 2 * flicker_variance(noise.corner)
        found = found + sum(
            strength * time * np.linalg.solve(np.eye(len(matrix)) + time * matrix, exact)
            for time in TIMES
        )
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def temperature(recipe: Recipe, subject: Subject) -> float:
    """Returns the kT at which `SAMPLES` averaged steps of ideal noise cost `LOSS`.

    The steps that the law of the mean asks for are proportional to kT.
    """
    hot = 1.0
    return hot * SAMPLES / samples_needed(recipe, subject.model, hot, dt=DT, loss=LOSS)


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns the scores over draws of the noise, and of the temperatures if they are unequal."""
    recipe = subject.recipes[program]
    kT = temperature(recipe, subject)
    problem = recipe_problem(recipe, kT=kT, samples=SAMPLES, dt=DT)
    biases = problem.biases(subject.model.x_test)
    start = recipe.energy.mean(biases[:, 0])
    scores, errors = [], []
    for rng in generators:
        units = recipe.energy.units
        temperatures = (
            unequal_temperatures(rng, units, value) if axis == IMBALANCE else np.ones(units)
        )
        noise = ImperfectNoise(
            rng,
            temperatures,
            correlation=value if axis == COMMON else 0.0,
            corner=value if axis == FLICKER else 0.0,
        )
        means = relax(
            problem.energies,
            biases,
            problem.stages,
            dt=problem.time_step,
            integrator=problem.integrator,
            initial=start,
            rng=noise,
        ).mean
        scores.append(subject.score(problem.decode(means)))
        errors.append(covariance_error(recipe.energy, noise))
    return summary(FLOAT, scores, kT=kT, samples=SAMPLES, covariance_error=float(np.mean(errors)))


def conclude(rows: list[dict]) -> str:
    """Returns one sentence on the three imperfections."""
    where = sentence_of(rows, AXES, lambda value: f"{value:.2g}")
    return PROSE(
        "noise",
        flicker=where[FLICKER],
        imbalance=where[IMBALANCE],
        common=where[COMMON],
        imbalance_error=_largest(rows, IMBALANCE),
        common_error=_largest(rows, COMMON),
    )


def _largest(rows: list[dict], axis: str) -> float:
    """Returns the largest error of the covariance on an axis."""
    return max(row["covariance_error"] for row in rows if row["axis"] == axis)


STUDY = Study(
    name="noise",
    question="Which imperfections of the noise matter?",
    axes=AXES,
    points=(
        *grid(program=PROGRAMS, axis=(IDEAL,), value=(0.0,)),
        *(
            point
            for axis, values in VALUES.items()
            for point in grid(axis=(axis,), value=values, program=PROGRAMS)
        ),
    ),
    measure=measure,
    conclude=conclude,
    draws=3,
    method=PROSE("noise_method", samples=SAMPLES, loss=LOSS),
)
