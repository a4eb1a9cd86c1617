# SPDX-License-Identifier: Apache-2.0
"""A hierarchy: both skips of the U-Net on one substrate, and the shape of Stable Diffusion 1.5 on
the fabric it needs.

Modules are e1, d1, e2, d2: the encoder and decoder side of each skip, level 1 at full resolution.
Two energies join them, each with a link from the decoder of level 2 up to that of level 1: one from
the weights (:func:`bilinear_hierarchy`), one from the activations (:func:`aligned_hierarchy`). An
input is the encoder side of both skips, e1 and e2 side by side, which is what a U-Net's decoder
gets through its skips; the answers are d1 and d2.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import numpy as np

from ornstein.hdl.config import ULX3S, WIDE, FabricConfig
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.bench.run import SD15_CHANNELS, block_rams
from ornstein.host.experiments.demo.run import DEVICE_KT, MODEL_KT, equals_model
from ornstein.host.experiments.results import QUANTITIES, Experiment
from ornstein.host.experiments.scores import Scores, constant_mean, score, shuffled
from ornstein.host.models import recipes
from ornstein.host.models.model_file import DEFAULT_MODEL, TrainedModel
from ornstein.host.models.recipes import ALIGNED_RANK, RANK, Recipe
from ornstein.host.models.run import COLD_SAMPLES, compile_recipe, recipe_inputs, samples_needed
from ornstein.host.physics.couplings import aligned_hierarchy, bilinear_hierarchy, chained
from ornstein.host.physics.interface import sides, split
from ornstein.host.physics.problem import BIAS, Problem, equilibrium, relaxation_steps
from ornstein.sim.energy import Energy
from ornstein.sim.stages import Stage

SPECTRUM = -0.5
"""Power of the rank with which the eigenvalues of a synthetic Gram matrix W'W / 4 fall.

