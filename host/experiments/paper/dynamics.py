# SPDX-License-Identifier: Apache-2.0
"""The dynamics that the paper never ran: relaxation, what averages cost at a temperature, and its
400 steps at kT = 1.

Long averages run on the integer model, whose bits the device confirms on the first inputs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.experiments.paper.energy_account import BOLTZMANN, ROOM
from ornstein.host.experiments.paper.subjects import Gateware, Subject
from ornstein.host.experiments.results import QUANTITIES, Experiment, Progress, scored
from ornstein.host.models import recipes
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import LOSS, recipe_inputs, recipe_problem, samples_needed
from ornstein.host.physics.problem import relaxation_steps
from ornstein.sim.energy import Energy
from ornstein.sim.reference import average_variance, relax, stationary_covariance
from ornstein.sim.stages import EM, LM, Stage

TIME_STEPS = (0.5, 1.0, 2.0, 4.0)
SAMPLING_STEPS = (0.5, 1.0, 2.0)
TOLERANCE = 1e-3
"""Distance from equilibrium, relative to its length, at which a relaxation counts as done."""
SAMPLING_LOSS = 0.005
"""Centred cosine that the averages of experiment H are meant to lose: small enough for the law,
large enough to see.
"""
TEMPERATURES = (1e-3, 1e-2, 1e-1)
PAPER_STEPS, PAPER_KT = 400, 1.0
PAPER_FULL = 0.9906


# ---- G -------------------------------------------------------------------------------------------


def decay(energy: Energy, mean: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """|(1 - dt M)^n m| / |m| for n = 1 to ``steps`` and means m (n, units): how the discrete
    dynamics relax from 0.
    """
    values, vectors = np.linalg.eigh(energy.matrix())
    weights = np.sum((mean @ vectors) ** 2, axis=0)
    powers = np.abs(1 - dt * values) ** (2 * np.arange(1, steps + 1)[:, None])
    return np.sqrt(powers @ weights / weights.sum())


def relaxation(subjects: list[Subject], gateware: Gateware, seed: int, say: Progress) -> Experiment:
    """G: distance from equilibrium step by step at kT = 0, against the decay that M predicts."""
    experiment = Experiment("G", "Relaxation")
    for subject, recipe in _relaxing(subjects):
        inputs = recipe_inputs(recipe, subject.model.x_test, subject.model.y_test)[:2]
        calibration = recipe_inputs(recipe, subject.model.x_train, subject.model.y_train)
        final = recipe.energy.mean(
            recipe.biases(subject.model.x_test[:2], subject.model.y_test[:2])
        )
        for dt in (dt for dt in TIME_STEPS if dt * recipe.energy.eigenvalues()[-1] < 2):
            say(f"G: relaxation, {subject.name}, {recipe.name}, dt = {dt:g}")
            steps = int(1.3 * relaxation_steps(recipe.energy, dt)) + 4
            problem = replace(
                recipe_problem(recipe, kT=0.0, samples=1, dt=dt),
                stages=(Stage(steps, accumulate=True, thin=1),),
            )
            outputs, program = gateware.run(problem, inputs, calibration)
            measured = np.linalg.norm(
                outputs.samples - final[:, None], axis=(0, 2)
            ) / np.linalg.norm(final)
            law = decay(recipe.energy, final, program.dt, steps)
            slowest = program.dt * recipe.energy.eigenvalues()[0]
            band = program.state_lsb / 2 / slowest * np.sqrt(final.size) / np.linalg.norm(final)
            _relaxation_rows(
                experiment, f"{subject.name}, {recipe.name}, dt = {dt:g}", measured, law, band
            )
            experiment.arrays[f"{subject.name}, {recipe.name}|{dt:g}"] = np.array([law, measured])
    fastest = min(
        (result for result in experiment.results if result.gateware and "steps" in result.quantity),
        key=lambda result: result.gateware,
    )
    experiment.paragraphs = [
        f"From zero and without noise the distance to equilibrium falls as (1 - dt M)^n. The paper's account assumes "
        f"{PAPER_STEPS} steps; {TOLERANCE:g} of the length is reached in {fastest.gateware:.0f} ({fastest.row}). A "
        "time step above 1 / the largest eigenvalue overshoots and is still stable below 2 / it.",
        "The distance stops at a floor where a step's drift is less than half an LSB: the slower the mode and the "
        "smaller the time step, the sooner.",
    ]
    return experiment


def _relaxing(subjects: list[Subject]) -> Iterator[tuple[Subject, Recipe]]:
    for subject in subjects:
        yield subject, recipes.paper_oracle(subject.model, subject.energy())
        if subject.trained:
            yield subject, recipes.ours_aligned(subject.model)


def _relaxation_rows(
    experiment: Experiment, row: str, measured: np.ndarray, law: np.ndarray, band: float
) -> None:
    floor = float(np.median(measured[-max(1, len(measured) // 8) :]))
    reached = np.flatnonzero(measured <= TOLERANCE)
    wanted = np.flatnonzero(law <= TOLERANCE)
    experiment.add(
        row,
        f"steps to {TOLERANCE:g} of the length",
        float64=wanted[0] + 1 if len(wanted) else None,
        gateware=reached[0] + 1 if len(reached) else None,
        note="" if len(reached) else f"stops at its floor of {floor:.2g} before",
    )
    above = law > 5 * floor
    gap = np.abs(measured[above] / law[above] - 1).max() if above.any() else None
    experiment.add(
        row,
        "largest departure from the law",
        float64=0.0,
        gateware=gap,
        note=f"relative, over the first {above.sum()} steps, while the law is above 5 times the floor",
    )
    experiment.add(
        row,
        "floor",
        float64=band,
        gateware=floor,
        note="float64: the most that rounding leaves, half an LSB in every unit over dt and the smallest "
        "eigenvalue",
    )


# ---- H -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Sampling noise of a recipe's read-out: modes of M, how strongly the read-out sees each, and
    squared lengths.

    ``weights`` (m,) sum the squared read-out of every mode over the decoder; ``lengths`` (n,) are
    the squared lengths of the noiseless centred answers.
    """

    rates: np.ndarray
    weights: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, recipe: Recipe, answers: np.ndarray, centre: np.ndarray) -> "Noise":
        """Of a recipe with noiseless answers (n, D) about ``centre`` (D,)."""
        rates, vectors = np.linalg.eigh(recipe.energy.matrix())
        seen = (
            vectors[recipe.energy.slices[recipe.energy.modules[1].name]]
            * recipe.readout.scale[:, None]
        )
        return cls(rates, np.sum(seen**2, axis=0), np.sum((answers - centre) ** 2, axis=1))

    def law(self, kT: float, dt: float, steps: int) -> float:
        """Squared error of an average, by var = 2 kT (M^-2)_ii / (N dt)."""
        return 2 * kT * float(np.sum(self.weights / self.rates**2)) / (steps * dt)

    def exact(self, kT: float, dt: float, steps: int, integrator: str) -> float:
        """Squared error of an average, for any number of steps."""
        return float(self.weights @ average_variance(self.rates, kT, dt, steps, integrator))

    def steps(self, kT: float, dt: float, loss: float) -> int:
        """Averaged steps after which sampling costs ``loss`` of cosine: N dt = kT <(M^-2)_yy> / ((1
        - c) var).
        """
        return max(1, int(np.ceil(self.law(kT, dt, 1) * np.mean(1 / self.lengths) / (2 * loss))))

    def loss(self, square: float) -> float:
        """Cosine lost to the noiseless answer by a squared error: 1 - 1 / sqrt(1 + error^2 /
        length^2).
        """
        return float(np.mean(1 - 1 / np.sqrt(1 + square / self.lengths)))


