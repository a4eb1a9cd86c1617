# SPDX-License-Identifier: Apache-2.0
"""What ``ornstein images`` measures: denoising beside the Wiener filter and a perceptron,
generation beside a Gaussian.

Every program runs in float64 and on the device; a device that has a clock must agree with the
integer model in every bit of every image.
"""

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from ornstein.hdl.config import FabricConfig, preset
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.device import Device, Outputs, open_device
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.images.denoise import Denoiser
from ornstein.host.experiments.images.digits import CLASSES, Digits, add_noise, load_images, psnr
from ornstein.host.experiments.images.parameters import (
    HIDDEN,
    KINDS,
    QUADRATIC,
    QUARTIC,
    SIGMAS,
    Parameters,
)
from ornstein.host.physics.problem import Problem

DENOISING, GENERATION = "denoising", "generation"
PSNR, GAIN, PARAMETERS, CYCLES = "PSNR, dB", "above Wiener, dB", "parameters", "cycles an image"
RECOGNISED, SPREAD, NEAREST = (
    "recognised, %",
    "spread within a class",
    "distance to the nearest training image",
)
NOISY, WIENER, UNCOUPLED = "noisy", "Wiener filter", "couplings zeroed"
REAL, GAUSSIAN, MATCHED, SUBSTRATE = (
    "real digits, held out",
    "Gaussian, pooled covariance",
    "Gaussian, shrunk to the substrate's spread",
    "substrate",
)
NARROW = "substrate, 8-bit couplings, 10-bit state"
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
"""dB of a float64 prototype on another split of the same digits: what there is to reach."""
PER_CLASS = 100
NARROW_FACTORS, NARROW_SPARE, NARROW_SHIFTS = 8, 6, (4, 6, 8, 10, 12, 14, 16)
"""Bits of a coupling, top bits of the 16-bit state left unused, and shifts that suit them, of the
coarse row.
"""

Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Result:
    """One number: what there was to reach, what float64 gives and what the device gives; None where
    it does not apply.

    ``error`` is the standard error over the held-out or generated images.
    """

    experiment: str
    row: str
    quantity: str
    reference: float | None = None
    float64: float | None = None
    gateware: float | None = None
    error: float | None = None
    note: str = ""


@dataclass
class Images:
    """Everything that the report shows.

    Attributes
    ----------
    results : the numbers
    shown : images (n, 64) to look at by (experiment, row)
    labels : (n,) classes of what is shown of the generation
    """

    device: str
    provenance: dict
    results: list[Result] = field(default_factory=list)
    shown: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    labels: np.ndarray | None = None

    def add(
        self, experiment: str, row: str, quantity: str, note: str = "", **values: float | None
    ) -> None:
        """Append a result; numbers are made plain floats."""
        plain = {name: None if value is None else float(value) for name, value in values.items()}
        self.results.append(Result(experiment, row, quantity, note=note, **plain))

    def find(self, experiment: str, row: str, quantity: str) -> Result:
        """The result of that name. KeyError if there is none."""
        for result in self.results:
            if (result.experiment, result.row, result.quantity) == (experiment, row, quantity):
                return result
        raise KeyError((experiment, row, quantity))

    def documents(self) -> list[dict]:
        """The results as results.json holds them."""
        return [asdict(result) for result in self.results]

    def write_csv(self, path: Path) -> None:
        """The results as a table with a header."""
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [column.name for column in fields(Result)])
            writer.writeheader()
            writer.writerows(self.documents())


def run_images(
    parameters: Parameters,
    device: str = "rtl",
    *,
    per_class: int = PER_CLASS,
    seed: int = 1,
    progress: Say | None = None,
) -> Images:
    """Denoise the held-out digits and generate ``per_class`` digits of each class.

    Raises ModelMismatchError if the device and the integer model differ in a bit.
    """
    digits = load_images()
    images = Images(device, parameters.provenance)
    with open_device(device) as opened:
        runner = _Runner(opened, seed, progress or (lambda what, done, total: None))
        for sigma in SIGMAS:
            _denoise(images, parameters, digits, sigma, runner)
        _generate(images, parameters, digits, per_class, runner)
    return images


class _Runner:
    """Compiles for one open device, runs there, and compares with the integer model."""

    def __init__(self, device: Device, seed: int, say: Say):
        self._device, self.seed, self._say = device, seed, say
        self.fabric: FabricConfig = device.config or preset("reference")

    def __call__(
        self, what: str, problem: Problem, inputs: np.ndarray, calibration: np.ndarray
    ) -> tuple[np.ndarray, Outputs, Program]:
        """(decoded images, outputs, program) of inputs (n, input_size)."""
        program = compile_problem(problem, self.fabric, calibration)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._say(what, done, len(inputs))

        self._device.load(program)
        outputs = self._device.run(inputs, seed=self.seed, progress=advance)
        if outputs.counters["cycles"] is not None:
            check_equals_model(program, inputs, outputs, self.seed)
        return problem.decode(outputs.mean), outputs, program


