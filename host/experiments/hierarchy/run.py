# SPDX-License-Identifier: Apache-2.0
"""Numbers of ``ornstein hierarchy``: several skips of a U-Net on one substrate, by module.

Modules are e1, d1, e2, d2, ...: the encoder and the decoder side of each skip, level 1 at full
resolution. Two energies join them across the levels: one from the activations, one from the
weights (:mod:`.levels`). An input is the encoder side of all skips, e1, e2, ... side by side, which
is what a U-Net's decoder gets through its skips; the answers are d1, d2, ... A recipe that cannot
be made of a network, or that no fabric holds, is listed with the reason. :mod:`.large` adds the
shape of Stable Diffusion 1.5.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass, field

import numpy as np

from ornstein.hdl.config import WIDE, FabricConfig
from ornstein.host.compile.program import ProgramError
from ornstein.host.experiments.bench.large import SD15_CHANNELS
from ornstein.host.experiments.common import (
    DEVICE_KT,
    MODEL_KT,
    UNABLE,
    Experiment,
    Progress,
    Runner,
)
from ornstein.host.experiments.demo.run import CONSTANT, SHUFFLED
from ornstein.host.experiments.hierarchy.large import Large, run_large, scheduled_cycles
from ornstein.host.experiments.hierarchy.levels import (
    FIRST_ONLY,
    Levels,
    bilinear_oracle,
    by_decoder,
    first_only_aligned,
    linked_aligned,
    linked_bilinear,
    separate_aligned,
    unlinked,
)
from ornstein.host.experiments.scores import (
    QUANTITIES,
    Scores,
    constant_mean,
    score,
    score_errors,
    shuffled,
)
from ornstein.host.models.recipes import ALIGNED, FULL, Recipe
from ornstein.host.models.run import recipe_problem, recipe_time_step
from ornstein.host.physics.interface import sides
from ornstein.sim.stages import Stage

RELAXATION_INPUTS = 2
"""How many held-out inputs the relaxation follows."""

CURVE = 2
"""Length of the curve of a relaxation, in relaxations."""

CONSTANT_NOTE = "the training mean for every input"
SHUFFLED_NOTE = "each answer against another input's target"
ERROR_NOTE = "error: jackknife over the held-out inputs"
CYCLES_NOTE = (
    "float64 column: the schedule's; gateware: counted over whole jobs, conditioning included"
)
"""Notes beside the numbers."""


@dataclass(frozen=True)
class Row:
    """One program and one of its decoders.

    ``gateware`` and what follows it are None where nothing ran on a device. ``error`` is the
    standard error of each of the gateware's scores over the held-out inputs, ``cycles`` the clock
    cycles of an input. ``key`` and ``variant`` are those of the recipe.
    """

    recipe: str
    key: str
    variant: str
    module: str
    float64: Scores
    note: str
    kT: float = 0.0
    gateware: Scores | None = None
    error: Scores | None = None
    device: str | None = None
    weights: int | None = None
    constants: int | None = None
    steps: int | None = None
    samples: int | None = None
    cycles: float | None = None
    equals_model: bool | None = None


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Distance (steps,) of a module from its closed form while relaxing from zero at kT = 0.

    It is relative to the closed form's length, as measured and as (1 - dt M)^n predicts it.
    """

    recipe: str
    module: str
    measured: np.ndarray
    theory: np.ndarray


@dataclass
class Hierarchy:
    """Everything that the report shows.

    Attributes
    ----------
    device, fabric : where the rows ran
    rows, relaxation : the tables and the curves
    cycles : (measured, from the schedule) clock cycles of a step and input, by program; measured is
        None where no gateware ran
    links : norm of the aligned coupling between each encoder and each decoder, in units of the leak
    gain : what the aligned link adds to the centred cosine of d1 over levels apart, in float64, and
        its standard error
    interface_ranks : hidden units of the bilinear recipe's interface, for an encoder and a decoder;
        None if it cannot be made
    failures : recipes that cannot run on this network, and why
    large : the shape of Stable Diffusion 1.5
    """

    device: str
    fabric: FabricConfig
    rows: list[Row] = field(default_factory=list)
    relaxation: list[Relaxation] = field(default_factory=list)
    cycles: dict[str, tuple[float | None, float]] = field(default_factory=dict)
    links: dict[str, float] = field(default_factory=dict)
    gain: tuple[float, float] = (0.0, 0.0)
    interface_ranks: tuple[int, int] | None = None
    failures: dict[str, str] = field(default_factory=dict)
    large: Large | None = None

    def experiments(self) -> list[Experiment]:
        """Returns all numbers as results.json holds them; the paper has no hierarchy."""
        both = Experiment("hierarchy", "All skips at once")
        for row in self.rows:
            _add_scores(both, row)
        for name, (measured, planned) in self.cycles.items():
            both.add(
                name,
                "cycles a step and input",
                float64=planned,
                gateware=measured,
                note=CYCLES_NOTE,
            )
        return [both, self.large.experiment()] if self.large else [both]


