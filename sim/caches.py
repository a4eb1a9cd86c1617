# SPDX-License-Identifier: Apache-2.0
"""Folders in which this package and the libraries that it uses keep what takes long to make."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

_LIBRARIES = {
    "NUMBA_CACHE_DIR": "numba",
    "YOWASP_CACHE_DIR": "yowasp",
    "MPLCONFIGDIR": "matplotlib",
    "XDG_CACHE_HOME": "other",  # Amaranth's Yosys, which asks nowhere else
}
"""Environment variables that tell libraries their folders, and the names of those folders."""


def cache_folder() -> Path:
    """Returns the folder of everything that is kept: ``ORNSTEIN_CACHE``, or the user's cache
    folder, or where that cannot be written, a folder of the user's in the system's temporary one.
    """
    if named := os.environ.get("ORNSTEIN_CACHE"):
        return Path(named).absolute()
    usual = Path(platformdirs.user_cache_dir("ornstein"))
    if _can_be_written(usual):
        return usual
    user = os.getuid() if hasattr(os, "getuid") else ""
    temporary = Path(tempfile.gettempdir()) / f"ornstein-{user}"
    temporary.mkdir(mode=0o700, exist_ok=True)
    found = temporary.lstat()
    if user != "" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != user):
        raise PermissionError(
            f"{temporary} belongs to somebody else, and {usual} cannot be written; name a folder "
            "in the environment variable ORNSTEIN_CACHE"
        )
    return temporary


def library_environment() -> dict[str, str]:
    """Returns the environment variables that make the libraries keep their files under
    :func:`cache_folder`; none where that is the user's usual folder, or the variable is set.
    """
    folder = cache_folder()
    if folder == Path(platformdirs.user_cache_dir("ornstein")):
        return {}
    # this package must find its own folder again, whatever the others are told
    wanted = {"ORNSTEIN_CACHE": str(folder)} | {
        variable: str(folder / name) for variable, name in _LIBRARIES.items()
    }
    return {variable: value for variable, value in wanted.items() if variable not in os.environ}


@contextmanager
def library_caches() -> Iterator[None]:
    """Sets :func:`library_environment` for what is started meanwhile."""
    added = library_environment()
    os.environ.update(added)
    try:
        yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)


def _can_be_written(folder: Path) -> bool:
    """Whether the folder, or the nearest above it that there is, can be written."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
