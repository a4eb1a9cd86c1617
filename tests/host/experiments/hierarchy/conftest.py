# SPDX-License-Identifier: Apache-2.0
"""Both skips of the stored model, and rows of both programs."""

import pytest

from ornstein.host.experiments.common import Runner
from ornstein.host.experiments.hierarchy.levels import Levels, linked_aligned
from ornstein.host.experiments.hierarchy.run import run_recipe
from ornstein.host.models import recipes


@pytest.fixture(scope="session")
def levels():
    return Levels.load()


@pytest.fixture(scope="session")
def aligned_recipe(levels):
    return linked_aligned(levels)


@pytest.fixture(scope="session")
def bilinear_recipe(levels):
    return recipes.ours_full(levels, levels.bilinear())


@pytest.fixture(scope="session")
def on_the_model(levels, aligned_recipe, bilinear_recipe):
    """Rows of both programs on the integer model at kT = 0, by the key of the recipe."""
    with Runner("model:wide") as runner:
        return {
            recipe.key: run_recipe(recipe, levels, runner)
            for recipe in (aligned_recipe, bilinear_recipe)
        }
