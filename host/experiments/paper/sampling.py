# SPDX-License-Identifier: Apache-2.0
"""Experiment H: averages against the law of the mean, and covariances of both integrators.

The paper never runs these dynamics. Long averages run on the integer model, whose bits the device
confirms on the first inputs.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.host.experiments.common import Experiment, Run, Runner, Say
from ornstein.host.experiments.paper.production import LABELS
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.scoring import scored
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.experiments.scores import CENTRED
from ornstein.host.models import recipes
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import LOSS, recipe_time_step
from ornstein.sim.reference import average_variance, stationary_covariance
from ornstein.sim.stages import EM, LM

TIME_STEPS = (0.5, 1.0, 2.0)
"""Time steps beside the one that the spectrum asks for."""
TEMPERATURES = (1e-3, 1e-2, 1e-1)
SAMPLING_LOSS = 0.005
"""Centred cosine that the averages are meant to lose: small enough for the law, large enough to
see."""
LOST, SQUARED_ERROR = "cosine lost to the noiseless answer", "squared error / law"
VARIANCE, TO_TARGETS = "variance / equilibrium's", f"{CENTRED} to the targets"
STEPS_NEEDED = f"averaged steps for {LOSS:g} of {CENTRED}"
"""Quantities of the table."""


@dataclass(frozen=True)
class Setting:
    """How an average was taken.

    ``dt`` is the time step asked for, ``realised_dt`` the fabric's; ``exact`` is the exact squared
    error over that of the law of many steps.
    """

    kT: float
    dt: float
    integrator: str
    steps: int
    realised_dt: float
    exact: float

    @property
    def row(self) -> str:
        """The setting in tables."""
        return (
            f"kT = {self.kT:g}, dt = {self.dt:.3g}, {self.integrator.upper()}, {self.steps:,} steps"
        )


@dataclass(frozen=True, eq=False)
class Noise:
    """Sampling noise of a recipe's read-out.

    Attributes
    ----------
    rates : (m,) eigenvalues of M
    weights : (m,) squared read-out of every mode, summed over the decoder
    lengths : (n,) squared lengths of the noiseless centred answers
    """

    rates: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, recipe: Recipe, answers: np.ndarray, centre: np.ndarray) -> "Noise":
        """Returns that of a recipe with noiseless answers (n, D) about ``centre`` (D,)."""
        rates, vectors = np.linalg.eigh(recipe.energy.matrix())
        decoder = recipe.energy.slices[recipe.energy.modules[1].name]
        seen = vectors[decoder] * recipe.readout.scale[:, None]
        return cls(rates, np.sum(seen**2, axis=0), np.sum((answers - centre) ** 2, axis=1))

    def law(self, kT: float, dt: float, steps: int) -> float:
        """Returns the squared error of a long average, by var = 2 kT (M^-2)_ii / (N dt)."""
        return 2 * kT * float(np.sum(self.weights / self.rates**2)) / (steps * dt)

    def exact(self, kT: float, dt: float, steps: int, integrator: str) -> float:
        """Returns the squared error of an average over any number of steps."""
        return float(self.weights @ average_variance(self.rates, kT, dt, steps, integrator))

    def steps(self, kT: float, dt: float, loss: float) -> int:
        """Returns after how many averaged steps sampling costs ``loss`` of cosine.

        N dt = kT <(M^-2)_yy> / ((1 - c) var).
        """
        return max(1, int(np.ceil(self.law(kT, dt, 1) * np.mean(1 / self.lengths) / (2 * loss))))

    def loss(self, square: float) -> float:
        """Returns the cosine that a squared error costs: 1 - 1 / sqrt(1 + error^2 / length^2)."""
        return float(np.mean(1 - 1 / np.sqrt(1 + square / self.lengths)))


def sampling(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment H."""
    experiment = Experiment("H", "Sampling")
    subject = next(subject for subject in subjects if subject.trained)
    recipe = recipes.ours_aligned(subject.model)
    noise = Noise.of(recipe, recipe.predict(subject.model.x_test), subject.centre)
    for kT in TEMPERATURES:
        for dt in (*TIME_STEPS, recipe_time_step(recipe).dt):
            steps = noise.steps(kT, dt, SAMPLING_LOSS)
            for integrator in (LM, EM):
                say(f"H: sampling, kT = {kT:g}, dt = {dt:g}, {integrator}, {steps:,} steps")
                run = runner.run_recipe(
                    recipe, subject.model, kT=kT, samples=steps, dt=dt, integrator=integrator
                )
                realised = run.program.dt
                exact = noise.exact(kT, realised, steps, integrator)
                setting = Setting(
                    kT, dt, integrator, steps, realised, exact / noise.law(kT, realised, steps)
                )
                _average_rows(experiment, subject, recipe, noise, setting, run)
    for other in (recipe, recipes.ours_full(subject.model)):
        _steps_rows(experiment, subject, other)
    target = subject.model.y_test - subject.centre
    experiment.arrays["squared lengths of the targets"] = np.sum(target**2, axis=1)
    return experiment


