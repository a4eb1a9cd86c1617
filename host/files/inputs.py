# SPDX-License-Identifier: Apache-2.0
"""Inputs for a program, block by block, from the files and streams that people have.

What a file holds is told from its first bytes, not from its name. The memory in use does not grow
with the number of inputs, but for arrays whose first index varies fastest.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ornstein.host.compile.program import InputError, InputRangeError, Program
from ornstein.host.files.arrays import (
    DAMAGE,
    LARGEST,
    NPY_MAGIC,
    ZIP_MAGIC,
    ArrayArchive,
    ArrayFileError,
    Header,
    check_size,
    read_header,
)
from ornstein.host.files.source import ByteSource, open_source
from ornstein.host.files.text import TextRows

BLOCK = 64
"""Inputs that are handed to a device at once, in whole jobs, where so many are there."""
_NAMES_SHOWN = 20
_OTHERS = {
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"MATL": "a MATLAB file",
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG image",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x02": "a Python pickle",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
}
"""First bytes of what people try as well, and what it is."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of one program.

    Attributes
    ----------
    name : of their source
    count : number of them; None if it is not known yet
    blocks : arrays (n, size), float64. All but the last hold whole jobs. One without inputs says
        that the next one has to be waited for
    line_of : returns the line, from 1, of an input of the last block; None where there are no lines
    notes : what the user should know of how they were read
    """

    name: str
    count: int | None
    blocks: Iterator[np.ndarray]
    line_of: Callable[[int], int | None] = field(default=lambda row: None)
    notes: list[str] = field(default_factory=list)

    def located(self, error: InputError) -> InputError:
        """Returns an error of a program that names the input's place in the file."""
        if error.row is None:
            return error
        line = self.line_of(error.row)
        place = f"line {line}, row {error.row}" if line else f"row {error.row}"
        remedy = ""
        if isinstance(error, InputRangeError):
            remedy = "; --clip takes the nearest value that it can hold"
        return InputError(f"{self.name}, {place} (from 0): {error.what}{remedy}")


