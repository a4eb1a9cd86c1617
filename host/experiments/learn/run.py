# SPDX-License-Identifier: Apache-2.0
"""Numbers of ``ornstein learn --benchmark``: chips whose couplings are learned on them, and what
could be done instead.

Everything runs on the integer model with couplings of 12 bits, and everything that is learned from
is read from the device. Scores are centred cosines on the held-out activations, and for the
denoiser dB on held-out images.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.program import Program
from ornstein.host.devices.imperfect import ImperfectDevice
from ornstein.host.devices.imperfections import Chip, Connections, ConverterErrors
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.learn.alternatives import compensated, refitted
from ornstein.host.experiments.learn.arithmetic import learned_multiplies
from ornstein.host.experiments.learn.claims import second_paper
from ornstein.host.experiments.learn.denoiser import TEST_IMAGES, learned_denoiser
from ornstein.host.experiments.learn.gradients import DifferenceRow, GradientRow, gradient_rows
from ornstein.host.experiments.learn.row import Row
from ornstein.host.experiments.scores import score, score_errors
from ornstein.host.learn.learner import Learner, Settings, Validation, random_factors
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe

MISMATCHES = 0.05, 0.1, 0.2
DEAD, READ_BITS, READ_NOISE, KT, DRIFT = 0.01, 12, 0.002, 1e-3, 0.005
COMPARED = 0.1
"""Mismatch of the chip on which the alternatives are compared, and of the chip that drifts."""


@dataclass(frozen=True)
class LearnBenchmark:
    """Rows, the validations of each that learned, the errors of gradients by nudges and by finite
    differences, and the claims of the paper on training.
    """

    rows: list[dict]
    claims: Experiment
    curves: dict[str, list[Validation]] = field(default_factory=dict)
    gradients: list[GradientRow] = field(default_factory=list)
    differences: list[DifferenceRow] = field(default_factory=list)


@dataclass(frozen=True)
class _Case:
    """A chip and how its program begins."""

    what: str
    chip: Chip
    program: Program
    random: bool = False


def run_benchmark(
    *,
    seed: int = 1,
    chips: int = 3,
    images: int = TEST_IMAGES,
    settings: Settings | None = None,
    model: TrainedModel | None = None,
    gateware: str = "rtl",
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> LearnBenchmark:
    """Learns on every chip, and measures the alternatives.

    Parameters
    ----------
    chips : of each mismatch and of the dead connections
    images : that score the denoiser
    settings : of learning; by default those of :class:`Settings`, but with all phases from zero,
        which the integer model runs side by side
    gateware : device that confirms the rows of the paper's claims
    progress : is told (what is being run, how many are done, how many in all)
    """
    model = model or TrainedModel.load()
    settings = settings or Settings(warm=False, seed=seed)
    cold = compile_recipe(recipes.ours_aligned(model), model, REFERENCE)
    cases = _cases(model, cold, chips)
    total = len(cases) + 6
    progress("claims of the paper", 0, total)
    result = LearnBenchmark([], second_paper(model, gateware, seed))
    for number, case in enumerate(cases):
        progress(case.what, number + 1, total)
        row, curve = _learned(case, model, settings)
        result.rows.append(asdict(row))
        result.curves[f"{case.what}, chip {case.chip.seed}"] = curve
    progress("drift, learned on", total - 5, total)
    result.rows.append(asdict(_drifting(cold, model, settings)))
    chip = Chip(seed=1, connections=Connections(mismatch=COMPARED))
    progress("denoiser", total - 4, total)
    row, curve = learned_denoiser(chip, settings, images=images)
    result.rows.append(asdict(row))
    result.curves[row.what] = curve
    for number, (what, done) in enumerate(
        (("interface refitted", refitted), ("factors compensated", compensated))
    ):
        progress(what, total - 3 + number, total)
        found = done(cold, model, chip)
        row = Row(what, 1, COMPARED, 0.0, 0.0, None, *found.scores, 0, *found.costs)
        result.rows.append(asdict(row))
    progress("gradients", total - 1, total)
    gradients, differences = gradient_rows(cold, model)
    result.gradients.extend(gradients)
    result.differences.extend(differences)
    progress("gradients", total, total)
    return result


def _cases(model: TrainedModel, cold: Program, chips: int) -> list[_Case]:
    hot = compile_recipe(recipes.ours_aligned(model), model, REFERENCE, kT=KT)
    mismatched = [
        _Case(f"mismatch {value:g}", Chip(n, connections=Connections(mismatch=value)), cold)
        for value in MISMATCHES
        for n in range(1, chips + 1)
    ]
    dead = [
        _Case(f"{DEAD:.0%} dead", Chip(n, connections=Connections(dead=DEAD)), cold)
        for n in range(1, chips + 1)
    ]
    worst = Connections(mismatch=MISMATCHES[-1])
    # the range of a module's converter holds the means of its ideal answers, twice over
    means = cold.problem.energy.mean(cold.problem.biases(model.x_train)[:, 0])
    ranges = {
        name: 2 * float(np.abs(means[:, part]).max())
        for name, part in cold.problem.energy.slices.items()
    }
    reads = ConverterErrors(bits=READ_BITS, noise=READ_NOISE, ranges=ranges)
    return [
        *mismatched,
        *dead,
        _Case(
            f"mismatch, reads of {READ_BITS} bits", Chip(1, 0, worst, read_converter=reads), cold
        ),
        _Case("random start", Chip(1), cold, random=True),
        _Case(f"kT = {KT:g}", Chip(1, connections=Connections(mismatch=COMPARED)), hot),
    ]


def _learned(case: _Case, model: TrainedModel, settings: Settings) -> tuple[Row, list[Validation]]:
    """Returns the row of a chip, and the validations on the way."""
    with ImperfectDevice(ModelDevice(case.program.config), case.chip, "model") as device:
        start = random_factors(case.program, settings.seed) if case.random else None
        learner = Learner(case.program, device, model.x_train, model.y_train, settings, start=start)
        before = learner.score(model.x_test, model.y_test)
        learner.run()
        learner.take_best()
        after = _after(learner, model)
    chip, units = case.chip, case.program.problem.energy.units
    row = Row(
        case.what,
        chip.seed,
        chip.connections.mismatch,
        chip.connections.dead,
        case.program.problem.kT,
        chip.read_converter.bits,
        before.centred_cosine,
        *after,
        settings.steps,
        device.answered,
        round(device.answered * case.program.input_cycles),
        device.answered * units,
        sum(found.words for found in learner.history),
        learned_multiplies(learner, case.program),
        learner.saturations,
    )
    return row, learner.history


def _after(learner: Learner, model: TrainedModel) -> tuple[float, float]:
    """Returns the centred cosine of the held-out inputs, and its standard error."""
    scored = learner.answers(model.x_test), model.y_test, learner.training_mean
    return score(*scored).centred_cosine, score_errors(*scored).centred_cosine


def _drifting(program: Program, model: TrainedModel, settings: Settings) -> Row:
    """Returns the row of a chip that drifts: its program is learned, then kept or learned on.

    Before and after are scores at the same age of the chip.
    """
    chip = Chip(1, connections=Connections(mismatch=COMPARED, drift=DRIFT))
    centre = model.y_train.mean(axis=0)
    with ImperfectDevice(ModelDevice(program.config), chip, "model") as device:
        data = model.x_train, model.y_train
        first = Learner(program, device, *data, settings)
        first.run()
        begun, kept = device.answered, first.program
        online = replace(
            settings, steps=-(-settings.steps // 2), decay=False, seed=settings.seed + 1
        )
        learner = Learner(kept, device, *data, online)
        for _ in range(online.steps):
            learner.step()
        after = _after(learner, model)
        inputs, words = device.answered - begun, learner.validate().words
        device.load(kept)
        answers = kept.problem.decode(device.run(model.x_test).mean)
        before = score(answers, model.y_test, centre)
    return Row(
        f"drift of {inputs / 1000 * DRIFT:.1%}, learned on",
        1,
        COMPARED,
        0.0,
        0.0,
        None,
        before.centred_cosine,
        *after,
        online.steps,
        inputs,
        round(inputs * program.input_cycles),
        inputs * program.problem.energy.units,
        words,
        learned_multiplies(learner, program),
        learner.saturations,
    )
