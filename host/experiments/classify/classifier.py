# SPDX-License-Identifier: Apache-2.0
"""A substrate that tells classes apart, and its training on the device.

Three modules relax together: the pixels, whose biases are the image and one constant, hidden units,
and one unit a class. All have the quartic term, without which the answer would be a linear map of
the image. The class whose unit has the largest mean is the answer.

Training is equilibrium propagation: symmetric nudges of the class units
(:mod:`ornstein.host.learn.nudges`) give the gradient of the cross-entropy. The host reads the class
units, and nudges by the difference between the label and their softmax. At kT = 0 a mean is the
state itself, so that products of means are the correlations that the rule asks for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import ndimage
from scipy.special import softmax

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.advice import compile_or_advise
from ornstein.host.compile.coupling_memory import AdjustableCouplings, Factors
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device
from ornstein.host.learn.adam import Adam
from ornstein.host.learn.nudges import Nudger, loss_gradient
from ornstein.host.learn.steps import definite
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS, Drive, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

PIXELS, HIDDEN, CLASS = "pixels", "hidden", "class"
J2, J4 = 0.5, 1 / 12
"""With these two an uncoupled unit has the curvature 1 + z^2."""
LIMIT = 1.5
"""Largest strength of the couplings. Beyond 1 there are directions in which only the quartic term
holds the state; far beyond, states depend on where they began."""
GAIN, CONSTANT, LEVEL = 8.0, 4.0, 0.5
"""Bias of a unit of brightness, constant bias, and the state that stands for a class."""
TURN, SCALE, SHIFT = 0.075, 0.04, 0.2
"""Standard deviations of what training does to an image of 8 pixels' width: radians of a rotation,
relative size, and pixels of a translation; the last in proportion to the width."""
DT, STEPS = 0.25, 28
LARGEST = 0.6
"""Largest element of a factor that the number formats hold."""
SQUARE = 0.99
"""Share of the old squares of gradients that Adam keeps: a run has hundreds of steps only."""
CALIBRATION = 64
"""Images whose states set the ranges of the number formats."""


@dataclass(frozen=True)
class Training:
    """How a classifier is trained.

    Attributes
    ----------
    steps, batch : gradient steps, and images of each
    rate : of Adam at first; it falls to zero along a cosine
    moved : whether each image is turned, scaled and shifted a little at random, each time
    softmax : temperature of the softmax of the class units, as a share of `LEVEL`
    beta : strength of the nudges
    every : steps between two validations
    seed : of the first factors, the batches and the runs
    """

    steps: int = 1000
    batch: int = 64
    rate: float = 0.008
    moved: bool = True
    softmax: float = 0.25
    beta: float = 1.0
    every: int = 100
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Classifier:
    """A substrate and the factors of its couplings.

    Attributes
    ----------
    program : compiled once; its number formats hold elements up to `LARGEST`
    couplings : of the program
    factors : float factors, trained or not
    """

    program: Program
    couplings: AdjustableCouplings
    factors: Factors

    @classmethod
    def untrained(
        cls,
        images: np.ndarray,
        classes: int,
        config: FabricConfig,
        *,
        hidden: int,
        rank: int,
        seed: int,
    ) -> "Classifier":
        """Returns a classifier with random factors.

        Parameters
        ----------
        images : (n, height, width) for training, which set the centre of the inputs and all ranges
        hidden, rank : hidden units, and modes between the pixels and them

        Raises ProgramError if it does not fit the fabric.
        """
        inputs = inputs_of(images)
        pixels = inputs.shape[1]
        first = _random_factors((pixels, hidden, classes), rank, seed)
        # a column's largest element sets its number format
        ranged = {side: factor.copy() for side, factor in first.items()}
        for factor in ranged.values():
            columns = np.arange(factor.shape[1])
            factor[columns % len(factor), columns] = LARGEST
        problem = _problem(inputs[:, :-1].mean(axis=0), classes, hidden, ranged)
        program = compile_or_advise((problem,), config, inputs[:CALIBRATION])
        couplings = AdjustableCouplings.of(program)
        # the couplings measure each column's elements by the largest one
        first = {side: factor / LARGEST for side, factor in first.items()}
        return cls(program, couplings, couplings.within(first))

    @property
    def parameters(self) -> int:
        """Number of trained factor elements."""
        return sum(factor.size for factor in self.factors.values())

    def trained_program(self, bits: int | None = None) -> Program:
        """Returns the program with the factors, rounded to the fabric's bits or to fewer."""
        if bits is None:
            return self.couplings.with_factors(self.factors)
        step = 1 << self.program.config.factor_width - bits
        scales = self.couplings.scales
        rounded = {
            side: np.rint(factor * scales[side] / step) * step / scales[side]
            for side, factor in self.factors.items()
        }
        return self.couplings.with_factors(self.couplings.within(rounded))

    def trained(
        self,
        device: Device,
        images: np.ndarray,
        labels: np.ndarray,
        training: Training,
        *,
        validation: tuple[np.ndarray, np.ndarray],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple["Classifier", list[tuple[int, float]]]:
        """Trains on a device; returns the classifier, and (step, accuracy) of each validation.

        Parameters
        ----------
        images, labels : (n, height, width) and (n,) to train on
        validation : other images and labels, which nothing is learned from
        progress : is told the steps done, and all
        """
        # From zero, the nudged states are as far from their equilibria as the free one.
        nudger = Nudger(
            self.couplings.program,
            device,
            beta=training.beta,
            warm=False,
            seed=training.seed,
            slope=partial(cross_entropy, temperature=training.softmax * LEVEL),
        )
        nudger.load(self.couplings.with_factors(self.factors))
        wanted = np.eye(len(nudger.weights))[labels]
        factors, curve = dict(self.factors), []
        adam = Adam(factors, square=SQUARE)
        for step in range(training.steps):
            rng = np.random.default_rng([training.seed, 1, step])
            batch = rng.choice(len(images), min(training.batch, len(images)), replace=False)
            shown = moved(images[batch], rng) if training.moved else images[batch]
            phases = nudger.measure(inputs_of(shown), wanted[batch], step)
            gradient = loss_gradient(self.couplings.energy(factors), phases)
            share = np.cos(np.pi / 2 * step / training.steps) ** 2
            adam.update(factors, gradient, training.rate * share)
            factors = self.couplings.within(factors)
            factors, _ = definite(self.couplings.energy(factors), factors, LIMIT)
            nudger.update(self.couplings.with_factors(factors))
            if (step + 1) % training.every == 0 or step + 1 == training.steps:
                answers = nudger.answers(inputs_of(validation[0]), step)
                curve.append((step + 1, accuracy(answers, validation[1])))
            progress(step + 1, training.steps)
        return Classifier(self.program, self.couplings, factors), curve


def inputs_of(images: np.ndarray) -> np.ndarray:
    """Returns images (n, height, width) as inputs (n, pixels + 1), whose last one is constant."""
    return np.concatenate([images.reshape(len(images), -1), np.ones((len(images), 1))], axis=1)


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns images (n, height, width), each turned, scaled and shifted a little at random."""
    results = np.empty(images.shape)
    sides = np.array(images.shape[1:])
    centre = (sides - 1) / 2
    for image, result in zip(images, results, strict=True):
        angle, size = TURN * rng.standard_normal(), 1 + SCALE * rng.standard_normal()
        shift = SHIFT * sides / 8 * rng.standard_normal(2)
        cosine, sine = size * np.cos(angle), size * np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        offset = centre - turn @ centre + shift
        motion = np.block([[turn, offset[:, None]], [np.zeros(2), 1.0]])
        ndimage.affine_transform(image, motion, output=result, order=1)
    return results


def averaged(
    answer: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    copies: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns the mean (n, classes) of the answers to images (n, height, width) and to as many
    moved copies of each.
    """
    total = answer(images)
    for _ in range(copies):
        total = total + answer(moved(images, rng))
    return total / (copies + 1)


def accuracy(answers: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of answers (n, classes) whose largest number is that of the label."""
    return float(np.mean(answers.argmax(axis=1) == labels))


def cross_entropy(free: np.ndarray, wanted: np.ndarray, temperature: float) -> np.ndarray:
    """Returns the slope of the cross-entropy between targets and the softmax of the class units.

    ``temperature`` is the state by which a class has to exceed another to be e times as probable.
    """
    share = softmax(free / temperature, axis=1)
    return wanted + LEVEL / wanted.shape[1] - LEVEL * share


def _random_factors(units: tuple[int, int, int], rank: int, seed: int) -> Factors:
    """Returns factors of strength about 1 between pixels, hidden units and classes."""
    rng = np.random.default_rng([seed, 0])
    pixels, hidden, classes = units

    def drawn(rows: int, columns: int) -> np.ndarray:
        return rng.standard_normal((rows, columns)) / (np.sqrt(rows) + np.sqrt(columns))

    return {
        (0, 0): drawn(pixels, rank),
        (0, 1): drawn(hidden, rank),
        (1, 0): 0.7 * drawn(hidden, classes),
        (1, 1): LARGEST * np.eye(classes),
    }


def _problem(centre: np.ndarray, classes: int, hidden: int, factors: Factors) -> Problem:
    """Returns the float problem: relax from zero, then read one step."""
    modules = Module(PIXELS, len(centre) + 1), Module(HIDDEN, hidden), Module(CLASS, classes)
    ends = (PIXELS, HIDDEN), (HIDDEN, CLASS)
    couplings = tuple(
        Coupling(
            names,
            (factors[number, 0], factors[number, 1]),
            np.array([[0.0, -1.0], [-1.0, 0.0]])[:, :, None] * np.ones(factors[number, 0].shape[1]),
        )
        for number, names in enumerate(ends)
    )
    scale = np.append(np.full(len(centre), 1 / GAIN), 1 / CONSTANT)
    return Problem(
        name=f"classifier with {hidden} hidden units",
        energies=(Energy(modules, couplings, J2, J4),),
        stages=(Stage(STEPS), Stage(1, accumulate=True)),
        dt=DT,
        entry=BIAS,
        drive=Drive((PIXELS,), np.append(centre, 0.0), scale),
        readout=Readout(np.full(classes, 1 / LEVEL), np.full(classes, 1 / classes)),
        target=CLASS,
    )
