# SPDX-License-Identifier: Apache-2.0
"""Samples that reach much farther than all others, which a fit and number formats should not
follow.
"""

import numpy as np

FEWEST = 100
"""Samples from which on some of them can be outliers."""
SHARE = 1 / 500
"""Largest share of the samples, one sample at least, that can be outliers."""
RATIO = 4.0
"""How many times as far as all others an outlier reaches: number formats that follow it lose two
bits."""


def find_outliers(values: np.ndarray) -> np.ndarray:
    """Returns (n,) which of the samples ``values`` (n, d) are outliers.

    A sample reaches as far as its largest magnitude. The largest 1/500 of the samples, or one, are
    outliers if they reach :data:`RATIO` times as far as all the others. Among fewer than
    :data:`FEWEST` samples there are none.
    """
    if len(values) < FEWEST or not values.shape[1]:
        return np.zeros(len(values), bool)
    most = max(1, int(len(values) * SHARE))
    reach = np.abs(values).max(axis=1)
    rest = np.partition(reach, -1 - most)[-1 - most]
    # where nearly all samples are zero, those that are not are no outliers
    return reach > RATIO * rest if rest else np.zeros(len(values), bool)