def _average_rows(
    experiment: Experiment,
    subject: Subject,
    recipe: Recipe,
    noise: Noise,
    setting: Setting,
    run: Run,
) -> None:
    answers = recipe.predict(subject.model.x_test) - subject.centre
    found = recipe.decode(run.outputs.mean) - subject.centre
    _loss_rows(experiment, noise, setting, found, answers)
    _variance_row(experiment, subject, recipe, setting, run)
    if setting.integrator == LM:
        reached, noiseless = (
            scored(answer + subject.centre, subject.model.y_test, subject.centre)[CENTRED]
            for answer in (found, answers)
        )
        experiment.add(
            setting.row,
            TO_TARGETS,
            case=setting,
            float64=noiseless[0],
            gateware=reached[0],
            error=reached[1],
            note=PROSE("note_to_targets", loss=SAMPLING_LOSS),
        )


def _loss_rows(
    experiment: Experiment,
    noise: Noise,
    setting: Setting,
    found: np.ndarray,
    answers: np.ndarray,
) -> None:
    """Adds what noise costs centred answers (n, D), against the law of many steps and exactly."""
    many = noise.law(setting.kT, setting.realised_dt, setting.steps)
    exact = setting.exact * many
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(answers, axis=1)
    cosines = np.sum(found * answers, axis=1) / lengths
    experiment.add(
        setting.row,
        LOST,
        case=setting,
        float64=noise.loss(exact),
        gateware=1 - cosines.mean(),
        error=cosines.std(ddof=1) / np.sqrt(len(cosines)),
        note=PROSE("note_lost", many=noise.loss(many)),
    )
    squares = np.sum((found - answers) ** 2, axis=1) / many
    experiment.add(
        setting.row,
        SQUARED_ERROR,
        case=setting,
        float64=setting.exact,
        gateware=squares.mean(),
        error=squares.std(ddof=1) / np.sqrt(len(squares)),
        note=PROSE("note_squared_error"),
    )


def _variance_row(
    experiment: Experiment, subject: Subject, recipe: Recipe, setting: Setting, run: Run
) -> None:
    """Adds the mean square of the states about the closed-form mean, over that of kT M^-1."""
    if run.outputs.second is None:
        return
    energy, kT = recipe.energy, setting.kT
    exact = energy.mean(recipe.biases(subject.model.x_test))
    squares = run.outputs.second - 2 * exact * run.outputs.mean + exact**2
    ratios = np.sum(squares, axis=1) / (kT * energy.variances().sum())
    law = stationary_covariance(
        energy.matrix(), kT=1.0, dt=setting.realised_dt, integrator=setting.integrator
    )
    experiment.add(
        setting.row,
        VARIANCE,
        case=setting,
        float64=np.trace(law) / energy.variances().sum(),
        gateware=ratios.mean(),
        error=ratios.std(ddof=1) / np.sqrt(len(ratios)),
        note=PROSE("note_variance"),
    )


def _steps_rows(experiment: Experiment, subject: Subject, recipe: Recipe) -> None:
    """Adds the steps that the law asks for at every temperature."""
    noise = Noise.of(recipe, recipe.predict(subject.model.x_test), subject.centre)
    dt = recipe_time_step(recipe).dt
    for kT in (1.0, *sorted(TEMPERATURES, reverse=True), 1e-5):
        experiment.add(
            f"{LABELS[recipe.key]}, kT = {kT:g}, dt = {dt:.3g}",
            STEPS_NEEDED,
            case=(recipe.key, kT),
            float64=noise.steps(kT, dt, LOSS),
            note=PROSE("note_by_law"),
        )