def _add_scores(experiment: Experiment, row: Row) -> None:
    empty = (None,) * len(QUANTITIES)
    measured = astuple(row.gateware) if row.gateware else empty
    errors = astuple(row.error) if row.error else empty
    note = f"{row.note}; {ERROR_NOTE}" if row.error else row.note
    for name, exact, value, error in zip(
        QUANTITIES, astuple(row.float64), measured, errors, strict=True
    ):
        experiment.add(
            row.recipe,
            f"{row.module} {name}",
            float64=exact,
            gateware=value,
            error=error,
            note=note,
        )


def run_hierarchy(
    levels: Levels,
    device: str = f"rtl:{WIDE.name}",
    seed: int = 1,
    progress: Progress | None = None,
) -> Hierarchy:
    """Compiles, relaxes and scores both hierarchies, and relaxes the large one.

    Parameters
    ----------
    levels : the skips
    device : URI for every row but two long averages, which run on the integer model of the same
        fabric; the fabric must hold all modules
    progress : is told (what is being run, inputs done, inputs in all)

    Raises
    ------
    DeviceError
    EnergyError, ProgramError
        The aligned hierarchy cannot run. Another recipe that cannot is listed with its reason.
    ModelMismatchError
        The gateware and the integer model differ in a bit.
    """
    say = progress or (lambda what, done, total: None)
    say("fitting the interfaces", 0, 1)
    aligned, apart = linked_aligned(levels), separate_aligned(levels)
    cold = [
        aligned,
        unlinked(aligned),
        aligned.without_couplings(),
        apart,
        first_only_aligned(levels),
    ]
    bilinear, failures = _bilinear(levels)
    say("fitting the interfaces", 1, 1)
    with Runner(device, seed, fabric=WIDE) as runner:
        result = Hierarchy(device, runner.fabric, _references(levels, aligned), failures=failures)
        result.links = _link_norms(aligned)
        result.gain = _gain(aligned, apart, levels)
        with Runner(f"model:{runner.fabric.name}", seed) as model:
            plan = [(recipe, runner, 0.0) for recipe in (*cold, *bilinear)]
            plan += [(aligned, runner, DEVICE_KT), (aligned, model, MODEL_KT)]
            plan += [(full, model, DEVICE_KT) for full in bilinear if full.key == FULL][:1]
            _run_rows(result, plan, levels, say)
        for recipe in (aligned, *bilinear):
            if recipe.name in result.cycles and (recipe.key, recipe.variant) in _FOLLOWED:
                _follow(result, recipe, levels, runner)
            if recipe.key == FULL and not recipe.variant:
                result.interface_ranks = _interface_ranks(recipe)
    what = f"{2 * sum(SD15_CHANNELS):,} units on the integer model"
    say(what, 0, 1)
    result.large = run_large(seed=seed)
    say(what, 1, 1)
    return result


def _follow(result: Hierarchy, recipe: Recipe, levels: Levels, runner: Runner) -> None:
    """Adds the relaxation of a recipe, unless the fabric streams no samples."""
    try:
        result.relaxation += relaxation(recipe, levels, runner)
    except ProgramError as error:
        result.failures[f"{recipe.name}, step by step"] = str(error)


_FOLLOWED = ((ALIGNED, ""), (FULL, ""))
"""Key and variant of the recipes whose relaxation is followed step by step."""


def _bilinear(levels: Levels) -> tuple[list[Recipe], dict[str, str]]:
    """Returns the recipes that are made from the weights, or why they cannot be made."""
    try:
        full = linked_bilinear(levels)
        return [full, unlinked(full), full.without_couplings(), bilinear_oracle(levels)], {}
    except UNABLE as error:
        return [], {"bilinear, linked": str(error)}


def _run_rows(
    result: Hierarchy, plan: list[tuple[Recipe, Runner, float]], levels: Levels, say: Progress
) -> None:
    """Runs every (recipe, runner, kT) and adds its rows and cycles to the result."""
    total, done = len(plan) * len(levels.x_test), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        say("relaxing", done, total)

    for recipe, runner, kT in plan:
        task = levels.first_only() if recipe.variant == FIRST_ONLY else levels
        try:
            rows, cycles = run_recipe(recipe, task, runner, kT=kT, advance=advance)
        except UNABLE as error:
            if (recipe.key, recipe.variant, kT) == (ALIGNED, "", 0.0):
                raise
            result.failures[f"{recipe.name}, kT = {kT:g}" if kT else recipe.name] = str(error)
            continue
        result.rows += rows
        result.cycles[rows[0].recipe] = cycles


