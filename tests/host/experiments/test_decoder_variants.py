# SPDX-License-Identifier: Apache-2.0
"""The script docs/decoder_variants.py: what its variants read, and what they relax to."""

import decoder_variants as script
import numpy as np
import pytest

from ornstein.host.experiments.denoise.run import calibration_images
from ornstein.host.models.network import Network


@pytest.fixture(scope="module")
def images():
    """Two noisy images, the upper left quarter of each."""
    return script.Images.of(Network.load(), calibration_images(0.1)[:2, :16, :16])


def test_neighbours_are_those_beside_a_pixel_and_edges_are_repeated():
    e1 = np.arange(6.0).reshape(1, 1, 2, 3)
    found = {name: part[0, 0] for name, part in script.neighbours(e1).items()}
    np.testing.assert_array_equal(found["e1 above"], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(found["e1 below"], [[3, 4, 5], [3, 4, 5]])
    np.testing.assert_array_equal(found["e1 left"], [[0, 0, 1], [3, 3, 4]])
    np.testing.assert_array_equal(found["e1 right"], [[1, 2, 2], [4, 5, 5]])


def test_d1_reads_what_its_variant_says(images):
    d2 = script.Chain(script.RECTIFIED, 4, images)
    rectified = d2.inputs(images, script.exactly)["d2"]
    lowest = d2.d2.alignment.readout.offset[:, None, None]
    assert (rectified >= lowest).all() and (rectified == lowest).mean() > 0.2
    plain = script.Chain(script.PLAIN, 4, images)
    assert list(plain.inputs(images, script.exactly)) == ["e1", "e2", "bottleneck"]
    more = script.Chain(script.NEIGHBOURS, 4, images)
    assert len(more.inputs(images, script.exactly)) == 7


def test_two_decoders_relax_one_after_the_other(images):
    chain = script.Chain(script.OWN_D2, 4, images)
    calibration = {
        chain.d2: chain.at_half(images),
        chain.d1: chain.inputs(images, script.exactly),
    }
    device = script.OnModel(script.preset("ulx3s"), calibration)
    exact, found = (chain.decoded(images, decode) for decode in (script.exactly, device))
    assert np.abs(found - exact).max() < 0.02 * np.ptp(exact)
    alone = script.OnModel(script.preset("ulx3s"), calibration)
    alone(chain.d2, chain.at_half(images))
    assert 0 < alone.cycles < device.cycles