The Gram matrices of the default model's four convolutions fall with powers -0.48 to -0.54 over
their leading half. It is also what a density of eigenvalues with the exponent 3 gives, the middle
of the 2 to 4 that Martin reports for fully connected layers of trained nets (Power Laws in Deep
Learning 2: Universality, KDnuggets, 2018).
"""
LEADING = {"e": 0.05, "d": 0.011}
"""Leading eigenvalue of a synthetic Gram matrix: encoders of the default model have 0.035 and
0.075, decoders 0.011 and 0.012."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Both skips of a trained model, as the recipes of :mod:`ornstein.host.models.recipes` read one.

    Attributes
    ----------
    pairs : level 1 first
    x_train, x_test : (n, units) what the interface reads: the activations of all encoders, side by
        side
    y_train, y_test : (n, units) the activations of all decoders, side by side
    """

    pairs: tuple[TrainedModel, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def load(cls, path: str | Path = DEFAULT_MODEL) -> "Levels":
        """Read a folder of ``ornstein train``. Raises ModelFileError."""
        pairs = tuple(
            TrainedModel.load(path, f"e{level}.conv1.weight", f"d{level}.conv1.weight")
            for level in (1, 2)
        )
        return cls(
            pairs,
            **{
                name: np.hstack([getattr(pair, name) for pair in pairs])
                for name in ("x_train", "y_train", "x_test", "y_test")
            },
        )

    def first_only(self) -> "Levels":
        """The same task for an interface that reads e1 alone."""
        return replace(self, x_train=self.pairs[0].x_train, x_test=self.pairs[0].x_test)

    def by_module(self, encoder: str, decoder: str) -> dict[str, np.ndarray]:
        """Those two attributes of every pair under the names of the modules, e1, d1, e2, d2."""
        return {
            f"{side}{level}": getattr(pair, name)
            for level, pair in enumerate(self.pairs, 1)
            for side, name in (("e", encoder), ("d", decoder))
        }

    def aligned(self, linked: bool = True) -> Energy:
        """The energy from the activations."""
        return aligned_hierarchy(self.by_module("x_train", "y_train"), ALIGNED_RANK, linked=linked)

    def bilinear(self) -> Energy:
        """The energy from the weights."""
        return bilinear_hierarchy(self.by_module("W_enc", "W_dec"), RANK)


@dataclass(frozen=True)
class Row:
    """One program and one of its decoders. ``gateware`` and what follows are None where nothing ran
    on a device.

    ``error`` is the standard error of each of the gateware's scores over the held-out inputs
    (jackknife).
    """

    recipe: str
    module: str
    float64: Scores
    note: str
    gateware: Scores | None = None
    error: Scores | None = None
    device: str | None = None
    weights: int | None = None
    constants: int | None = None
    steps: int | None = None
    samples: int | None = None
    cycles: float | None = None
    equals_model: bool | None = None


@dataclass(frozen=True)
class Relaxation:
    """Distance (steps,) of one module from the closed form, of the closed form's length, while
    relaxing from zero.
    """

    recipe: str
    module: str
    measured: np.ndarray
    theory: np.ndarray


@dataclass(frozen=True)
class Large:
    """The Stable-Diffusion-1.5-shaped hierarchy on its fabric.

    ``words`` holds (words taken, words there are) by memory. ``error`` is the distance of each
    module's mean from the closed form, ``coefficients`` that of the closed form with the couplings
    as quantized, ``share`` that of the same biases without couplings, all relative to the closed
    form's length. ``cycles`` a step come from the schedule, ``bound`` is 4 sum(D) k / lanes over
    the skips' D.
    """

    sizes: tuple[int, ...]
    units: int
    rank: int
    steps: int
    fabric: FabricConfig
    words: dict[str, tuple[int, int]]
    block_rams: int
    cycles: float
    bound: float
    eigenvalues: tuple[float, float]
    saturations: int
    error: dict[str, float]
    coefficients: dict[str, float]
    share: dict[str, float]

    def experiment(self) -> Experiment:
        """The numbers as results.json holds them."""
        found = Experiment("sd15", "The shape of Stable Diffusion 1.5")
        for module, error in self.error.items():
            found.add(
                f"model:{self.fabric.name}",
                f"{module} relative error",
                float64=self.coefficients[module],
                gateware=error,
                note="mean at kT = 0 from the closed form; float64 column: the closed form with "
                f"the couplings as quantized; without couplings {self.share[module]:.3g}",
            )
        found.add(
            self.fabric.name,
            "cycles a step",
            float64=self.bound,
            gateware=self.cycles,
            note="float64 column: the bound 4 sum(D) k / lanes; gateware: from the schedule",
        )
        for name, (used, there) in self.words.items():
            found.add(self.fabric.name, f"{name} words", gateware=used, note=f"of {there}")
        found.add(
            self.fabric.name,
            "block RAMs",
            gateware=self.block_rams,
            note="of 208 in an ECP5-85F, by formula",
        )
        return found


@dataclass
class Hierarchy:
    """Everything that the report shows.

    Attributes
    ----------
    cycles : (measured, from the schedule) a step and input, by program
    links : strength of each mode of the aligned link, in units of the leak
    gain : what the aligned link adds to the centred cosine of d1 over levels apart, in float64, and
        its standard error
    """

    device: str
    fabric: FabricConfig
    rows: list[Row] = field(default_factory=list)
    relaxation: list[Relaxation] = field(default_factory=list)
    cycles: dict[str, tuple[float | None, float]] = field(default_factory=dict)
    links: tuple[float, ...] = ()
    gain: tuple[float, float] = (0.0, 0.0)
    large: Large | None = None

    def experiments(self) -> list[Experiment]:
        """All numbers as results.json holds them; the paper has no hierarchy, so its column is
        empty.
        """
        both = Experiment("hierarchy", "Both skips at once")
        for row in self.rows:
            measured, errors = (
                astuple(scores) if scores else [None] * len(QUANTITIES)
                for scores in (row.gateware, row.error)
            )
            for name, exact, value, error in zip(
                QUANTITIES, astuple(row.float64), measured, errors, strict=True
            ):
                note = row.note + "; error: jackknife over the held-out inputs" * bool(row.error)
                both.add(
                    row.recipe,
                    f"{row.module} {name}",
                    float64=exact,
                    gateware=value,
                    error=error,
                    note=note,
                )
        for name, (measured, planned) in self.cycles.items():
            both.add(
                name,
                "cycles a step and input",
                float64=planned,
                gateware=measured,
                note="float64 column: the schedule's; gateware: counted over whole jobs, conditioning included",
            )
        return [both, self.large.experiment()] if self.large else [both]


def run_hierarchy(
    model_path: str | Path = DEFAULT_MODEL,
    device: str = f"rtl:{WIDE.name}",
    seed: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Hierarchy:
    """Compile, relax and score both hierarchies, and relax the large one on the integer model.

    Parameters
    ----------
    model_path : folder of ``ornstein train``
    device : URI for every row but two long averages, which run on the integer model of the same
        fabric; the fabric must hold four modules of 384 units in all
    progress : told (what, done, in all) as it goes

    Raises
    ------
    ModelFileError, DeviceError, ProgramError
    DemoError
        An integer device and the integer model differ in a bit.
    """
    say = progress or (lambda what, done, total: None)
    say("fitting the interfaces", 0, 1)
    levels = Levels.load(model_path)
    with open_device(device) as opened:
        fabric = opened.config or WIDE
    result = Hierarchy(device, fabric)
    aligned = replace(recipes.ours_aligned(levels, levels.aligned()), name="aligned, linked")
    apart = replace(
        recipes.ours_aligned(levels, levels.aligned(linked=False)),
        name="aligned, levels apart",
        note="refitted without the link",
    )
    full = replace(recipes.ours_full(levels, levels.bilinear()), name="bilinear, linked")
    one = replace(
        recipes.ours_aligned(levels.first_only(), aligned.energy),
        name="aligned, linked, reads e1 only",
        note="the interface sees e1 alone",
    )
    oracle = replace(
        recipes.exact_oracle(levels, full.energy), note="b = M z on the bilinear energy"
    )
    result.links = tuple(
        map(float, aligned.energy.couplings[-1].mix[1, 2] / (-2 * aligned.energy.j2))
    )
    result.gain = _gain(aligned, apart, levels)
    model = f"model:{fabric.name}"
    plan = [
        (recipe, device, 0.0)
        for recipe in (
            oracle,
            aligned,
            unlinked(aligned),
            aligned.without_couplings(),
            apart,
            one,
            full,
            unlinked(full),
            full.without_couplings(),
        )
    ]
    plan += [(aligned, device, DEVICE_KT), (aligned, model, MODEL_KT), (full, model, DEVICE_KT)]
    say("fitting the interfaces", 1, 1)

    total = len(plan) * len(levels.x_test)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        say("relaxing", done, total)

    result.rows = _references(levels, aligned)
    for recipe, uri, kT in plan:
        task = levels.first_only() if recipe is one else levels
        rows, cycles = run_recipe(recipe, task, fabric, uri, kT=kT, seed=seed, advance=advance)
        result.rows += rows
        result.cycles[rows[0].recipe] = cycles
    result.relaxation = [
        curve
        for recipe in (aligned, full)
        for curve in relaxation(recipe, levels, fabric, device, seed)
    ]
    say("7,040 units on the integer model", 0, 1)
    result.large = run_large(seed=seed)
    say("7,040 units on the integer model", 1, 1)
    return result


def unlinked(recipe: Recipe) -> Recipe:
    """The same program with its links zeroed, not refitted: what it loses is what crosses from
    level to level.
    """
    names = [module.name for module in recipe.energy.modules]
    couplings = []
    for coupling in recipe.energy.couplings:
        level = np.array([names.index(name) // 2 for name in coupling.modules])
        couplings.append(replace(coupling, mix=coupling.mix * (level[:, None] == level)[..., None]))
    energy = replace(recipe.energy, couplings=tuple(couplings))
    return replace(
        recipe, name=f"{recipe.name}, link zeroed", energy=energy, note="same biases, not refitted"
    )


def recipe_program(
    recipe: Recipe,
    levels: Levels,
    fabric: FabricConfig,
    *,
    kT: float = 0.0,
    stages: tuple[Stage, ...] | None = None,
) -> Program:
    """Compile with ranges from the training activations; ``stages`` are the usual ones for ``kT``
    unless given.
    """
    samples = max(COLD_SAMPLES, samples_needed(recipe, levels, kT))
    return compile_recipe(recipe, levels, fabric, kT=kT, samples=samples, stages=stages)


def run_recipe(
    recipe: Recipe,
    levels: Levels,
    fabric: FabricConfig,
    device: str,
    *,
    kT: float = 0.0,
    seed: int = 1,
    advance: Callable[[int], None] | None = None,
) -> tuple[list[Row], tuple[float | None, float]]:
    """A row for each decoder, and the cycles a step and input, (measured, from the schedule)."""
    program = recipe_program(recipe, levels, fabric, kT=kT)
    inputs = recipe_inputs(recipe, levels.x_test, levels.y_test)
    with open_device(device) as opened:
        opened.load(program)
        outputs = opened.run(inputs, seed=seed, progress=advance)
    cycles, steps = outputs.counters["cycles"], program.problem.steps
    each = cycles / len(inputs) if cycles is not None else None
    equal = equals_model(program, inputs, outputs, seed) if cycles is not None else None
    exact, answer = (
        _by_decoder(recipe.energy, values)
        for values in (recipe.predict(levels.x_test, levels.y_test), recipe.decode(outputs.mean))
    )
    targets, means = (
        _by_decoder(recipe.energy, values)
        for values in (levels.y_test, levels.y_train.mean(axis=0))
    )
    row = recipe.name + f", kT = {kT:g}" * bool(kT)
    rows = [
        Row(
            row,
            name,
            score(exact[name], targets[name], means[name]),
            recipe.note,
            score(answer[name], targets[name], means[name]),
            jackknife(answer[name], targets[name], means[name]),
            device,
            recipe.weights,
            recipe.constants,
            steps,
            program.problem.samples,
            each,
            equal,
        )
        for name in targets
    ]
    return rows, (each / steps if each else None, scheduled_cycles(program))


def scheduled_cycles(program: Program) -> float:
    """Cycles of a time step for one input, from the schedule."""
    passes = program.schedule()[-1][1]
    return step_cycles(program.config, passes) / program.layout.chains


def jackknife(
    answer: np.ndarray, target: np.ndarray, mean: np.ndarray, other: np.ndarray | None = None
) -> Scores:
    """Standard error of every score over the inputs, each left out in turn; of its lead over that
    of ``other``.
    """
    count = len(target)

    def without(values: np.ndarray, index: int) -> np.ndarray:
        return np.array(
            astuple(score(np.delete(values, index, 0), np.delete(target, index, 0), mean))
        )

    left = [without(answer, i) - (0 if other is None else without(other, i)) for i in range(count)]
    return Scores(*(np.std(left, axis=0) * np.sqrt(count - 1)).tolist())


def relaxation(
    recipe: Recipe, levels: Levels, fabric: FabricConfig, device: str, seed: int = 1
) -> list[Relaxation]:
    """Every module's way to equilibrium from zero at kT = 0, every step kept, against (1
    - dt M)^n.
    """
    steps = relaxation_steps(recipe.energy, 1.0)
    program = recipe_program(
        recipe, levels, fabric, stages=(Stage(steps, accumulate=True, thin=1),)
    )
    inputs = levels.x_test[: program.layout.chains]
    with open_device(device) as opened:
        opened.load(program)
        samples = opened.run(inputs, seed=seed).samples
    final = recipe.energy.mean(recipe.biases(inputs))
    decay = np.eye(recipe.energy.units) - program.dt * recipe.energy.matrix()
    left, way = final, []
    for _ in range(steps):
        left = left @ decay
        way.append(left)
    found = []
    for name, part in recipe.energy.slices.items():
        scale = np.linalg.norm(final[:, part])
        measured = np.linalg.norm(samples[..., part] - final[:, None, part], axis=(0, 2)) / scale
        found.append(
            Relaxation(
                recipe.name,
                name,
                measured,
                np.linalg.norm(np.array(way)[..., part], axis=(1, 2)) / scale,
            )
        )
    return found


def synthetic_energy(
    sizes: tuple[int, ...] = SD15_CHANNELS, rank: int = RANK, seed: int = 0
) -> Energy:
    """Skips of those sizes, each decoder linked to the next one up, from synthetic weights of a
    realistic spectrum.

    The factors are what :func:`gram_factors` would make of weights whose Gram matrix has random
    singular vectors and the eigenvalues ``LEADING`` rank^``SPECTRUM``. Raises EnergyError if M is
    not positive definite.
    """
    rng = np.random.default_rng(seed)
    values = np.arange(1, rank + 1) ** SPECTRUM
    return chained(
        {
            f"{side}{level}": np.linalg.qr(rng.normal(size=(size, rank)))[0]
            * np.sqrt(leading * values)
            for level, size in enumerate(sizes, 1)
            for side, leading in LEADING.items()
        }
    )


def synthetic_inputs(energy: Energy, count: int, seed: int = 0) -> np.ndarray:
    """Biases (count, units) in the span of every module's modes, where couplings act: elsewhere a
    unit just leaks.
    """
    rng = np.random.default_rng(seed)
    (coupling,) = energy.couplings
    modes = [factor / np.linalg.norm(factor, axis=0) for factor in coupling.factors]
    return np.hstack([rng.normal(size=(count, coupling.rank)) @ mode.T for mode in modes])


def large_program(energy: Energy, fabric: FabricConfig = ULX3S) -> Program:
    """The program that relaxes ``energy`` under biases at kT = 0. Raises ProgramError if it does
    not fit.
    """
    problem = Problem(
        "sd15 shape", (energy,), equilibrium(energy, kT=0.0, samples=COLD_SAMPLES), entry=BIAS
    )
    return compile_problem(problem, fabric, synthetic_inputs(energy, 8, seed=1))


def run_large(
    sizes: tuple[int, ...] = SD15_CHANNELS,
    fabric: FabricConfig = ULX3S,
    inputs: int = 2,
    seed: int = 1,
) -> Large:
    """Relax the synthetic hierarchy on the integer model of ``fabric``, every module compared with
    its closed form.
    """
    energy = synthetic_energy(sizes)
    program = large_program(energy, fabric)
    biases = synthetic_inputs(energy, inputs, seed=2)
    with open_device(f"model:{fabric.name}") as device:
        device.load(program)
        outputs = device.run(biases, seed=seed)
    exact, alone = energy.mean(biases), energy.without_couplings().mean(biases)
    rank, values = energy.couplings[0].rank, energy.eigenvalues()

    def distances(states: np.ndarray) -> dict[str, float]:
        return {
            name: float(np.linalg.norm((states - exact)[:, part]) / np.linalg.norm(exact[:, part]))
            for name, part in energy.slices.items()
        }

    layout = program.layout
    words = {
        "factor": len(program.factor),
        "state": layout.chains * layout.state_words,
        "drive": layout.constant_word + len(program.constants),
        "descriptor": len(program.descriptors),
    }
    return Large(
        sizes=sizes,
        units=energy.units,
        rank=rank,
        steps=program.problem.steps,
        fabric=fabric,
        words={name: (used, getattr(fabric, f"{name}_depth")) for name, used in words.items()},
        block_rams=block_rams(fabric),
        cycles=scheduled_cycles(program),
        bound=4 * sum(sizes) * rank / fabric.lanes,
        eigenvalues=(float(values[0]), float(values[-1])),
        saturations=outputs.counters["rank_saturations"] + outputs.counters["state_saturations"],
        error=distances(outputs.mean),
        coefficients=distances(program.realised[0].mean(biases)),
        share=distances(alone),
    )


def _references(levels: Levels, recipe: Recipe) -> list[Row]:
    """Rows that need no device: the constant, and the closed form against the targets of other
    inputs.
    """
    answer, target, mean = (
        _by_decoder(recipe.energy, values)
        for values in (recipe.predict(levels.x_test), levels.y_test, levels.y_train.mean(axis=0))
    )
    return [
        row
        for name in target
        for row in (
            Row(
                "constant mean",
                name,
                constant_mean(target[name], mean[name]),
                "the training mean for every input",
            ),
            Row(
                f"{recipe.name}, shuffled targets",
                name,
                shuffled(answer[name], target[name], mean[name]),
                "each answer against another input's target",
            ),
        )
    ]


def _gain(recipe: Recipe, other: Recipe, levels: Levels) -> tuple[float, float]:
    """Lead in the centred cosine of the first decoder, and its standard error."""
    one, two, target, mean = (
        next(iter(_by_decoder(recipe.energy, values).values()))
        for values in (
            recipe.predict(levels.x_test),
            other.predict(levels.x_test),
            levels.y_test,
            levels.y_train.mean(axis=0),
        )
    )
    lead = score(one, target, mean).centred_cosine - score(two, target, mean).centred_cosine
    return lead, jackknife(one, target, mean, two).centred_cosine


def _by_decoder(energy: Energy, values: np.ndarray) -> dict[str, np.ndarray]:
    """Values (..., units of all decoders) by the decoders' names."""
    _, decoders = sides(energy)
    return dict(zip(decoders, split(energy, decoders, values), strict=True))
