# SPDX-License-Identifier: Apache-2.0
"""Several skips of a network as one task, and the recipes of two hierarchies that solve it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.models import recipes
from ornstein.host.models.model_file import ModelFileError, TrainedModel, load_skips
from ornstein.host.models.recipes import RANK, UNLINKED, Recipe
from ornstein.host.physics.alignment import align_activations
from ornstein.host.physics.couplings import bilinear_hierarchy
from ornstein.host.physics.interface import Readout, sides, split
from ornstein.host.physics.problem import Drive
from ornstein.sim.energy import Energy, Module

DEFAULT_SKIPS = "e1.conv1:d1.conv1", "e2.conv1:d2.conv1"
"""The skips of the networks of ``ornstein train``."""
APART, FIRST_ONLY = "apart", "first-only"
"""Variants of the aligned hierarchy: each level fitted by itself, and fitted to e1 alone."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Skips of one network, as the recipes of :mod:`ornstein.host.models.recipes` read them.

    Attributes
    ----------
    pairs : one model for each skip, level 1 first; their activations belong to the same inputs
    x_train, x_test : (n, units) the inputs: the activations of all encoders, side by side
    y_train, y_test : (n, units) the activations of all decoders, side by side
    """

    pairs: tuple[TrainedModel, ...]
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[TrainedModel]) -> "Levels":
        """Returns the task of these skips, the highest resolution first.

        Raises ModelFileError unless there are several, with activations of as many inputs.
        """
        if len(pairs) < 2:
            raise ModelFileError(
                "a hierarchy has two skips or more; repeat --skip or --activations"
            )
        for part in ("x_train", "x_test"):
            counts = {len(getattr(pair, part)) for pair in pairs}
            if len(counts) > 1:
                raise ModelFileError(
                    f"the skips have {part} of different numbers of inputs, {sorted(counts)}; "
                    "capture them in one run"
                )
        x_train, y_train, x_test, y_test = (
            np.hstack([getattr(pair, name) for pair in pairs])
            for name in ("x_train", "y_train", "x_test", "y_test")
        )
        return cls(tuple(pairs), x_train, y_train, x_test, y_test)

    @classmethod
    def load(cls) -> "Levels":
        """Returns both skips of the default model."""
        return cls.of(load_skips(skips=DEFAULT_SKIPS))

    def first_only(self) -> "Levels":
        """Returns the same task with the activations of e1 as the only inputs."""
        return replace(self, x_train=self.pairs[0].x_train, x_test=self.pairs[0].x_test)

    def by_module(self, encoder: str, decoder: str) -> dict[str, np.ndarray]:
        """Returns two attributes of every pair by the names of the modules e1, d1, e2, d2, ..."""
        return {
            f"{side}{level}": getattr(pair, name)
            for level, pair in enumerate(self.pairs, 1)
            for side, name in (("e", encoder), ("d", decoder))
        }

    @property
    def units(self) -> dict[str, int]:
        """Units of the modules e1, d1, e2, d2, ..."""
        return {name: part.shape[1] for name, part in self.by_module("x_train", "y_train").items()}

    def bilinear(self) -> Energy:
        """Returns the energy that is made from the weights."""
        return bilinear_hierarchy(self.by_module("W_enc", "W_dec"), RANK)


def by_decoder(energy: Energy, values: np.ndarray) -> dict[str, np.ndarray]:
    """Returns values (..., units of all decoders) as one array for each decoder, by its name."""
    _, decoders = sides(energy)
    return dict(zip(decoders, split(energy, decoders, values), strict=True))


def linked_aligned(levels: Levels) -> Recipe:
    """Returns the aligned recipe of all levels at once: every mode reaches every decoder."""
    return _joint(levels, levels.units, "aligned, linked")


def first_only_aligned(levels: Levels) -> Recipe:
    """Returns the aligned recipe fitted to e1 as the only input; no other encoder is coupled."""
    units = {name: size for name, size in levels.units.items() if name == "e1" or name[0] == "d"}
    recipe = _joint(levels.first_only(), units, "aligned, linked, reads e1 only")
    return replace(recipe, note="fitted to e1 alone", variant=FIRST_ONLY)


def _joint(levels: Levels, units: dict[str, int], name: str) -> Recipe:
    """Returns the recipe of one coupling between all encoders and all decoders in ``units``."""
    encoders, decoders = ({key: units[key] for key in units if key[0] == side} for side in "ed")
    joint = align_activations(levels.x_train, levels.y_train, encoders, decoders, RANK)
    # Couplings name their modules, so that modules can stand in the order of the pairs.
    modules = tuple(Module(key, size) for key, size in levels.units.items())
    energy = replace(joint.energy, modules=modules).check()
    return replace(recipes.aligned_recipe(replace(joint, energy=energy)), name=name)


def separate_aligned(levels: Levels) -> Recipe:
    """Returns the aligned recipe with each level fitted by itself, and no coupling between them."""
    alone = [
        align_activations(
            pair.x_train,
            pair.y_train,
            {f"e{level}": pair.x_train.shape[1]},
            {f"d{level}": pair.y_train.shape[1]},
            RANK,
        )
        for level, pair in enumerate(levels.pairs, 1)
    ]
    energies = [alignment.energy for alignment in alone]
    drives = [alignment.drive for alignment in alone]
    readouts = [alignment.readout for alignment in alone]
    return replace(
        recipes.aligned_recipe(alone[0]),
        name="aligned, levels apart",
        energy=Energy(
            sum((energy.modules for energy in energies), ()),
            sum((energy.couplings for energy in energies), ()),
            energies[0].j2,
        ).check(),
        drive=Drive(
            sum((drive.modules for drive in drives), ()),
            np.concatenate([drive.centre for drive in drives]),
            np.concatenate([drive.scale for drive in drives]),
        ),
        readout=Readout(
            np.concatenate([readout.scale for readout in readouts]),
            np.concatenate([readout.offset for readout in readouts]),
        ),
        note="each level fitted by itself",
        variant=APART,
    )


def linked_bilinear(levels: Levels) -> Recipe:
    """Returns the recipe with a full interface on the bilinear energy of all modules."""
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
