# SPDX-License-Identifier: Apache-2.0
"""Numbers of the denoising: substrates beside the Wiener filter and perceptrons of their size."""

from dataclasses import replace

import numpy as np

from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.images.baselines import wiener
from ornstein.host.experiments.images.denoiser import Denoiser
from ornstein.host.experiments.images.digits import Digits, add_noise
from ornstein.host.experiments.images.measures import gain_error, psnr, psnr_error
from ornstein.host.experiments.images.parameters import (
    HIDDEN,
    KINDS,
    QUADRATIC,
    QUARTIC,
    Parameters,
)
from ornstein.host.experiments.images.runners import TwoRunners

PSNR, GAIN, PARAMETERS, CYCLES = "PSNR, dB", "above Wiener, dB", "parameters", "cycles an image"
"""Quantities of the results."""
NOISY, WIENER, TRUTH = "noisy", "Wiener filter", "truth"
ZEROED = f"{QUARTIC}, couplings zeroed"
"""Rows beside the kinds of substrate, and the key of the clean images."""
BASELINE, DIGITAL, SUBSTRATE, CONTROL = "baseline", "digital", "substrate", "control"
"""Cases of the results: what is measured against, digital networks, substrates, and substrates
without their couplings."""
REFERENCES = {
    (NOISY, 0.3): 10.5,
    (NOISY, 0.5): 6.0,
    (WIENER, 0.3): 16.35,
    (WIENER, 0.5): 14.33,
    (QUADRATIC, 0.3): 16.10,
    (QUADRATIC, 0.5): 14.25,
    (QUARTIC, 0.3): 17.23,
    (QUARTIC, 0.5): 14.86,
    (HIDDEN, 0.3): 17.45,
    (HIDDEN, 0.5): 15.00,
}
"""PSNR in dB that a float64 prototype reached on another split of the same digits."""


class Table:
    """Scores rows of images at one noise level and keeps them.

    Attributes
    ----------
    clean, noisy, filtered : held-out images (n, 64), with noise, and after the Wiener filter
    experiment : the results, and as its arrays the images by row
    """

    def __init__(
        self, sigma: float, clean: np.ndarray, noisy: np.ndarray, filtered: np.ndarray
    ) -> None:
        self.sigma, self.clean, self.noisy, self.filtered = sigma, clean, noisy, filtered
        title = f"denoising, sigma {sigma}"
        self.experiment = Experiment(title, title, arrays={TRUTH: clean})

    def score(
        self,
        row: str,
        case: str,
        exact: np.ndarray,
        made: np.ndarray | None = None,
        note: str = "",
    ) -> None:
        """Adds the PSNR of images (n, 64), and their gain over the Wiener filter.

        Parameters
        ----------
        row, case : where the numbers stand
        exact : images from float64
        made : images from the device, None if nothing runs there
        """
        shown = exact if made is None else made
        self.experiment.arrays[row] = shown
        reference = REFERENCES.get((row, self.sigma))
        wiener_reference = REFERENCES[WIENER, self.sigma]
        own = psnr(self.filtered, self.clean)
        exact_psnr = psnr(exact, self.clean)
        made_psnr = None if made is None else psnr(made, self.clean)
        self.add(
            row,
            case,
            PSNR,
            note,
            reference=reference,
            float64=exact_psnr,
            gateware=made_psnr,
            error=psnr_error(shown, self.clean),
        )
        self.add(
            row,
            case,
            GAIN,
            "error of the difference, image by image",
            reference=None if reference is None else reference - wiener_reference,
            float64=exact_psnr - own,
            gateware=None if made_psnr is None else made_psnr - own,
            error=gain_error(shown, self.filtered, self.clean),
        )

    def add(
        self, row: str, case: str, quantity: str, note: str = "", **values: float | None
    ) -> None:
        """Adds one result; the subject by which it is found is its row."""
        self.experiment.add(row, quantity, note=note, subject=row, case=case, **values)


def denoise_digits(
    parameters: Parameters, digits: Digits, sigma: float, run: TwoRunners
) -> Experiment:
    """Denoises the held-out digits with noise of standard deviation ``sigma`` in every way.

    Raises ModelMismatchError if the gateware and the integer model differ in a bit.
    """
    noisy = add_noise(digits.test, sigma, np.random.default_rng(1))
    training = add_noise(digits.train, sigma, np.random.default_rng(2))
    filtered = wiener(digits.train, sigma)(noisy)
    table = Table(sigma, digits.test, noisy, filtered)
    table.score(NOISY, BASELINE, noisy)
    note = "one Gaussian, full covariance of the training digits"
    table.score(WIENER, BASELINE, filtered, note=note)
    for (kind, level), network in parameters.perceptrons.items():
        if level == sigma:
            row = f"perceptron 64-{network.hidden}-64"
            table.score(row, DIGITAL, network(noisy), note=f"tanh; the size of: {kind}")
            table.add(row, DIGITAL, PARAMETERS, float64=network.parameters)
    for kind in KINDS:
        _run_substrate(table, kind, SUBSTRATE, parameters.denoisers[kind, sigma], training, run)
    quartic = parameters.denoisers[QUARTIC, sigma]
    uncoupled = replace(quartic, factor=np.zeros_like(quartic.factor))
    _run_substrate(table, ZEROED, CONTROL, uncoupled, training, run)
    return table.experiment


def _run_substrate(
    table: Table, row: str, case: str, denoiser: Denoiser, training: np.ndarray, run: TwoRunners
) -> None:
    """Runs a denoiser and adds its scores, its number of parameters and its cycles."""
    made, exact = run(
        f"{table.experiment.key}, {row}",
        denoiser.problem(row),
        denoiser.biases(table.noisy),
        denoiser.biases(training),
    )
    problem = made.program.problem
    steps = f"{problem.steps - problem.samples} steps, {problem.samples} averaged"
    table.score(row, case, exact, made.answers, f"kT = 0, {steps}; {saturations(made.saturations)}")
    couplings = denoiser.factor.size
    breakdown = f"{couplings} couplings, {denoiser.parameters - couplings} constants of units"
    table.add(row, case, PARAMETERS, breakdown, float64=denoiser.parameters)
    if made.cycles_per_input is not None:
        table.add(row, case, CYCLES, gateware=made.cycles_per_input)


def saturations(count: int | None) -> str:
    """Returns the note on how many values saturated; None means that there was no fabric."""
    return "no fabric" if count is None else f"{count} saturations"
