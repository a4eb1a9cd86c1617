# SPDX-License-Identifier: Apache-2.0
"""Integer factors: how a real matrix becomes columns of a few bits each.

A factor column is scaled by any real number, chosen so that the column fills its bits. What that
scale leaves over goes into the mixing coefficients, or into the partner's factor where a skip needs
no mixing. Shifts are then picked so that every sum, narrowed to a 16-bit word, fits on the
calibration inputs. That no accumulator can overflow, whatever the words are, is proved from the
integers themselves.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.formats import FILL, TOP, FormatError

HEADROOM = 1e-3
"""Relative room that a column's scale leaves below the accumulator's limit for rounding."""


def factor_top(config: FabricConfig) -> int:
    """Largest factor."""
    return (1 << config.factor_width - 1) - 1


def padded_columns(config: FabricConfig, matrix: np.ndarray) -> np.ndarray:
    """The matrix (n, rank) with columns of zeros added, so that they fill whole rank words."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % config.rank_lanes)))


def padded(config: FabricConfig, vector: np.ndarray) -> np.ndarray:
    """The vector (rank,) with zeros added, so that it fills whole rank words."""
    return np.pad(vector, (0, -len(vector) % config.rank_lanes))


def rank_words(config: FabricConfig, columns: np.ndarray) -> int:
    """Rank words that padded columns (n, rank) fill."""
    return columns.shape[1] // config.rank_lanes


def pack(config: FabricConfig, columns: np.ndarray) -> np.ndarray:
    """Factor words (unit words * rank words, lanes) of integer columns (units, rank).

    The words of one unit word lie together.
    """
    ranks, units = config.rank_lanes, config.unit_lanes
    rows, groups = -(-columns.shape[0] // units), -(-columns.shape[1] // ranks)
    filled = np.zeros((rows * units, groups * ranks), np.int64)
    filled[: columns.shape[0], : columns.shape[1]] = columns
    return (
        filled.reshape(rows, units, groups, ranks)
        .swapaxes(1, 2)
        .reshape(rows * groups, units * ranks)
    )


def projection_fits(config: FabricConfig, columns: np.ndarray) -> bool:
    """Whether no projection on integer columns (units, rank) can overflow the accumulator, rounding
    included.
    """
    return bool((_column_sums(columns) < _projection_room(config)).all())


def column_limit(config: FabricConfig) -> float:
    """Largest sum of the magnitudes of a column's integers with which projections always fit."""
    return np.nextafter(_projection_room(config) / (TOP + 1), 0)


def expansion_fits(config: FabricConfig, columns: np.ndarray) -> bool:
    """Whether no sum over the integer columns (units, rank), a row each, can overflow the
    accumulator.
    """
    sums = np.abs(columns).sum(axis=1) * (TOP + 1)
    return bool((sums < 1 << config.accumulator_width - 1).all())


def _column_sums(columns: np.ndarray) -> np.ndarray:
    """Largest magnitude of each column's sum of products, whatever the 16-bit words are."""
    return np.abs(columns).sum(axis=0) * (TOP + 1)


def _projection_room(config: FabricConfig) -> int:
    return (1 << config.accumulator_width - 1) - (1 << config.project_shifts[-1])


@dataclass(frozen=True, eq=False)
class ProjectFormat:
    """How columns project: integer columns are ``rint(columns * scales)``.

    Attributes
    ----------
    scales : (rank,)
    shift : index into the fabric's project shifts
    unit : (rank,) value of one step of the 16-bit projection
    """

    scales: np.ndarray
    shift: int
    unit: np.ndarray


def project_format(
    config: FabricConfig,
    columns: np.ndarray,
    reach: np.ndarray,
    source_lsb: float,
    *,
    equal: bool = False,
) -> ProjectFormat:
    """The format in which projections on real columns (n, rank) fill 16 bits but do not exceed
    them.

    Parameters
    ----------
    reach : (rank,) bound on each projection, in physical units
    source_lsb : value of one step of what is projected
    equal : all columns get one scale, as an activation needs
    """
    peaks = np.abs(columns).max(axis=0)
    top = factor_top(config)
    scales = np.where(peaks > 0, top / np.where(peaks > 0, peaks, 1), 1.0)
    if equal:
        scales = np.full_like(scales, scales[peaks > 0].min() if (peaks > 0).any() else 1.0)
    sums = _column_sums(np.rint(columns * scales))
    room = _projection_room(config)
    scales = scales * np.minimum(1.0, room / np.maximum(sums, 1) * (1 - HEADROOM))
    shifts = config.project_shifts
    for index in range(len(shifts)):
        if (reach * scales / source_lsb * 2.0 ** -shifts[index] <= FILL * TOP).all():
            break
    else:
        index = len(shifts) - 1
        limit = FILL * TOP * 2.0 ** shifts[-1] * source_lsb / np.maximum(reach, 1e-300)
        scales = np.minimum(scales, limit.min() if equal else limit)
    return ProjectFormat(scales, index, source_lsb * 2.0 ** shifts[index] / scales)


def expand_columns(config: FabricConfig, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """(integer columns, index of the expand shift) of real columns (units, rank).

    ``rows`` are in LSBs of the coupling sum per step of the rank words. The largest shift that
    fits is taken. Raises FormatError if not even the smallest does.
    """
    for index in reversed(range(len(config.expand_shifts))):
        integers = np.rint(rows * 2.0 ** config.expand_shifts[index])
        if np.abs(integers).max(initial=0) <= factor_top(config) and expansion_fits(
            config, integers
        ):
            return integers, index
    raise FormatError(
        "an expansion is too strong for the factor bits; widen the bias format or the factors"
    )
