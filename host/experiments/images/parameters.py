# SPDX-License-Identifier: Apache-2.0
"""All trained numbers of ``ornstein images``, in one safetensors file, and how they are trained.

Everything is fitted to the training digits alone, by fixed recipes and seeds; the held-out digits
are for scoring.
"""

import json
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ornstein.host.experiments.common import Progress
from ornstein.host.experiments.images import denoiser, generator
from ornstein.host.experiments.images.baselines import Perceptron, train_perceptron
from ornstein.host.experiments.images.denoiser import Denoiser
from ornstein.host.experiments.images.digits import Digits
from ornstein.host.experiments.images.generator import Generator
from ornstein.host.models.model_file import ModelFileError

PARAMETERS = Path(__file__).parent / "weights" / "parameters.safetensors"
COMMAND = "ornstein images --train"

QUADRATIC, QUARTIC, HIDDEN = "quadratic", "quartic", "quartic, 64 hidden units"
KINDS = (QUADRATIC, QUARTIC, HIDDEN)
SIGMAS = (0.3, 0.5)
HIDDEN_UNITS = 64
SCALE = 4.0
"""States per pixel with which the training of a quartic substrate starts. It decides how strong the
quartic term is at first."""
STEPS = {QUADRATIC: 1000, QUARTIC: 4000, HIDDEN: 1200}
"""Training steps of each kind; hidden units are added to the trained quartic substrate."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """All trained parts.

    Attributes
    ----------
    denoisers : by (kind, sigma)
    perceptrons : by (kind, sigma), each with as many parameters as the denoiser of that key
    generator : the substrate that generates digits
    provenance : command and versions that made the parameters
    """

    denoisers: dict[tuple[str, float], Denoiser]
    perceptrons: dict[tuple[str, float], Perceptron]
    generator: Generator
    provenance: dict

    def save(self, path: str | Path) -> None:
        """Writes float32 arrays named PART/KIND/SIGMA/FIELD, and the provenance as JSON."""
        parts: dict[str, Denoiser | Perceptron | Generator] = {
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
        """Reads a file. Raises ModelFileError if it is missing, damaged or holds something else."""
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


def train_all(digits: Digits, report: Progress) -> Parameters:
    """Trains everything, which takes some five minutes.

    ``report`` is told (what is trained, steps done, steps in all).
    """
    images = digits.train
    denoisers: dict[tuple[str, float], Denoiser] = {}
    perceptrons: dict[tuple[str, float], Perceptron] = {}
    for kind in KINDS:
        for sigma in SIGMAS:
            start = _untrained(kind, sigma, images, denoisers)
            trained = _train_denoiser(kind, sigma, images, start, report)
            denoisers[kind, sigma] = trained
            if kind != QUADRATIC:
                perceptrons[kind, sigma] = train_perceptron(images, sigma, trained.parameters)
    report("generator", 0, 1)
    generated = generator.train(images, digits.train_labels)
    report("generator", 1, 1)
    provenance = {
        "command": COMMAND,
        "images": len(images),
        "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
    }
    return Parameters(denoisers, perceptrons, generated, provenance)


def _untrained(
    kind: str, sigma: float, images: np.ndarray, trained: dict[tuple[str, float], Denoiser]
) -> Denoiser:
    """Returns the denoiser from which the training of a kind starts."""
    if kind == HIDDEN:
        return denoiser.with_hidden(trained[QUARTIC, sigma], HIDDEN_UNITS)
    if kind == QUARTIC:
        return denoiser.initial(images, sigma, j4=denoiser.J4, scale=SCALE)
    return denoiser.initial(images, sigma, j4=0.0, scale=1)


def _train_denoiser(
    kind: str, sigma: float, images: np.ndarray, start: Denoiser, report: Progress
) -> Denoiser:
    """Trains a denoiser of a kind from ``start``."""
    what, steps = f"{kind}, sigma {sigma}", STEPS[kind]
    return denoiser.train(
        images, sigma, start, steps=steps, report=lambda done: report(what, done, steps)
    )