@dataclass
class Clipping:
    """Takes for values that a program cannot hold the nearest that it can, and counts.

    Attributes
    ----------
    program : the program
    rows : inputs that were changed
    first : the first of them, None if there is none
    """

    program: Program
    rows: int = 0
    first: int | None = None

    def blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the blocks (n, size), clipped."""
        seen = 0
        for block in blocks:
            values, changed = self.program.clip(block)
            if self.first is None and changed.any():
                self.first = seen + int(np.argmax(changed))
            self.rows += int(changed.sum())
            seen += len(block)
            yield values


@contextmanager
def open_inputs(
    source: str, size: int, *, key: str | None = None, job: int = 1
) -> Iterator[Inputs]:
    """Gives the inputs in a file, a pipe or standard input.

    Parameters
    ----------
    source : name of the file; ``-`` for standard input
    size : numbers in an input
    key : name of the array in a file that holds several
    job : inputs in a job of the program

    Raises
    ------
    InputError
        The file is missing, of another kind, damaged or does not hold rows of ``size`` numbers. It
        is raised while blocks are read if it shows only then.
    """
    most = job * max(1, BLOCK // job)
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        head = opened.head(len(NPY_MAGIC))
        if head.startswith(ZIP_MAGIC):
            inputs = _of_archive(stack, opened, size, key, most)
        elif source.lower().endswith(".safetensors"):
            inputs = _of_tensors(stack, source, size, key, most)
        else:
            if head.startswith(NPY_MAGIC):
                inputs = _of_array(opened.name, opened.read, opened.size, size, most)
            else:
                inputs = _of_text(opened, head, size, job, most)
            if key is not None:
                inputs.notes.append("--key has no effect on a file of one array")
        yield inputs


def _of_text(source: ByteSource, head: bytes, size: int, job: int, most: int) -> Inputs:
    for mark, what in _OTHERS.items():
        if head.startswith(mark):
            raise InputError(f"{source.name} is {what}; save it as CSV, .npy, .npz or .safetensors")
    rows = TextRows(source, size)
    return Inputs(source.name, None, rows.blocks(job, most), rows.line_of, rows.notes)


def _of_array(
    name: str, read: Callable[[int], bytes], available: int | None, size: int, most: int
) -> Inputs:
    """Returns the rows of a .npy file that ``read`` reads, of ``available`` bytes if known."""
    try:
        header = read_header(read)
        _check_rows(name, header.shape, size, header.dtype)
        if available is not None:
            check_size(header, available)
    except ArrayFileError as error:
        raise InputError(f"{name} cannot be read as an array: {error}") from None
    rows = _whole(name, read, header) if header.fortran else _piecewise(name, read, header)
    return Inputs(name, header.shape[0], rows(size, most))


def _check_rows(name: str, shape: tuple[int, ...], size: int, dtype: object = None) -> None:
    """Raises InputError unless an array of that shape and type holds rows of ``size`` numbers."""
    if dtype is not None and np.dtype(dtype).kind not in "fiu":  # type: ignore[arg-type]
        raise InputError(f"{name} holds {dtype}, not numbers")
    if len(shape) < 2:
        raise InputError(
            f"{name} has shape {shape}; inputs are the rows of an array of two dimensions"
        )
    if prod(shape[1:]) != size:
        raise InputError(f"{name} has shape {shape}; the program takes rows of {size} numbers")


def _piecewise(name: str, read: Callable[[int], bytes], header: Header) -> "_Rows":
    """Returns a function that reads the rows block by block."""

    def blocks(size: int, most: int) -> Iterator[np.ndarray]:
        count, row_bytes = header.shape[0], size * header.dtype.itemsize
        for first in range(0, count, most):
            wanted = min(most, count - first)
            data = read(wanted * row_bytes)
            if len(data) < wanted * row_bytes:
                raise InputError(
                    f"{name} ends in row {first + len(data) // row_bytes} (from 0), of {count:,}"
                )
            yield np.frombuffer(data, header.dtype).reshape(wanted, size).astype(float)

    return blocks


def _whole(name: str, read: Callable[[int], bytes], header: Header) -> "_Rows":
    """Returns a function that reads all rows, whose numbers are stored column by column."""
    if header.nbytes > LARGEST:
        raise InputError(
            f"{name} stores {header.nbytes:,} bytes column by column, more than {LARGEST:,}; save "
            "numpy.ascontiguousarray of it"
        )

    def blocks(size: int, most: int) -> Iterator[np.ndarray]:
        data = read(header.nbytes)
        if len(data) < header.nbytes:
            raise InputError(f"{name} ends after {len(data):,} of {header.nbytes:,} bytes")
        array = np.frombuffer(data, header.dtype).reshape(header.shape, order="F")
        for first in range(0, len(array), most):
            part = array[first : first + most]
            yield part.reshape(len(part), size).astype(float)

    return blocks


_Rows = Callable[[int, int], Iterator[np.ndarray]]


def _of_archive(
    stack: ExitStack, source: ByteSource, size: int, key: str | None, most: int
) -> Inputs:
    if source.descriptor is not None:
        file = stack.enter_context(os.fdopen(os.dup(source.descriptor), "rb"))
    else:  # the list of contents is at the end, so that a pipe is read to its end first
        file = stack.enter_context(tempfile.TemporaryFile())
        while chunk := source.take():
            file.write(chunk)
    try:
        archive = ArrayArchive(file)
        chosen = _chosen(source.name, archive.names, key)
        member, available = archive.open(chosen)
    except ArrayFileError as error:
        raise InputError(f"{source.name} cannot be read as .npz: {error}") from None

    def read(count: int) -> bytes:
        try:
            return member.read(count)
        except DAMAGE as error:
            raise InputError(f"{source.name} is damaged: {error}") from None

    return _of_array(f"{source.name}, {chosen}", read, available, size, most)


def _of_tensors(stack: ExitStack, source: str, size: int, key: str | None, most: int) -> Inputs:
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    from safetensors import SafetensorError, safe_open

    try:
        file = stack.enter_context(safe_open(source, framework="np"))
        chosen = _chosen(source, list(file.keys()), key)
        tensor = file.get_slice(chosen)
        shape = tuple(tensor.get_shape())
        _check_rows(source, shape, size)

        def blocks() -> Iterator[np.ndarray]:
            for first in range(0, shape[0], most):
                part = tensor[first : min(first + most, shape[0])]
                yield part.reshape(len(part), size).astype(float)

    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        raise InputError(f"{source} cannot be read as safetensors: {error}") from None
    return Inputs(f"{source}, {chosen}", shape[0], blocks())


def _chosen(name: str, names: list[str], key: str | None) -> str:
    """Returns the name of the array to read."""
    listed = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    if key is None and len(names) != 1:
        raise InputError(f"{name} holds several arrays; choose one with --key: {listed}")
    if key is not None and key not in names:
        raise InputError(f"{name} has no array {key!r}; it has {listed}")
    return key or names[0]
