# SPDX-License-Identifier: Apache-2.0
"""Numbers of ``ornstein classify``: a substrate trained on a device, beside what a host trains."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ornstein.hdl.config import REFERENCE, FabricConfig
from ornstein.host.devices.device import Device, open_device
from ornstein.host.devices.imperfect import ImperfectDevice
from ornstein.host.devices.imperfections import Chip, ConverterErrors
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.classify.classifier import (
    CLASS,
    LEVEL,
    Classifier,
    Training,
    accuracy,
    averaged,
    inputs_of,
    moved,
)
from ornstein.host.experiments.images.digits import SIDE, load_images
from ornstein.host.learn.nudges import MEANS
from ornstein.host.models.data import Images, labelled_images

HIDDEN, RANK = 64, 32
VALIDATED = 128
"""Training images, at most a tenth, that are kept for validation."""
PARAMETER_BITS, READ_BITS = (10, 8, 6, 5, 4), (12, 8, 6, 4, 3, 2)
COPIES = 10
"""Moved copies of each image, beside the image: a network on the host is trained on them, and
answers to them are averaged."""
AVERAGED = f"the same, answers to the image and {COPIES} moved copies averaged"
"""The row of the trained substrate that does that."""
LARGEST_COPIED = 5000
"""Images of which copies are made; a larger set would take hours."""
_READ_RANGE = 2 * LEVEL
"""Largest magnitude that the swept converters of the class units hold."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Row:
    """One classifier.

    Attributes
    ----------
    what : what classified
    device : URI, None on the host
    parameters : trained numbers
    parameter_bits, read_bits : of a factor and of a read-out; None for floats
    accuracy, error : share of the held-out images, and its binomial standard error
    images : held-out images
    """

    what: str
    device: str | None
    parameters: int
    parameter_bits: int | None
    read_bits: int | None
    accuracy: float
    error: float
    images: int


@dataclass
class ClassifyResult:
    """Rows, the validations (step, accuracy) while training, and what the device did for it."""

    data: str
    rows: list[Row] = field(default_factory=list)
    curve: list[tuple[int, float]] = field(default_factory=list)
    inputs: int = 0
    cycles: int = 0

    def results(self) -> list[dict]:
        """The rows as results.json holds them."""
        return [asdict(row) for row in self.rows]


