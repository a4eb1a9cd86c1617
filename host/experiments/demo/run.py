# SPDX-License-Identifier: Apache-2.0
"""The main job: trained weights in, equilibrium out, every row of the score table on a device, and
what each error is.

Each row is a recipe (:mod:`ornstein.host.models.recipes`) compiled and run on held-out activations. Rows
that run on an integer device are run on the integer model too, and must agree with it in every bit.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ornstein.hdl.config import FabricConfig, preset
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import FieldRange, Program
from ornstein.host.devices.device import Outputs, open_device
from ornstein.host.experiments.scores import Scores, constant_mean, score, shuffled
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import (
    COLD_SAMPLES,
    compile_recipe,
    recipe_inputs,
    recipe_problem,
    samples_needed,
)
from ornstein.host.physics.couplings import gram, truncation
from ornstein.host.physics.problem import BIAS, Problem, relaxation_steps
from ornstein.sim.reference import covariance_error, mean_error, stationary_covariance
from ornstein.sim.stages import Stage

DEVICE_KT, MODEL_KT = 1e-5, 1e-3
"""Temperatures of the warm rows on the device, and on the model, which takes the longer averages.
"""
TEMPERATURES = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Temperatures for which the samples needed are listed."""
SEED = 1


class DemoError(RuntimeError):
    """The gateware and the integer model disagree: the one thing that must never happen."""


@dataclass(frozen=True)
class Row:
    """One line of the table; None where a column does not apply."""

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


@dataclass(frozen=True)
class ErrorShare:
    """What one stage adds: rms deviation of the decoder's answer, in units of the spread of the
    centred targets.
    """

    recipe: str
    stage: str
    error: float
    how: str


@dataclass(frozen=True)
class Need:
    """What a temperature costs: averaged steps after which sampling takes ``LOSS`` off the centred
    cosine.
    """

    recipe: str
    kT: float
    burn_in: int
    samples: int


@dataclass
class Demo:
    """Everything that the report shows.

    Attributes
    ----------
    rows, errors, needs, ranges : tables; ``ranges`` by recipe
    target, prediction, centre : (n, D) held-out decoder activations, ours in the gateware, and the
        training mean (D,)
    aligned_prediction : (n, D) of the aligned program in the gateware
    distance, distance_theory : (steps,) relative distance from the closed form while relaxing,
        measured and predicted
    covariance, covariance_exact : (units, units) at kT = 1; ``covariance_floor`` is the Monte Carlo
        error to expect
    """

    rows: list[Row] = field(default_factory=list)
    errors: list[ErrorShare] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    ranges: dict[str, tuple[FieldRange, ...]] = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)
    fabric: FabricConfig | None = None
    target: np.ndarray | None = None
    prediction: np.ndarray | None = None
    aligned_prediction: np.ndarray | None = None
    centre: np.ndarray | None = None
    distance: np.ndarray | None = None
    distance_theory: np.ndarray | None = None
    covariance: np.ndarray | None = None
    covariance_exact: np.ndarray | None = None
    covariance_floor: float | None = None

    def results(self) -> list[dict]:
        """The rows as results.json holds them."""
        return [asdict(row) for row in self.rows]


