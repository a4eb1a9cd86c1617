# SPDX-License-Identifier: Apache-2.0
"""The aligned coupling: trained activations become a substrate that decodes by itself.

With the encoders' activations x and the decoder's activations y in standardised units (training
mean removed, standard deviation divided out), and W = U diag(w) V' the rank-k regression of y on x,

    M = 2 j2 [[I, -U diag(S) V'], [-V diag(S) U', I]],    b_enc = 2 j2 x,    b_dec = 0,

relaxes to the decoder mean y_eq = V diag(S / (1 - S^2)) U' x. The strengths S are chosen so that
y_eq = W' x / g in every mode, so the couplings alone carry the regression and no digital weight is
left: the host centres and scales what goes in and what comes out. Derivation: ``docs/physics.md``,
"Couplings".
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ornstein.host.physics.couplings import signed
from ornstein.host.physics.moments import Moments
from ornstein.host.physics.regression import reduced_rank_of
from ornstein.sim.energy import Coupling, Energy, EnergyError, Module

STRENGTH = 0.5
"""Strength S of the strongest mode. M then has the eigenvalues 2 j2 (1 +- S): condition 3."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """An aligned energy and what its decoder's mean must be multiplied by.

    Attributes
    ----------
    energy : the encoder modules in the order of their activations, then the decoder module
    gain : g; the standardised prediction is g times the decoder's mean state
    singular_values : (rank,) w of the regression in standardised units, in falling order
    """

    energy: Energy
    gain: float
    singular_values: np.ndarray


def align(
    moments: Moments,
    encoders: dict[str, int],
    decoder: str,
    rank: int,
    ridge: float,
    j2: float = 0.1,
    strength: float = STRENGTH,
) -> Alignment:
    """The aligned energy from second moments of standardised encoders and centred decoder.

    Parameters
    ----------
    moments : of x standardised by ``moments.x_deviation`` and of y centred
    encoders : units of every encoder module, in the order of the columns of x
    decoder : name of the decoder module
    rank : modes kept, those with the least error in activation units
    ridge : relative ridge of the regression
    j2 : leak coefficient
    strength : S of the strongest mode, between 0 and 1

    Raises
    ------
    EnergyError
        ``strength`` or ``rank`` is out of range.
    """
    if not 0 < strength < 1:
        raise EnergyError(f"the strength of the strongest mode is {strength}; it must be in (0, 1)")
    units = len(moments.y_mean)
    if not 1 <= rank <= min(units, sum(encoders.values())):
        raise EnergyError(
            f"rank {rank} of an aligned coupling must be between 1 and the decoder's {units} units"
        )
    fit = reduced_rank_of(moments, rank, ridge)
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
    energy = aligned_energy(encoders, decoder, u, v, strengths, j2)
    return Alignment(energy, gain, values)


def aligned_energy(
    encoders: dict[str, int],
    decoder: str,
    encoder_modes: np.ndarray,
    decoder_modes: np.ndarray,
    strengths: np.ndarray,
    j2: float = 0.1,
) -> Energy:
    """The energy of encoder modules that one coupling joins to a decoder module.

    Parameters
    ----------
    encoders : units of every encoder module, in the order of the rows of ``encoder_modes``
    encoder_modes, decoder_modes : U and V, (units, rank) with orthonormal columns
    strengths : (rank,) S

    Raises EnergyError unless every strength is below 1.
    """
    rank, units = len(strengths), len(decoder_modes)
    modules = tuple(Module(name, size) for name, size in {**encoders, decoder: units}.items())
    bounds = np.cumsum([0, *encoders.values()])
    factors = [encoder_modes[first:end] for first, end in pairwise(bounds)]
    count = len(encoders)
    mix = np.zeros((count + 1, count + 1, rank))
    mix[:count, count] = mix[count, :count] = -2 * j2 * strengths
    names = tuple(module.name for module in modules)
    coupling = Coupling(names, (*factors, decoder_modes), mix)
    return Energy(modules, (coupling,), j2).check()
