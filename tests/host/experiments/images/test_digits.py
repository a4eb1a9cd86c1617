# SPDX-License-Identifier: Apache-2.0
"""The digits: training and held-out images are apart, and noise is as strong as it says."""

import numpy as np
import pytest

from ornstein.host.experiments.images.digits import PIXELS, add_noise


def test_held_out_images_are_not_among_those_for_training(digits):
    assert digits.train.shape == (1437, PIXELS) and digits.test.shape == (360, PIXELS)
    assert digits.train.min() == 0 and digits.train.max() == 1
    both = {image.tobytes() for image in digits.train} & {image.tobytes() for image in digits.test}
    assert not both


def test_noise_has_the_standard_deviation_asked_for_and_is_not_clipped():
    added = add_noise(np.zeros((500, PIXELS)), 0.3, np.random.default_rng(0))
    assert added.std() == pytest.approx(0.3, rel=0.02)
    assert added.min() < -0.5 and abs(added.mean()) < 0.01