def run_classify(
    training: Training,
    *,
    device: str = "model",
    folder: Path | None = None,
    limit: int | None = None,
    hidden: int = HIDDEN,
    rank: int = RANK,
    progress: Progress = lambda what, done, total: None,
) -> ClassifyResult:
    """Trains a classifier on a device and scores it, beside a linear classifier and a network of as
    many hidden units that the host trains.

    Parameters
    ----------
    device : URI of the device to train on and to answer
    folder : of IDX files; by default scikit-learn's digits of 8 x 8 pixels are classified
    limit : images to train and validate on, drawn by the seed; by default all

    Raises
    ------
    DataError
        The folder does not hold IDX files of images and labels.
    ProgramError
        The classifier does not fit the fabric of the device.
    """
    data = _digits() if folder is None else labelled_images(folder)
    order = np.random.default_rng([training.seed, 2]).permutation(len(data.train))[:limit]
    kept = min(VALIDATED, -(-len(order) // 10))
    train, validation = (
        (data.train[part], data.train_labels[part]) for part in (order[:-kept], order[-kept:])
    )
    classes = int(data.train_labels.max()) + 1
    result = ClassifyResult(data.name)
    with open_device(device) as opened:
        config = opened.config or REFERENCE
        untrained = Classifier.untrained(
            train[0], classes, config, hidden=hidden, rank=rank, seed=training.seed
        )
        score = _Scorer(result, data, training.seed)
        score.on_device("substrate, untrained", untrained, opened)
        ready, result.curve = untrained.trained(
            opened,
            *train,
            training,
            validation=validation,
            progress=lambda done, total: progress("training on the device", done, total),
        )
        result.inputs = training.steps * 3 * min(training.batch, len(train[0]))
        result.cycles = round(result.inputs * untrained.program.input_cycles)
        score.on_device("substrate, trained on the device", ready, opened)
        if training.moved:
            score.on_device(AVERAGED, ready, opened, copies=COPIES)
    progress("sweeping bits", 0, 1)
    _sweep(score, ready, config)
    progress("training on the host", 0, 1)
    _host_rows(score, train, hidden, training)
    progress("training on the host", 1, 1)
    return result


@dataclass(frozen=True)
class _Scorer:
    """Adds rows of the held-out images."""

    result: ClassifyResult
    data: Images
    seed: int

    def on_device(
        self,
        what: str,
        classifier: Classifier,
        device: Device,
        bits: int | None = None,
        read_bits: int | None = None,
        copies: int = 0,
    ) -> None:
        program = classifier.trained_program(bits)
        device.load(program)

        def answer(images: np.ndarray) -> np.ndarray:
            outputs = device.run(inputs_of(images), selection=MEANS)
            return program.problem.decode(outputs.mean)

        width = bits or program.config.factor_width
        answers = self.averaged(answer, copies)
        self.add(what, answers, classifier.parameters, device.uri, width, read_bits)

    def averaged(self, answer: Callable[[np.ndarray], np.ndarray], copies: int) -> np.ndarray:
        """Returns the answers to the held-out images, averaged with those to moved copies."""
        rng = np.random.default_rng([self.seed, 4])
        return averaged(answer, self.data.test, copies, rng)

    def add(
        self,
        what: str,
        answers: np.ndarray,
        parameters: int,
        device: str | None = None,
        bits: int | None = None,
        read_bits: int | None = None,
    ) -> None:
        found, count = accuracy(answers, self.data.test_labels), len(answers)
        error = float(np.sqrt(found * (1 - found) / count))
        self.result.rows.append(Row(what, device, parameters, bits, read_bits, found, error, count))


def _sweep(score: _Scorer, ready: Classifier, config: FabricConfig) -> None:
    """Adds rows of the integer model with fewer bits in the factors, and in the read-out."""
    with ModelDevice(config) as device:
        for bits in PARAMETER_BITS:
            if bits < config.factor_width:
                score.on_device("fewer bits in the factors", ready, device, bits)
    for bits in READ_BITS:
        reads = ConverterErrors(bits=bits, ranges={CLASS: _READ_RANGE})
        with ImperfectDevice(ModelDevice(config), Chip(read_converter=reads), "model") as device:
            score.on_device("fewer bits in the read-out", ready, device, read_bits=bits)


def _host_rows(
    score: _Scorer, train: tuple[np.ndarray, np.ndarray], hidden: int, training: Training
) -> None:
    """Adds a linear classifier and networks of one hidden layer, trained in float64: on the images,
    and on them and copies that are moved as those of the substrate are.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    images, labels = train
    flat = _rows(images)

    def add(what: str, made: Any, parameters: int, copies: int = 0) -> None:
        answers = score.averaged(lambda shown: made.predict_proba(_rows(shown)), copies)
        score.add(what, answers, parameters)

    linear = LogisticRegression(max_iter=2000).fit(flat, labels)
    add("linear classifier, host", linear, linear.coef_.size + linear.intercept_.size)

    def network(what: str, shown: np.ndarray, classes: np.ndarray) -> tuple[Any, int]:
        made = MLPClassifier(
            (hidden,), activation="tanh", max_iter=2000, random_state=training.seed
        )
        made.fit(shown, classes)
        parameters = sum(part.size for part in (*made.coefs_, *made.intercepts_))
        add(what, made, parameters)
        return made, parameters

    network(f"network of {hidden} hidden units, host", flat, labels)
    if training.moved and len(images) <= LARGEST_COPIED:
        rng = np.random.default_rng([training.seed, 3])
        copies = [flat, *(_rows(moved(images, rng)) for _ in range(COPIES))]
        made = network(
            f"the same, {COPIES} moved copies, host",
            np.concatenate(copies),
            np.tile(labels, len(copies)),
        )
        add("the same, answers averaged likewise, host", *made, copies=COPIES)


def _rows(images: np.ndarray) -> np.ndarray:
    """Returns images as rows (n, pixels)."""
    return images.reshape(len(images), -1)


def _digits() -> Images:
    digits = load_images()
    train, test = (part.reshape(-1, SIDE, SIDE) for part in (digits.train, digits.test))
    return Images("digits", train, test, digits.train_labels, digits.test_labels)
