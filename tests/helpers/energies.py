# SPDX-License-Identifier: Apache-2.0
"""Energies that several tests relax."""

import numpy as np

from ornstein.host.physics.alignment import align_activations
from ornstein.host.physics.couplings import DECODER, ENCODER
from ornstein.sim.energy import Energy


def pair_energy(x: np.ndarray, y: np.ndarray, rank: int) -> Energy:
    """The aligned energy of one encoder, with activations x (n, D_enc), and one decoder, with y."""
    return align_activations(x, y, {ENCODER: x.shape[1]}, {DECODER: y.shape[1]}, rank).energy
