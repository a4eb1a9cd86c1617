# SPDX-License-Identifier: Apache-2.0
"""Images as files: grey PNG or .npy, one by one or a folder of them."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ornstein.host.files.arrays import ArrayFileError, read_array
from ornstein.host.models.data import DataError

SUFFIXES = (".png", ".npy")
_DAMAGED_IMAGE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
)
"""What Pillow raises for files that are damaged, or whose header asks for far too many pixels."""
LEVELS = 255
"""Grey levels of an 8-bit image; pixels are 0 to 1."""
LOWEST, HIGHEST = -2.0, 3.0
"""Pixels beyond these are no image between 0 and 1 under noise, but one on another scale."""


@dataclass(frozen=True, eq=False)
class ImageFile:
    """Images read from one file; ``pixels`` is (n, height, width) float64."""

    path: Path
    pixels: np.ndarray
    single: bool


def image_files(source: Path) -> list[Path]:
    """The image files that ``source`` names: itself, or those in a folder, by name.

    Raises DataError if there is none.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if not source.is_dir():
        return [source]
    found = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{source}: holds no image; .png and .npy files are read")
    return found


def read_images(path: Path) -> ImageFile:
    """Read a grey PNG (8 or 16 bits a pixel) or an .npy of (height, width) or (n, height, width).

    Raises DataError, naming the file and the remedy, if it is unreadable, coloured, not finite or
    on another scale than 0 to 1.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: images are read from {' and '.join(SUFFIXES)} files")
    pixels = _read_png(path) if suffix == ".png" else _read_npy(path)
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise DataError(
            f"{path}: an array of shape {pixels.shape}; give (height, width) or (n, height, width)"
        )
    if not np.isfinite(pixels).all():
        raise DataError(f"{path}: holds pixels that are not finite numbers")
    if pixels.min() < LOWEST or pixels.max() > HIGHEST:
        raise DataError(
            f"{path}: pixels from {pixels.min():.4g} to {pixels.max():.4g}; scale them to 0 to 1"
        )
    return ImageFile(path, _stack(pixels), pixels.ndim == 2)


def check_size(image: ImageFile, multiple: int) -> None:
    """Raises DataError unless both edges are multiples of ``multiple``."""
    height, width = image.pixels.shape[1:]
    if height % multiple or width % multiple:
        raise DataError(
            f"{image.path}: {width} x {height} pixels; the network takes edges that are multiples "
            f"of {multiple}: crop or pad the image"
        )


def write_images(path: Path, pixels: np.ndarray, single: bool) -> None:
    """Write images where ``path``'s suffix says how: clipped 8-bit grey PNG, or float32 .npy.

    The file is written beside and renamed when it is whole. Raises DataError for another suffix or
    several images in one PNG, and OSError if it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: images are written to {' and '.join(SUFFIXES)} files")
    if suffix == ".png" and len(pixels) > 1:
        raise DataError(f"{path}: {len(pixels)} images do not fit one PNG; write an .npy")
    partial = path.with_name(f".{path.name}.partial{suffix}")
    try:
        if suffix == ".png":
            levels = np.rint(np.clip(pixels[0], 0, 1) * LEVELS).astype(np.uint8)
            Image.fromarray(levels, mode="L").save(partial)
        else:
            np.save(partial, (pixels[0] if single else pixels).astype(np.float32))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def outputs_for(source: Path, files: list[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    """Pairs of input and output file; a folder's images keep their names in the folder ``output``.

    Raises DataError if an output would overwrite its input.
    """
    for file in files:
        target = output / file.name if source.is_dir() else output
        if target.exists() and target.samefile(file):
            raise DataError(f"{target}: the output would overwrite the input; name another")
        yield file, target


def _stack(pixels: np.ndarray) -> np.ndarray:
    return pixels[None] if pixels.ndim == 2 else pixels


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            image.load()
            mode, values = image.mode, np.asarray(image)
    except _DAMAGED_IMAGE as error:
        raise DataError(f"{path}: not a readable image ({error})") from None
    if mode not in ("L", "1", "I", "I;16", "I;16B"):
        raise DataError(f"{path}: a {mode} image; the network takes grey ones, so convert it first")
    highest = {"L": LEVELS, "1": 1}.get(mode, (1 << 16) - 1)
    return values.astype(float) / highest


def _read_npy(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            values = read_array(file, os.fstat(file.fileno()).st_size)
    except (OSError, ArrayFileError) as error:
        raise DataError(f"{path}: not a readable .npy file ({error})") from None
    if values.dtype == np.uint8:
        return values.astype(float) / LEVELS
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: holds values of type {values.dtype}; numbers are needed")
    return values.astype(float)
