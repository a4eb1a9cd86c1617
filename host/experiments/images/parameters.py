# SPDX-License-Identifier: Apache-2.0
"""All trained numbers behind ``ornstein images``, in one safetensors file, and the training that
makes them.

Everything is fitted to the training digits alone, by fixed recipes and seeds; the held-out digits
are for scoring.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ornstein.host.experiments.images import denoise, generate
from ornstein.host.experiments.images.denoise import Denoiser
from ornstein.host.experiments.images.digits import PIXELS, Digits, add_noise
from ornstein.host.experiments.images.generate import Generator
from ornstein.host.models.model_file import ModelFileError

PARAMETERS = Path(__file__).parent / "weights" / "parameters.safetensors"
COMMAND = "ornstein images --train"

QUADRATIC, QUARTIC, HIDDEN = "quadratic", "quartic", "quartic, 64 hidden units"
KINDS = (QUADRATIC, QUARTIC, HIDDEN)
SIGMAS = (0.3, 0.5)
HIDDEN_UNITS = 64
SCALE = 4.0
"""States per pixel where training of a quartic substrate starts; it only decides how much of z^4 is
felt at first.
"""
STEPS = {QUADRATIC: 1000, QUARTIC: 4000, HIDDEN: 1200}
"""Training steps of each; hidden units are added to the trained quartic."""
MLP_COPIES, MLP_EPOCHS = 8, 60


@dataclass(frozen=True, eq=False)
class Perceptron:
    """A digital network 64 - h - tanh - 64 with biases: the yardstick of as many parameters."""

    first: np.ndarray
    first_bias: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Denoised images (n, 64)."""
        return np.tanh(noisy @ self.first + self.first_bias) @ self.second + self.second_bias

    @property
    def parameters(self) -> int:
        """All trained numbers."""
        return sum(getattr(self, f.name).size for f in fields(self))


@dataclass(frozen=True, eq=False)
class Parameters:
    """Denoisers by (kind, sigma), perceptrons by (kind whose size they have, sigma), and the
    generator.
    """

    denoisers: dict[tuple[str, float], Denoiser]
    perceptrons: dict[tuple[str, float], Perceptron]
    generator: Generator
    provenance: dict

    def save(self, path: str | Path) -> None:
        """Write float32 arrays named PART/KIND/SIGMA/FIELD, and the provenance as JSON."""
        parts = {
            f"denoiser/{kind}/{sigma}": value for (kind, sigma), value in self.denoisers.items()
        }
        parts |= {
            f"perceptron/{kind}/{sigma}": value for (kind, sigma), value in self.perceptrons.items()
        }
        parts["generator"] = self.generator
        arrays = {
            f"{name}/{f.name}": np.array(getattr(part, f.name), np.float32, order="C")
            for name, part in parts.items()
            for f in fields(part)
        }
        save_file(arrays, str(path), metadata={"provenance": json.dumps(self.provenance)})

    @classmethod
    def load(cls, path: str | Path = PARAMETERS) -> "Parameters":
        """Read the file. Raises ModelFileError if it is missing, damaged or something else."""
        try:
            with safe_open(str(path), "numpy") as file:
                arrays = {name: file.get_tensor(name).astype(float) for name in file.keys()}
                provenance = json.loads((file.metadata() or {})["provenance"])

            def read(kind, name):
                found = {f.name: arrays[f"{name}/{f.name}"] for f in fields(kind)}
                return kind(
                    **{key: value if value.ndim else float(value) for key, value in found.items()}
                )

            return cls(
                {
                    (kind, sigma): read(Denoiser, f"denoiser/{kind}/{sigma}")
                    for kind in KINDS
                    for sigma in SIGMAS
                },
                {
                    (kind, sigma): read(Perceptron, f"perceptron/{kind}/{sigma}")
                    for kind in (QUARTIC, HIDDEN)
                    for sigma in SIGMAS
                },
                read(Generator, "generator"),
                provenance,
            )
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ModelFileError(
                f"{path}: no file of image parameters ({type(error).__name__}: {error}); make one "
                f"with: {COMMAND}"
            ) from None


def train_all(digits: Digits, report: Callable[[str, int, int], None]) -> Parameters:
    """Train everything, some five minutes; ``report`` is told (what, steps done, steps in all)."""
    images = digits.train
    denoisers: dict[tuple[str, float], Denoiser] = {}
    perceptrons: dict[tuple[str, float], Perceptron] = {}
    for kind in KINDS:
        for sigma in SIGMAS:
            if kind == HIDDEN:
                start = denoise.with_hidden(denoisers[QUARTIC, sigma], HIDDEN_UNITS)
            else:
                quartic = kind == QUARTIC
                start = denoise.initial(
                    images, sigma, j4=denoise.J4 if quartic else 0.0, scale=SCALE if quartic else 1
                )
            label = f"{kind}, sigma {sigma}"
            denoisers[kind, sigma] = denoise.train(
                images,
                sigma,
                start,
                steps=STEPS[kind],
                report=lambda done, label=label, kind=kind: report(label, done, STEPS[kind]),
            )
            if kind != QUADRATIC:
                perceptrons[kind, sigma] = _train_perceptron(
                    images, sigma, denoisers[kind, sigma].parameters
                )
    report("generator", 0, 1)
    generator = generate.train(images, digits.train_labels)
    report("generator", 1, 1)
    provenance = {
        "command": COMMAND,
        "images": len(images),
        "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
    }
    return Parameters(denoisers, perceptrons, generator, provenance)


def _train_perceptron(images: np.ndarray, sigma: float, parameters: int) -> Perceptron:
    """As many hidden units as ``parameters`` allow, trained by Adam on noisy copies of
    the images.
    """
    from sklearn.neural_network import MLPRegressor

    clean = np.tile(images, (MLP_COPIES, 1))
    noisy = add_noise(clean, sigma, np.random.default_rng(0))
    hidden = (parameters - PIXELS) // (2 * PIXELS + 1)
    network = MLPRegressor(
        hidden_layer_sizes=(hidden,),
        activation="tanh",
        alpha=0,
        batch_size=128,
        tol=0,
        learning_rate_init=2e-3,
        max_iter=MLP_EPOCHS,
        n_iter_no_change=MLP_EPOCHS,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops after the epochs asked for, and says so
        network.fit(noisy, clean)
    return Perceptron(
        network.coefs_[0], network.intercepts_[0], network.coefs_[1], network.intercepts_[1]
    )
