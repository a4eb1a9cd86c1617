# SPDX-License-Identifier: Apache-2.0
"""The rows of the score table: an energy, what drives it, and how its decoder is read, each built
from one model.

Every builder takes a :class:`ornstein.host.models.model_file.TrainedModel` and fits on its training
activations only. Each accepts another ``energy`` to run the same recipe on other couplings.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.models.model_file import TrainedModel
from ornstein.host.physics.couplings import (
    aligned,
    hierarchical_bilinear,
    paper_energy,
    standardise,
)
from ornstein.host.physics.interface import (
    Interface,
    Readout,
    fit_closed_form,
    fit_encoder,
    fit_paper,
    fit_silu,
    places,
    sides,
)
from ornstein.sim.energy import Energy

RANK = 16  # of the hierarchical bilinear skip
ALIGNED_RANK = (
    4  # of the aligned skip: the encoder's bottleneck leaves nothing for more modes to carry
)


@dataclass(frozen=True, eq=False)
class Recipe:
    """One row: biases from ``interface``, or from the input *and its target* where ``oracle``
    (units, units) is given.

    The modules of ``energy`` are the encoder and the decoder, in this order; of several pairs e1,
    d1, e2, d2, ..., where inputs hold all encoders' activations side by side, and targets and
    predictions all decoders'. ``weights`` counts the interface's matrix weights; constants are
    counted by ``constants``.
    """

    name: str
    energy: Energy
    interface: Interface | None
    readout: Readout
    weights: int
    note: str
    oracle: np.ndarray | None = None

    @property
    def constants(self) -> int:
        """Number of centring, scaling and offset constants of the interface and the read-out."""
        return (self.interface.constants if self.interface else 0) + self.readout.constants

    def biases(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """Biases (n, units) in module order for inputs (n, D_enc); ``targets`` (n, D_dec) are read
        by oracles only.
        """
        if self.oracle is not None:
            if targets is None:
                raise ValueError(f"{self.name} is an oracle: its biases need the targets too")
            encoders, decoders = _module_places(self.energy)
            states = np.empty((len(inputs), self.energy.units))
            states[:, encoders], states[:, decoders] = inputs, targets
            return states @ self.oracle.T
        biases = self.interface(inputs)
        return np.hstack([biases[module.name] for module in self.energy.modules])

    def decode(self, mean: np.ndarray) -> np.ndarray:
        """The prediction (n, D_dec), in activation units, from mean states (n, units)."""
        return self.readout(mean[:, _module_places(self.energy)[1]])

    def predict(self, inputs: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """The prediction in closed form, float64: what relaxation reaches as kT -> 0 or averages
        grow.
        """
        return self.decode(self.energy.mean(self.biases(inputs, targets)))

    def without_couplings(self) -> "Recipe":
        """The same program with its couplings zeroed. What it still scores is not the substrate's
        work.
        """
        return replace(
            self, name=f"{self.name}, couplings zeroed", energy=self.energy.without_couplings()
        )


def ours_full(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """The paper's 2,560 weights, fitted in closed form, on the hierarchical bilinear energy of rank
    16.
    """
    energy = energy or hierarchical_bilinear(model.W_enc, model.W_dec, RANK)
    interface = fit_closed_form(energy, model.x_train, model.y_train)
    return _driven(
        "ours, full interface", energy, interface, "closed form, transfer reads the input"
    )


def ours_silu(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """``ours_full`` with a SiLU transfer network of the same size, trained by L-BFGS."""
    energy = energy or hierarchical_bilinear(model.W_enc, model.W_dec, RANK)
    interface = fit_silu(energy, model.x_train, model.y_train)
    return _driven("ours, SiLU transfer", energy, interface, "L-BFGS, transfer reads the input")


def ours_aligned(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """The aligned skip with a 512-weight encoder and b_dec = 0: the substrate decodes, in
    standardised units.
    """
    energy = energy or aligned(model.x_train, model.y_train, ALIGNED_RANK)
    mean, deviation = standardise(model.y_train)
    readout = Readout(deviation, mean)
    interface = fit_encoder(energy, model.x_train, model.y_train, readout)
    return _driven(
        "ours, aligned skip", energy, interface, "encoder only, the substrate decodes", readout
    )


def paper_full(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """The paper's full pipeline: its energy, its interface, its training."""
    energy = energy or paper_energy(model.W_enc, model.W_dec, RANK)
    return _driven(
        "paper's recipe",
        energy,
        fit_paper(energy, model.x_train, model.y_train),
        "paper reports 0.9906",
    )


def no_couplings(model: TrainedModel) -> Recipe:
    """The paper's pipeline fitted and run with every coupling left out, M = 2 J2 I."""
    energy = paper_energy(model.W_enc, model.W_dec, RANK).without_couplings()
    return replace(
        paper_full(model, energy), name="paper's recipe, no couplings", note="M = 2 J2 I throughout"
    )


def paper_skip_only(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """The paper's skip alone: exact encoder bias A x, no decoder bias, so the input arrives through
    J_skip only.
    """
    energy = energy or paper_energy(model.W_enc, model.W_dec, RANK)
    encoder = np.ix_(*[_module_places(energy)[0]] * 2)
    drive = np.zeros((energy.units, energy.units))
    drive[encoder] = energy.matrix()[encoder]
    return _oracle("paper's skip only", energy, drive, "paper reports 0.9924")


def paper_oracle(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """The paper's oracle: b = [A x; B y], from the true activations but blind to J_skip."""
    energy = energy or paper_energy(model.W_enc, model.W_dec, RANK)
    drive = energy.matrix()
    encoder, decoder = _module_places(energy)
    drive[np.ix_(encoder, decoder)] = drive[np.ix_(decoder, encoder)] = 0
    return _oracle("paper's oracle", energy, drive, "b = [A x; B y]")


def exact_oracle(model: TrainedModel, energy: Energy | None = None) -> Recipe:
    """The exact oracle: b = M [x; y], for which the equilibrium mean is [x; y] itself."""
    energy = energy or paper_energy(model.W_enc, model.W_dec, RANK)
    return _oracle("exact oracle", energy, energy.matrix(), "b = M [x; y]")


def _driven(
    name: str, energy: Energy, interface: Interface, note: str, readout: Readout | None = None
) -> Recipe:
    return Recipe(name, energy, interface, readout or _plain(energy), interface.weights, note)


def _oracle(name: str, energy: Energy, drive: np.ndarray, note: str) -> Recipe:
    return Recipe(name, energy, None, _plain(energy), 0, note, drive)


def _plain(energy: Energy) -> Readout:
    units = len(_module_places(energy)[1])
    return Readout(np.ones(units), np.zeros(units))


def _module_places(energy: Energy) -> tuple[np.ndarray, np.ndarray]:
    encoders, decoders = sides(energy)
    return places(energy, encoders), places(energy, decoders)
