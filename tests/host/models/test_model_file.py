# SPDX-License-Identifier: Apache-2.0
"""Model files: the committed default, foreign state dicts, and one-line errors for
everything else.
"""

import numpy as np
import pytest
from safetensors.numpy import save_file

from ornstein.host.models.model_file import (
    ACTIVATIONS_FILE,
    DEFAULT_MODEL,
    WEIGHTS_FILE,
    ModelFileError,
    TrainedModel,
)

LAYERS = {"encoder_layer": "down.conv", "decoder_layer": "up.conv"}


@pytest.fixture
def files(tmp_path):
    """A foreign state dict of 4 and 6 channels beside its activations: (weights path, activations
    path, arrays).
    """
    rng = np.random.default_rng(0)
    weights = {
        "down.conv": rng.normal(size=(4, 2, 3, 3)).astype(np.float32),
        "up.conv": rng.normal(size=(6, 2, 3, 3)).astype(np.float16),
        "norm": np.ones(4, np.float32),
    }
    arrays = {f"{side}_{part}": rng.normal(size=(n, units)) for side, units in (("x", 4), ("y", 6))
              for part, n in (("train", 9), ("test", 3))}  # fmt: skip
    save_file(weights, tmp_path / "net.safetensors")
    np.savez(tmp_path / "activations.npz", **arrays)
    return tmp_path / "net.safetensors", tmp_path / "activations.npz", {**weights, **arrays}


def test_default_model_is_complete_and_says_where_it_comes_from():
    model = TrainedModel.load()
    assert model.W_enc.shape == (64, 64, 3, 3) and model.W_dec.shape[0] == 64
    assert model.x_train.shape == model.y_train.shape == (1733, 64)
    assert model.x_test.shape == model.y_test.shape == (64, 64)
    assert {"command", "seed", "versions", "epochs", "losses", "sigma", "data"} <= set(
        model.provenance
    )
    assert model.W_enc.dtype == model.x_test.dtype == np.float64


def test_default_model_stays_small():
    assert (DEFAULT_MODEL / WEIGHTS_FILE).stat().st_size < 5e6
    assert (DEFAULT_MODEL / ACTIVATIONS_FILE).stat().st_size < 3e6


def test_inner_blocks_bring_their_own_activations():
    model = TrainedModel.load(encoder_layer="e2.conv1.weight", decoder_layer="d2.conv1.weight")
    assert (
        model.W_enc.shape[0]
        == model.W_dec.shape[0]
        == model.x_train.shape[1]
        == model.y_train.shape[1]
        == 128
    )


def test_foreign_safetensors(files):
    path, activations, arrays = files
    model = TrainedModel.load(path, **LAYERS, activations=activations)
    assert np.array_equal(model.W_dec, arrays["up.conv"]) and np.array_equal(
        model.y_test, arrays["y_test"]
    )
    assert model.provenance == {}


def test_pytorch_state_dict(files):
    torch = pytest.importorskip("torch")
    path, activations, arrays = files
    path = path.with_suffix(".pt")
    torch.save({name: torch.from_numpy(arrays[name]) for name in LAYERS.values()}, path)
    assert np.array_equal(
        TrainedModel.load(path, **LAYERS, activations=activations).W_enc, arrays["down.conv"]
    )


def test_missing_layer_lists_those_there_are(files):
    path, activations, _ = files
    with pytest.raises(
        ModelFileError, match=r"no layer mid\.conv; it has down\.conv, norm, up\.conv$"
    ):
        TrainedModel.load(path, "mid.conv", "up.conv", activations)


def test_missing_activations_list_those_there_are(files):
    path, activations, arrays = files
    np.savez(activations, x_train=arrays["x_train"])
    with pytest.raises(ModelFileError, match=r"no array x_test or down_test; it holds x_train$"):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_state_dict_needs_activations(files):
    with pytest.raises(ModelFileError, match="needs its activations"):
        TrainedModel.load(files[0], **LAYERS)


def test_activations_of_other_width_are_refused(files):
    path, activations, arrays = files
    np.savez(
        activations,
        **{**{k: arrays[k] for k in ("x_train", "x_test", "y_train")}, "y_test": np.ones((3, 5))},
    )
    with pytest.raises(
        ModelFileError, match=r"y_test have shape \(3, 5\), expected \(n, 6\) beside layer up\.conv"
    ):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_inputs_and_targets_must_pair_up(files):
    path, activations, arrays = files
    parts = {k: arrays[k] for k in ("x_train", "x_test", "y_test")}
    np.savez(activations, **parts, y_train=arrays["y_train"][:5])
    with pytest.raises(ModelFileError, match="9 inputs x_train but 5 targets y_train"):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_layer_that_is_no_convolution_is_refused(files):
    path, activations, _ = files
    with pytest.raises(ModelFileError, match=r"layer norm has shape \(4,\)"):
        TrainedModel.load(path, "norm", "up.conv", activations)


def test_values_must_be_finite(files):
    path, activations, arrays = files
    parts = {k: v for k, v in arrays.items() if k[0] in "xy"}
    np.savez(activations, **{**parts, "x_test": parts["x_test"] * np.inf})
    with pytest.raises(ModelFileError, match="x_test holds values that are not finite"):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_array_file_under_another_name_is_refused(files):
    path, activations, _ = files
    np.save(activations.with_suffix(".npy"), np.ones(3))
    activations.with_suffix(".npy").replace(activations)
    with pytest.raises(ModelFileError, match=r"not a readable \.npz file"):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ModelFileError, match="no such file; train a model"):
        TrainedModel.load(tmp_path)


@pytest.mark.parametrize("size", [0, 5, 60, -10])
def test_truncated_files_are_refused(files, size):
    path, activations, _ = files
    whole, path_npz = path.read_bytes(), activations.read_bytes()
    path.write_bytes(whole[:size])
    with pytest.raises(ModelFileError, match="not a readable safetensors file"):
        TrainedModel.load(path, **LAYERS, activations=activations)
    path.write_bytes(whole)
    activations.write_bytes(path_npz[:size])
    with pytest.raises(ModelFileError, match=r"not a readable \.npz file"):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_foreign_content_is_refused(files):
    path, activations, _ = files
    path.write_bytes(b"GIF89a" * 100)
    activations.write_bytes(b"GIF89a" * 100)
    with pytest.raises(ModelFileError, match="not a readable safetensors file"):
        TrainedModel.load(path, **LAYERS, activations=activations)
