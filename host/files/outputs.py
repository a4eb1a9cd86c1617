# SPDX-License-Identifier: Apache-2.0
"""Outputs of a program, written block by block to a file that is whole or not there."""

import os
import shutil
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from ornstein.host.files.replace import OutputError, replacing

SUFFIXES = ".csv", ".npy", ".npz", ".safetensors"
STANDARD_OUTPUT = "-"
Write = Callable[[np.ndarray], None]
"""A function that writes rows (n, D)."""


def check_output(target: str) -> None:
    """Raises OutputError unless :func:`open_outputs` can begin to write ``target``."""
    if target == STANDARD_OUTPUT:
        if sys.stdout is None:
            raise OutputError("standard output is closed; name a file with --output")
    elif os.path.isdir(target):
        raise OutputError(f"{target} is a folder; name a file in it")
    elif not _is_stream(target):
        if Path(target).suffix.lower() not in SUFFIXES:
            raise OutputError(
                f"{target}: outputs are written as {', '.join(SUFFIXES)}; name a file that ends "
                "with one of these"
            )
        folder = Path(os.path.realpath(target)).parent
        if not folder.is_dir():
            raise OutputError(f"{target} cannot be written: there is no folder {folder}")


@contextmanager
def open_outputs(target: str, name: str) -> Iterator[Write]:
    """Gives a function that writes rows (n, D) of outputs.

    Parameters
    ----------
    target : a file, whose suffix (:data:`SUFFIXES`) says its format; ``-`` for CSV on standard
        output. There, and on what is no regular file, rows appear as soon as they are written; a
        file appears when all are
    name : name of the array in a .npz or .safetensors file

    Raises
    ------
    OutputError
        See :func:`check_output`.
    OSError
        The file cannot be written, for want of space for instance. Nothing is left behind.
    """
    check_output(target)
    if target == STANDARD_OUTPUT:
        yield _csv_writer(sys.stdout)
        return
    suffix = Path(target).suffix.lower()
    if suffix == ".csv" or _is_stream(target):
        with replacing(target, text=True) as file:
            yield _csv_writer(file)
        return
    with replacing(target) as file:
        if suffix == ".npy":
            with _npy_writer(file) as write:
                yield write
            return
        # both formats begin with the number of rows, which is known in the end
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(target)).parent) as rows:
            with _npy_writer(rows) as write:
                yield write
            rows.seek(0)
            (_pack_npz if suffix == ".npz" else _pack_safetensors)(file, rows, name)


def _is_stream(target: str) -> bool:
    """Whether the target is there, but no regular file: a pipe, a terminal, ``/dev/null``."""
    try:
        return not stat.S_ISREG(os.stat(target).st_mode)
    except OSError:
        return False


def _csv_writer(file: IO[str]) -> Write:
    def write(rows: np.ndarray) -> None:
        np.savetxt(file, rows, fmt="%.9g", delimiter=",")
        file.flush()

    return write


@contextmanager
def _npy_writer(file: IO[bytes]) -> Iterator[Write]:
    """Gives a function that appends rows of float64 to a .npy file.

    The header is written again in the end, when the number of rows is known: NumPy leaves room for
    a first axis of any length.
    """
    count, columns = 0, 0

    def header() -> None:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (count, columns)}
        )

    def write(rows: np.ndarray) -> None:
        nonlocal count, columns
        if not count:
            columns = rows.shape[1]
            header()
        file.write(np.ascontiguousarray(rows, "<f8").data)
        count += len(rows)

    yield write
    begin = file.tell()
    file.seek(0)
    header()
    file.seek(max(begin, file.tell()))


def _pack_npz(file: IO[bytes], rows: IO[bytes], name: str) -> None:
    with (
        zipfile.ZipFile(file, "w", allowZip64=True) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as member,
    ):
        shutil.copyfileobj(rows, member, 1 << 20)


def _pack_safetensors(file: IO[bytes], rows: IO[bytes], name: str) -> None:
    from safetensors.numpy import save

    file.write(save({name: np.load(rows)}))
