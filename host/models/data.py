# SPDX-License-Identifier: Apache-2.0
"""The denoiser's images: scikit-learn's digits or MNIST files, and the noise that is put on them.

Images are float64 arrays of shape (n, side, side) with values in [0, 1]; labels are integers of
shape (n,). Splits and noise come from explicit seeds, so that the same call gives the same arrays
on every machine.
"""

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIDE = 32
"""Pixels per edge of the images that the paper's denoiser gets."""
HELD_OUT = 64
"""Images kept for scoring. Retrieval, the top-1 score, is among exactly these."""

_MNIST_IMAGES = ("train-images-idx3-ubyte", "train-images.idx3-ubyte")
_MNIST_LABELS = ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte")
_TEST_IMAGES = ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte")
_TEST_LABELS = ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte")


class DataError(ValueError):
    """A data file is missing, truncated or of another format. The message is one line."""


@dataclass(frozen=True)
class Images:
    """A data set, split into ``train`` (n, side, side) and ``test`` (held out, side, side)."""

    name: str
    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray
    test_labels: np.ndarray


def digits(seed: int = 0, *, side: int = SIDE, held_out: int = HELD_OUT) -> Images:
    """Returns scikit-learn's 1,797 handwritten digits, resized from 8x8 to ``side`` x ``side``.

    Grey levels 0..16 are scaled to 0..1. Resizing is bilinear with half-pixel centres. A
    permutation drawn from ``seed`` holds out ``held_out`` images; the others are for training.
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = resize(pixels.reshape(-1, 8, 8) / 16.0, side)
    return _split("digits", images, labels, seed, held_out=held_out)


def mnist(folder: str | Path, seed: int = 0, limit: int | None = None) -> Images:
    """Returns MNIST's training images from a folder of IDX files, plain or .gz.

    The images of 28x28 pixels are padded with zeros to 32x32. ``limit`` keeps only that many
    images, drawn by ``seed``, before 64 of them are held out. Raises DataError, naming the file, if
    one is missing, truncated or not IDX.
    """
    images = read_idx(_find(folder, _MNIST_IMAGES)) / 255.0
    labels = read_idx(_find(folder, _MNIST_LABELS))
    if images.ndim != 3 or max(images.shape[1:]) > SIDE or labels.shape != images.shape[:1]:
        raise DataError(
            f"{folder}: images {images.shape} and labels {labels.shape} are not an MNIST pair"
        )
    margins = [(0, 0)] + [((SIDE - n) // 2, SIDE - n - (SIDE - n) // 2) for n in images.shape[1:]]
    return _split("mnist", np.pad(images, margins), labels, seed, limit)


def labelled_images(folder: str | Path) -> Images:
    """Returns both parts of MNIST, or of a set like it such as Fashion-MNIST, from a folder of IDX
    files, plain or .gz. Images keep their size, and their order.

    Raises DataError, naming the file, if one is missing, truncated or not IDX.
    """
    parts = []
    for images, labels in ((_MNIST_IMAGES, _MNIST_LABELS), (_TEST_IMAGES, _TEST_LABELS)):
        pixels, classes = read_idx(_find(folder, images)), read_idx(_find(folder, labels))
        if pixels.ndim != 3 or classes.shape != pixels.shape[:1]:
            raise DataError(
                f"{folder}: images {pixels.shape} and labels {classes.shape} are not a pair"
            )
        parts.append((pixels / 255.0, classes.astype(int)))
    (train, train_labels), (test, test_labels) = parts
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{folder}: images for training are {train.shape[1:]}, those held out {test.shape[1:]}"
        )
    return Images(Path(folder).name, train, test, train_labels, test_labels)


def read_idx(path: str | Path) -> np.ndarray:
    """Returns the array of unsigned bytes in one IDX file, gzipped or not.

    Raises DataError, naming the file, if it cannot be read.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if len(raw) < 4 or raw[:3] != b"\0\0\x08" or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path}: not an IDX file of unsigned bytes; expected a header 00 00 08 nn")
    start = 4 + 4 * raw[3]
    shape = struct.unpack(f">{raw[3]}I", raw[4:start])
    expected = int(np.prod(shape))
    if len(raw) - start != expected:
        raise DataError(
            f"{path}: {len(raw) - start} bytes of data where its header {shape} needs {expected}"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def resize(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Resizes square images (n, s, s) bilinearly to (n, side, side).

    Pixel centres are at half coordinates, and edges are clamped.
    """
    size = images.shape[-1]
    position = np.clip((np.arange(side) + 0.5) * size / side - 0.5, 0, size - 1)
    left = np.minimum(position.astype(int), size - 2)
    weights = np.zeros((side, size))
    weights[np.arange(side), left] = 1 - (position - left)
    weights[np.arange(side), left + 1] = position - left
    return weights @ images @ weights.T


def add_noise(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Returns ``images`` plus independent Gaussian noise of standard deviation ``sigma``.

    The result is not clipped to [0, 1].
    """
    return images + sigma * np.random.default_rng(seed).standard_normal(images.shape)


def _split(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    seed: int,
    limit: int | None = None,
    held_out: int = HELD_OUT,
) -> Images:
    order = np.random.default_rng(seed).permutation(len(images))[:limit]
    if len(order) <= held_out:
        raise DataError(
            f"{name}: {len(order)} images, but more than {held_out} are needed to hold {held_out} "
            "out"
        )
    test, train = order[:held_out], order[held_out:]
    return Images(name, images[train], images[test], labels[train], labels[test])


def _find(folder: str | Path, names: tuple[str, ...]) -> Path:
    for name in names:
        for suffix in ("", ".gz"):
            if (path := Path(folder) / (name + suffix)).is_file():
                return path
    raise DataError(
        f"{folder}: no {names[0]} (or .gz) in this folder; put the MNIST IDX files there"
    )
