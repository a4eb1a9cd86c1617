# SPDX-License-Identifier: Apache-2.0
"""Experiment D: the quartic term at J4 = 0.05, by minimisation and by relaxation."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.gateware import relax
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.experiments.scores import COSINE
from ornstein.host.physics.couplings import ENCODER, gram, gram_factors
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim import reference
from ornstein.sim.energy import Coupling, Energy, Module

J4 = 0.05
DRAWS = 64
"""Random targets."""
WARM_KT, WARM_SAMPLES, WARM_INPUTS = 1e-3, 4096, 8
"""Temperature, averaged steps and inputs of the warm row."""

RANDOM, SCRIPT_ENERGY, ACTIVATIONS, WARM = "random", "script's energy", "activations", "warm"
"""Keys of the rows."""
DIFFERENCE, TO_MINIMUM = "relative difference", "relaxed to minimum, rms"
"""Quantities of the table, beside the cosine."""


@dataclass(frozen=True, eq=False)
class Case:
    """Targets (n, units), the biases that are to hold them, and the energy that they relax in.

    ``relaxed`` (n, units) are the fabric's states, None if nothing ran.
    """

    key: str
    label: str
    energy: Energy
    targets: np.ndarray
    biases: np.ndarray
    relaxed: np.ndarray | None = None


def quartic_check(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment D."""
    experiment = Experiment("D", "Quartic check")
    for subject in subjects:
        say(f"D: quartic check, {subject.name}")
        cases = _cases(subject, runner, seed)
        for case in cases:
            _rows(experiment, subject, case)
        random = next(case for case in cases if case.key == RANDOM)
        _warm_row(experiment, subject, random, runner)
    return experiment


def quartic_minimum(energy: Energy, bias: np.ndarray) -> np.ndarray:
    """Returns the state (units,) of least energy under one bias (units,).

    L-BFGS starts at the harmonic minimum.
    """
    matrix = energy.matrix()

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        force = matrix @ z - bias
        quartic = energy.j4 * np.sum(z**4)
        return z @ (matrix @ z) / 2 - bias @ z + quartic, force + 4 * energy.j4 * z**3

    start = np.linalg.solve(matrix, bias)
    options = {"ftol": 1e-15, "gtol": 1e-10}
    return minimize(value, start, jac=True, method="L-BFGS-B", options=options).x


def gram_module(weight: np.ndarray, scale: float = 2.0, j4: float = 0.0) -> Energy:
    """Returns one module with M = 2 j2 I + scale J for the Gram matrix J of a convolution.

    The default scale gives the block A of the paper's energy.
    """
    factor = gram_factors(gram(weight))
    mix = np.full((1, 1, factor.shape[1]), scale)
    modules = (Module(ENCODER, len(factor)),)
    return Energy(modules, (Coupling((ENCODER,), (factor,), mix),), j4=j4).check()


def _cases(subject: Subject, runner: Runner, seed: int) -> list[Case]:
    weight, model = subject.model.W_enc, subject.model
    targets = 0.3 * np.random.default_rng(seed).standard_normal((DRAWS, subject.size))
    quartic = gram_module(weight, j4=J4)
    biases = targets @ gram_module(weight).matrix()
    states = np.hstack([model.x_test, model.y_test])
    pair = replace(subject.energy(), j4=J4)
    drive = states @ subject.energy().matrix()
    relaxed = relax(runner, quartic, biases)[0]
    script = gram_module(weight, 1.0, J4)  # half the Gram coupling that the bias was made for
    label = "targets 0.3 N(0, 1)"
    return [
        Case(SCRIPT_ENERGY, f"{label}, the script's energy", script, targets, biases),
        Case(RANDOM, label, quartic, targets, biases, relaxed),
        Case(
            ACTIVATIONS,
            "activations, both modules",
            pair,
            states,
            drive,
            relax(runner, pair, drive)[0],
        ),
    ]


def _rows(experiment: Experiment, subject: Subject, case: Case) -> None:
    minima = np.array([quartic_minimum(case.energy, bias) for bias in case.biases])
    row = f"{subject.name}, {case.label}"
    as_paper = not subject.trained and case.key == SCRIPT_ENERGY
    for quantity, measure in ((DIFFERENCE, _differences), (COSINE, _cosines)):
        values = measure(minima, case.targets)
        paper = reported.QUARTIC[quantity] if as_paper else None
        spread = values.std(ddof=1)
        experiment.add(
            row,
            quantity,
            subject=subject.network,
            case=case.key,
            reference=paper,
            float64=values.mean(),
            gateware=None if case.relaxed is None else measure(case.relaxed, case.targets).mean(),
            error=spread / np.sqrt(len(values)),
            note=PROSE(
                "note_quartic",
                spread=spread,
                away=None if paper is None else (paper - values.mean()) / spread,
                relaxed=case.relaxed is not None,
            ),
        )
    if case.relaxed is not None:
        experiment.add(
            row,
            TO_MINIMUM,
            subject=subject.network,
            case=case.key,
            float64=0.0,
            gateware=np.sqrt(np.mean((case.relaxed - minima) ** 2)),
            note=PROSE("note_to_minimum", rms=np.sqrt(np.mean(minima**2))),
        )


def _differences(states: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the distance (n,) from each target, relative to its length."""
    return np.linalg.norm(states - targets, axis=1) / np.linalg.norm(targets, axis=1)


def _cosines(states: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the cosine (n,) with each target."""
    lengths = np.linalg.norm(states, axis=1), np.linalg.norm(targets, axis=1)
    return np.sum(states * targets, axis=1) / lengths[0] / lengths[1]


def _warm_row(experiment: Experiment, subject: Subject, case: Case, runner: Runner) -> None:
    """Adds the mean at a small temperature, on the fabric and in float64 dynamics."""
    energy, biases, targets = case.energy, case.biases[:WARM_INPUTS], case.targets[:WARM_INPUTS]
    stages = equilibrium(choose_time_step([energy], dt=1.0), kT=WARM_KT, samples=WARM_SAMPLES)
    problem = Problem("quartic", (energy,), stages, dt=1.0, entry=BIAS)
    run = runner.run(problem, biases)
    dynamics = reference.relax(
        (energy,),
        biases[:, None],
        stages,
        dt=1.0,
        integrator=problem.integrator,
        initial=np.zeros_like(biases),
        rng=np.random.default_rng(runner.seed),
    )
    float64, gateware = (
        float(np.linalg.norm(mean - targets) / np.linalg.norm(targets))
        for mean in (dynamics.mean, run.outputs.mean)
    )
    minima = np.array([quartic_minimum(energy, bias) for bias in biases])
    stiffness = 2 * energy.j2 + 12 * energy.j4 * minima**2
    noise = np.sqrt(2 * WARM_KT * np.mean(1 / stiffness**2) / WARM_SAMPLES)
    experiment.add(
        f"{subject.name}, {case.label}, kT = {WARM_KT:g}",
        DIFFERENCE,
        subject=subject.network,
        case=WARM,
        float64=float64,
        gateware=gateware,
        error=noise * np.sqrt(minima.size) / np.linalg.norm(targets),
        note=PROSE("note_warm_quartic", samples=WARM_SAMPLES, inputs=len(biases)),
    )
