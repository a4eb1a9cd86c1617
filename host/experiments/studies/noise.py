# SPDX-License-Identifier: Apache-2.0
"""Noise that is not what theory asks for: unequal temperatures, correlated units, and a 1/f part.

The fabric's noise is white and independent by construction, so this runs on the float reference,
whose integrator takes its random numbers from the generators here. Each program runs at the
temperature at which averaging SAMPLES steps of ideal noise costs ``demo.LOSS`` by the law of the
mean, and averages as many.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from ornstein.host.experiments.studies.analysis import Axis, Study, sentence_of
from ornstein.host.experiments.studies.subject import FLOAT, IDEAL, PROGRAMS, Subject, summary
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import LOSS, recipe_problem, samples_needed
from ornstein.sim.energy import Energy
from ornstein.sim.reference import relax

SAMPLES = 512
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
TIMES = 4.0 ** np.arange(9)
"""Correlation times of the processes that make up 1/f noise, in steps: it is 1/f down to 1 / (2 pi
65,536).
"""


@dataclass
class Imperfect:
    """Random numbers of unit variance on average over units, in place of a generator's independent
    normal ones.

    Attributes
    ----------
    temperatures : (units,) variance of each unit, 1 on average
    correlation : between any two units, of the white part
    corner : frequency in cycles a step below which 1/f noise is stronger than white; 0 for none. It
        is added.
    """

    rng: np.random.Generator
    temperatures: np.ndarray
    correlation: float = 0.0
    corner: float = 0.0
    _slow: np.ndarray | None = None

    def standard_normal(self, shape: tuple[int, int]) -> np.ndarray:
        """Numbers (n, units) of the next step; rows are independent histories that start in the
        stationary state.
        """
        white = np.sqrt(1 - self.correlation) * self.rng.standard_normal(shape)
        if self.correlation:
            white += np.sqrt(self.correlation) * self.rng.standard_normal((shape[0], 1))
        if self.corner:
            white += self._flicker(shape)
        return white * np.sqrt(self.temperatures)

    def _flicker(self, shape: tuple[int, int]) -> np.ndarray:
        """A sum of first-order processes, equally strong, whose correlation times are a factor
        apart.
        """
        drawn = self.rng.standard_normal((len(TIMES), *shape))
        keep = np.exp(-1 / TIMES)[:, None, None]
        self._slow = (
            drawn if self._slow is None else keep * self._slow + np.sqrt(1 - keep**2) * drawn
        )
        return np.sqrt(flicker_variance(self.corner)) * self._slow.sum(axis=0)


def flicker_variance(corner: float) -> float:
    """Variance of each process, for a sum with the density ``corner`` / f beside a white density of
    1.

    Equal variances v at times a factor r apart have the density v / (2 f ln r) between the slowest
    and the fastest.
    """
    return 2 * corner * float(np.log(TIMES[1] / TIMES[0]))


def force_covariance(noise: Imperfect) -> np.ndarray:
    """(units, units) covariance of one step's numbers, the 1/f part left out."""
    units = len(noise.temperatures)
    correlation = (1 - noise.correlation) * np.eye(units) + noise.correlation
    return np.sqrt(np.outer(noise.temperatures, noise.temperatures)) * correlation


def covariance_error(energy: Energy, noise: Imperfect) -> float:
    """Relative Frobenius distance of the stationary covariance, in continuous time, from kT M^-1.

    White noise of covariance Q gives M C + C M = 2 kT Q; a first-order force of variance s^2 and
    time t adds s^2 t M^-1 (1 + t M)^-1. Exact; one step is one unit of time.
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
    """kT at which SAMPLES averaged steps of ideal noise cost ``demo.LOSS``: the law of the mean is
    linear in kT.
    """
    hot = 1.0
    return hot * SAMPLES / samples_needed(recipe, subject.model, hot, loss=LOSS)


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Scores over draws of the noise and, on the axis of imbalance, of the temperatures."""
    recipe = subject.recipes[program]
    kT = temperature(recipe, subject)
    problem = recipe_problem(recipe, kT=kT, samples=SAMPLES)
    biases = problem.biases(subject.model.x_test)
    start = recipe.energy.mean(biases[:, 0])
    scores, errors = [], []
    for rng in generators:
        temperatures = (
            np.exp(value * rng.standard_normal(recipe.energy.units))
            if axis == IMBALANCE
            else np.ones(recipe.energy.units)
        )
        noise = Imperfect(
            rng,
            temperatures / temperatures.mean(),
            correlation=value if axis == COMMON else 0.0,
            corner=value if axis == FLICKER else 0.0,
        )
        means = relax(
            problem.energies,
            biases,
            problem.stages,
            dt=problem.dt,
            integrator=problem.integrator,
            initial=start,
            rng=noise,
        ).mean
        scores.append(subject.score(problem.decode(means)))
        errors.append(covariance_error(recipe.energy, noise))
    return summary(FLOAT, scores, kT=kT, samples=SAMPLES, covariance_error=float(np.mean(errors)))


def conclude(rows: list[dict]) -> str:
    """One sentence."""
    where = sentence_of(rows, AXES, lambda value: f"{value:.2g}")
    return (
        f"The score loses 1 % when the corner of 1/f noise reaches {where[FLICKER]} cycles a step, when the rms "
        f"spread of ln kT between units reaches {where[IMBALANCE]}, and when their correlation reaches "
        f"{where[COMMON]}, although the last two change the covariance by up to "
        f"{_largest(rows, IMBALANCE):.1f} and {_largest(rows, COMMON):.1f} times its norm."
    )


def _largest(rows: list[dict], axis: str) -> float:
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
    method="Float reference (Leimkuhler-Matthews, dt = 1): the fabric's noise is white and independent by design. "
    f"Each program runs at the temperature at which {SAMPLES} averaged steps of ideal noise cost {LOSS} of the "
    "score. Every input has a noise history of its own; error bars are standard errors over draws. The "
    "covariance's error is the exact law in continuous time.",
)
