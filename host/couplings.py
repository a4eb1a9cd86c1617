"""From trained weights or activations to couplings: Gram terms, the hierarchical bilinear skip, the aligned skip.

Equations are those of the spec, section 1. Wherever a singular vector enters a coupling its sign matters (random
signs move the paper's skip-only score from -0.27 to +0.31), so one convention holds throughout: **the entry of largest
magnitude of every encoder and decoder factor column is positive**, the first such entry if several tie. The aligned
skip fixes the decoder's columns so; there the encoder's signs follow from the regression.
"""

import numpy as np

from .energy import Coupling, Energy, EnergyError, Module
from .regression import reduced_rank, validated_ridge

ENCODER, DECODER = "encoder", "decoder"
SKIP_NORM = 0.25  # Frobenius norm of the hierarchical bilinear skip, at every rank
ALIGNED_GAIN = 0.8  # singular values of the aligned skip, in units of the leak 2 j2


def gram(weight: np.ndarray) -> np.ndarray:
    """J = W'W / 4, (D, D), of a convolution's weights (out, in, kh, kw), or of a matrix (out, in), with D = out.

    W is flattened to (out, in * kh * kw) and cut to its first D columns. Raises EnergyError if it has fewer.
    """
    flat = np.asarray(weight, float).reshape(len(weight), -1)
    if flat.shape[1] < len(flat):
        raise EnergyError(f"weights {np.shape(weight)} flatten to {flat.shape}; need {len(flat)} columns or more")
    square = flat[:, : len(flat)]
    return square.T @ square / 4


def gram_factors(coupling: np.ndarray, rank: int | None = None) -> np.ndarray:
    """F (D, rank) with F F' the best approximation of a symmetric positive semidefinite J (D, D) at that rank.

    Columns are singular vectors times the root of the singular value, in falling order, signed as stated above.
    ``rank=None`` keeps every mode above rounding error, so that F F' = J.
    """
    values, vectors = np.linalg.eigh(coupling)
    values, vectors = values[::-1], vectors[:, ::-1]
    if rank is None:
        rank = int(np.sum(values > values[0] * len(values) * np.finfo(float).eps))
    if not 1 <= rank <= len(values):
        raise EnergyError(f"rank {rank} must lie in 1..{len(values)}")
    return signed(vectors[:, :rank]) * np.sqrt(np.maximum(values[:rank], 0))


def signed(columns: np.ndarray) -> np.ndarray:
    """``columns`` (D, rank), each with the sign that makes its entry of largest magnitude positive."""
    peaks = columns[np.abs(columns).argmax(axis=0), np.arange(columns.shape[1])]
    return columns * np.where(peaks < 0, -1.0, 1.0)


def truncation(coupling: np.ndarray, rank: int) -> float:
    """Relative Frobenius norm of what rank-``rank`` factors drop of a Gram matrix, |J - F F'| / |J|."""
    factors = gram_factors(coupling, rank)
    return float(np.linalg.norm(coupling - factors @ factors.T) / np.linalg.norm(coupling))


def hierarchical_bilinear(w_enc: np.ndarray, w_dec: np.ndarray, rank: int, j2: float = 0.1) -> Energy:
    """The paper's energy with its Gram terms cut to the skip's own rank: one coupling, two factors, exactly O(Dk).

    With U U' ~ J_enc and V V' ~ J_dec, the one Coupling (U, V) has 2 on the diagonal of its mix (J + J' of a Gram
    term) and 1 / (4 |U V'|_F) beside it. ``truncation`` says what the cut drops. Raises EnergyError if M is not
    positive definite.
    """
    u, v = gram_factors(gram(w_enc), rank), gram_factors(gram(w_dec), rank)
    mix = _pair_mix(rank, 2.0, _skip_scale(u, v))
    return Energy(_pair(u, v), (Coupling((ENCODER, DECODER), (u, v), mix),), j2).check()


def paper_energy(
    w_enc: np.ndarray, w_dec: np.ndarray, rank: int, gram_rank: int | None = None, j2: float = 0.1
) -> Energy:
    """The paper's own energy: Gram terms of full rank (or ``gram_rank``) and a bilinear skip of rank ``rank``.

    Three couplings: encoder Gram, decoder Gram, and the skip J_skip = U V' / (4 |U V'|_F). Raises EnergyError if M is
    not positive definite, which happens at rank 1.
    """
    j_enc, j_dec = gram(w_enc), gram(w_dec)
    u, v = gram_factors(j_enc, rank), gram_factors(j_dec, rank)
    terms = [(name, gram_factors(j, gram_rank)) for name, j in ((ENCODER, j_enc), (DECODER, j_dec))]
    grams = tuple(Coupling((name,), (factor,), np.full((1, 1, factor.shape[1]), 2.0)) for name, factor in terms)
    skip = Coupling((ENCODER, DECODER), (u, v), _pair_mix(rank, 0.0, _skip_scale(u, v)))
    return Energy(_pair(u, v), (*grams, skip), j2).check()


def aligned(x: np.ndarray, y: np.ndarray, rank: int = 4, j2: float = 0.1, gain: float = ALIGNED_GAIN) -> Energy:
    """The aligned skip, from training activations x (n, D_enc) and y (n, D_dec) instead of from weights.

    In standardised units (each unit's training mean removed and deviation divided out)

        M = 2 j2 [[I, -gain U V'], [-gain V U', I]],

    where U and V are the leading singular vectors of the rank-``rank`` regression of y on x that has the least error
    in activation units. M has the eigenvalues 2 j2 (1 - gain), 2 j2 and 2 j2 (1 + gain). The regression's own singular
    values are left to the encoder, which scales its code anyway: keeping them in the skip gives the same predictions
    but needs several times the amplitude in the encoder module, since its weak modes would be weakly coupled.
    """
    (x_mean, x_deviation), (y_mean, y_deviation) = standardise(x), standardise(y)
    inputs, targets = (x - x_mean) / x_deviation, y - y_mean
    fit = reduced_rank(inputs, targets, rank, validated_ridge(inputs, targets, rank))
    left, _, right = np.linalg.svd(fit.project @ (fit.expand / y_deviation))
    v = signed(right[:rank].T)
    u = left[:, :rank] * np.sign(np.sum(v * right[:rank].T, axis=0))
    return Energy(
        _pair(u, v), (Coupling((ENCODER, DECODER), (u, v), _pair_mix(rank, 0.0, -2 * j2 * gain)),), j2
    ).check()


def standardise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per column of (n, D); a constant column gets deviation 1."""
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _pair(u: np.ndarray, v: np.ndarray) -> tuple[Module, Module]:
    return Module(ENCODER, len(u)), Module(DECODER, len(v))


def _pair_mix(rank: int, diagonal: float, across: float) -> np.ndarray:
    return np.repeat(np.array([[diagonal, across], [across, diagonal]])[:, :, None], rank, axis=2)


def _skip_scale(u: np.ndarray, v: np.ndarray) -> float:
    return SKIP_NORM / float(np.linalg.norm(u @ v.T))