def wiener(images: np.ndarray, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """The best linear denoiser for images with the mean and covariance of ``images`` (n, 64)."""
    mean, covariance = images.mean(axis=0), np.cov(images.T, bias=True)
    gain = np.linalg.solve(covariance + sigma**2 * np.eye(len(mean)), covariance)
    return lambda noisy: mean + (noisy - mean) @ gain


def psnr_error(images: np.ndarray, clean: np.ndarray) -> float:
    """Standard error of :func:`psnr` in dB over images (n, 64)."""
    return _log_error(_relative(images, clean))


def _relative(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """(n,) squared error of each image, relative to the mean over all."""
    errors = np.mean((images - clean) ** 2, axis=1)
    return errors / errors.mean()


def _log_error(relative: np.ndarray) -> float:
    return float(10 / np.log(10) * np.std(relative, ddof=1) / np.sqrt(len(relative)))


def _denoise(
    images: Images, parameters: Parameters, digits: Digits, sigma: float, run: _Runner
) -> None:
    experiment, clean = f"{DENOISING}, sigma {sigma}", digits.test
    noisy = add_noise(clean, sigma, np.random.default_rng(1))
    training = add_noise(digits.train, sigma, np.random.default_rng(2))
    filtered = wiener(digits.train, sigma)(noisy)

    def score(row: str, exact: np.ndarray, made: np.ndarray | None = None, note: str = "") -> None:
        shown = exact if made is None else made
        images.shown[experiment, row] = shown
        images.add(
            experiment,
            row,
            PSNR,
            note,
            reference=REFERENCES.get((row, sigma)),
            float64=psnr(exact, clean),
            gateware=None if made is None else psnr(made, clean),
            error=psnr_error(shown, clean),
        )
        images.add(
            experiment,
            row,
            GAIN,
            "error of the difference, image by image",
            reference=REFERENCES[row, sigma] - REFERENCES[WIENER, sigma]
            if (row, sigma) in REFERENCES
            else None,
            float64=psnr(exact, clean) - psnr(filtered, clean),
            gateware=None if made is None else psnr(made, clean) - psnr(filtered, clean),
            error=_log_error(_relative(shown, clean) - _relative(filtered, clean)),
        )

    images.shown[experiment, "truth"] = clean
    score(NOISY, noisy)
    score(WIENER, filtered, note="one Gaussian, full covariance of the training digits")
    for (kind, level), network in parameters.perceptrons.items():
        if level == sigma:
            row = f"perceptron 64-{network.first.shape[1]}-64"
            score(row, network(noisy), note=f"tanh; the size of: {kind}")
            images.add(experiment, row, PARAMETERS, float64=network.parameters)
    quartic = parameters.denoisers[QUARTIC, sigma]
    uncoupled = replace(quartic, factor=np.zeros_like(quartic.factor))
    cases = [(kind, parameters.denoisers[kind, sigma]) for kind in KINDS]
    for row, denoiser in [*cases, (f"{QUARTIC}, {UNCOUPLED}", uncoupled)]:
        made, outputs, program = run(
            f"{experiment}, {row}",
            denoiser.problem(row),
            denoiser.biases(noisy),
            denoiser.biases(training),
        )
        problem = program.problem
        note = f"kT = 0, {problem.steps - problem.samples} steps, {problem.samples} averaged; {_saturated(outputs)}"
        score(row, _float(program, denoiser.biases(noisy), run.seed), made, note)
        images.add(experiment, row, PARAMETERS, _breakdown(denoiser), float64=denoiser.parameters)
        if outputs.counters["cycles"] is not None:
            images.add(experiment, row, CYCLES, gateware=outputs.counters["cycles"] / len(noisy))


def _breakdown(denoiser: Denoiser) -> str:
    couplings = denoiser.factor.size
    return f"{couplings} couplings, {denoiser.parameters - couplings} constants of units"


def _saturated(outputs: Outputs) -> str:
    counters = outputs.counters
    if counters["issued"] is None:
        return "no fabric"
    return f"{counters['rank_saturations'] + counters['state_saturations']} saturations"


def _generate(
    images: Images, parameters: Parameters, digits: Digits, per_class: int, run: _Runner
) -> None:
    from sklearn.svm import SVC

    classifier = SVC(C=10).fit(digits.train, digits.train_labels)
    labels = np.tile(np.arange(CLASSES), per_class)
    images.labels = labels
    rng = np.random.default_rng(1)

    def measure(made: np.ndarray, of: np.ndarray) -> dict[str, tuple[float, float | None]]:
        right = np.mean(classifier.predict(made) == of)
        return {
            RECOGNISED: (100 * right, 100 * np.sqrt(right * (1 - right) / len(of))),
            SPREAD: (spread(made, of), None),
            NEAREST: (float(nearest(made, digits.train).mean()), None),
        }

    def score(
        row: str,
        exact: np.ndarray | None,
        made: np.ndarray | None = None,
        of: np.ndarray = labels,
        note: str = "",
    ) -> None:
        columns = {"float64": exact, "gateware": made}
        measured = {
            name: measure(values, of) for name, values in columns.items() if values is not None
        }
        for quantity in (RECOGNISED, SPREAD, NEAREST):
            images.add(
                GENERATION,
                row,
                quantity,
                note,
                error=list(measured.values())[-1][quantity][1],
                **{name: values[quantity][0] for name, values in measured.items()},
            )
        images.shown[GENERATION, row] = exact if made is None else made

    score(
        REAL,
        digits.test,
        of=digits.test_labels,
        note="the classifier's own accuracy, not part of its training",
    )
    images.shown[GENERATION, REAL] = np.stack(
        [
            digits.test[digits.test_labels == label][place]
            for place in (0, 1)
            for label in range(CLASSES)
        ]
    )
    generator = parameters.generator
    inputs, calibration = generator.inputs(labels), generator.inputs(np.tile(np.arange(CLASSES), 7))
    problem = generator.problem()
    made, outputs, program = run(f"{GENERATION}, {SUBSTRATE}", problem, inputs, calibration)
    seed = run.seed
    exact = _float(program, inputs, seed)
    score(
        SUBSTRATE,
        exact,
        made,
        note=f"{len(labels)} images, {problem.steps} steps each; {_saturated(outputs)}; "
        "float64 and device draw different noise",
    )
    images.add(GENERATION, SUBSTRATE, PARAMETERS, float64=generator.parameters)
    if outputs.counters["cycles"] is not None:
        images.add(GENERATION, SUBSTRATE, CYCLES, gateware=outputs.counters["cycles"] / len(labels))
    coarse = ModelDevice(
        replace(
            run.fabric, name="coarse", factor_width=NARROW_FACTORS, project_shifts=NARROW_SHIFTS
        )
    )
    narrow = compile_problem(problem, coarse.config, calibration, spare=NARROW_SPARE)
    coarse.load(narrow)
    score(
        NARROW,
        None,
        problem.decode(coarse.run(inputs, seed=seed).mean),
        note="integer model of such a fabric",
    )
    bare = replace(
        problem, energies=tuple(energy.without_couplings() for energy in problem.energies)
    )
    zeroed, _, program = run(f"{GENERATION}, {UNCOUPLED}", bare, inputs, calibration)
    score(f"{SUBSTRATE}, {UNCOUPLED}", _float(program, inputs, seed), zeroed)

    means = np.stack(
        [digits.train[digits.train_labels == label].mean(axis=0) for label in range(CLASSES)]
    )
    within = np.cov((digits.train - means[digits.train_labels]).T, bias=True)
    values, vectors = np.linalg.eigh(within)
    deviation = (
        rng.standard_normal((len(labels), len(values)))
        @ (vectors * np.sqrt(np.maximum(values, 0))).T
    )
    score(GAUSSIAN, means[labels] + deviation, note="class-conditional")
    score(
        MATCHED,
        means[labels] + deviation * spread(made, labels) / spread(deviation, labels),
        note="class-conditional",
    )


def _float(program: Program, inputs: np.ndarray, seed: int) -> np.ndarray:
    with open_device("float") as device:
        device.load(program)
        return program.problem.decode(device.run(inputs, seed=seed).mean)


def spread(images: np.ndarray, labels: np.ndarray) -> float:
    """Root mean square deviation of images (n, 64) from the mean of their class."""
    deviations = [
        images[labels == label] - images[labels == label].mean(axis=0)
        for label in np.unique(labels)
    ]
    return float(np.sqrt(np.mean(np.concatenate(deviations) ** 2)))


def nearest(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) root mean square distance over the pixels to the nearest of ``others`` (m, 64)."""
    squares = np.sum(images**2, axis=1)[:, None] + np.sum(others**2, axis=1) - 2 * images @ others.T
    return np.sqrt(np.maximum(squares.min(axis=1), 0) / images.shape[1])
