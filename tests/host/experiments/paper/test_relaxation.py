# SPDX-License-Identifier: Apache-2.0
"""Experiment G: the law of relaxation."""

import numpy as np

from ornstein.host.experiments.paper import relaxation

SIZE = 16


def test_decay_is_that_of_the_matrix_power(small):
    energy, mean = small.energy(4), small.energy(4).mean(np.ones((2, 2 * SIZE)))
    left, found = mean, []
    for _ in range(5):
        left = left @ (np.eye(2 * SIZE) - 1.5 * energy.matrix())
        found.append(np.linalg.norm(left) / np.linalg.norm(mean))
    np.testing.assert_allclose(relaxation.decay(energy, mean, 1.5, 5), found)
