# SPDX-License-Identifier: Apache-2.0
"""Compiles numerical functions with Numba, which keeps the machine code where it can be kept."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from ornstein.sim.caches import library_environment

Function = TypeVar("Function", bound=Callable)

_CONFIG: Any = sys.modules["numba.core.config"]
if folder := library_environment().get("NUMBA_CACHE_DIR"):
    _CONFIG.CACHE_DIR = folder


def _keeps(source: str) -> bool:
    """Whether Numba finds a folder for the machine code of that source file."""
    folders = [_CONFIG.CACHE_DIR] if _CONFIG.CACHE_DIR else []
    for folder in (*folders, Path(source).parent / "__pycache__"):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return True
    return False


def compiled(*, inline: bool = False) -> Callable[[Function], Function]:
    """Returns the decorator of a function that is compiled at its first call.

    It leaves Python's lock while it runs, so that threads run it side by side. ``inline`` puts it
    into the functions that call it. Where no folder can be written, it is compiled anew by every
    process.
    """

    def decorate(function: Any) -> Any:
        return numba.njit(
            cache=_keeps(function.__code__.co_filename),
            inline="always" if inline else "never",
            nogil=True,
        )(function)

    return decorate
