# SPDX-License-Identifier: Apache-2.0
"""From trained weights to couplings: Gram terms and bilinear skips.

The equations are in docs/physics.md, "Couplings". Wherever a singular vector enters a coupling its
sign matters: random signs move the paper's skip-only score from -0.27 to +0.31. One convention
holds throughout: **the entry of largest magnitude in every column of an encoder's or a decoder's
factor is positive**, the first such entry if several tie. In an aligned skip
(:mod:`ornstein.host.physics.alignment`) it fixes the decoder's columns, and the encoder's signs
follow from the regression.
"""

import numpy as np

from ornstein.sim.energy import Coupling, Energy, EnergyError, Module

ENCODER, DECODER = "encoder", "decoder"
SKIP_NORM = 0.25
"""Frobenius norm of the hierarchical bilinear skip, at every rank."""
LINK = 0.5
"""Norm of a link between levels of the bilinear hierarchy, in units of the norm of a skip."""


def gram(weight: np.ndarray) -> np.ndarray:
    """J = W'W / 4, (D, D), of the weights (out, in, kh, kw) of a convolution or of a matrix (out,
    in), with D = out.

    W is flattened to (out, in * kh * kw) and cut to its first D columns. Raises EnergyError if it
    has fewer.
    """
    flat = np.asarray(weight, float).reshape(len(weight), -1)
    if flat.shape[1] < len(flat):
        raise EnergyError(
            f"weights {np.shape(weight)} flatten to {flat.shape}; need {len(flat)} columns or more"
        )
    square = flat[:, : len(flat)]
    return square.T @ square / 4


def gram_factors(coupling: np.ndarray, rank: int | None = None) -> np.ndarray:
    """F (D, rank) such that F F' approximates a symmetric positive semidefinite J (D, D) best.

    Columns are singular vectors times the root of the singular value, in falling order, with the
    signs of the module's convention. ``rank=None`` keeps every mode above rounding error, so that
    F F' = J. Raises EnergyError unless 1 <= rank <= D.
    """
    values, vectors = np.linalg.eigh(coupling)
    values, vectors = values[::-1], vectors[:, ::-1]
    if rank is None:
        rank = int(np.sum(values > values[0] * len(values) * np.finfo(float).eps))
    if not 1 <= rank <= len(values):
        raise EnergyError(f"rank {rank} must lie in 1..{len(values)}")
    return signed(vectors[:, :rank]) * np.sqrt(np.maximum(values[:rank], 0))


def signed(columns: np.ndarray) -> np.ndarray:
    """The columns (D, rank), each with the sign that makes its largest entry by magnitude
    positive.
    """
    peaks = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    return columns * np.where(peaks < 0, -1.0, 1.0)


def truncation(coupling: np.ndarray, rank: int) -> float:
    """|J - F F'| / |J| in Frobenius norms: what factors of that rank drop of a Gram matrix J."""
    factors = gram_factors(coupling, rank)
    return float(np.linalg.norm(coupling - factors @ factors.T) / np.linalg.norm(coupling))


def hierarchical_bilinear(
    w_enc: np.ndarray, w_dec: np.ndarray, rank: int, j2: float = 0.1
) -> Energy:
    """The paper's energy with its Gram terms cut to the rank k of the skip.

    It is one coupling of two factors, so a step costs exactly O(Dk). With U U' ~ J_enc and V V' ~
    J_dec, the mix of the Coupling (U, V) has 2 on its diagonal, for J + J' of a Gram term, and 1 /
    (4 |U V'|_F) beside it. :func:`truncation` tells what the cut drops. Raises EnergyError if M is
    not positive definite.
    """
    return bilinear_hierarchy({ENCODER: w_enc, DECODER: w_dec}, rank, j2)


def bilinear_hierarchy(
    weights: dict[str, np.ndarray], rank: int, j2: float = 0.1, link: float = LINK
) -> Energy:
    """:func:`hierarchical_bilinear` for any number of skips.

    ``weights`` are those of the modules e1, d1, e2, d2, ..., in this order. :func:`chained` makes
    the energy from their Gram factors.
    """
    return chained(
        {name: gram_factors(gram(weight), rank) for name, weight in weights.items()}, j2, link
    )


def chained(factors: dict[str, np.ndarray], j2: float = 0.1, link: float = LINK) -> Energy:
    """The energy of modules e1, d1, e2, d2, ... from their factors (units, rank).

    A module's factor serves all its couplings. One Coupling holds the Gram term of every module,
    the skip of every pair, and the link of each decoder to the decoder one level above, as d2 to
    d1. A link follows the formula of a skip, J = F_a F_b' / (4 |F_a F_b'|_F), times ``link``. At
    ``link`` = 1 a decoder between two levels has three couplings of full strength, more than the
    leak balances. Raises EnergyError if M is not positive definite.
    """
    names, size = list(factors), len(factors)
    pairs = [(e, e + 1, 1.0) for e in range(0, size, 2)] + [
        (d, d - 2, link) for d in range(3, size, 2)
    ]
    mix = np.zeros((size, size, factors[names[0]].shape[1]))
    mix[range(size), range(size)] = 2.0
    for a, b, strength in pairs:
        mix[a, b] = mix[b, a] = strength * _skip_scale(factors[names[a]], factors[names[b]])
    modules = tuple(Module(name, len(factor)) for name, factor in factors.items())
    return Energy(modules, (Coupling(tuple(names), tuple(factors.values()), mix),), j2).check()


def paper_energy(
    w_enc: np.ndarray, w_dec: np.ndarray, rank: int, gram_rank: int | None = None, j2: float = 0.1
) -> Energy:
    """The paper's energy: Gram terms of full rank, or of ``gram_rank``, and a bilinear skip.

    It has three couplings: the encoder's Gram term, the decoder's Gram term, and the skip J_skip =
    U V' / (4 |U V'|_F) of rank ``rank``. Raises EnergyError if M is not positive definite, which
    happens at rank 1.
    """
    j_enc, j_dec = gram(w_enc), gram(w_dec)
    u, v = gram_factors(j_enc, rank), gram_factors(j_dec, rank)
    terms = [(name, gram_factors(j, gram_rank)) for name, j in ((ENCODER, j_enc), (DECODER, j_dec))]
    grams = tuple(
        Coupling((name,), (factor,), np.full((1, 1, factor.shape[1]), 2.0))
        for name, factor in terms
    )
    mix = np.zeros((2, 2, rank))
    mix[0, 1] = mix[1, 0] = _skip_scale(u, v)
    modules = Module(ENCODER, len(u)), Module(DECODER, len(v))
    return Energy(modules, (*grams, Coupling((ENCODER, DECODER), (u, v), mix)), j2).check()


def standardise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per column of (n, D); a constant column gets deviation 1."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _skip_scale(u: np.ndarray, v: np.ndarray) -> float:
    return SKIP_NORM / float(np.linalg.norm(u @ v.T))
