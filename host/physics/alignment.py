# SPDX-License-Identifier: Apache-2.0
"""The aligned coupling: trained activations become a substrate that decodes by itself.

With the encoders' activations x and the decoder's activations y in standardised units (training
mean removed, standard deviation divided out), and W = U diag(w) V' the rank-k regression of y on x,

    M = 2 j2 [[I, -U diag(S) V'], [-V diag(S) U', I]],    b_enc = 2 j2 g x,    b_dec = 0,

relaxes to the decoder mean y_eq = g V diag(S / (1 - S^2)) U' x. The strengths S and the gain g are
chosen so that y_eq = W' x in every mode, so the couplings alone carry the regression and no digital
weight is left: the host centres and scales what goes in and what comes out. Derivation:
``docs/physics.md``, "Couplings".
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ornstein.host.physics.couplings import signed
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.moments import Moments
from ornstein.host.physics.problem import Drive
from ornstein.host.physics.regression import Regression, reduced_rank_of, validated_ridge
from ornstein.sim.energy import Coupling, Energy, EnergyError, Module

STRENGTH = 0.5
"""Strength S of the strongest mode. M then has the eigenvalues 2 j2 (1 +- S): condition 3."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """An aligned energy, what drives it, and how its decoders are read.

    Attributes
    ----------
    energy : the encoder modules in the order of their activations, then the decoder modules
    encoders, decoders : names of those modules
    gain : g, by which the standardised inputs are multiplied, so that the decoders' mean states
        are the standardised prediction
    singular_values : (rank,) w of the regression in standardised units, in falling order
    moments : of the activations that it was fitted to
    regression : the linear map of the same rank, from standardised inputs to centred targets; at
        kT = 0 the equilibrium is this map and cannot beat it
    """

    energy: Energy
    encoders: tuple[str, ...]
    decoders: tuple[str, ...]
    gain: float
    singular_values: np.ndarray
    moments: Moments
    regression: Regression

    @property
    def drive(self) -> Drive:
        """The standardised inputs, as the biases that hold an uncoupled encoder at g times them."""
        scale = self.moments.x_deviation / (2 * self.energy.j2 * self.gain)
        return Drive(self.encoders, self.moments.x_mean, scale)

    @property
    def readout(self) -> Readout:
        """From the decoders' mean states, activations in standard units, to activations."""
        return Readout(self.moments.y_deviation, self.moments.y_mean)

    def linear_map(self, inputs: np.ndarray) -> np.ndarray:
        """What the regression answers, in float64 and without a substrate, (n, D_out)."""
        standard = (inputs - self.moments.x_mean) / self.moments.x_deviation
        return self.regression(standard) + self.moments.y_mean


def align_activations(
    x: np.ndarray, y: np.ndarray, encoders: dict[str, int], decoders: dict[str, int], rank: int
) -> Alignment:
    """The aligned energy of training activations x (n, D_enc) and y (n, D_dec).

    The ridge is chosen on a validation part of them. See :func:`align` for the other parameters and
    the errors.
    """
    moments = Moments.of(x, y)
    inputs = (x - moments.x_mean) / moments.x_deviation
    targets = (y - moments.y_mean) / _spreads(moments, decoders)
    ridge = validated_ridge(inputs, targets, rank)
    return align(moments, encoders, decoders, rank, ridge)


def align(
    moments: Moments,
    encoders: dict[str, int],
    decoders: dict[str, int],
    rank: int,
    ridge: float,
    j2: float = 0.1,
    strength: float = STRENGTH,
) -> Alignment:
    """The aligned energy from second moments of standardised inputs and centred targets.

    Parameters
    ----------
    moments : of x standardised by ``moments.x_deviation`` and of y centred
    encoders : units of every encoder module, in the order of the columns of x
    decoders : units of every decoder module, in the order of the columns of y
    rank : modes kept, those with the least error of y; several decoders count alike, whatever the
        size of their activations
    ridge : relative ridge of the regression
    j2 : leak coefficient
    strength : S of the strongest mode, between 0 and 1

    Raises
    ------
    EnergyError
        ``strength`` or ``rank`` is out of range, or y does not depend on x at all.
    """
    if not 0 < strength < 1:
        raise EnergyError(f"the strength of the strongest mode is {strength}; it must be in (0, 1)")
    inputs, units = sum(encoders.values()), sum(decoders.values())
    if not 1 <= rank <= min(units, inputs):
        raise EnergyError(
            f"rank {rank} of an aligned coupling must be between 1 and {min(units, inputs)}: the "
            f"encoders have {inputs} units and the decoders {units}"
        )
    scale = _spreads(moments, decoders)
    scaled = reduced_rank_of(replace(moments, cross=moments.cross / scale), rank, ridge)
    fit = Regression(scaled.project, scaled.expand * scale)
    left, values, right = np.linalg.svd(
        fit.project @ (fit.expand / moments.y_deviation), full_matrices=False
    )
    left, values, right = left[:, :rank], values[:rank], right[:rank].T
    if values[0] == 0:
        raise EnergyError("the decoder's activations do not depend on the encoders' at all")
    v = signed(right)
    u = left * np.sign(np.sum(v * right, axis=0))
    gain = float(values[0] * (1 - strength**2) / strength)
    ratio = values / gain
    strengths = 2 * ratio / (1 + np.sqrt(1 + 4 * ratio**2))
    energy = aligned_energy(encoders, decoders, u, v, strengths, j2)
    return Alignment(energy, (*encoders,), (*decoders,), gain, values, moments, fit)


def aligned_energy(
    encoders: dict[str, int],
    decoders: dict[str, int],
    encoder_modes: np.ndarray,
    decoder_modes: np.ndarray,
    strengths: np.ndarray,
    j2: float = 0.1,
) -> Energy:
    """The energy of encoder modules that one coupling joins to decoder modules.

    Parameters
    ----------
    encoders, decoders : units of every module, in the order of the rows of its modes
    encoder_modes, decoder_modes : U and V, (units, rank) with orthonormal columns
    strengths : (rank,) S

    Raises EnergyError unless every strength is below 1.
    """
    count, rank = len(encoders), len(strengths)
    mix = np.zeros((count + len(decoders), count + len(decoders), rank))
    mix[:count, count:] = mix[count:, :count] = -2 * j2 * strengths
    factors = (*_by_module(encoder_modes, encoders), *_by_module(decoder_modes, decoders))
    modules = tuple(Module(name, size) for name, size in {**encoders, **decoders}.items())
    coupling = Coupling((*encoders, *decoders), factors, mix)
    return Energy(modules, (coupling,), j2).check()


def _by_module(factor: np.ndarray, modules: dict[str, int]) -> list[np.ndarray]:
    """The rows of a factor (units of all modules, rank) that belong to each module."""
    bounds = np.cumsum([0, *modules.values()])
    return [factor[first:end] for first, end in pairwise(bounds)]


def _spreads(moments: Moments, decoders: dict[str, int]) -> np.ndarray:
    """The rms deviation of every decoder's activations, at each of its units: (D_out,)."""
    parts = _by_module(moments.y_deviation, decoders)
    return np.concatenate([np.full(len(part), np.sqrt(np.mean(part**2))) for part in parts])
