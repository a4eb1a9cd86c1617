# SPDX-License-Identifier: Apache-2.0
"""Both skips of a U-Net as one task, and the recipes of two hierarchies that solve it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ornstein.host.models import recipes
from ornstein.host.models.model_file import DEFAULT_MODEL, TrainedModel
from ornstein.host.models.recipes import ALIGNED_RANK, RANK, UNLINKED, Recipe
from ornstein.host.physics.couplings import aligned_hierarchy, bilinear_hierarchy
from ornstein.host.physics.interface import sides, split
from ornstein.sim.energy import Energy

APART, FIRST_ONLY = "apart", "first-only"
"""Variants of the aligned hierarchy: fitted without the link, and driven by e1 alone."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Both skips of a trained model, as the recipes of :mod:`ornstein.host.models.recipes` read it.

    Attributes
    ----------
    pairs : one model for each skip, level 1 first
    x_train, x_test : (n, units) what the interface reads: the activations of all encoders, side by
        side
    y_train, y_test : (n, units) the activations of all decoders, side by side
    """

    pairs: tuple[TrainedModel, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def load(cls, path: str | Path = DEFAULT_MODEL) -> "Levels":
        """Reads a folder of ``ornstein train``. Raises ModelFileError."""
        pairs = tuple(
            TrainedModel.load(path, f"e{level}.conv1.weight", f"d{level}.conv1.weight")
            for level in (1, 2)
        )
        x_train, y_train, x_test, y_test = (
            np.hstack([getattr(pair, name) for pair in pairs])
            for name in ("x_train", "y_train", "x_test", "y_test")
        )
        return cls(pairs, x_train, y_train, x_test, y_test)

    def first_only(self) -> "Levels":
        """Returns the same task for an interface that reads e1 alone."""
        return replace(self, x_train=self.pairs[0].x_train, x_test=self.pairs[0].x_test)

    def by_module(self, encoder: str, decoder: str) -> dict[str, np.ndarray]:
        """Returns two attributes of every pair under the names of the modules, e1, d1, e2, d2."""
        return {
            f"{side}{level}": getattr(pair, name)
            for level, pair in enumerate(self.pairs, 1)
            for side, name in (("e", encoder), ("d", decoder))
        }

    def aligned(self, linked: bool = True) -> Energy:
        """Returns the energy that is made from the activations."""
        return aligned_hierarchy(self.by_module("x_train", "y_train"), ALIGNED_RANK, linked=linked)

    def bilinear(self) -> Energy:
        """Returns the energy that is made from the weights."""
        return bilinear_hierarchy(self.by_module("W_enc", "W_dec"), RANK)


def by_decoder(energy: Energy, values: np.ndarray) -> dict[str, np.ndarray]:
    """Returns values (..., units of all decoders) as one array for each decoder, by its name."""
    _, decoders = sides(energy)
    return dict(zip(decoders, split(energy, decoders, values), strict=True))


def linked_aligned(levels: Levels) -> Recipe:
    """Returns the aligned recipe on both levels, with the link from d2 to d1."""
    recipe = recipes.ours_aligned(levels, levels.aligned())
    return replace(recipe, name="aligned, linked")


def separate_aligned(levels: Levels) -> Recipe:
    """Returns the aligned recipe fitted without the link."""
    return replace(
        recipes.ours_aligned(levels, levels.aligned(linked=False)),
        name="aligned, levels apart",
        note="refitted without the link",
        variant=APART,
    )


def first_only_aligned(levels: Levels, energy: Energy) -> Recipe:
    """Returns the aligned recipe on a linked energy whose interface sees e1 alone."""
    return replace(
        recipes.ours_aligned(levels.first_only(), energy),
        name="aligned, linked, reads e1 only",
        note="the interface sees e1 alone",
        variant=FIRST_ONLY,
    )


def linked_bilinear(levels: Levels) -> Recipe:
    """Returns the recipe with a full interface on the bilinear energy of four modules."""
    return replace(recipes.ours_full(levels, levels.bilinear()), name="bilinear, linked")


def bilinear_oracle(levels: Levels) -> Recipe:
    """Returns the exact oracle of the bilinear energy."""
    recipe = recipes.exact_oracle(levels, levels.bilinear())
    return replace(recipe, note="b = M z on the bilinear energy")


def unlinked(recipe: Recipe) -> Recipe:
    """Returns the same recipe with its links zeroed and nothing fitted again.

    What it loses is what crosses from level to level.
    """
    names = [module.name for module in recipe.energy.modules]
    couplings = []
    for coupling in recipe.energy.couplings:
        level = np.array([names.index(name) // 2 for name in coupling.modules])
        same_level = level[:, None] == level
        couplings.append(replace(coupling, mix=coupling.mix * same_level[..., None]))
    return replace(
        recipe,
        name=f"{recipe.name}, link zeroed",
        energy=replace(recipe.energy, couplings=tuple(couplings)),
        note="same biases, not refitted",
        variant=UNLINKED,
    )
