# SPDX-License-Identifier: Apache-2.0
"""Arrays in .npy and .npz files: what their headers say is checked before memory is taken."""

import io
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

NPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
LARGEST = 1 << 30
"""Bytes of the largest array that is held in memory as a whole, unless its file is as large."""
_MOST_PACKED = 16
"""Ratio of packing that measured numbers do not reach."""
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    zipfile.BadZipFile,
)
"""What NumPy and zipfile raise for files that are damaged, encrypted or of another kind."""


class ArrayFileError(ValueError):
    """An array that cannot be read: damaged, too large, or not of numbers; the message names no
    file.
    """


@dataclass(frozen=True)
class Header:
    """What a .npy file says of its array.

    Attributes
    ----------
    shape : of the array
    dtype : of its elements
    fortran : whether its first index varies fastest
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return prod(self.shape) * self.dtype.itemsize


def read_header(read: Callable[[int], bytes]) -> Header:
    """Reads the header of a .npy file from a function that returns that many bytes of it.

    Raises ArrayFileError.
    """
    try:
        file = _Reads(read)
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ArrayFileError(f"it is of the .npy format {version[0]}.{version[1]}")
    except ArrayFileError:
        raise
    except Exception as error:  # NumPy reports damage through exceptions of unrelated types
        raise ArrayFileError(_first_line(error)) from None
    if dtype.hasobject or dtype.kind not in "biufcSUV":
        raise ArrayFileError(f"it holds {dtype}, not numbers")
    if any(length < 0 for length in shape):
        raise ArrayFileError(f"its shape is {shape}")
    return Header(shape, dtype, fortran)


def read_array(file: IO[bytes], size: int, packed: int | None = None) -> np.ndarray:
    """Reads a .npy file of ``size`` bytes as one array; they were unpacked from ``packed`` bytes.

    Raises ArrayFileError, before memory is taken for the array, if the file does not hold it, or if
    it is larger than :data:`LARGEST` and comes from a file that is far smaller.
    """
    header = read_header(file.read)
    check_size(header, size)
    _check_memory(header.nbytes, size if packed is None else packed)
    try:
        data = file.read(header.nbytes)
    except DAMAGE as error:
        raise ArrayFileError(_first_line(error)) from None
    if len(data) < header.nbytes:
        raise ArrayFileError(f"it ends after {len(data):,} of {header.nbytes:,} bytes")
    order = "F" if header.fortran else "C"
    return np.frombuffer(data, header.dtype).reshape(header.shape, order=order)


def _check_memory(unpacked: int, packed: int) -> None:
    """Raises ArrayFileError if arrays are larger than :data:`LARGEST` and come from files that are
    far smaller; both sizes are in bytes.
    """
    if unpacked > max(LARGEST, _MOST_PACKED * packed):
        raise ArrayFileError(
            f"it unpacks to {unpacked:,} bytes, more than {LARGEST:,}; give fewer rows"
        )


def check_size(header: Header, size: int) -> None:
    """Raises ArrayFileError unless a file of ``size`` bytes can hold what its header says."""
    if header.nbytes > size:
        raise ArrayFileError(
            f"its header says shape {header.shape}, {header.nbytes:,} bytes of {header.dtype}, but "
            f"the file ends after {size:,} bytes"
        )


class ArrayArchive:
    """An open .npz file, whose arrays are read when they are asked for.

    Raises ArrayFileError if it is none.
    """

    def __init__(self, file: IO[bytes]):
        try:
            self._archive = zipfile.ZipFile(file)
        except DAMAGE as error:
            raise ArrayFileError(f"{_first_line(error)}; is it complete?") from None
        names = self._archive.namelist()
        self.names = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
        """Names of the arrays."""
        if not self.names:
            shown = ", ".join(names[:3]) or "nothing"
            raise ArrayFileError(f"it is an archive without arrays; it holds {shown}")
        for name, count in Counter(self.names).items():
            if count > 1:
                raise ArrayFileError(f"it holds {count} arrays of the name {name!r}")

    def open(self, name: str) -> tuple[IO[bytes], int]:
        """Returns the .npy file of an array, and its size. Raises ArrayFileError."""
        try:
            info = self._archive.getinfo(f"{name}.npy")
            return self._archive.open(info), info.file_size
        except DAMAGE as error:
            raise ArrayFileError(f"{name}: {_first_line(error)}") from None

    def header(self, name: str) -> Header:
        """Returns what the file says of an array. Raises ArrayFileError."""
        file, _ = self.open(name)
        with file:
            return read_header(file.read)

    def read(self, name: str) -> np.ndarray:
        """Returns an array. Raises ArrayFileError, see :func:`read_array`."""
        file, size = self.open(name)
        with file:
            return read_array(file, size, self._archive.getinfo(f"{name}.npy").compress_size)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file by their names, or that of an .npy file under "".

    Raises OSError, or ArrayFileError, see :func:`read_array`; the arrays of an .npz file count as
    one.
    """
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            archive = ArrayArchive(file)
            unpacked = sum(archive.header(name).nbytes for name in archive.names)
            _check_memory(unpacked, os.fstat(file.fileno()).st_size)
            return {name: archive.read(name) for name in archive.names}
        file.seek(0)
        return {"": read_array(file, os.fstat(file.fileno()).st_size)}


class _Reads(io.RawIOBase):
    """A function that returns bytes, as the file that NumPy reads headers from."""

    def __init__(self, read: Callable[[int], bytes]):
        self._read = read

    def read(self, size: int = -1) -> bytes:
        return self._read(size)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
