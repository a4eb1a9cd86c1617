# SPDX-License-Identifier: Apache-2.0
"""Numbers of ``ornstein images``: denoising and generation of digits, one unit for each pixel.

Every program runs in float64 and on the device. A device that is gateware must agree with the
integer model in every bit of every image.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.host.experiments.common import Experiment, Progress, Runner
from ornstein.host.experiments.images.denoising import denoise_digits
from ornstein.host.experiments.images.digits import CLASSES, load_images
from ornstein.host.experiments.images.generation import generate_digits
from ornstein.host.experiments.images.parameters import SIGMAS, Parameters
from ornstein.host.experiments.images.runners import TwoRunners

PER_CLASS = 100
"""Digits to generate of each class."""


@dataclass(frozen=True, eq=False)
class Images:
    """Everything that the report shows.

    Attributes
    ----------
    device : URI of the device that ran the programs
    provenance : how the parameters were made
    denoising : results by noise level; the arrays are images (n, 64) by row
    generation : results and images of the generation
    labels : (n,) classes of the generated images
    """

    device: str
    provenance: dict
    denoising: dict[float, Experiment]
    generation: Experiment
    labels: np.ndarray

    @property
    def experiments(self) -> list[Experiment]:
        """All experiments, in the order of results.json."""
        return [*self.denoising.values(), self.generation]


def run_images(
    parameters: Parameters,
    device: str = "rtl",
    *,
    per_class: int = PER_CLASS,
    seed: int = 1,
    progress: Progress | None = None,
) -> Images:
    """Denoises the held-out digits and generates ``per_class`` digits of each class.

    Parameters
    ----------
    device : URI of the device
    seed : of the device's and of float64's noise
    progress : is told (what runs, images done, images in all)

    Raises
    ------
    ModelMismatchError
        The gateware and the integer model differ in a bit.
    """
    digits = load_images()
    labels = np.tile(np.arange(CLASSES), per_class)
    with Runner(device, seed) as runner, Runner("float", seed, fabric=runner.fabric) as exact:
        run = TwoRunners(runner, exact, progress)
        denoising = {sigma: denoise_digits(parameters, digits, sigma, run) for sigma in SIGMAS}
        generation = generate_digits(parameters.generator, digits, labels, run)
    return Images(device, parameters.provenance, denoising, generation, labels)
