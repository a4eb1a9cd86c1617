# SPDX-License-Identifier: Apache-2.0
"""Numbers of ``ornstein demo``: every recipe on a device, scored, and the error of every stage.

Each row is a recipe (:mod:`ornstein.host.models.recipes`), compiled and run on the held-out
activations. A row that runs on gateware is held against the integer model in every bit.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import Any

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.program import FieldRange
from ornstein.host.devices.device import may_be_shared
from ornstein.host.experiments.common import (
    DEVICE_KT,
    MODEL_KT,
    UNABLE,
    Progress,
    Run,
    Runner,
)
from ornstein.host.experiments.scores import Scores, constant_mean, score, shuffled
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.recipes import ALIGNED, FULL, OURS, Recipe
from ornstein.host.models.run import recipe_problem, recipe_time_step, samples_needed
from ornstein.host.physics.couplings import gram, truncation
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.host.physics.timestep import TimeStep, choose_time_step
from ornstein.sim.energy import Energy
from ornstein.sim.reference import covariance_error, mean_error, stationary_covariance
from ornstein.sim.stages import Stage

TEMPERATURES = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Temperatures for which the samples needed are listed."""
COVARIANCE_CHAINS, COVARIANCE_KEPT, COVARIANCE_THIN = 64, 600, 2
"""Chains, samples kept of each, and steps from one kept sample to the next, of the covariance."""
GATEWARE_CHAINS = 2
"""How many of those chains the gateware runs too, and how many inputs the relaxation follows."""
CONSTANT, LINEAR, SHUFFLED = "constant-mean", "linear-map", "shuffled"
"""Keys of the rows that answer the training mean and the linear map of the aligned skip's rank, and
variant of answers held against the targets of other inputs."""

FIT, RANK, COEFFICIENTS = "fit", "rank", "coefficients"
ROUNDING, TIME_STEP, SAMPLING = "formats and rounding", "time step", "sampling"
"""Stages of the computation that add an error."""

Outcomes = dict[tuple[str, str, str, float], Run]
"""Runs by (key, variant, device, kT)."""


@dataclass(frozen=True)
class Row:
    """One line of the table; None where a column does not apply.

    ``cycles`` and ``saturations`` are totals over the held-out inputs, ``utilisation`` the share of
    cycles in which multiply lanes were issued an operation. ``key`` and ``variant`` are those of
    the recipe.
    """

    recipe: str
    device: str | None
    cosine: float
    centred_cosine: float
    r2: float
    top1: float
    weights: int | None = None
    constants: int | None = None
    kT: float | None = None
    dt: float | None = None
    steps: int | None = None
    samples: int | None = None
    cycles: int | None = None
    saturations: int | None = None
    utilisation: float | None = None
    equals_model: bool | None = None
    key: str = ""
    variant: str = ""


@dataclass(frozen=True)
class Failure:
    """A row that cannot run, and why: an unstable energy, or a program that does not fit."""

    recipe: str
    device: str
    reason: str


@dataclass(frozen=True)
class ErrorShare:
    """The error that one stage adds by itself.

    ``error`` is the rms deviation of the decoder's answer, in units of the spread of the centred
    targets; that of the time step is the relative error of the covariance. ``facts`` are the
    numbers that say how it was measured.
    """

    key: str
    recipe: str
    stage: str
    error: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Need:
    """The steps of time step ``dt`` that a temperature asks for.

    ``burn_in`` steps pass before averaging starts; after ``samples`` averaged steps sampling costs
    :data:`ornstein.host.models.run.LOSS` of centred cosine.
    """

    key: str
    recipe: str
    kT: float
    dt: float
    burn_in: int
    samples: int


@dataclass
class Demo:
    """Everything that the report shows; it leaves out what is empty or None.

    Attributes
    ----------
    device : URI of the device of the demo
    rows, errors, needs : the tables
    failures : recipes that cannot run on this network
    ranges : the number formats of a program, by recipe name
    time_steps : what the couplings of a program as they are quantized make of its time step, by
        recipe name
    target, centre : (n, D) held-out decoder activations, and the training mean (D,)
    predictions : (n, D) answers of the device at kT = 0, by the recipe's key
    distance, distance_theory : (steps,) distance from the closed form while relaxing, relative to
        its length, as measured and as the dynamics predict it
    covariance, covariance_exact : (units, units) at kT = 1
    covariance_floor : relative error to expect of ``covariance`` from the number of samples alone
    """

    device: str | None = None
    rows: list[Row] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    errors: list[ErrorShare] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    ranges: dict[str, tuple[FieldRange, ...]] = field(default_factory=dict)
    time_steps: dict[str, TimeStep] = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    fabric: FabricConfig | None = None
    target: np.ndarray | None = None
    centre: np.ndarray | None = None
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    distance: np.ndarray | None = None
    distance_theory: np.ndarray | None = None
    covariance: np.ndarray | None = None
    covariance_exact: np.ndarray | None = None
    covariance_floor: float | None = None

    def results(self) -> list[dict]:
        """Returns the rows as results.json holds them, then those that cannot run and why."""
        rows = [
            {name: value for name, value in asdict(row).items() if name not in ("key", "variant")}
            for row in self.rows
        ]
        empty = dict.fromkeys(rows[0]) if rows else {}
        return rows + [{**empty, **asdict(failure)} for failure in self.failures]


