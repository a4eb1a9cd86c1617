# SPDX-License-Identifier: Apache-2.0
"""What the experiments are run on: a trained and an untrained network, as energies."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import safe_open

from ornstein.host.experiments.paper.reported import TRAINED, UNTRAINED
from ornstein.host.models.model_file import WEIGHTS, WEIGHTS_FILE, TrainedModel
from ornstein.host.physics.couplings import DECODER, ENCODER, paper_energy
from ornstein.sim.energy import Energy

UNTRAINED_MODEL = WEIGHTS / "untrained"
SIGNS_NAME = "skip_signs"


@dataclass(frozen=True)
class Network:
    """One of the paper's two networks, and the units D of each of its modules."""

    key: str
    size: int

    @property
    def name(self) -> str:
        """The network in tables."""
        return f"{self.key}, D = {self.size}"


@dataclass(frozen=True, eq=False)
class Subject:
    """A network whose couplings and activations an experiment is run on.

    Attributes
    ----------
    key : TRAINED or UNTRAINED, which says beside which of the paper's numbers it stands
    model : weights and activations
    signs : signs of the skip's modes relative to the convention of
        :mod:`ornstein.host.physics.couplings`, None for the convention itself
    """

    key: str
    model: TrainedModel
    signs: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Units D of each module."""
        return len(self.model.W_enc)

    @property
    def network(self) -> Network:
        """The network by which results are found."""
        return Network(self.key, self.size)

    @property
    def name(self) -> str:
        """The network in tables."""
        return self.network.name

    @property
    def trained(self) -> bool:
        """Whether this is the network that the paper trained."""
        return self.key == TRAINED

    @property
    def centre(self) -> np.ndarray:
        """Training mean (D,) of the decoder's activations."""
        return self.model.y_train.mean(axis=0)

    def energy(self, rank: int = 16, signs: np.ndarray | None = None) -> Energy:
        """Returns the paper's energy with Gram terms of full rank and a skip of ``rank``.

        ``signs`` (rank,) multiply the skip's modes; the default is the subject's own.
        """
        if rank not in self._energies:
            self._energies[rank] = paper_energy(self.model.W_enc, self.model.W_dec, rank)
        energy = self._energies[rank]
        signs = self.signs if signs is None else signs
        return energy if signs is None else with_signs(energy, signs[:rank])

    @cached_property
    def _energies(self) -> dict[int, Energy]:
        return {}


def with_signs(energy: Energy, signs: np.ndarray) -> Energy:
    """Returns the energy with every mode of its last coupling, the skip, times its sign (rank,)."""
    *others, skip = energy.couplings
    first, *rest = skip.factors
    return replace(energy, couplings=(*others, replace(skip, factors=(first * signs, *rest))))


def without_skip(energy: Energy) -> Energy:
    """Returns the energy without its last coupling, the skip."""
    return replace(energy, couplings=energy.couplings[:-1])


def halves(energy: Energy) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the blocks A, J_skip and B of M."""
    matrix, encoder, decoder = energy.matrix(), energy.slices[ENCODER], energy.slices[DECODER]
    return matrix[encoder, encoder], matrix[encoder, decoder], matrix[decoder, decoder]


def decoder_part(energy: Energy, means: np.ndarray) -> np.ndarray:
    """Returns the decoder's part (n, D) of states (n, units)."""
    return means[:, energy.slices[DECODER]]


def oracle_bias(energy: Energy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the paper's oracle [A x; B y], (n, units)."""
    a, _, b = halves(energy)
    return np.hstack([x @ a, y @ b])


def load_untrained(path: Path = UNTRAINED_MODEL) -> Subject:
    """Reads the stored network of the paper's script, with the signs that its skip has there."""
    with safe_open(path / WEIGHTS_FILE, framework="np") as file:
        signs = file.get_tensor(SIGNS_NAME).astype(float)
    return Subject(UNTRAINED, TrainedModel.load(path), signs)
