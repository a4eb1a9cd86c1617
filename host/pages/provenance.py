# SPDX-License-Identifier: Apache-2.0
"""What a page says of its own making: the version, the command, and the command's options."""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version

_command: ContextVar[str] = ContextVar("command", default="")


@contextmanager
def made_within(words: Iterable[str]) -> Iterator[None]:
    """Says that the pages that are made now are made by the command line of these words."""
    token = _command.set(shlex.join(words))
    try:
        yield
    finally:
        _command.reset(token)


def made_by() -> str:
    """Returns a line with this package's version and, within a command, its command line."""
    made = f"Made by ornstein {version('ornstein')}"
    return f"{made} with: {_command.get()}" if _command.get() else f"{made}."