def run_demo(
    model: TrainedModel, *, device: str = "rtl", seed: int = 1, progress: Progress | None = None
) -> Demo:
    """Runs every row and measures the errors, the relaxation and the covariance.

    Parameters
    ----------
    device : URI of the device for the rows that run on one
    progress : is told (what is being run, inputs done, inputs in all)

    Raises
    ------
    ModelMismatchError
        The gateware and the integer model differ in a bit.
    EnergyError, ProgramError
        The aligned recipe cannot run. Another recipe that cannot is listed with its reason.
    """
    say = progress or (lambda what, done, total: None)
    with Runner(device, seed) as runner:
        fabric = runner.fabric
    say("fitting couplings and interfaces", 0, 1)
    cold, failures = _cold_recipes(model, device)
    ours = [recipe for key in (ALIGNED, FULL) for recipe in _find(cold, key)]
    plan = _plan(cold, ours, device, fabric)
    say("fitting couplings and interfaces", 1, 1)
    rows, outcomes, errors = _run_rows(plan, model, device, fabric, seed, say)
    failures += [Failure(job.name, job.device, str(error)) for job, error in errors]
    for job, error in errors:
        if (job.recipe.key, job.recipe.variant, job.kT) == (ALIGNED, "", 0.0):
            raise error

    ours = [recipe for recipe in ours if (recipe.key, "", device, 0.0) in outcomes]
    main = {recipe.key: outcomes[recipe.key, "", device, 0.0] for recipe in ours}
    programs = {recipe.name: main[recipe.key].program for recipe in ours}
    demo = Demo(
        device=device,
        rows=_reference_rows(ours[-1], main[ours[-1].key].answers, model) + rows,
        failures=failures,
        needs=[need for recipe in ours for need in _needs(recipe, model)],
        ranges={name: program.ranges for name, program in programs.items()},
        time_steps={
            name: program.relaxation
            for name, program in programs.items()
            if program.relaxation is not None
        },
        provenance=model.provenance,
        fabric=fabric,
        target=model.y_test,
        centre=model.y_train.mean(axis=0),
        predictions={key: run.answers for key, run in main.items()},
    )
    say("attributing the errors", 0, 2)
    for recipe in ours:
        if warm := outcomes.get((recipe.key, "", device, DEVICE_KT)):
            demo.errors += _error_shares(recipe, main[recipe.key], warm, model)
    say("attributing the errors", 1, 2)
    demo.distance, demo.distance_theory = _relaxation(ours[0], model, device, fabric, seed)
    if FULL in main:
        energy = ours[-1].energy
        demo.covariance, demo.covariance_floor = _covariance(energy, device, fabric, seed)
        demo.covariance_exact = energy.covariance(1.0)
    say("attributing the errors", 2, 2)
    return demo


# ---- rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Job:
    """A row to run."""

    recipe: Recipe
    device: str
    kT: float = 0.0

    @property
    def name(self) -> str:
        """The recipe, and the temperature unless it is 0."""
        return f"{self.recipe.name}, kT = {self.kT:g}" if self.kT else self.recipe.name


def _cold_recipes(model: TrainedModel, device: str) -> tuple[list[Recipe], list[Failure]]:
    """Returns the recipes that run on the device at kT = 0, in the order of the table, and those
    that cannot be made of this network.
    """
    builders: dict[str, Callable[[TrainedModel], Recipe]] = {
        "paper's oracle": recipes.paper_oracle,
        "exact oracle": recipes.exact_oracle,
        "paper's recipe": recipes.paper_full,
        "paper's skip only": recipes.paper_skip_only,
        "paper's recipe, no couplings": recipes.no_couplings,
        "ours, refitted uncoupled": recipes.ours_refitted,
        "ours, aligned skip": recipes.ours_aligned,
        "ours, full interface": recipes.ours_full,
    }
    found, failures = [], []
    for name, build in builders.items():
        try:
            recipe = build(model)
        except UNABLE as error:
            if build is recipes.ours_aligned:
                raise
            failures.append(Failure(name, device, str(error)))
            continue
        found.append(recipe)
        if recipe.key in OURS and not recipe.variant:
            found.append(recipe.without_couplings())
    return found, failures


