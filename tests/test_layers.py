# SPDX-License-Identifier: Apache-2.0
"""Imports go one way: hdl <- sim <- boards <- host. Nothing imports a package above its own."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = "hdl", "sim", "boards", "host"


def imported_packages(path: Path) -> set[str]:
    """First part behind ``ornstein.`` of every import of a file, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("ornstein.")}


@pytest.mark.parametrize("layer", LAYERS)
def test_no_layer_imports_one_above_it(layer):
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    wrong = {
        str(path.relative_to(ROOT)): extra
        for path in files
        if (extra := imported_packages(path) - set(allowed))
    }
    assert wrong == {}
