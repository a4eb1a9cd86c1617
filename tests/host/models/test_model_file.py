# SPDX-License-Identifier: Apache-2.0
"""Networks as files: the committed default, foreign weights with their activations, several
skips, and one-line errors for everything else.
"""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from ornstein.host.models.model_file import (
    ACTIVATIONS_FILE,
    DEFAULT_MODEL,
    WEIGHTS_FILE,
    ModelFileError,
    TrainedModel,
    load_skips,
    without_outliers,
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


def test_missing_activations_list_those_there_are(files):
    path, activations, arrays = files
    np.savez(activations, x_train=arrays["x_train"])
    with pytest.raises(ModelFileError, match=r"no array y_train or up_train; it holds x_train$"):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_state_dict_needs_activations(files):
    with pytest.raises(ModelFileError, match="a file of weights needs its activations"):
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


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ModelFileError, match=r"a folder without weights, .* train a model"):
        TrainedModel.load(tmp_path)
    with pytest.raises(ModelFileError, match="no such file; train a model"):
        TrainedModel.load(tmp_path / "net.safetensors")


def test_activations_may_be_a_folder_of_arrays(files):
    path, activations, arrays = files
    folder = activations.with_suffix("")
    folder.mkdir()
    for name in ("x_train", "y_train", "x_test", "y_test"):
        np.save(folder / f"{name}.npy", arrays[name].astype(">f4"))
    model = TrainedModel.load(path, **LAYERS, activations=folder)
    np.testing.assert_array_equal(model.y_train, arrays["y_train"].astype(np.float32))
    (folder / "y_test.npy").write_bytes(b"no array")
    with pytest.raises(ModelFileError, match=r"y_test\.npy: not a readable array"):
        TrainedModel.load(path, **LAYERS, activations=folder)
    (folder / "y_test.npy").unlink()
    with pytest.raises(ModelFileError, match=r"lacks y_test\.npy$"):
        TrainedModel.load(path, **LAYERS, activations=folder)


def test_activations_may_name_their_layers(files):
    path, activations, arrays = files
    parts = {name: values for name, values in arrays.items() if name[0] in "xy"}
    np.savez(activations, **parts, layers=["down.conv", "up.conv"])
    model = TrainedModel.load(path, activations=activations)
    np.testing.assert_array_equal(model.W_enc, arrays["down.conv"])
    np.savez(activations, **parts, layers=["down.conv"])
    with pytest.raises(ModelFileError, match="must name the encoder's and the decoder's layer"):
        TrainedModel.load(path, activations=activations)


def test_several_skips_are_read_in_their_order(files):
    path, activations, arrays = files
    other = activations.with_name("other.npz")
    swapped = {name: arrays["xy"["yx".index(name[0])] + name[1:]] for name in arrays
               if name[0] in "xy"}  # fmt: skip
    np.savez(other, **swapped)
    skips = ["down.conv:up.conv", "up.conv:down.conv"]
    first, second = load_skips(path, skips, [activations, other])
    np.testing.assert_array_equal(first.W_enc, second.W_dec)
    np.testing.assert_array_equal(first.x_test, second.y_test)
    with pytest.raises(ModelFileError, match="2 skips but 1 files of activations; name one file"):
        load_skips(path, skips, [activations])


def test_skips_of_a_trained_folder_need_no_files():
    first, second = load_skips(skips=["e1.conv1:d1.conv1", "e2.conv1:d2.conv1"])
    assert first.x_train.shape[1] == 64 and second.y_test.shape[1] == 128


@pytest.mark.parametrize("skip", ["down.conv", ":", "down.conv:"])
def test_a_skip_is_two_names(files, skip):
    with pytest.raises(ModelFileError, match="is not a skip; write it as ENCODER:DECODER"):
        load_skips(files[0], [skip], [files[1]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_train": np.ones((9, 4))}, "x_train are the same in every row"),
        ({"y_train": np.ones((9, 6))}, "y_train are the same in every row"),
        ({"x_test": np.ones((0, 4)), "y_test": np.ones((0, 6))}, "x_test have 0 rows"),
        ({"x_train": np.ones((1, 4)), "y_train": np.ones((1, 6))}, "x_train have 1 rows"),
        ({"x_train": np.array(1.0)}, r"x_train have shape \(\)"),
    ],
)
def test_activations_that_tell_nothing_are_refused(files, change, words):
    path, activations, arrays = files
    parts = {name: values for name, values in arrays.items() if name[0] in "xy"}
    np.savez(activations, **{**parts, **change})
    with pytest.raises(ModelFileError, match=words):
        TrainedModel.load(path, **LAYERS, activations=activations)


def test_weights_of_zero_are_refused(files):
    path, activations, arrays = files
    weights = {name: arrays[name] for name in LAYERS.values()}
    save_file({**weights, "up.conv": np.zeros_like(weights["up.conv"])}, path)
    with pytest.raises(ModelFileError, match=r"weights of layer up\.conv are all zero"):
        TrainedModel.load(path, **LAYERS, activations=activations)


@pytest.mark.parametrize("size", [100.0, 1000.0])
def test_training_samples_far_from_the_rest_are_left_out(size):
    """One entry of an input, and one of a target."""
    model = TrainedModel.load()
    assert without_outliers(model) is model
    x, y = model.x_train.copy(), model.y_train.copy()
    x[90, 26] += size
    y[7, 3] -= size
    kept = without_outliers(replace(model, x_train=x, y_train=y))
    np.testing.assert_array_equal(kept.x_train, np.delete(model.x_train, [7, 90], axis=0))
    np.testing.assert_array_equal(kept.y_train, np.delete(model.y_train, [7, 90], axis=0))
    assert kept.x_test is model.x_test


def test_a_skip_that_nobody_names_is_asked_for_with_the_layers_that_fit(tmp_path):
    """Layers of as many channels as the activations have; a bias is no layer."""
    shapes = {"down.weight": (3, 2, 3, 3), "up.weight": (5, 8, 3, 3), "up.bias": (5,)}
    save_file({name: np.ones(shape) for name, shape in shapes.items()}, tmp_path / "w.safetensors")
    rows = {"x_train": (9, 3), "y_train": (9, 5), "x_test": (2, 3), "y_test": (2, 5)}
    np.savez(tmp_path / "a.npz", **{name: np.eye(*shape) for name, shape in rows.items()})
    with pytest.raises(
        ModelFileError,
        match=r"with --skip ENCODER:DECODER; ENCODER may be down\.weight, and DECODER may be "
        r"up\.weight$",
    ):
        TrainedModel.load(tmp_path / "w.safetensors", activations=tmp_path / "a.npz")
    named = TrainedModel.load(tmp_path / "w.safetensors", "down", "up", tmp_path / "a.npz")
    assert named.W_enc.shape == (3, 2, 3, 3)
