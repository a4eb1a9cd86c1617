# SPDX-License-Identifier: Apache-2.0
"""The recipes of the score tables: an energy, what drives it, and how its decoder is read.

Every builder takes a :class:`ornstein.host.models.model_file.TrainedModel` and fits on its training
activations only. Builders that make their couplings from weights accept another ``energy`` to run
the same recipe on other couplings; they then need the activations alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.models.model_file import Activations, TrainedModel
from ornstein.host.physics.alignment import Alignment, align_activations
from ornstein.host.physics.couplings import (
    DECODER,
    ENCODER,
    hierarchical_bilinear,
    paper_energy,
)
from ornstein.host.physics.interface import (
    Interface,
    Readout,
    fit_closed_form,
    fit_paper,
    fit_silu,
    places,
    sides,
)
from ornstein.host.physics.problem import Drive
from ornstein.sim.energy import Energy

RANK = 16
"""Rank of the skip: in the paper's energy, the hierarchical bilinear one and the aligned one."""

FULL, SILU, ALIGNED = "full", "silu", "aligned"
PAPER, PAPER_SKIP, PAPER_ORACLE, EXACT_ORACLE = (
    "paper",
    "paper-skip",
    "paper-oracle",
    "exact-oracle",
)
"""Keys of the recipes, by which tables find their rows."""
OURS = (FULL, SILU, ALIGNED)
ORACLES = (PAPER_ORACLE, EXACT_ORACLE)
"""Keys of our recipes, and of the recipes that are given the targets to answer with."""

ZEROED, REFITTED, UNLINKED = "zeroed", "refitted", "unlinked"
"""Variants of a recipe that serve as its controls: run without its couplings, fitted and run
without them, and run without the links between the levels of a hierarchy."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """An energy, the source of its biases, and the read-out of its decoder.

    The source is one of ``interface``, ``drive`` and ``oracle``.

    Attributes
    ----------
    name : what tables show
    energy : its modules are the encoder and the decoder, in this order. With several pairs e1, d1,
        e2, d2, ... inputs hold the activations of all encoders side by side, and targets and
        predictions those of all decoders.
    readout : maps the decoder's mean state to activations
    note : one phrase on what the recipe is
    interface : makes the biases from the input with digital weights, or None
    drive : makes the input itself the encoder's bias, without digital weights, or None
    oracle : (units, units) map from the states [x; y] to the biases, or None. Biases of an oracle
        depend on the target y.
    key, variant : identify the recipe; the variant is "" for the recipe itself and names a control
        otherwise
    """

    name: str
    energy: Energy
    readout: Readout
    note: str
    interface: Interface | None = None
    drive: Drive | None = None
    oracle: np.ndarray | None = None
    key: str = ""
    variant: str = ""

    @property
    def weights(self) -> int:
        """Number of matrix weights that are computed digitally."""
        return self.interface.weights if self.interface else 0

    @property
    def constants(self) -> int:
        """Number of constants that centre, scale or offset what goes in and what comes out."""
        entry = self.interface or self.drive
        return (entry.constants if entry else 0) + self.readout.constants

    def biases(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """Returns biases (n, units) in module order for inputs (n, D_enc).

        Only an oracle reads ``targets`` (n, D_dec), and raises ValueError if there are none.
        """
        if self.oracle is not None:
            if targets is None:
                raise ValueError(f"{self.name} is an oracle: its biases need the targets too")
            encoders, decoders = _unit_indices(self.energy)
            states = np.empty((len(inputs), self.energy.units))
            states[:, encoders], states[:, decoders] = inputs, targets
            return states @ self.oracle.T
        if self.drive is not None:
            return self.drive.biases(self.energy, inputs)
        if self.interface is None:
            raise ValueError(f"{self.name} has neither an interface nor a drive nor an oracle")
        biases = self.interface(inputs)
        return np.hstack([biases[module.name] for module in self.energy.modules])

    def decode(self, mean: np.ndarray) -> np.ndarray:
        """Returns the prediction (n, D_dec), in activation units, from mean states (n, units)."""
        return self.readout(mean[:, _unit_indices(self.energy)[1]])

    def predict(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """Returns the prediction (n, D_dec) in closed form, float64.

        Relaxation reaches it as kT goes to 0, or as averages grow longer.
        """
        return self.decode(self.energy.mean(self.biases(inputs, targets)))

    def without_couplings(self) -> "Recipe":
        """Returns the same recipe with its couplings zeroed and nothing fitted again.

        What this control still scores is not the work of the couplings.
        """
        return replace(
            self,
            name=f"{self.name}, couplings zeroed",
            energy=self.energy.without_couplings(),
            variant=ZEROED,
        )


def ours_full(model: Activations, energy: Energy | None = None) -> Recipe:
    """Returns the paper's 2,560 weights, fitted in closed form, on the bilinear energy of rank 16.

    The transfer network reads the input.
    """
    energy = energy or hierarchical_bilinear(*_weights(model), RANK)
    interface = fit_closed_form(energy, model.x_train, model.y_train)
    note = "closed form, transfer reads the input"
    return _with_interface(FULL, "ours, full interface", energy, interface, note)


def ours_refitted(model: Activations) -> Recipe:
    """Returns ``ours_full`` fitted and run on an energy without couplings.

    What this control scores is the work of the digital interface alone.
    """
    energy = hierarchical_bilinear(*_weights(model), RANK).without_couplings()
    return replace(ours_full(model, energy), name="ours, refitted uncoupled", variant=REFITTED)


def ours_silu(model: Activations, energy: Energy | None = None) -> Recipe:
    """Returns ``ours_full`` with a SiLU transfer network of the same size, trained by L-BFGS."""
    energy = energy or hierarchical_bilinear(*_weights(model), RANK)
    interface = fit_silu(energy, model.x_train, model.y_train)
    note = "L-BFGS, transfer reads the input"
    return _with_interface(SILU, "ours, SiLU transfer", energy, interface, note)


def ours_aligned(model: Activations, rank: int = RANK) -> Recipe:
    """Returns the aligned skip: the couplings alone carry the regression, without digital weights.

    Raises EnergyError if the rank is out of range.
    """
    return aligned_recipe(align_pair(model, rank))


def align_pair(model: Activations, rank: int = RANK) -> Alignment:
    """Returns the aligned energy of one encoder and one decoder, and its linear map."""
    x, y = model.x_train, model.y_train
    return align_activations(x, y, {ENCODER: x.shape[1]}, {DECODER: y.shape[1]}, rank)


def aligned_recipe(alignment: Alignment) -> Recipe:
    """Returns the recipe of an aligned energy."""
    return Recipe(
        "ours, aligned skip",
        alignment.energy,
        alignment.readout,
        "no digital weights, the substrate decodes",
        drive=alignment.drive,
        key=ALIGNED,
    )


def of_rank(key: str, model: TrainedModel, rank: int) -> Recipe:
    """Returns one of our recipes or the paper's, with a skip of that rank.

    Raises EnergyError if the rank is out of range.
    """
    if key == ALIGNED:
        return ours_aligned(model, rank)
    couplings = paper_energy if key == PAPER else hierarchical_bilinear
    builder = {FULL: ours_full, SILU: ours_silu, PAPER: paper_full}[key]
    return builder(model, couplings(model.W_enc, model.W_dec, rank))


def paper_full(model: Activations, energy: Energy | None = None) -> Recipe:
    """Returns the paper's full pipeline: its energy, its interface, its training."""
    energy = energy or paper_energy(*_weights(model), RANK)
    interface = fit_paper(energy, model.x_train, model.y_train)
    note = "the paper's energy, interface and training"
    return _with_interface(PAPER, "paper's recipe", energy, interface, note)


