# SPDX-License-Identifier: Apache-2.0
"""Reads inputs from files or a pipe block by block, and writes outputs as soon as they are there.

The memory in use does not grow with the number of inputs.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ornstein.host.compile.program import InputError

BLOCK = 64
"""Inputs that are handed to a device at once."""


def read_blocks(
    source: str, key: str | None = None, block: int = BLOCK
) -> tuple[Iterator[np.ndarray], int | None]:
    """Returns blocks (n, ...) of inputs, and the number of inputs, None if it is not known yet.

    Parameters
    ----------
    source : a .npy file, a .npz file, a CSV file with one input per line, or ``-`` for CSV from
        standard input
    key : name of the array in a .npz file; None reads the first
    block : largest number of inputs in a block

    Raises
    ------
    InputError
        The file is missing or cannot be read; for CSV this is raised while the blocks are read.
    """
    if source == "-":
        return _csv_blocks(sys.stdin, "standard input", block), None
    path = Path(source)
    if not path.is_file():
        raise InputError(f"there is no input file {source}")
    try:
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                names = archive.files
                if key is not None and key not in names:
                    raise InputError(f"{source} has no array {key!r}; it has {', '.join(names)}")
                array = archive[key or names[0]]
        else:
            return _csv_file(path, block), None
    except (OSError, ValueError, EOFError, IndexError, KeyError) as error:
        raise InputError(f"{source} cannot be read as {path.suffix[1:]}: {error}") from None
    if array.ndim < 2:
        raise InputError(
            f"{source} has shape {array.shape}; inputs are the rows of an array of two dimensions"
        )
    blocks = (np.asarray(array[first : first + block]) for first in range(0, len(array), block))
    return blocks, len(array)


def _csv_file(path: Path, block: int) -> Iterator[np.ndarray]:
    with path.open() as lines:
        yield from _csv_blocks(lines, str(path), block)


def _csv_blocks(lines: Iterable[str], name: str, block: int) -> Iterator[np.ndarray]:
    """Yields blocks of the rows in lines of CSV; ``name`` is that of their source."""
    numbered = (
        (number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    )
    while chunk := list(itertools.islice(numbered, block)):
        rows = []
        for number, line in chunk:
            try:
                rows.append([float(cell) for cell in line.split(",")])
            except ValueError:
                raise InputError(
                    f"{name}, line {number}: {line.strip()[:40]!r} is not a row of numbers"
                ) from None
            if len(rows[-1]) != len(rows[0]):
                raise InputError(
                    f"{name}, line {number}: {len(rows[-1])} numbers, but {len(rows[0])} in the "
                    "lines before"
                )
        yield np.array(rows)


@contextmanager
def writer(target: str, count: int | None) -> Iterator[Callable[[np.ndarray], None]]:
    """Gives a function that writes blocks (n, D) of outputs.

    ``target`` is a CSV file or ``-`` for standard output, to which each block is written at once,
    or a .npy file. A .npy file is written block by block if the number ``count`` of outputs is
    known, and otherwise at the end.
    """
    if Path(target).suffix == ".npy":
        with _npy_writer(Path(target), count) as write_npy:
            yield write_npy
        return
    stream = sys.stdout if target == "-" else open(target, "w")
    try:

        def write(rows: np.ndarray) -> None:
            np.savetxt(stream, rows, fmt="%.9g", delimiter=",")
            stream.flush()

        yield write
    finally:
        if target != "-":
            stream.close()


@contextmanager
def _npy_writer(path: Path, count: int | None) -> Iterator[Callable[[np.ndarray], None]]:
    parts: list[np.ndarray] = []
    mapped = None
    row = 0

    def write(rows: np.ndarray) -> None:
        nonlocal mapped, row
        if count is None:
            parts.append(rows)
            return
        if mapped is None:
            mapped = np.lib.format.open_memmap(path, "w+", np.float64, (count, *rows.shape[1:]))
        mapped[row : row + len(rows)] = rows
        row += len(rows)

    yield write
    if mapped is not None:
        mapped.flush()
    elif parts:
        np.save(path, np.concatenate(parts))
