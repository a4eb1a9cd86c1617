# SPDX-License-Identifier: Apache-2.0
"""Tests of random bits from NIST SP 800-22 revision 1a, sections 2.1 to 2.12 in part, and the rank
of larger matrices.

Every test takes bits, an array of 0 and 1, and returns its p-value: the probability that true
random bits look as odd as these or odder. Tests are written from the publication, whose examples
``tests/host/experiments/noise/test_standard_tests.py`` reproduces.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import erfc, gammaincc
from scipy.stats import norm

from ornstein.sim.jit import compiled

MATRIX = 32
"""Rows and columns of the matrices of the rank test (2.5)."""
BLOCK = 500
"""Bits whose linear complexity is determined at a time (2.10)."""
_LONGEST = {  # 2.4.2: block length: (shortest class, longest class, probabilities)
    8: (1, 4, (0.2148, 0.3672, 0.2305, 0.1875)),
    128: (4, 9, (0.1174, 0.2430, 0.2493, 0.1752, 0.1027, 0.1124)),
    10_000: (10, 16, (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)),
}
_COMPLEXITY = 0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833
"""Probabilities of the classes of the linear complexity test (2.10.4)."""


def frequency(bits: np.ndarray) -> float:
    """Returns the p-value of the number of ones (2.1)."""
    excess = abs(2.0 * np.count_nonzero(bits) - len(bits))
    return float(erfc(excess / np.sqrt(2 * len(bits))))


def block_frequency(bits: np.ndarray, block: int = 20_000) -> float:
    """Returns the p-value of the numbers of ones in blocks (2.2)."""
    shares = _blocks(bits, block).mean(axis=1)
    return float(gammaincc(len(shares) / 2, 2 * block * ((shares - 0.5) ** 2).sum()))


def runs(bits: np.ndarray) -> float:
    """Returns the p-value of the number of runs (2.3); 0 if the ones are too many or too few."""
    share = float(np.mean(bits))
    if abs(share - 0.5) >= 2 / np.sqrt(len(bits)):
        return 0.0
    number = 1 + np.count_nonzero(np.diff(bits))
    spread = 2 * np.sqrt(2 * len(bits)) * share * (1 - share)
    return float(erfc(abs(number - 2 * len(bits) * share * (1 - share)) / spread))


def longest_run(bits: np.ndarray) -> float:
    """Returns the p-value of the longest runs of ones in blocks (2.4), of 128 bits at least."""
    block = max(size for size in _LONGEST if len(bits) >= {8: 128, 128: 6272}.get(size, 750_000))
    low, high, probabilities = _LONGEST[block]
    longest = np.clip([_longest(part) for part in _blocks(bits, block)], low, high)
    return _chi_square(np.bincount(longest - low, minlength=high - low + 1), probabilities)


def matrix_rank(bits: np.ndarray, size: int = MATRIX) -> float:
    """Returns the p-value of the ranks over GF(2) of square matrices made of the bits (2.5).

    ``size`` is the number of rows.
    """
    matrices = _blocks(bits, size * size).reshape(-1, size, size)
    deficits = np.array([size - rank(matrix) for matrix in matrices])
    counts = np.bincount(np.minimum(deficits, 2), minlength=3)
    full, one = (_rank_probability(size, size - deficit) for deficit in range(2))
    return _chi_square(counts, (full, one, 1 - full - one))


def rank(matrix: np.ndarray) -> int:
    """Returns the rank over GF(2) of a matrix of 0 and 1."""
    rows = [int("".join("1" if bit else "0" for bit in row), 2) for row in matrix]
    found = 0
    while rows:
        pivot = rows.pop()
        if pivot:
            found += 1
            lowest = pivot & -pivot
            rows = [row ^ pivot if row & lowest else row for row in rows]
    return found


def spectral(bits: np.ndarray) -> float:
    """Returns the p-value of the number of high peaks in the Fourier transform (2.6)."""
    count = len(bits)
    heights = np.abs(np.fft.rfft(2.0 * bits - 1))[: count // 2]
    below = np.count_nonzero(heights < np.sqrt(np.log(1 / 0.05) * count))
    deviation = (below - 0.95 * count / 2) / np.sqrt(count * 0.95 * 0.05 / 4)
    return float(erfc(abs(deviation) / np.sqrt(2)))


def linear_complexity(bits: np.ndarray, block: int = BLOCK) -> float:
    """Returns the p-value of the lengths of the shortest registers that make blocks (2.10)."""
    sign = -1 if block % 2 else 1
    mean = block / 2 + (9 - sign) / 36 - (block / 3 + 2 / 9) / 2.0**block
    lengths = np.array([shortest_register(part) for part in _blocks(bits, block)])
    deviations = sign * (lengths - mean) + 2 / 9
    classes = np.clip(np.ceil(deviations - 0.5).astype(int) + 3, 0, 6)
    return _chi_square(np.bincount(classes, minlength=7), _COMPLEXITY)


def serial(bits: np.ndarray, width: int = 16) -> tuple[float, float]:
    """Returns the two p-values of the frequencies of overlapping patterns (2.11)."""
    last, before, second = (_pattern_sum(bits, width - less) for less in range(3))
    return (
        float(gammaincc(2.0 ** (width - 2), (last - before) / 2)),
        float(gammaincc(2.0 ** (width - 3), (last - 2 * before + second) / 2)),
    )


def approximate_entropy(bits: np.ndarray, width: int = 10) -> float:
    """Returns the p-value of patterns of two neighbouring lengths (2.12)."""

    def mean_logarithm(length: int) -> float:
        shares = _patterns(bits, length) / len(bits)
        shares = shares[shares > 0]
        return float((shares * np.log(shares)).sum())

    entropy = mean_logarithm(width) - mean_logarithm(width + 1)
    return float(gammaincc(2.0 ** (width - 1), len(bits) * (np.log(2) - entropy)))


def cumulative_sums(bits: np.ndarray) -> float:
    """Returns the p-value of the largest excursion of the sum of the bits as -1 and 1 (2.13)."""
    count = len(bits)
    excursion = int(np.abs(np.cumsum(2 * bits.astype(np.int64) - 1)).max())
    scale = np.sqrt(count)

    def terms(first: float, last: float, low: int, high: int) -> float:
        k = np.arange(int(np.floor(first)), int(np.floor(last)) + 1)
        return float(
            (
                norm.cdf((4 * k + high) * excursion / scale)
                - norm.cdf((4 * k + low) * excursion / scale)
            ).sum()
        )

    ratio = count / excursion
    inner = terms((1 - ratio) / 4, (ratio - 1) / 4, -1, 1)
    outer = terms((-ratio - 3) / 4, (ratio - 1) / 4, 1, 3)
    return 1 - inner + outer


TESTS: dict[str, Callable[[np.ndarray], float]] = {
    "frequency": frequency,
    "block frequency": block_frequency,
    "runs": runs,
    "longest run": longest_run,
    "matrix rank 32": matrix_rank,
    "spectral": spectral,
    "linear complexity": linear_complexity,
    "serial, first": lambda bits: serial(bits)[0],
    "serial, second": lambda bits: serial(bits)[1],
    "approximate entropy": approximate_entropy,
    "cumulative sums": cumulative_sums,
}
"""The tests by name, with the publication's parameters for a million bits."""


