# SPDX-License-Identifier: Apache-2.0
"""Which samples reach so much farther than the rest that ranges and fits leave them out."""

import numpy as np
import pytest

from ornstein.host.physics.outliers import FEWEST, RATIO, find_outliers


def samples(count: int = 1000) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 6))


def test_a_sample_with_one_far_entry_is_found():
    values = samples()
    values[90, 3] += 100
    np.testing.assert_array_equal(np.flatnonzero(find_outliers(values)), [90])


def test_at_most_one_in_five_hundred_is_an_outlier():
    values = samples()
    values[[7, 8], 0] = 50, -60
    np.testing.assert_array_equal(np.flatnonzero(find_outliers(values)), [7, 8])
    values[9, 0] = 40  # three of a thousand are no exceptions
    assert not find_outliers(values).any()


@pytest.mark.parametrize(("ratio", "found"), [(0.99 * RATIO, False), (1.01 * RATIO, True)])
def test_how_far_is_far(ratio, found):
    values = samples()
    reach = np.sort(np.abs(np.delete(values, 5, axis=0)).max(axis=1))
    values[5] = 0
    values[5, 0] = ratio * reach[-2]  # two of a thousand may be outliers
    assert find_outliers(values)[5] == found and find_outliers(values).sum() == found


def test_few_samples_have_no_outliers():
    values = samples(FEWEST - 1)
    values[0, 0] = 1e6
    assert not find_outliers(values).any()


def test_where_all_others_are_zero_none_is_an_outlier():
    values = np.zeros((200, 3))
    values[0] = 1
    assert not find_outliers(values).any()
    assert not find_outliers(np.zeros((200, 0))).any()