def run_demo(
    model: TrainedModel,
    *,
    device: str = "rtl",
    seed: int = SEED,
    progress: Callable[[str, int, int], None] | None = None,
) -> Demo:
    """Run every row.

    Parameters
    ----------
    device : URI of the device for the rows that run on one
    progress : told (what, inputs done, inputs in all) as it goes

    Raises
    ------
    DemoError
        An integer device and the integer model differ in a bit.
    """
    say = progress or (lambda what, done, total: None)
    with open_device(device) as opened:
        fabric = opened.config or preset("reference")
    demo = Demo(
        provenance=model.provenance,
        fabric=fabric,
        target=model.y_test,
        centre=model.y_train.mean(axis=0),
    )

    say("fitting the interfaces", 0, 1)
    full, aligned = recipes.ours_full(model), recipes.ours_aligned(model)
    refitted = recipes.ours_refitted(model)
    paper = recipes.paper_full(model)
    cold = [
        recipes.paper_oracle(model),
        recipes.exact_oracle(model),
        paper,
        recipes.paper_skip_only(model),
        recipes.no_couplings(model),
        refitted,
        full,
        full.without_couplings(),
        aligned,
        aligned.without_couplings(),
    ]
    plan = [(recipe, device, 0.0, COLD_SAMPLES) for recipe in cold]
    plan += [
        (recipe, uri, 0.0, COLD_SAMPLES)
        for recipe in (full, aligned)
        for uri in ("float", "float:exact")
    ]
    integer_model = f"model:{fabric.name}"
    for recipe in (full, aligned):
        plan += [
            (recipe, uri, kT, max(COLD_SAMPLES, samples_needed(recipe, model, kT)))
            for uri, kT in ((device, DEVICE_KT), (integer_model, MODEL_KT))
        ]
        demo.needs += [
            Need(
                recipe.name,
                kT,
                relaxation_steps(recipe.energy, 1.0),
                samples_needed(recipe, model, kT),
            )
            for kT in TEMPERATURES
        ]
    say("fitting the interfaces", 1, 1)

    inputs_done = [0]
    total = len(plan) * len(model.x_test)

    def advance(count):
        inputs_done[0] += count
        say("running on the devices", inputs_done[0], total)

    def job(entry):
        recipe, uri, kT, samples = entry
        return _run_row(recipe, uri, kT, samples, model, fabric, seed, advance)

    # a serial port has one user at a time; simulators have as many as there are processors
    with ThreadPoolExecutor(1 if device.startswith("serial") else 2) as pool:
        finished = list(pool.map(job, plan))

    target, centre = model.y_test, demo.centre
    outcome = {
        (row.recipe, row.device, row.kT): (row, program, outputs)
        for row, program, outputs in finished
    }
    _, full_program, full_outputs = outcome[full.name, device, 0.0]
    _, aligned_program, aligned_outputs = outcome[aligned.name, device, 0.0]
    demo.prediction = full_program.problem.decode(full_outputs.mean)
    demo.aligned_prediction = aligned_program.problem.decode(aligned_outputs.mean)
    demo.rows = [
        _plain_row("constant mean", constant_mean(target, centre)),
        _plain_row(
            "ours, full interface, shuffled targets", shuffled(demo.prediction, target, centre)
        ),
        *(row for row, _, _ in finished),
    ]
    demo.ranges = {full.name: full_program.ranges, aligned.name: aligned_program.ranges}

    say("attributing the errors", 0, 2)
    for recipe, program, outputs in (
        (full, full_program, full_outputs),
        (aligned, aligned_program, aligned_outputs),
    ):
        warm_row, _, warm = outcome[recipe.name, device, DEVICE_KT]
        demo.errors += _attribute(recipe, program, outputs, warm_row, warm, model)
    say("attributing the errors", 1, 2)
    _relaxation(demo, aligned, model, device, fabric, seed)
    _covariance(demo, full, device, fabric, seed)
    say("attributing the errors", 2, 2)
    return demo


