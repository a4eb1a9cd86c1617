# SPDX-License-Identifier: Apache-2.0
"""The distribution holds every package: setuptools takes the list in pyproject.toml as it stands."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = "hdl", "sim", "boards", "host"


def test_every_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        "ornstein." + ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(listed) == found
    assert len(listed) == len(found)
