# SPDX-License-Identifier: Apache-2.0
"""Writes files so that they are whole or not there."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


class OutputError(OSError):
    """An output that cannot be written as asked; one line with the next step."""


@contextmanager
def replacing(path: str | Path, *, text: bool = False) -> Iterator[IO]:
    """Gives a file to write, which takes the place of ``path`` when the block ends without error.

    Until then the file that was there is left as it is. The new file has its permissions, or those
    that the umask gives to a new one; a link stays, and the file that it names is replaced. What is
    no regular file, such as a pipe or ``/dev/null``, is written directly.

    Raises
    ------
    OSError
        The file cannot be written. Nothing is left behind.
    """
    mode, encoding = ("w", "utf-8") if text else ("wb", None)
    target = Path(os.path.realpath(path))
    old = target.stat() if target.exists() else None
    if old is not None and not stat.S_ISREG(old.st_mode):
        with open(target, mode, encoding=encoding) as file:
            yield file
        return
    # a short name, since a longer one than the target's may be too long for the file system
    beside = target.with_name(f".ornstein-{secrets.token_hex(4)}")
    try:
        with _naming(path), open(beside, mode.replace("w", "x"), encoding=encoding) as file:
            yield file
        with _naming(path):
            if old is not None:
                os.chmod(beside, stat.S_IMODE(old.st_mode))
            os.replace(beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Names the file that was asked for in errors, in place of the one beside it."""
    try:
        yield
    except OSError as error:
        name = Path(error.filename).name if isinstance(error.filename, (str, Path)) else ""
        if error.filename is None or name.startswith(".ornstein-"):
            error.filename, error.filename2 = str(path), None
        raise


def check_distinct(output: str | Path, *inputs: str | Path) -> None:
    """Raises OutputError if ``output`` is one of the ``inputs``, under whatever name.

    ``-`` is standard output or standard input.
    """
    there = _status(output, 1)
    if there is None or not stat.S_ISREG(there.st_mode):
        return
    for path in inputs:
        read = _status(path, 0)
        if read is not None and os.path.samestat(there, read):
            name = "standard output" if str(output) == "-" else output
            source = "standard input" if str(path) == "-" else path
            raise OutputError(
                f"{name} is the file that is read, {source}; name another file for the output"
            )


def _status(path: str | Path, standard: int) -> os.stat_result | None:
    """Returns the status of a file, or of a standard stream for ``-``; None if there is none."""
    try:
        return os.fstat(standard) if str(path) == "-" else os.stat(path)
    except OSError:
        return None
