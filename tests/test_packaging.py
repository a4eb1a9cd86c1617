# SPDX-License-Identifier: Apache-2.0
"""The distribution holds every package, and every package that it needs is pinned."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PACKAGES = "hdl", "sim", "boards", "host"


def test_every_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {"ornstein"} | {
        "ornstein." + ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(listed) == found
    assert len(listed) == len(found)


def canonical(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(extras: list[str]) -> set[str]:
    """Names of the packages that these extras need, and of all that those need in turn, as far as
    they are installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [
        *project["dependencies"],
        *(text for extra in extras for text in project["optional-dependencies"][extra]),
    ]
    names, waiting = set(), [Requirement(text) for text in texts]
    while waiting:
        wanted = waiting.pop()
        names.add(canonical(wanted.name))
        try:
            needs = map(Requirement, distribution(wanted.name).requires or [])
        except PackageNotFoundError:
            continue
        for need in needs:
            environments = [{"extra": extra} for extra in wanted.extras or {""}]
            applies = not need.marker or any(map(need.marker.evaluate, environments))
            if applies and canonical(need.name) not in names:
                waiting.append(need)
    return names


def test_every_package_is_pinned():
    """The extra ``bench`` is left out: no command of the Makefile installs it."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonical(line.partition("==")[0]) for line in lines if "==" in line}
    extras = ["test", "cosim", "synth", "study", "lint", "docs", "train", "onnx", "ncnn", "watch"]
    assert requirements(extras) <= pinned