def run_recipe(
    recipe: Recipe,
    levels: Levels,
    runner: Runner,
    *,
    kT: float = 0.0,
    advance: Callable[[int], None] | None = None,
) -> tuple[list[Row], tuple[float | None, float]]:
    """Returns a row for each decoder, and the cycles of a step and input.

    The cycles are (measured, from the schedule); measured is None if no gateware ran.
    """
    run = runner.run_recipe(recipe, levels, kT=kT, progress=advance)
    exact, answer, target, mean = (
        by_decoder(recipe.energy, values)
        for values in (
            recipe.predict(levels.x_test, levels.y_test),
            recipe.decode(run.outputs.mean),
            levels.y_test,
            levels.y_train.mean(axis=0),
        )
    )
    rows = [
        Row(
            recipe=f"{recipe.name}, kT = {kT:g}" if kT else recipe.name,
            key=recipe.key,
            variant=recipe.variant,
            module=name,
            float64=score(exact[name], target[name], mean[name]),
            note=recipe.note,
            kT=kT,
            gateware=score(answer[name], target[name], mean[name]),
            error=score_errors(answer[name], target[name], mean[name]),
            device=runner.uri,
            weights=recipe.weights,
            constants=recipe.constants,
            steps=run.program.problem.steps,
            samples=run.program.problem.samples,
            cycles=run.cycles_per_input,
            equals_model=True if run.compared else None,
        )
        for name in target
    ]
    measured = run.cycles_per_input
    if measured is not None:
        measured /= run.program.problem.steps
    return rows, (measured, scheduled_cycles(run.program))


def relaxation(recipe: Recipe, levels: Levels, runner: Runner) -> list[Relaxation]:
    """Returns how every module relaxes from zero at kT = 0, every step kept, against its law."""
    energy, steps = recipe.energy, CURVE * recipe_time_step(recipe).steps
    problem = recipe_problem(recipe, stages=(Stage(steps, accumulate=True, thin=1),))
    inputs = levels.x_test[:RELAXATION_INPUTS]
    run = runner.run(problem, inputs, levels.x_train)
    final = energy.mean(recipe.biases(inputs))
    decay = np.eye(energy.units) - run.program.dt * energy.matrix()
    remaining, predicted = final, []
    for _ in range(steps):
        remaining = remaining @ decay
        predicted.append(remaining)
    distance = run.outputs.samples - final[:, None]
    return [
        Relaxation(
            recipe.name,
            name,
            np.linalg.norm(distance[..., part], axis=(0, 2)) / np.linalg.norm(final[:, part]),
            np.linalg.norm(np.array(predicted)[..., part], axis=(1, 2))
            / np.linalg.norm(final[:, part]),
        )
        for name, part in energy.slices.items()
    ]


def _references(levels: Levels, recipe: Recipe) -> list[Row]:
    """Returns rows that need no device: the training mean, and answers to other inputs."""
    answer, target, mean = (
        by_decoder(recipe.energy, values)
        for values in (recipe.predict(levels.x_test), levels.y_test, levels.y_train.mean(axis=0))
    )
    rows = []
    for name in target:
        constant = constant_mean(target[name], mean[name])
        wrong = shuffled(answer[name], target[name], mean[name])
        shuffled_name = f"{recipe.name}, shuffled targets"
        rows += [
            Row("constant mean", CONSTANT, "", name, constant, CONSTANT_NOTE),
            Row(shuffled_name, recipe.key, SHUFFLED, name, wrong, SHUFFLED_NOTE),
        ]
    return rows


def _link_norms(recipe: Recipe) -> dict[str, float]:
    """Returns the Frobenius norm of M between each encoder and each decoder, over the leak."""
    energy = recipe.energy
    matrix, slices = energy.matrix() / (2 * energy.j2), energy.slices
    encoders, decoders = sides(energy)
    return {
        f"{e}-{d}": float(np.linalg.norm(matrix[slices[e], slices[d]]))
        for e in encoders
        for d in decoders
    }


def _interface_ranks(recipe: Recipe) -> tuple[int, int]:
    """Returns the largest number of hidden units of an encoder's layer and of a decoder's."""
    layers = recipe.interface.layers if recipe.interface else ()
    encoders, decoders = sides(recipe.energy)
    encoder_rank, decoder_rank = (
        max(layer.project.shape[1] for layer in layers if layer.target in names)
        for names in (encoders, decoders)
    )
    return encoder_rank, decoder_rank


def _gain(recipe: Recipe, other: Recipe, levels: Levels) -> tuple[float, float]:
    """Returns the lead in the centred cosine of the first decoder, and its standard error."""
    one, two, target, mean = (
        next(iter(by_decoder(recipe.energy, values).values()))
        for values in (
            recipe.predict(levels.x_test),
            other.predict(levels.x_test),
            levels.y_test,
            levels.y_train.mean(axis=0),
        )
    )
    lead = score(one, target, mean).centred_cosine - score(two, target, mean).centred_cosine
    return lead, score_errors(one, target, mean, two).centred_cosine