def no_couplings(model: Activations) -> Recipe:
    """Returns the paper's pipeline, fitted and run with every coupling left out: M = 2 J2 I."""
    energy = paper_energy(*_weights(model), RANK).without_couplings()
    return replace(
        paper_full(model, energy),
        name="paper's recipe, no couplings",
        note="M = 2 J2 I throughout",
        variant=REFITTED,
    )


def paper_skip_only(model: Activations, energy: Energy | None = None) -> Recipe:
    """Returns the paper's skip alone: b = [A x; 0], so that the input arrives through J_skip."""
    energy = energy or paper_energy(*_weights(model), RANK)
    encoders, _ = _unit_indices(energy)
    encoder_block = np.ix_(encoders, encoders)
    drive = np.zeros((energy.units, energy.units))
    drive[encoder_block] = energy.matrix()[encoder_block]
    return _with_oracle(PAPER_SKIP, "paper's skip only", energy, drive, "b = [A x; 0]")


def paper_oracle(model: Activations, energy: Energy | None = None) -> Recipe:
    """Returns the paper's oracle: b = [A x; B y], from the true activations but without J_skip."""
    energy = energy or paper_energy(*_weights(model), RANK)
    drive = energy.matrix()
    encoders, decoders = _unit_indices(energy)
    drive[np.ix_(encoders, decoders)] = drive[np.ix_(decoders, encoders)] = 0
    return _with_oracle(PAPER_ORACLE, "paper's oracle", energy, drive, "b = [A x; B y]")


def exact_oracle(model: Activations, energy: Energy | None = None) -> Recipe:
    """Returns the exact oracle: b = M [x; y], for which the equilibrium mean is [x; y] itself."""
    energy = energy or paper_energy(*_weights(model), RANK)
    return _with_oracle(EXACT_ORACLE, "exact oracle", energy, energy.matrix(), "b = M [x; y]")


def _weights(model: Activations) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights of the encoder and the decoder. Raises ValueError if there are none."""
    if not isinstance(model, TrainedModel):
        raise ValueError(f"{type(model).__name__} has no weights; name the energy of the recipe")
    return model.W_enc, model.W_dec


def _with_interface(key: str, name: str, energy: Energy, interface: Interface, note: str) -> Recipe:
    return Recipe(name, energy, _identity(energy), note, interface=interface, key=key)


def _with_oracle(key: str, name: str, energy: Energy, oracle: np.ndarray, note: str) -> Recipe:
    return Recipe(name, energy, _identity(energy), note, oracle=oracle, key=key)


def _identity(energy: Energy) -> Readout:
    """Returns the read-out that leaves the decoders' states as they are."""
    units = len(_unit_indices(energy)[1])
    return Readout(np.ones(units), np.zeros(units))


def _unit_indices(energy: Energy) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the units of all encoders, and of all decoders."""
    encoders, decoders = sides(energy)
    return places(energy, encoders), places(energy, decoders)
