# SPDX-License-Identifier: Apache-2.0
"""A substrate that generates digits from noise, and its training.

The energy changes block by block until the units hold a digit. The method is that of Whitelam's
generative thermodynamic computer (arXiv 2506.15121), which trains a potential V = J2 x^2 + J4 x^4 +
b.x + x'Jx so that its Langevin dynamics reverses trajectories that turn data into noise. Here these
trajectories add noise whose standard deviation grows by a constant ratio a step, from the data to
`HOT`. The drift that best predicts the steps of the reversed trajectories is a least-squares
problem, linear in b and J:

    x_after - x_before + leak x_before + 4 j4 x_before^3  =  b[class] + S x_before,     S symmetric,
    of rank 16,

solved for each of 8 blocks of 4 steps. Because the ratio is constant, one leak suits all blocks: a
direction in which the data do not vary shrinks by 1 - leak = ratio^2 a step. So M = leak I - S on a
substrate with dt = 1. The eigenvalues of S are limited to less than the leak, which keeps M
positive definite.

The noise to start from is made by the energy of the first block, relaxed at the temperature that
belongs to `HOT`. So a run needs only the biases of its class, one set for each block.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.host.experiments.images.digits import CLASSES, PIXELS
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import EM, Stage

BLOCKS, PER_BLOCK = 8, 4
RANK = 16
LEAK = 11 / 64
"""2 j2 dt. In the 32 steps the noise falls from `HOT` to (1 - LEAK)^16 HOT = 0.049 of a pixel's
range."""
J4 = 0.02
CENTRE = 0.5
"""Pixel of a state of zero: mid grey, so that the quartic term treats black and white alike."""
HOT = 1.0
"""Standard deviation of the noise to start from, in units of a pixel's range."""
HOT_STEPS = 12
"""Steps that make this noise."""
DEFINITE = 0.98
"""Largest eigenvalue of S relative to the leak."""
COPIES = 8
"""Noisy copies of every training image in each block."""


@dataclass(frozen=True, eq=False)
class Generator:
    """Trained parameters of a generative program.

    Attributes
    ----------
    vectors, strengths : S = vectors diag(strengths) vectors' of each block, (blocks, 64, rank) and
        (blocks, rank)
    biases : (blocks, 10, 64)
    """

    vectors: np.ndarray
    strengths: np.ndarray
    biases: np.ndarray

    @property
    def parameters(self) -> int:
        """Number of all trained numbers."""
        return self.vectors.size + self.strengths.size + self.biases.size

    def energies(self) -> tuple[Energy, ...]:
        """Returns the energy of each block."""
        return tuple(
            Energy(
                (Module("pixels", PIXELS),),
                (Coupling(("pixels",), (vectors,), -strengths[None, None]),),
                LEAK / 2,
                J4,
            )
            for vectors, strengths in zip(self.vectors, self.strengths, strict=True)
        )

    def problem(self, name: str = "generate digits", temperature: float = 1.0) -> Problem:
        """Returns the float problem, whose inputs are :meth:`inputs` and whose answers are images.

        It makes noise and then takes 32 steps, the last one at kT = 0. ``temperature`` multiplies
        the temperatures of the blocks, but not that of the noise to start from.
        """
        stages = [Stage(HOT_STEPS, HOT**2 * (1 - (1 - LEAK) ** 2) / 2)]
        stages += [
            Stage(PER_BLOCK, temperature * step_variance(block) / 2, energy=block, bias=block)
            for block in range(BLOCKS - 1)
        ]
        last = BLOCKS - 1
        stages += [
            Stage(PER_BLOCK - 1, temperature * step_variance(last) / 2, energy=last, bias=last),
            Stage(1, 0.0, accumulate=True, energy=last, bias=last),
        ]
        return Problem(
            name=name,
            energies=self.energies(),
            stages=tuple(stages),
            dt=1.0,
            integrator=EM,
            entry=BIAS,
            bias_sets=BLOCKS,
            readout=Readout(np.ones(PIXELS), np.full(PIXELS, CENTRE)),
            target="pixels",
        )

    def inputs(self, labels: np.ndarray) -> np.ndarray:
        """Returns the biases of all blocks, (n, 8 x 64), for classes (n,)."""
        return self.biases[:, labels].swapaxes(0, 1).reshape(len(labels), -1)


def deviations() -> np.ndarray:
    """Returns the standard deviations (33,) of the noise before each step and at the end."""
    return HOT * (1 - LEAK) ** (np.arange(BLOCKS * PER_BLOCK + 1) / 2)


def step_variance(block: int) -> float:
    """Returns the variance of one step's noise, averaged over the steps of a block.

    It is the variance of x_after given x_before and the clean image.
    """
    steps = deviations()[block * PER_BLOCK : (block + 1) * PER_BLOCK + 1]
    before, after = steps[:-1] ** 2, steps[1:] ** 2
    return float(np.mean(after * (before - after) / before))


def train(images: np.ndarray, labels: np.ndarray, seed: int = 0) -> Generator:
    """Trains all blocks by least squares on images (n, 64) in [0, 1] of classes (n,)."""
    rng = np.random.default_rng(seed)
    clean = np.tile(images - CENTRE, (COPIES // PER_BLOCK, 1))
    classes = np.tile(labels, COPIES)
    steps = deviations()
    vectors, strengths, biases = [], [], []
    for block in range(BLOCKS):
        before, change = [], []
        for step in range(block * PER_BLOCK, (block + 1) * PER_BLOCK):
            low = clean + steps[step + 1] * rng.standard_normal(clean.shape)
            high = low + np.sqrt(steps[step] ** 2 - steps[step + 1] ** 2) * rng.standard_normal(
                clean.shape
            )
            before.append(high)
            change.append(low - high + LEAK * high + 4 * J4 * high**3)
        fitted = _fit(np.concatenate(before), np.concatenate(change), classes)
        for kept, part in zip((vectors, strengths, biases), fitted, strict=True):
            kept.append(part)
    return Generator(np.stack(vectors), np.stack(strengths), np.stack(biases))


def _fit(
    before: np.ndarray, change: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (vectors, strengths, biases) of the best change = b[class] + S before.

    Let C be the covariance of ``before`` and R its cross-covariance with ``change``, both about the
    means of the classes. The best symmetric S solves C S + S C = R + R'. Its 16 eigenvalues of
    largest magnitude are kept.
    """
    means = [
        np.stack([values[classes == label].mean(axis=0) for label in range(CLASSES)])
        for values in (before, change)
    ]
    centred, wanted = before - means[0][classes], change - means[1][classes]
    cross = centred.T @ wanted
    spectrum, basis = np.linalg.eigh(centred.T @ centred)
    symmetric = (
        basis @ (basis.T @ (cross + cross.T) @ basis / (spectrum[:, None] + spectrum)) @ basis.T
    )
    values, vectors = np.linalg.eigh(symmetric)
    kept = np.argsort(-np.abs(values))[:RANK]
    strengths, vectors = np.minimum(values[kept], DEFINITE * LEAK), vectors[:, kept]
    return vectors, strengths, means[1] - (means[0] @ vectors * strengths) @ vectors.T
