# SPDX-License-Identifier: Apache-2.0
"""Numbers of the generation: digits from the substrate beside real ones and those of a Gaussian."""

from dataclasses import replace

import numpy as np
from sklearn.svm import SVC

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.images.baselines import class_means, gaussian_deviations
from ornstein.host.experiments.images.denoising import CYCLES, PARAMETERS, saturations
from ornstein.host.experiments.images.digits import CLASSES, Digits
from ornstein.host.experiments.images.generator import Generator
from ornstein.host.experiments.images.measures import nearest, spread
from ornstein.host.experiments.images.runners import TwoRunners
from ornstein.host.physics.problem import Problem

GENERATION = "generation"
RECOGNISED, SPREAD, NEAREST = (
    "recognised, %",
    "spread within a class",
    "distance to the nearest training image",
)
"""Quantities of the results, beside the parameters and the cycles."""
REAL, GAUSSIAN, MATCHED, SUBSTRATE = (
    "real digits, held out",
    "Gaussian, pooled covariance",
    "Gaussian, shrunk to the substrate's spread",
    "substrate",
)
NARROW = f"{SUBSTRATE}, 8-bit couplings, 10-bit state"
ZEROED = f"{SUBSTRATE}, couplings zeroed"
"""Rows."""
NARROW_FACTORS, NARROW_SPARE, NARROW_SHIFTS = 8, 6, (4, 6, 8, 10, 12, 14, 16)
"""Of the fabric with coarse numbers: bits of a coupling, top bits of the 16-bit state that stay
unused, and the shifts after a projection that suit them."""


class Table:
    """Scores rows of digits and keeps them.

    Attributes
    ----------
    digits : the classifier is trained on the training digits, and distances are to them
    labels : (n,) classes of the generated digits
    experiment : the results, and as its arrays the images by row
    """

    def __init__(self, digits: Digits, labels: np.ndarray) -> None:
        self.digits, self.labels = digits, labels
        self.classifier = SVC(C=10).fit(digits.train, digits.train_labels)
        self.experiment = Experiment(GENERATION, GENERATION)

    def recognised(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Returns the share of images (n, 64) that the classifier finds in their classes (n,)."""
        return float(np.mean(self.classifier.predict(images) == labels))

    def measure(self, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Returns the three quantities of images (n, 64) that should be of classes (n,)."""
        return {
            RECOGNISED: 100 * self.recognised(images, labels),
            SPREAD: spread(images, labels),
            NEAREST: float(nearest(images, self.digits.train).mean()),
        }

    def score(
        self,
        row: str,
        exact: np.ndarray | None,
        made: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        note: str = "",
    ) -> None:
        """Adds the quantities of one source of images.

        Parameters
        ----------
        exact, made : images (n, 64) from float64 and from the device; one of them may be None
        labels : (n,) their classes, by default those of the generated digits
        """
        labels = self.labels if labels is None else labels
        columns = {"float64": exact, "gateware": made}
        measured = {
            name: self.measure(images, labels)
            for name, images in columns.items()
            if images is not None
        }
        shown = exact if made is None else made
        assert shown is not None  # one of the two is given
        self.experiment.arrays[row] = shown
        error = share_error(self.recognised(shown, labels), len(labels))
        for quantity in (RECOGNISED, SPREAD, NEAREST):
            values = {name: found[quantity] for name, found in measured.items()}
            quantity_error = error if quantity == RECOGNISED else None
            self.add(row, quantity, note, error=quantity_error, **values)

    def add(self, row: str, quantity: str, note: str = "", **values: float | None) -> None:
        """Adds one result; the subject by which it is found is its row."""
        self.experiment.add(row, quantity, note=note, subject=row, **values)


def share_error(share: float, count: int) -> float:
    """Returns the standard error, in percent, of a share of ``count`` independent trials."""
    return float(100 * np.sqrt(share * (1 - share) / count))


def generate_digits(
    generator: Generator, digits: Digits, labels: np.ndarray, run: TwoRunners
) -> Experiment:
    """Generates a digit for each of the classes ``labels`` (n,) in every way.

    Raises ModelMismatchError if the gateware and the integer model differ in a bit.
    """
    table = Table(digits, labels)
    note = "the classifier's own accuracy, not part of its training"
    table.score(REAL, digits.test, labels=digits.test_labels, note=note)
    table.experiment.arrays[REAL] = two_of_each(digits.test, digits.test_labels)
    _run_substrates(table, generator, run)
    _draw_gaussians(table)
    return table.experiment


def _run_substrates(table: Table, generator: Generator, run: TwoRunners) -> None:
    """Adds the trained substrate, the same with coarse numbers, and without couplings."""
    inputs = generator.inputs(table.labels)
    calibration = generator.inputs(np.tile(np.arange(CLASSES), 7))
    problem = generator.problem()
    made, exact = run(f"{GENERATION}, {SUBSTRATE}", problem, inputs, calibration)
    note = (
        f"{len(inputs)} images, {problem.steps} steps each; {saturations(made.saturations)}; "
        "float64 and device draw different noise"
    )
    table.score(SUBSTRATE, exact, made.answers, note=note)
    table.add(SUBSTRATE, PARAMETERS, float64=generator.parameters)
    if made.cycles_per_input is not None:
        table.add(SUBSTRATE, CYCLES, gateware=made.cycles_per_input)
    coarse = coarse_fabric(run.device.fabric)
    narrow = run_narrow(problem, coarse, inputs, calibration, run.device.seed)
    table.score(NARROW, None, narrow, note="integer model of such a fabric")
    bare = replace(
        problem, energies=tuple(energy.without_couplings() for energy in problem.energies)
    )
    made, exact = run(f"{GENERATION}, couplings zeroed", bare, inputs, calibration)
    table.score(ZEROED, exact, made.answers)


def coarse_fabric(fabric: FabricConfig) -> FabricConfig:
    """Returns the fabric with 8-bit couplings."""
    return replace(fabric, name="coarse", factor_width=NARROW_FACTORS, project_shifts=NARROW_SHIFTS)


def run_narrow(
    problem: Problem,
    fabric: FabricConfig,
    inputs: np.ndarray,
    calibration: np.ndarray,
    seed: int,
) -> np.ndarray:
    """Returns the answers (n, 64) of the integer model of a fabric, with a 10-bit state."""
    program = compile_problem(problem, fabric, calibration, spare=NARROW_SPARE)
    with ModelDevice(fabric) as device:
        device.load(program)
        return problem.decode(device.run(inputs, seed=seed).mean)


def _draw_gaussians(table: Table) -> None:
    """Adds a class-conditional Gaussian, and the same with the spread of the substrate."""
    digits, labels = table.digits, table.labels
    centres = class_means(digits.train, digits.train_labels)[labels]
    deviations = gaussian_deviations(
        digits.train, digits.train_labels, len(labels), np.random.default_rng(1)
    )
    made = table.experiment.arrays[SUBSTRATE]
    shrunk = deviations * spread(made, labels) / spread(deviations, labels)
    table.score(GAUSSIAN, centres + deviations, note="class-conditional")
    table.score(MATCHED, centres + shrunk, note="class-conditional")


def two_of_each(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the first image of each class, then the second of each, as (20, 64)."""
    return np.stack(
        [images[labels == label][index] for index in (0, 1) for label in range(CLASSES)]
    )
