# SPDX-License-Identifier: Apache-2.0
"""The commands on files of weights."""

import json

import numpy as np
import pytest

from helpers.command_line import failure
from ornstein.host.cli import networks
from ornstein.host.models.model_file import DEFAULT_MODEL, ModelFileError, TrainedModel


def test_layers_lists_what_a_skip_can_join(tmp_path, capsys):
    networks.layers(DEFAULT_MODEL, match="conv1", json_file=tmp_path / "layers.json")
    listed = json.loads((tmp_path / "layers.json").read_text())
    assert list(listed) == [f"{b}.conv1.weight" for b in ("bottleneck", "d1", "d2", "e1", "e2")]
    assert listed["d1.conv1.weight"] == [64, 192, 3, 3]
    shown = capsys.readouterr().out
    assert "64 x 192 x 3 x 3" in shown and "bias" not in shown


@pytest.fixture
def net(tmp_path):
    """An ONNX file of one skip, and images for it."""
    pytest.importorskip("onnxruntime")
    from helpers.onnx_net import CHANNELS, plain_unet

    rng = np.random.default_rng(1)
    np.save(tmp_path / "images.npy", rng.normal(size=(24, CHANNELS[0], 8, 8)).astype(np.float32))
    return plain_unet(tmp_path / "net.onnx"), tmp_path / "images.npy"


def test_capture_lists_skips_and_writes_what_models_are_read_from(net, tmp_path, capsys):
    path, images = net
    networks.capture(str(path), listing=True, json_file=tmp_path / "skips.json")
    (listed,) = json.loads((tmp_path / "skips.json").read_text())
    assert (listed["x"], listed["y"]) == ("down.b", "up.b")
    assert "node_joined" in capsys.readouterr().out
    networks.capture(
        str(path), images, skip=["all", "down.b:up.b"], held_out=8, batch=5, output=tmp_path
    )
    model = TrainedModel.load(path, activations=tmp_path / "skip1.npz")
    with np.load(tmp_path / "down_b-up_b.npz") as named:
        np.testing.assert_array_equal(named["y_test"].astype(float), model.y_test)
        assert "layers" not in named


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--skip", "2", "--inputs", "IMAGES"], 6, "there is no skip 2; the network shows 1"),
        (["--skip", "up", "--inputs", "IMAGES"], 6, "'up' is no skip; give a number"),
        (["--skip", "1", "--inputs", "lost.npy"], 5, "lost.npy: not a readable .npy"),
        (["--skip", "1", "--inputs", "IMAGES", "--held-out", "24"], 5, "24 of 24 inputs cannot"),
    ],
)
def test_capture_fails_in_one_line(net, arguments, code, words):
    path, images = net
    found = failure("capture", path, *[images if a == "IMAGES" else a for a in arguments])
    assert found[0] == code and words in found[1]


def test_a_network_is_a_file_or_an_import_path():
    code, line = failure("capture", "net")
    assert code == 6 and "neither an .onnx file, a .param file of ncnn, nor an import path" in line


def test_all_skips_of_a_network_without_any_are_refused():
    with pytest.raises(ModelFileError, match="shows no skips; name any two of its tensors"):
        networks._chosen(["all"], [])
