# SPDX-License-Identifier: Apache-2.0
"""Skips are found where they are, and captured activations are the network's own spatial means."""

import numpy as np
import pytest

from ornstein.host.compile.program import InputError
from ornstein.host.models.capture import (
    OnnxNetwork,
    capture,
    match_inputs,
    read_inputs,
    save_activations,
)
from ornstein.host.models.graph_skips import Skip
from ornstein.host.models.model_file import DEFAULT_MODEL, TrainedModel
from ornstein.host.models.tensor_files import ModelFileError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from helpers.onnx_net import CHANNELS, plain_unet, residual_unet  # noqa: E402


def images(count=5):
    return np.random.default_rng(1).normal(size=(count, CHANNELS[0], 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    ("build", "skip"),
    [
        (
            plain_unet,
            Skip("node_joined", "down.b", "up.b", ("down.0.weight", "up.0.weight")),
        ),
        (residual_unet, Skip("node_joined", "down", "up", ("down.0.weight", "up.0.weight"))),
    ],
)
def test_skips_of_a_graph(tmp_path, build, skip):
    """Neither residual blocks nor the input added to the output are skips."""
    assert OnnxNetwork.load(build(tmp_path / "net.onnx")).skips() == [skip]


@pytest.mark.parametrize("batch", [2, 5])
def test_captured_means_are_those_of_the_reference_evaluator(tmp_path, batch):
    from onnx.reference import ReferenceEvaluator

    path, tensors = plain_unet(tmp_path / "net.onnx"), ["down.b", "up.b"]
    run, fed = OnnxNetwork.load(path).runner({"": images()}, tensors)
    done = []
    means = capture(run, fed, tensors, batch, lambda n, total: done.append((n, total)))
    assert done[-1] == (5, 5) and len(done) == -(-5 // batch)

    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    expected = dict(
        zip(["", *tensors], ReferenceEvaluator(model).run(None, {"image": images()}), strict=True)
    )
    for name in tensors:
        np.testing.assert_allclose(means[name], expected[name].mean(axis=(2, 3)), atol=1e-5)


def test_captured_activations_are_a_model(tmp_path):
    path, tensors = plain_unet(tmp_path / "net.onnx"), ["down.b", "up.b"]
    net = OnnxNetwork.load(path)
    run, fed = net.runner({"image": images(20)}, tensors)
    means = capture(run, fed, tensors)
    (skip,) = net.skips()
    save_activations(tmp_path / "skip1.npz", means[skip.x], means[skip.y], skip.layers, 6)
    model = TrainedModel.load(path, activations=tmp_path / "skip1.npz")
    assert model.W_dec.shape == (CHANNELS[1], CHANNELS[1] + CHANNELS[2], 3, 3)
    assert model.x_train.shape == (14, CHANNELS[1]) and model.y_test.shape == (6, CHANNELS[1])
    together = np.concatenate([model.x_train, model.x_test])
    order = np.lexsort(together.T), np.lexsort(means["down.b"].astype(np.float32).T)
    np.testing.assert_array_equal(together[order[0]], means["down.b"].astype(np.float32)[order[1]])


def test_a_module_is_captured_as_training_captures_it():
    """The default network's skips, and the means that ornstein train would have kept."""
    pytest.importorskip("torch")
    from ornstein.host.models import unet
    from ornstein.host.models.data import add_noise, digits
    from ornstein.host.models.torch_network import TorchNetwork

    net = TorchNetwork.load("ornstein.host.models.unet:UNet", DEFAULT_MODEL)
    clean = digits().test[:3]
    noisy = {"": add_noise(clean, 0.1, 7)[:, None]}
    assert net.skips(noisy) == [
        Skip("torch.cat 1", "e2", "d2", ("e2.conv1.weight", "d2.conv1.weight")),
        Skip("torch.cat 2", "e1", "d1", ("e1.conv1.weight", "d1.conv1.weight")),
    ]
    run, fed = net.runner(noisy, ["e1", "d1"])
    means = capture(run, fed, ["e1", "d1"], batch=2)
    expected = unet.activations(net.module, clean, 0.1, 7)
    for name, values in means.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such.module:Net", "cannot be imported"),
        ("ornstein.host.models.unet:NoNet", "cannot be imported"),
        ("ornstein.host.models.unet:train", "made without arguments"),
        ("ornstein.host.models.data:digits", "makes a Images, not a torch"),
    ],
)
def test_import_paths_must_make_a_module(path, words):
    pytest.importorskip("torch")
    from ornstein.host.models.torch_network import TorchNetwork

    with pytest.raises(ModelFileError, match=words):
        TorchNetwork.load(path)


def test_modules_that_are_not_there_are_named():
    pytest.importorskip("torch")
    from ornstein.host.models.torch_network import TorchNetwork

    net = TorchNetwork.load("ornstein.host.models.unet:UNet")
    with pytest.raises(ModelFileError, match="has no module e3; it has"):
        net.runner({}, ["e3"])
    with pytest.raises(InputError, match="does not take these inputs"):
        net.skips({"": np.ones((1, 5, 8, 8))})


def test_tensors_and_inputs_must_be_those_of_the_graph(tmp_path):
    net = OnnxNetwork.load(plain_unet(tmp_path / "net.onnx"))
    with pytest.raises(ModelFileError, match="its graph has no tensor up; ornstein capture"):
        net.runner({"": images()}, ["up"])
    with pytest.raises(InputError, match=r"input image has shape \(5, 3, 8, 9\); the network tak"):
        net.runner({"": np.ones((5, 3, 8, 9))}, ["up.b"])
    with pytest.raises(InputError, match="takes image, but the file holds picture"):
        net.runner({"picture": images()}, ["up.b"])


def test_inputs_are_matched_by_name():
    with pytest.raises(InputError, match=r"takes the inputs a, b; give an \.npz"):
        match_inputs({"": np.ones(3)}, ["a", "b"])
    assert list(match_inputs({"": np.ones(3)}, ["a"])) == ["a"]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.ones((3, 2)), "b": np.ones(4)}, "different numbers of samples"),
        ({"a": np.ones((0, 2))}, "a has no samples"),
        ({"a": np.array([1.0, np.nan])}, "a holds values that are not numbers"),
        ({"a": np.array(["x"])}, "a holds values that are not numbers"),
    ],
)
def test_inputs_that_cannot_be_run_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "inputs.npz", **arrays)
    with pytest.raises(InputError, match=words):
        read_inputs(tmp_path / "inputs.npz")


def test_more_inputs_than_are_held_out_are_needed(tmp_path):
    with pytest.raises(InputError, match="3 of 3 inputs cannot be held out"):
        save_activations(tmp_path / "a.npz", np.ones((3, 2)), np.ones((3, 2)), held_out=3)


def test_tensors_without_channels_or_with_nan_are_refused():
    with pytest.raises(ModelFileError, match=r"tensor t has shape \(2,\) for 2 inputs"):
        capture(lambda chunk, names: {"t": np.ones(2)}, {"": np.ones(2)}, ["t"])
    with pytest.raises(ModelFileError, match="tensor t holds values that are not finite"):
        capture(lambda chunk, names: {"t": np.full((2, 3), np.nan)}, {"": np.ones(2)}, ["t"])
