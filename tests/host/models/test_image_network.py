# SPDX-License-Identifier: Apache-2.0
"""A network is cut open at tensors, and made whole again by what takes the decoder's place."""

import numpy as np
import pytest

from ornstein.host.compile.program import InputError
from ornstein.host.models.capture import OnnxNetwork
from ornstein.host.models.image_network import ImageNetwork, Source, aligned, middle
from ornstein.host.models.tensor_files import ModelFileError, open_tensors

pytest.importorskip("onnxruntime")
from helpers.onnx_net import CHANNELS, plain_unet

SOURCES = Source("down.b", 1), Source("middle.b", 2)


@pytest.fixture(params=["onnx", "ncnn"])
def cut(request, tmp_path):
    """The same U-Net, run by either library."""
    path = plain_unet(tmp_path / "net.onnx")
    if request.param == "onnx":
        return ImageNetwork(OnnxNetwork.load(path), SOURCES, "up.b")
    pytest.importorskip("ncnn")
    from helpers import ncnn_net
    from ornstein.host.models.ncnn_network import NcnnNetwork

    file = open_tensors(path)
    weights = {name: file.load(name) for name in file.shapes if name.endswith("weight")}
    written = ncnn_net.plain_unet(tmp_path / "net.param", weights)
    return ImageNetwork(NcnnNetwork.load(written), SOURCES, "up.b")


@pytest.fixture
def images():
    return np.random.default_rng(1).normal(size=(3, CHANNELS[0], 8, 8)).astype(np.float32)


def test_features_come_at_the_decoders_pixels(cut, images):
    features, target, made = cut.run(images)
    assert {name: part.shape for name, part in features.items()} == {
        "down.b": (3, CHANNELS[1], 8, 8),
        "middle.b": (3, CHANNELS[2], 8, 8),
    }
    assert target.shape == (3, CHANNELS[1], 8, 8) and made.shape == images.shape
    squares = features["middle.b"].reshape(3, CHANNELS[2], 4, 2, 4, 2)
    assert np.ptp(squares, axis=(3, 5)).max() == 0 and np.ptp(squares) > 0


def test_the_head_goes_on_from_what_it_is_given(cut, images):
    _, target, made = cut.run(images)
    np.testing.assert_array_equal(cut.head(images, target), made)
    twice = cut.head(images, 2 * target)
    # the head is a convolution without a bias
    np.testing.assert_allclose(twice, 2 * made, rtol=1e-5, atol=1e-6)


def test_smaller_maps_are_repeated_and_cut_to_the_middle():
    """As a network without padding needs it: 3 x 3 pixels twice as large around 4 x 2."""
    values = np.arange(9.0).reshape(1, 1, 3, 3)
    found = aligned(values, Source("e2", 2), (4, 2))
    np.testing.assert_array_equal(found[0, 0], [[1, 1], [4, 4], [4, 4], [7, 7]])
    with pytest.raises(ModelFileError, match="does not cover 4 x 2 pixels; give its factor, as in"):
        aligned(values, Source("e2", 1), (4, 2))
    with pytest.raises(ModelFileError, match=r"tensor e2 has shape \(1, 9\)"):
        aligned(values.reshape(1, 9), Source("e2", 2), (4, 2))
    np.testing.assert_array_equal(middle(values, (1, 3))[0, 0], [[3, 4, 5]])
    with pytest.raises(InputError, match="images of 3 x 3 pixels are smaller than"):
        middle(values, (4, 3))


def test_a_factor_stands_behind_the_name():
    assert Source.parse("a=b=2") == Source("a=b", 2)
    assert Source.parse("conv/Relu:0") == Source("conv/Relu:0", 1)
    for text in ("e2=", "e2=half", "e2=0"):
        with pytest.raises(ModelFileError, match="write NAME, or NAME=2"):
            Source.parse(text)