@compiled()
def shortest_register(bits: np.ndarray) -> int:
    """Returns the length of the shortest linear feedback shift register that makes the bits.

    The algorithm is Berlekamp and Massey's.
    """
    count = len(bits)
    connection, previous = np.zeros(count + 1, np.uint8), np.zeros(count + 1, np.uint8)
    connection[0] = previous[0] = 1
    length, shift = 0, 1
    for place in range(count):
        discrepancy = bits[place]
        for tap in range(1, length + 1):
            discrepancy ^= connection[tap] & bits[place - tap]
        if not discrepancy:
            shift += 1
            continue
        kept = connection.copy()
        for tap in range(count + 1 - shift):
            connection[tap + shift] ^= previous[tap]
        if 2 * length <= place:
            length, previous, shift = place + 1 - length, kept, 1
        else:
            shift += 1
    return length


def _blocks(bits: np.ndarray, size: int) -> np.ndarray:
    """Returns the bits in rows of that many; what is left over is dropped."""
    return bits[: len(bits) // size * size].reshape(-1, size)


def _longest(bits: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], bits, [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _chi_square(counts: np.ndarray, probabilities: tuple[float, ...]) -> float:
    expected = counts.sum() * np.array(probabilities)
    return float(gammaincc((len(counts) - 1) / 2, ((counts - expected) ** 2 / expected).sum() / 2))


def _rank_probability(size: int, rank_: int) -> float:
    """Returns the probability that a random square matrix over GF(2) has that rank (3.5)."""
    product = 1.0
    for place in range(rank_):
        product *= (1 - 2.0 ** (place - size)) ** 2 / (1 - 2.0 ** (place - rank_))
    return product * 2.0 ** (rank_ * (2 * size - rank_) - size * size)


def _patterns(bits: np.ndarray, width: int) -> np.ndarray:
    """Returns how often each pattern of ``width`` bits occurs; the last bits go on at the first."""
    codes = np.zeros(len(bits), np.int64)
    for place in range(width):
        codes = 2 * codes + np.roll(bits, -place)
    return np.bincount(codes, minlength=1 << width)


def _pattern_sum(bits: np.ndarray, width: int) -> float:
    if width == 0:
        return 0.0
    counts = _patterns(bits, width).astype(float)
    return float((counts**2).sum() * 2.0**width / len(bits) - len(bits))