def sampling(subjects: list[Subject], gateware: Gateware, seed: int, say: Progress) -> Experiment:
    """H: averaged steps against the law of the mean, and the covariance of both integrators against
    theirs.
    """
    experiment = Experiment("H", "Sampling")
    subject = next(subject for subject in subjects if subject.trained)
    recipe, model = recipes.ours_aligned(subject.model), subject.model
    exact = recipe.energy.mean(recipe.biases(model.x_test))
    answers = recipe.decode(exact)
    noise = Noise.of(recipe, answers, subject.centre)
    target, settings = model.y_test - subject.centre, []
    for kT in TEMPERATURES:
        for dt in SAMPLING_STEPS:
            steps = noise.steps(kT, dt, SAMPLING_LOSS)
            for integrator in (LM, EM):
                say(f"H: sampling, kT = {kT:g}, dt = {dt:g}, {integrator}, {steps:,} steps")
                problem = replace(
                    recipe_problem(recipe, kT=kT, samples=steps, dt=dt, integrator=integrator)
                )
                outputs, program = gateware.run(problem, model.x_test, model.x_train)
                row = f"kT = {kT:g}, dt = {dt:g}, {integrator.upper()}, {steps:,} steps"
                found = recipe.decode(outputs.mean)
                law = (
                    noise.law(kT, program.dt, steps),
                    noise.exact(kT, program.dt, steps, integrator),
                )
                _loss_rows(
                    experiment, row, noise, law, found - subject.centre, answers - subject.centre
                )
                settings.append((kT, program.dt, steps, integrator == LM, law[1] / law[0]))
                _variance_row(
                    experiment,
                    row,
                    recipe.energy,
                    outputs,
                    exact,
                    kT,
                    program.dt,
                    integrator,
                    steps,
                )
                if integrator == LM:
                    reached = scored(found, model.y_test, subject.centre)["centred cosine"]
                    noiseless = scored(answers, model.y_test, subject.centre)["centred cosine"]
                    experiment.add(
                        row,
                        "centred cosine to the targets",
                        float64=noiseless[0],
                        gateware=reached[0],
                        error=reached[1],
                        note=f"float64 is the noiseless answer; about {SAMPLING_LOSS:g} "
                        "are meant to be lost",
                    )
    for name, other in (("aligned skip", recipe), ("closed form", recipes.ours_full(model))):
        law = Noise.of(other, other.predict(model.x_test), subject.centre)
        for kT in (1.0, *sorted(TEMPERATURES, reverse=True), 1e-5):
            experiment.add(
                f"ours, {name}, kT = {kT:g}, dt = 1",
                f"averaged steps for {LOSS:g} of centred cosine",
                float64=law.steps(kT, 1.0, LOSS),
                note="by the law",
            )
    spread = float(np.mean(np.sum(target**2, axis=1)))
    cost = [
        experiment.find(
            f"ours, {name}, kT = 1, dt = 1", f"averaged steps for {LOSS:g} of centred cosine"
        ).float64
        for name in ("aligned skip", "closed form")
    ]
    ratios = [result for result in experiment.results if result.quantity == "squared error / law"]
    pull = np.sqrt(
        np.mean([((result.gateware - result.float64) / result.error) ** 2 for result in ratios])
    )
    experiment.arrays["settings"] = np.array(settings)
    experiment.paragraphs = [
        "An average over N steps in equilibrium has the variance 2 kT (M^-2)_ii / (N dt), whichever integrator is "
        "used, so the steps for a score c are N dt = kT <(M^-2)_yy> / ((1 - c) var). For a few steps, within the "
        "slowest relaxation, the noise is less than that; float64 is then exact in discrete time. Measured squared "
        f"errors lie {pull:.1f} standard errors from it, root mean square over {len(ratios)} settings (both "
        "integrators draw the same normals, so they are half as many independent ones).",
        "The covariance does depend on the integrator: Euler-Maruyama is too warm by 1 / (1 - dt lambda / 2) in "
        "every mode, Leimkuhler-Matthews is exact.",
        f"At kT = 1 the law asks for {cost[0]:,.0f} averaged steps for the aligned skip, whose states are "
        f"standardised, and {cost[1]:,.0f} for states in activation units, whose centred targets have a mean square "
        f"length of {spread:.2g}.",
    ]
    return experiment