def _find(candidates: list[Recipe], key: str) -> list[Recipe]:
    return [recipe for recipe in candidates if (recipe.key, recipe.variant) == (key, "")]


def _plan(cold: list[Recipe], ours: list[Recipe], device: str, fabric: FabricConfig) -> list[_Job]:
    """Returns all rows to run: cold ones on the device, ours in float64, and ours with noise."""
    jobs = [_Job(recipe, device) for recipe in cold]
    jobs += [_Job(recipe, uri) for recipe in ours for uri in ("float", "float:exact")]
    for recipe in ours:
        for uri, kT in ((device, DEVICE_KT), (f"model:{fabric.name}", MODEL_KT)):
            jobs.append(_Job(recipe, uri, kT))
    return jobs


def _run_rows(
    plan: list[_Job],
    model: TrainedModel,
    device: str,
    fabric: FabricConfig,
    seed: int,
    say: Progress,
) -> tuple[list[Row], Outcomes, list[tuple[_Job, Exception]]]:
    """Runs the jobs, two at a time; returns their rows and runs, and the jobs that cannot run."""
    total, lock, done = len(plan) * len(model.x_test), Lock(), 0

    def advance(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            say("running on the devices", done, total)

    def run(job: _Job) -> Run | Exception:
        try:
            with Runner(job.device, seed, fabric=fabric) as runner:
                return runner.run_recipe(job.recipe, model, kT=job.kT, progress=advance)
        except UNABLE as error:
            return error

    with ThreadPoolExecutor(2 if may_be_shared(device) else 1) as pool:
        results = list(zip(plan, pool.map(run, plan), strict=True))
    runs = [(job, found) for job, found in results if isinstance(found, Run)]
    errors = [(job, found) for job, found in results if isinstance(found, Exception)]
    outcomes = {(job.recipe.key, job.recipe.variant, job.device, job.kT): run for job, run in runs}
    return [_row(job, run, model) for job, run in runs], outcomes, errors


def _row(job: _Job, run: Run, model: TrainedModel) -> Row:
    recipe, program = job.recipe, run.program
    scores = score(run.answers, model.y_test, model.y_train.mean(axis=0))
    issued = run.outputs.counters["issued"]
    dynamics = {
        "dt": program.problem.time_step if issued is None else program.dt,
        "steps": program.problem.steps,
        "samples": program.problem.samples,
    }
    return Row(
        recipe=recipe.name,
        device=job.device,
        **asdict(scores),
        weights=recipe.weights,
        constants=recipe.constants,
        kT=job.kT,
        **({} if job.device == "float:exact" else dynamics),
        cycles=run.cycles,
        saturations=run.saturations,
        utilisation=issued / run.cycles if issued is not None and run.cycles else None,
        equals_model=True if run.compared else None,
        key=recipe.key,
        variant=recipe.variant,
    )


def _reference_rows(recipe: Recipe, answers: np.ndarray, model: TrainedModel) -> list[Row]:
    """Returns the rows that need no device: the training mean, the linear map that no harmonic
    program can beat at kT = 0, and the recipe's answers to other inputs.
    """
    centre = model.y_train.mean(axis=0)

    def row(name: str, scores: Scores, key: str, variant: str = "") -> Row:
        return Row(recipe=name, device=None, **asdict(scores), key=key, variant=variant)

    return [
        row("constant mean", constant_mean(model.y_test, centre), CONSTANT),
        row(
            f"linear map of rank {recipes.RANK}, float64",
            score(recipes.align_pair(model).linear_map(model.x_test), model.y_test, centre),
            LINEAR,
        ),
        row(
            f"{recipe.name}, shuffled targets",
            shuffled(answers, model.y_test, centre),
            recipe.key,
            SHUFFLED,
        ),
    ]


def _needs(recipe: Recipe, model: TrainedModel) -> list[Need]:
    step = recipe_time_step(recipe)
    return [
        Need(recipe.key, recipe.name, kT, step.dt, step.burn_in, samples_needed(recipe, model, kT))
        for kT in TEMPERATURES
    ]


# ---- errors --------------------------------------------------------------------------------------


def _error_shares(recipe: Recipe, cold: Run, warm: Run, model: TrainedModel) -> list[ErrorShare]:
    """Returns the error of each stage, each by itself, on the held-out inputs."""
    program, problem, energy = cold.program, cold.program.problem, recipe.energy
    centred = model.y_test - model.y_train.mean(axis=0)
    spread = np.sqrt(np.mean(centred**2))

    def rms(deviation: np.ndarray) -> float:
        return float(np.sqrt(np.mean(deviation**2)) / spread)

    def share(stage: str, error: float, **facts: Any) -> ErrorShare:
        return ErrorShare(recipe.key, recipe.name, stage, error, facts)

    biases = recipe.biases(model.x_test, model.y_test)
    exact = recipe.decode(energy.mean(biases))
    quantized = recipe.decode(np.linalg.solve(program.matrices[0], biases.T).T)
    shares = [share(FIT, rms(exact - model.y_test))]
    if recipe.key == FULL:
        full_rank = recipes.ours_full(
            model, recipes.paper_energy(model.W_enc, model.W_dec, recipes.RANK)
        )
        lost = [truncation(gram(weight), recipes.RANK) for weight in (model.W_enc, model.W_dec)]
        change = full_rank.predict(model.x_test) - recipe.predict(model.x_test)
        shares.append(share(RANK, rms(change), rank=recipes.RANK, lost=lost))
    kT, samples = warm.program.problem.kT, warm.program.problem.samples
    decoder = energy.slices[energy.modules[1].name]
    noise = mean_error(energy.matrix(), kT=kT, dt=program.dt, samples=samples)[decoder]
    return [
        *shares,
        share(COEFFICIENTS, rms(quantized - exact), bits=program.config.factor_width),
        share(ROUNDING, rms(cold.answers - quantized)),
        share(
            TIME_STEP,
            _time_step_error(energy, program.dt, problem.integrator),
            integrator=problem.integrator.upper(),
            dt=program.dt,
        ),
        share(
            SAMPLING,
            rms(warm.answers - cold.answers),
            kT=kT,
            samples=samples,
            expected=rms(noise * recipe.readout.scale),
        ),
    ]


def _time_step_error(energy: Energy, dt: float, integrator: str) -> float:
    """Returns the relative error of the covariance that a finite time step leaves."""
    exact = energy.covariance(1.0)
    discrete = stationary_covariance(energy.matrix(), kT=1.0, dt=dt, integrator=integrator)
    return float(np.linalg.norm(discrete - exact) / np.linalg.norm(exact))


# ---- dynamics ------------------------------------------------------------------------------------


def _relaxation(
    recipe: Recipe, model: TrainedModel, device: str, fabric: FabricConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distance from equilibrium after every step at kT = 0, and that of (1 - dt M)^n.

    States start from zero, and the first held-out inputs drive them.
    """
    steps = 2 * recipe_time_step(recipe).steps
    stages = (Stage(steps, accumulate=True, thin=1),)
    inputs = model.x_test[:GATEWARE_CHAINS]
    with Runner(device, seed, fabric=fabric) as runner:
        problem = recipe_problem(recipe, stages=stages)
        run = runner.run(problem, inputs, model.x_train)
    final = recipe.energy.mean(recipe.biases(inputs))
    length = np.linalg.norm(final)
    measured = np.linalg.norm(run.outputs.samples - final[:, None], axis=(0, 2)) / length
    decay = np.eye(recipe.energy.units) - run.program.dt * recipe.energy.matrix()
    remaining, theory = final, []
    for _ in range(steps):
        remaining = remaining @ decay
        theory.append(np.linalg.norm(remaining) / length)
    return measured, np.array(theory)


def _covariance(
    energy: Energy, device: str, fabric: FabricConfig, seed: int
) -> tuple[np.ndarray, float]:
    """Returns the covariance at kT = 1 of chains without bias, and the error to expect of it.

    The integer model runs all chains and gateware the first ones.
    """
    step, kept_steps = choose_time_step([energy]), COVARIANCE_THIN * COVARIANCE_KEPT
    problem = Problem(
        name="covariance",
        energies=(energy,),
        stages=equilibrium(step, kT=1.0, samples=kept_steps, thin=COVARIANCE_THIN),
        dt=step.dt,
        entry=BIAS,
    )
    inputs = np.zeros((COVARIANCE_CHAINS, energy.units))
    uri = f"model:{fabric.name}" if device.startswith("float") else device
    with Runner(uri, seed, gateware_inputs=GATEWARE_CHAINS) as runner:
        run = runner.run(problem, inputs, inputs[:1])
    samples = run.outputs.samples.reshape(-1, energy.units)
    # Kept samples of the slowest mode are correlated, which leaves fewer independent ones.
    rates = np.linalg.eigvalsh(energy.matrix())
    slowest = np.abs(1 - run.program.dt * rates).max() ** (2 * COVARIANCE_THIN)
    independent = len(samples) * (1 - slowest) / (1 + slowest)
    floor = covariance_error(energy.covariance(1.0), independent)
    return samples.T @ samples / len(samples), floor
