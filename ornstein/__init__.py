# SPDX-License-Identifier: Apache-2.0
"""The public Python API: the names of :mod:`ornstein.host`, which are loaded when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ornstein.host import *  # noqa: F403


def __getattr__(name: str) -> Any:
    return getattr(import_module("ornstein.host"), name)


def __dir__() -> list[str]:
    return dir(import_module("ornstein.host"))