def _loss_rows(
    experiment: Experiment,
    row: str,
    noise: Noise,
    law: tuple[float, float],
    found: np.ndarray,
    answers: np.ndarray,
) -> None:
    """Against the squared errors that the law of many steps and the exact formula give."""
    many, exact = law
    cosines = (
        np.sum(found * answers, axis=1)
        / np.linalg.norm(found, axis=1)
        / np.linalg.norm(answers, axis=1)
    )
    experiment.add(
        row,
        "cosine lost to the noiseless answer",
        float64=noise.loss(exact),
        gateware=1 - cosines.mean(),
        error=cosines.std(ddof=1) / np.sqrt(len(cosines)),
        note=f"float64 is exact for so many steps; the law of many gives {noise.loss(many):.4f}",
    )
    squares = np.sum((found - answers) ** 2, axis=1) / many
    experiment.add(
        row,
        "squared error / law",
        float64=exact / many,
        gateware=squares.mean(),
        error=squares.std(ddof=1) / np.sqrt(len(squares)),
        note="1 for many steps; float64 is exact for so many; the error is over the inputs",
    )


def _variance_row(
    experiment: Experiment,
    row: str,
    energy: Energy,
    outputs,
    exact: np.ndarray,
    kT: float,
    dt: float,
    integrator: str,
    steps: int,
) -> None:
    """Mean square of the states about the closed-form mean, over that of kT M^-1."""
    if outputs.second is None:
        return
    about = np.sum(outputs.second - 2 * exact * outputs.mean + exact**2, axis=1) / (
        kT * energy.variances().sum()
    )
    law = np.trace(stationary_covariance(energy.matrix(), kT=1.0, dt=dt, integrator=integrator))
    experiment.add(
        row,
        "variance / equilibrium's",
        float64=law / energy.variances().sum(),
        gateware=about.mean(),
        error=about.std(ddof=1) / np.sqrt(len(about)),
        note="float64 is the law of the integrator",
    )


