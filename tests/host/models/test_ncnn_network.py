# SPDX-License-Identifier: Apache-2.0
"""A network in files of ncnn is the same network as in an ONNX file."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.host.compile.program import InputError
from ornstein.host.models.capture import OnnxNetwork, capture
from ornstein.host.models.tensor_files import ModelFileError, open_tensors

pytest.importorskip("ncnn")
pytest.importorskip("onnxruntime")
from helpers import ncnn_net, onnx_net
from ornstein.host.models.ncnn_network import NcnnNetwork

TENSORS = ["down.b", "up.b"]


def images(count=5):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, onnx_net.CHANNELS[0], 8, 8)).astype(np.float32)


@pytest.fixture
def both(tmp_path):
    """The network as ncnn and as ONNX reads it."""
    path = onnx_net.plain_unet(tmp_path / "net.onnx")
    file = open_tensors(path)
    weights = {name: file.load(name) for name in file.shapes if name.endswith("weight")}
    written = ncnn_net.plain_unet(tmp_path / "net.param", weights)
    return NcnnNetwork.load(written), OnnxNetwork.load(path)


def test_skips_are_those_of_the_same_graph(both):
    ours, other = both
    (found,), (expected,) = ours.skips({"": images()}), other.skips()
    assert found == replace(expected, joint="layer_joined")


def test_tensors_are_those_of_the_same_network(both):
    means = []
    for net in both:
        run, fed = net.runner({"": images()}, TENSORS)
        means.append(capture(run, fed, TENSORS, batch=2))
    for name in TENSORS:
        assert means[0][name].std() > 0.01
        np.testing.assert_allclose(means[0][name], means[1][name], atol=1e-5)


def test_weights_are_those_of_the_same_network(both, tmp_path):
    """In float16 too, which is how most published files hold them."""
    ours, other = both
    expected = open_tensors(other.path)
    weights = {name: expected.load(name) for name in open_tensors(ours.path).shapes}
    assert "image_out.weight" in weights
    for half, file in ((False, ours.path), (True, tmp_path / "half.param")):
        if half:
            ncnn_net.plain_unet(file, weights, half)
        for name, values in weights.items():
            wanted = values.astype(np.float16) if half else values
            np.testing.assert_array_equal(open_tensors(file).read(name), wanted.astype(float))


def test_a_tensor_can_be_replaced(both):
    """The layers behind it go on from what is given, not from what the network computes."""
    ours, _ = both
    plain, fed = ours.runner({"image": images()}, ["up.b", "image_out"])
    found = plain(fed, ["up.b", "image_out"])
    inputs = {"image": images(), "up.b": found["up.b"]}
    resumed, fed = ours.runner(inputs, ["image_out"])
    again = resumed(fed, ["image_out"])["image_out"]
    np.testing.assert_array_equal(again, found["image_out"])
    # whatever the order of its axes in memory
    strided = np.asfortranarray(fed["up.b"])
    again = resumed({**fed, "up.b": strided}, ["image_out"])["image_out"]
    np.testing.assert_array_equal(again, found["image_out"])
    zeroed = resumed({**fed, "up.b": 0 * fed["up.b"]}, ["image_out"])["image_out"]
    np.testing.assert_array_equal(zeroed, 0 * again)


def test_tensors_and_inputs_must_be_those_of_the_network(both):
    ours, _ = both
    with pytest.raises(ModelFileError, match="no layer gives out a tensor up; ornstein capture"):
        ours.runner({"": images()}, ["up"])
    with pytest.raises(InputError, match=r"takes image, but the file holds picture"):
        ours.runner({"picture": images()}, ["up.b"])
    for shape in ((5, 1, 8, 8), (5, 8, 8), (5, 3, 8, 8, 1)):
        with pytest.raises(InputError, match=r"the network takes \(n, 3, height, width\)"):
            ours.runner({"": np.ones(shape)}, ["up.b"])


def test_weights_must_lie_beside_the_layers(both):
    ours, _ = both
    ours.path.with_suffix(".bin").unlink()
    with pytest.raises(ModelFileError, match=r"net\.bin: no such file; ncnn keeps the weights"):
        NcnnNetwork.load(ours.path)