def _run_row(
    recipe: Recipe,
    uri: str,
    kT: float,
    samples: int,
    model: TrainedModel,
    fabric: FabricConfig,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[Row, Program, Outputs]:
    program = compile_recipe(recipe, model, fabric, kT=kT, samples=samples)
    inputs = recipe_inputs(recipe, model.x_test, model.y_test)
    with open_device(uri) as device:
        device.load(program)
        outputs = device.run(inputs, seed=seed, progress=advance)
    scores = score(program.problem.decode(outputs.mean), model.y_test, model.y_train.mean(axis=0))
    equal = None
    if outputs.counters["cycles"] is not None:
        equal = equals_model(program, inputs, outputs, seed)
    counters = outputs.counters
    saturations = (
        None
        if counters["issued"] is None
        else counters["rank_saturations"] + counters["state_saturations"]
    )
    exact = uri == "float:exact"
    row = Row(
        recipe=recipe.name,
        device=uri,
        **asdict(scores),
        weights=recipe.weights,
        constants=recipe.constants,
        kT=kT,
        dt=None
        if exact
        else (program.dt if counters["issued"] is not None else program.problem.dt),
        steps=None if exact else program.problem.steps,
        samples=None if exact else samples,
        cycles=counters["cycles"],
        saturations=saturations,
        utilisation=counters["issued"] / counters["cycles"] if counters["cycles"] else None,
        equals_model=equal,
    )
    return row, program, outputs


def equals_model(program: Program, inputs: np.ndarray, outputs: Outputs, seed: int) -> bool:
    """True, or DemoError: the integer model gives the same bits as the device that gave
    ``outputs``.
    """
    with open_device(f"model:{program.config.name}") as device:
        device.load(program)
        expected = device.run(inputs, seed=seed)
    names = ["sums", "samples"] + (["squares"] if outputs.squares is not None else [])
    counters = {name: value for name, value in outputs.counters.items() if name != "cycles"}
    expected_counters = {
        name: value for name, value in expected.counters.items() if name != "cycles"
    }
    if (
        not all(np.array_equal(getattr(outputs, name), getattr(expected, name)) for name in names)
        or counters != expected_counters
    ):
        raise DemoError(
            f"{program.name}: the gateware and the integer model differ; run ornstein doctor"
        )
    return True


def _plain_row(name: str, scores: Scores) -> Row:
    return Row(recipe=name, device=None, **asdict(scores))


def _attribute(
    recipe: Recipe,
    program: Program,
    cold: Outputs,
    warm_row: Row,
    warm: Outputs,
    model: TrainedModel,
) -> list[ErrorShare]:
    """The error of each stage, each by itself, on the held-out inputs."""
    problem, energy = program.problem, recipe.energy
    decoder = energy.slices[problem.target]
    centred = model.y_test - model.y_train.mean(axis=0)
    spread = np.sqrt(np.mean(centred**2))

    def rms(means, others):
        return float(
            np.sqrt(np.mean((problem.decode(means) - problem.decode(others)) ** 2)) / spread
        )

    biases = recipe.biases(model.x_test, model.y_test)
    exact = energy.mean(biases)
    quantized = np.linalg.solve(program.matrices[0], biases.T).T
    shares = [
        (
            "interface",
            float(np.sqrt(np.mean((recipe.decode(exact) - model.y_test) ** 2)) / spread),
            "the interface's own error: float64 closed form against the targets",
        ),
        (
            "coefficients",
            rms(quantized, exact),
            f"M as {program.config.factor_width}-bit factors realise it, closed form",
        ),
        (
            "formats and rounding",
            rms(cold.mean, quantized),
            "the device at kT = 0 against that closed form",
        ),
    ]
    truncated = [truncation(gram(weight), recipes.RANK) for weight in (model.W_enc, model.W_dec)]
    if recipe.energy.couplings and recipe.energy.couplings[0].mix[0, 0].any():
        full_rank = recipes.ours_full(
            model, recipes.paper_energy(model.W_enc, model.W_dec, recipes.RANK)
        )
        change = full_rank.predict(model.x_test) - recipe.predict(model.x_test)
        shares.insert(
            1,
            (
                "rank",
                float(np.sqrt(np.mean(change**2)) / spread),
                f"Gram terms cut to rank {recipes.RANK}, which drops {truncated[0]:.0%} and "
                f"{truncated[1]:.0%} of their norm; interface refitted to each",
            ),
        )
    discrete = stationary_covariance(
        energy.matrix(), kT=1.0, dt=program.dt, integrator=problem.integrator
    )
    step = float(
        np.linalg.norm(discrete - energy.covariance(1.0)) / np.linalg.norm(energy.covariance(1.0))
    )
    shares.append(
        (
            "time step",
            step,
            f"relative error of the covariance of {problem.integrator.upper()} at dt = "
            f"{program.dt:.4f}; the mean has none",
        )
    )
    expected = mean_error(energy.matrix(), kT=warm_row.kT, dt=program.dt, samples=warm_row.samples)[
        decoder
    ]
    scale = recipe.readout.scale
    shares.append(
        (
            "sampling",
            rms(warm.mean, cold.mean),
            f"kT = {warm_row.kT:g}, {warm_row.samples} samples, against kT = 0; the law of the mean expects "
            f"{np.sqrt(np.mean((expected * scale) ** 2)) / spread:.3f}",
        )
    )
    return [ErrorShare(recipe.name, *share) for share in shares]


def _relaxation(
    demo: Demo, recipe: Recipe, model: TrainedModel, device: str, fabric: FabricConfig, seed: int
) -> None:
    """Relaxation from zero at kT = 0, every step kept, against (1 - dt M)^n."""
    steps = 2 * relaxation_steps(recipe.energy, 1.0)
    problem = replace(
        recipe_problem(recipe, kT=0.0, samples=1), stages=(Stage(steps, accumulate=True, thin=1),)
    )
    program = compile_problem(problem, fabric, model.x_train)
    inputs = model.x_test[: program.layout.chains]
    with open_device(device) as opened:
        opened.load(program)
        samples = opened.run(inputs, seed=seed).samples
    final = recipe.energy.mean(recipe.biases(inputs, None))
    scale = np.linalg.norm(final)
    demo.distance = np.linalg.norm(samples - final[:, None], axis=(0, 2)) / scale
    left, decay = final, np.eye(recipe.energy.units) - program.dt * recipe.energy.matrix()
    theory = []
    for _ in range(steps):
        left = left @ decay
        theory.append(np.linalg.norm(left) / scale)
    demo.distance_theory = np.array(theory)


def _covariance(demo: Demo, recipe: Recipe, device: str, fabric: FabricConfig, seed: int) -> None:
    """Covariance at kT = 1 from thinned samples of 64 undriven chains on the integer model; the
    device runs two.
    """
    energy = recipe.energy
    thin, kept, chains = 8, 600, 64
    problem = Problem(
        name="covariance",
        energies=(energy,),
        entry=BIAS,
        stages=(
            Stage(relaxation_steps(energy, 1.0), 1.0),
            Stage(thin * kept, 1.0, accumulate=True, thin=thin),
        ),
    )
    program = compile_problem(problem, fabric, np.zeros((1, energy.units)))
    inputs = np.zeros((chains, energy.units))
    with open_device(f"model:{fabric.name}") as model_device:
        model_device.load(program)
        outputs = model_device.run(inputs, seed=seed)
    with open_device(device) as opened:
        opened.load(program)
        few = opened.run(inputs[: program.layout.chains], seed=seed)
    if few.sums is not None and not np.array_equal(
        few.samples, outputs.samples[: len(few.samples)]
    ):
        raise DemoError(
            "covariance: the gateware and the integer model differ; run ornstein doctor"
        )
    samples = outputs.samples.reshape(-1, energy.units)
    demo.covariance = samples.T @ samples / len(samples)
    demo.covariance_exact = energy.covariance(1.0)
    slow = np.abs(1 - program.dt * np.linalg.eigvalsh(energy.matrix())).max() ** (2 * thin)
    demo.covariance_floor = covariance_error(
        demo.covariance_exact, len(samples) * (1 - slow) / (1 + slow)
    )
