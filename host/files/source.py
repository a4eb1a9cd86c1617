# SPDX-License-Identifier: Apache-2.0
"""Bytes of a file, a pipe or standard input, as they come, unpacked if they are packed."""

import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ornstein.host.compile.program import InputError

STANDARD_INPUT = "standard input"
_CHUNK = 1 << 16
_GZIP = b"\x1f\x8b\x08"


class ByteSource:
    """Bytes that are read once, from the first to the last.

    Attributes
    ----------
    name : for messages
    size : number of bytes in all; None if it is not known
    descriptor : the open file if it can be read at any place, as it is; None if it cannot
    """

    def __init__(
        self,
        name: str,
        more: Callable[[], bytes],
        waits: Callable[[], bool],
        size: int | None = None,
        descriptor: int | None = None,
    ):
        self.name, self.size, self.descriptor = name, size, descriptor
        self._more, self._would_wait = more, waits
        self._held = b""

    def head(self, count: int) -> bytes:
        """Returns the next bytes without taking them: ``count``, or fewer where the end of a line
        or of the file comes before. Waits for them.
        """
        while len(self._held) < count and b"\n" not in self._held:
            if not (chunk := self._more()):
                break
            self._held += chunk
        return self._held[:count]

    def take(self) -> bytes:
        """Returns what is there, and waits only if nothing is; b"" at the end."""
        held, self._held = self._held, b""
        return held or self._more()

    def read(self, count: int) -> bytes:
        """Returns the next ``count`` bytes, fewer at the end. Waits for them."""
        parts, missing = [], count
        while missing > 0 and (chunk := self.take()):
            parts.append(chunk[:missing])
            self._held = chunk[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def waits(self) -> bool:
        """Whether :meth:`take` would have to wait now."""
        return not self._held and self._would_wait()


@contextmanager
def open_source(path: str) -> Iterator[ByteSource]:
    """Gives the bytes of a file, or of standard input for ``-``; those of a .gz file unpacked.

    Raises
    ------
    InputError
        There is no such file, or it cannot be read.
    """
    if path == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed; name a file with --input")
        yield _unpacked(_of_descriptor(STANDARD_INPUT, sys.stdin.fileno()))
        return
    try:
        if os.path.isdir(path):
            raise InputError(f"{path} is a folder; name a file in it")
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise InputError(f"there is no input file {path}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    try:
        yield _unpacked(_of_descriptor(path, descriptor))
    finally:
        os.close(descriptor)


def _of_descriptor(name: str, descriptor: int) -> ByteSource:
    status = os.fstat(descriptor)
    regular = stat.S_ISREG(status.st_mode)

    def more() -> bytes:
        try:
            return os.read(descriptor, _CHUNK)
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}") from None

    def waits() -> bool:
        return not regular and not select.select([descriptor], [], [], 0)[0]

    rest = regular and not os.lseek(descriptor, 0, os.SEEK_CUR)
    return ByteSource(
        name, more, waits, status.st_size if rest else None, descriptor if rest else None
    )


def _unpacked(source: ByteSource) -> ByteSource:
    """Returns the source, or what its gzip members hold, one after the other."""
    if source.head(len(_GZIP)) != _GZIP:
        return source
    unpack, ended = zlib.decompressobj(wbits=31), False

    def more() -> bytes:
        nonlocal unpack, ended
        while True:
            packed = unpack.unconsumed_tail or unpack.unused_data or source.take()
            if not packed:
                if not unpack.eof and not ended:
                    raise InputError(f"{source.name} ends within its packed data; is it complete?")
                return b""
            if unpack.eof:
                if not packed.strip(b"\0"):  # padding behind the last member
                    unpack, ended = zlib.decompressobj(wbits=31), True
                    continue
                unpack, ended = zlib.decompressobj(wbits=31), False
            try:
                # limited, so that a small file cannot fill the memory
                if chunk := unpack.decompress(packed, _CHUNK):
                    return chunk
            except zlib.error as error:
                raise InputError(f"{source.name} cannot be unpacked: {error}") from None

    return ByteSource(source.name, more, source.waits)