# ---- I -------------------------------------------------------------------------------------------


def four_hundred_steps(
    subjects: list[Subject], gateware: Gateware, seed: int, say: Progress
) -> Experiment:
    """I: what 400 steps at kT = 1, as the paper's energy account counts them, answer."""
    experiment = Experiment("I", f"{PAPER_STEPS} steps at kT = 1")
    for subject in subjects:
        rows = [
            recipes.paper_oracle(subject.model, subject.energy()),
            recipes.exact_oracle(subject.model, subject.energy()),
            recipes.ours_full(subject.model),
            recipes.ours_aligned(subject.model),
        ]
        for recipe in rows:
            say(f"I: {PAPER_STEPS} steps, {subject.name}, {recipe.name}")
            _short_run(experiment, subject, recipe, gateware)
    needed = [
        result for result in experiment.results if result.quantity.startswith("averaged steps")
    ]
    least, most = (pick(needed, key=lambda result: result.float64) for pick in (min, max))
    last = [
        result.gateware
        for result in experiment.results
        if result.quantity == "last state, centred cosine"
    ]
    experiment.paragraphs = [
        f"The account multiplies k_B T by the units and by {PAPER_STEPS} steps, so those steps are all the averaging "
        f"there is. The last state has a centred cosine of {min(last):.3f} to {max(last):.3f} with its target: at kT "
        "= 1 a unit's thermal spread is 2.2, many times what depends on the input.",
        f"For sampling to cost {LOSS:g} of centred cosine, the law asks for {least.float64:,.0f} steps ({least.row}) "
        f"to {most.float64:,.0f} ({most.row}).",
    ]
    return experiment


def _short_run(
    experiment: Experiment, subject: Subject, recipe: Recipe, gateware: Gateware
) -> None:
    model, row = subject.model, f"{subject.name}, {recipe.name}"
    inputs = recipe_inputs(recipe, model.x_test, model.y_test)
    stage = Stage(PAPER_STEPS, PAPER_KT, accumulate=True, thin=PAPER_STEPS)
    problem = replace(recipe_problem(recipe, kT=PAPER_KT, samples=1), stages=(stage,))
    outputs, _ = gateware.run(problem, inputs, recipe_inputs(recipe, model.x_train, model.y_train))
    biases = recipe.biases(model.x_test, model.y_test)
    dynamics = relax(
        (recipe.energy,),
        biases[:, None],
        problem.stages,
        dt=1.0,
        integrator=LM,
        initial=np.zeros_like(biases),
        rng=np.random.default_rng(gateware.seed),
    )
    for when, states in (
        ("last state", (dynamics.samples[:, -1], outputs.samples[:, -1])),
        (f"average of {PAPER_STEPS}", (dynamics.mean, outputs.mean)),
    ):
        exact, gate = (
            scored(recipe.decode(state), model.y_test, subject.centre) for state in states
        )
        for quantity in QUANTITIES:
            experiment.add(
                row,
                f"{when}, {quantity}",
                float64=exact[quantity][0],
                gateware=gate[quantity][0],
                paper=PAPER_FULL if quantity == "cosine" and subject.trained else None,
                error=np.hypot(exact[quantity][1], gate[quantity][1]),
                note="float64 dynamics and fabric draw other noise; the paper's score is a linear solve",
            )
    steps = samples_needed(recipe, model, PAPER_KT)
    experiment.add(
        row,
        f"averaged steps for {LOSS:g} of centred cosine",
        paper=PAPER_STEPS,
        float64=steps,
        note="by the law of the mean, dt = 1",
    )
    experiment.add(
        row,
        "k_B T x units x those steps, J",
        paper=BOLTZMANN * ROOM * recipe.energy.units * PAPER_STEPS,
        float64=BOLTZMANN * ROOM * recipe.energy.units * steps,
        note=f"T = {ROOM:g} K",
    )
    experiment.add(
        row,
        f"kT at which {PAPER_STEPS} averaged steps suffice",
        paper=PAPER_KT,
        float64=PAPER_STEPS / steps,
        note=f"for {LOSS:g} of centred cosine, by the law",
    )
