# SPDX-License-Identifier: Apache-2.0
"""What a page says of its own making: the version, the command, and the command's options."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from numbers import Real
from typing import Any

_command: ContextVar[str] = ContextVar("command", default="")


@contextmanager
def made_within(command: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Says that the pages that are made now are made by a command with these options, by name."""
    words = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in sorted(options.items())
        if isinstance(value, (str, Real)) and not isinstance(value, bool)
    ]
    token = _command.set(" ".join(["ornstein", command, *words]))
    try:
        yield
    finally:
        _command.reset(token)


def made_by() -> str:
    """Returns a line with this package's version and, within a command, the command and the values
    of its options, the seed among them. Paths are left out.
    """
    made = f"Made by ornstein {version('ornstein')}"
    return f"{made} with: {_command.get()}" if _command.get() else f"{made}."
