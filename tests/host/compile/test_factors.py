# SPDX-License-Identifier: Apache-2.0
"""Integer factors: packing, scales and shifts, and the proof that no accumulator overflows."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import TINY, WIDE
from ornstein.host.compile.factors import (
    expand_columns,
    expansion_fits,
    factor_top,
    pack,
    padded,
    padded_columns,
    project_format,
    projection_fits,
    rank_words,
)
from ornstein.host.compile.formats import FILL, TOP, FormatError

SMALL = replace(TINY, name="small", rank_lanes=2, unit_lanes=2)


def test_columns_are_filled_up_to_whole_rank_words():
    assert padded(TINY, np.ones(3)).tolist() == [1, 1, 1, 0]
    assert padded(TINY, np.ones(4)).tolist() == [1, 1, 1, 1]
    columns = padded_columns(TINY, np.ones((5, 3)))
    assert columns.shape == (5, 4) and not columns[:, 3].any()
    assert rank_words(TINY, columns) == 2


def test_a_factor_word_holds_the_ranks_of_a_unit_word_unit_by_unit():
    """Three units and four ranks in two lanes each: word 0 is units 0, 1 and ranks 0, 1."""
    columns = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    assert pack(SMALL, columns).tolist() == [
        [1, 2, 5, 6],
        [3, 4, 7, 8],
        [9, 10, 0, 0],
        [11, 12, 0, 0],
    ]


def test_the_accumulators_bound_is_exact():
    """32 bits hold 65,535 units of 2^15 in an expansion; a projection leaves room for rounding."""
    assert expansion_fits(TINY, np.array([[65535.0]]))
    assert not expansion_fits(TINY, np.array([[65535.0, -1.0]]))
    assert projection_fits(TINY, np.array([[65533.0]]))
    assert not projection_fits(TINY, np.array([[65533.0], [-1.0]]))


def test_a_projection_fills_its_factors_and_its_word():
    columns = np.array([[0.5, 0.0], [-0.25, 0.0]])
    found = project_format(TINY, columns, np.array([3.0, 0.0]), 2.0**-12)
    assert found.scales[0] == factor_top(TINY) / 0.5
    steps = 3.0 / found.unit[0]
    assert steps <= FILL * TOP
    previous = TINY.project_shifts[found.shift] - TINY.project_shifts[found.shift - 1]
    assert steps * 2**previous > FILL * TOP, "the next smaller shift does not hold it"


def test_an_activation_gets_one_scale_for_all_columns():
    found = project_format(WIDE, np.array([[1.0, 0.1]]), np.array([1.0, 0.1]), 2.0**-12, equal=True)
    assert found.scales[0] == found.scales[1] and found.unit[0] == found.unit[1]


def test_a_projection_too_large_for_the_last_shift_gets_smaller_factors():
    reach = np.array([1e6])
    found = project_format(TINY, np.array([[1.0]]), reach, 2.0**-12)
    assert found.shift == len(TINY.project_shifts) - 1
    assert found.scales[0] < factor_top(TINY)
    assert reach[0] / found.unit[0] == pytest.approx(FILL * TOP)


def test_an_expansion_takes_the_largest_shift_that_fits():
    rows = np.array([[15.0, -3.0]])
    integers, index = expand_columns(TINY, rows)
    assert TINY.expand_shifts[index] == 7 and integers.tolist() == [[1920, -384]]
    integers, index = expand_columns(TINY, 2 * rows)
    assert TINY.expand_shifts[index] == 6 and integers.tolist() == [[1920, -384]]


def test_an_expansion_too_strong_is_refused():
    with pytest.raises(FormatError, match="an expansion is too strong for the factor bits"):
        expand_columns(TINY, np.array([[2048.0]]))
