# SPDX-License-Identifier: Apache-2.0
"""Moments of a network's features over all pixels of its training images.

They are what a substrate that replaces the network's decoder is fitted from: inputs are the
encoder's features at a pixel (:func:`ornstein.host.models.network.pixels`), targets those of the
last decoder block. The default network's are committed; this command made them:

    ornstein denoise --refit
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ornstein.host.models.data import add_noise
from ornstein.host.models.model_file import DEFAULT_MODEL, ModelFileError
from ornstein.host.models.network import Network, pixels, rows
from ornstein.host.physics.moments import Moments, MomentSums
from ornstein.host.physics.regression import RIDGES, reduced_rank_of

MOMENTS_FILE = "decoder_moments.safetensors"
TRAIN_NOISE_SEED = 1001
"""The noise on the images whose spatial means ornstein train keeps."""
_HELD_OUT = 8
"""Every eighth image is held back to choose the ridge."""


@dataclass(frozen=True, eq=False)
class DecoderMoments:
    """Moments of the encoder's and the decoder's features at a pixel.

    Attributes
    ----------
    moments : inputs are the encoder blocks of :data:`ornstein.host.models.network.SKIPS` side by
        side, targets the last decoder block
    ridge : relative ridge with the smallest error on images held back
    provenance : data, noise, and number of images
    """

    moments: Moments
    ridge: float
    provenance: dict

    @classmethod
    def measure(
        cls,
        network: Network,
        images: np.ndarray,
        sigma: float,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> "DecoderMoments":
        """Moments over every pixel of ``images`` (n, side, side) under one noise draw each."""
        noisy = add_noise(images, sigma, seed)

        def values(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
            features = network.features(noisy[first:last])
            return pixels(features), rows(network.decode(features))

        moments, ridge = measure(values, len(noisy), progress)
        return cls(moments, ridge, {"sigma": sigma, "noise_seed": seed, "images": len(images)})

    def save(self, folder: Path) -> None:
        """Write the file into a model's folder; moments are rounded to float32."""
        arrays = {
            name: getattr(self.moments, name).astype(np.float32)
            for name in ("x_mean", "x_deviation", "y_mean", "y_deviation", "gram", "cross")
        }
        document = {**self.provenance, "ridge": self.ridge, "count": self.moments.count}
        save_file(arrays, folder / MOMENTS_FILE, {"provenance": json.dumps(document)})

    @classmethod
    def load(cls, folder: str | Path = DEFAULT_MODEL) -> "DecoderMoments":
        """Read a model folder's file. Raises ModelFileError if there is none or it is damaged."""
        path = Path(folder) / MOMENTS_FILE
        if not path.is_file():
            raise ModelFileError(
                f"{path}: no such file; make it with: ornstein denoise --model {folder} --refit"
            )
        try:
            with safe_open(path, framework="np") as file:
                document = json.loads(file.metadata()["provenance"])
                arrays = {name: file.get_tensor(name).astype(float) for name in file.keys()}
            count, ridge = document.pop("count"), document.pop("ridge")
            return cls(Moments(count, **arrays), ridge, document)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: damaged ({error}); make it again with --refit") from None


def measure(
    values: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
    images: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Moments, float]:
    """Moments over all pixels of images, and the relative ridge.

    Parameters
    ----------
    values : from the first image and the one behind the last to inputs (pixels, D_in) and targets
        (pixels, D_out) of some images
    images : how many there are, 2 or more; every eighth is held back to choose the ridge
    progress : is told (images done, images in all)
    """
    sums: dict[bool, MomentSums] = {}
    first = 0
    while first < images:
        is_held = first % _HELD_OUT == 0  # one image by itself, then those up to the next such one
        last = first + 1 if is_held else min(first - 1 + _HELD_OUT, images)
        part = MomentSums.of(*values(first, last))
        sums[is_held] = sums[is_held] + part if is_held in sums else part
        first = last
        if progress:
            progress(first, images)
    return (sums[False] + sums[True]).moments(), _best_ridge(sums[False], sums[True])


def _best_ridge(kept: MomentSums, held: MomentSums) -> float:
    """The ridge whose full-rank fit of ``kept`` has the smallest squared error on ``held``."""
    fitted = kept.moments()
    units = len(fitted.y_mean)
    centred = held.xx - np.outer(fitted.x_mean, held.x) - np.outer(held.x, fitted.x_mean)
    centred += held.count * np.outer(fitted.x_mean, fitted.x_mean)
    gram = centred / np.outer(fitted.x_deviation, fitted.x_deviation)
    cross = held.xy - np.outer(fitted.x_mean, held.y) - np.outer(held.x, fitted.y_mean)
    cross += held.count * np.outer(fitted.x_mean, fitted.y_mean)
    cross /= fitted.x_deviation[:, None]

    def error(ridge: float) -> float:
        """Squared error up to a constant: tr(W' G W) - 2 tr(W' C)."""
        fit = reduced_rank_of(fitted, units, ridge)
        weights = fit.project @ fit.expand
        return float(np.sum(weights * (gram @ weights)) - 2 * np.sum(weights * cross))

    return min(RIDGES, key=error)
