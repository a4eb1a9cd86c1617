# SPDX-License-Identifier: Apache-2.0
"""Files of named tensors: every format gives the same arrays, names are found and suggested, and
whatever is wrong takes one short line.
"""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from ornstein.host.models.tensor_files import ModelFileError, open_tensors


def named(count=3):
    """Arrays whose values float16 and bfloat16 hold exactly."""
    rng = np.random.default_rng(0)
    return {
        f"net.{i}.conv.weight": rng.integers(-64, 64, (4, 2, 3, 3)).astype(np.float32) / 16
        for i in range(count)
    }


def same(file, arrays):
    assert set(file.shapes) == set(arrays)
    for name, values in arrays.items():
        assert file.shapes[name] == values.shape
        read = file.read(name)
        assert read.dtype == np.float64
        np.testing.assert_array_equal(read, values.astype(float))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_safetensors_of_any_width(tmp_path, dtype):
    arrays = {name: values.astype(dtype) for name, values in named().items()}
    save_file(arrays, tmp_path / "net.safetensors")
    same(open_tensors(tmp_path / "net.safetensors"), arrays)


def sharded(folder, arrays):
    """Writes two shards and their index; returns the index."""
    first, *rest = arrays
    shards = {"a.safetensors": [first], "b.safetensors": rest}
    for file, names in shards.items():
        save_file({name: arrays[name] for name in names}, folder / file)
    places = {name: file for file, names in shards.items() for name in names}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


def test_shards_are_read_through_their_index(tmp_path):
    arrays = named()
    index = sharded(tmp_path, arrays)
    same(open_tensors(index), arrays)
    same(open_tensors(tmp_path), arrays)


def test_an_index_is_held_against_its_shards(tmp_path):
    index = sharded(tmp_path, named())
    document = json.loads(index.read_text())
    document["weight_map"]["lost"] = "a.safetensors"
    index.write_text(json.dumps(document))
    with pytest.raises(ModelFileError, match="its shards do not hold lost"):
        open_tensors(index)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"its shards b\.safetensors are not beside it"):
        open_tensors(index)
    index.write_text("[]")
    with pytest.raises(ModelFileError, match="not a readable index of shards"):
        open_tensors(index)


@pytest.mark.parametrize("wrapped", [False, True])
def test_pytorch_state_dicts_and_checkpoints(tmp_path, wrapped):
    torch = pytest.importorskip("torch")
    arrays = named()
    state = {name: torch.from_numpy(values).bfloat16() for name, values in arrays.items()}
    torch.save({"model": state, "epoch": 3} if wrapped else state, tmp_path / "net.pt")
    file = open_tensors(tmp_path / "net.pt")
    same(file, {("model." if wrapped else "") + name: values for name, values in arrays.items()})
    assert file.find("net.1.conv.weight").endswith("net.1.conv.weight")


def test_pytorch_files_cannot_run_code(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"weight": print}, tmp_path / "net.pt")
    with pytest.raises(ModelFileError, match="not a readable PyTorch state dict"):
        open_tensors(tmp_path / "net.pt")


def test_onnx_initializers(tmp_path):
    onnx = pytest.importorskip("onnx")
    arrays = named()
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
        [onnx.numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    same(open_tensors(tmp_path / "net.onnx"), arrays)
    (tmp_path / "net.onnx").write_bytes(b"GIF89a" * 100)
    with pytest.raises(ModelFileError, match="not a readable ONNX file"):
        open_tensors(tmp_path / "net.onnx")


@pytest.fixture
def file(tmp_path):
    save_file(named(9), tmp_path / "net.safetensors")
    return open_tensors(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    "name",
    [
        "net.1.conv.weight",
        "net.1.conv",
        "1.conv.weight",
        "module.net.1.conv.weight",
        "_orig_mod.module.net.1.conv.weight",
    ],
)
def test_names_are_found_under_prefixes(file, name):
    assert file.find(name) == "net.1.conv.weight"


def test_near_names_are_suggested_and_others_listed_briefly(file):
    with pytest.raises(ModelFileError, match=r"no layer net1\.conv; did you mean .*net\.1\.conv\."):
        file.find("net1.conv")
    with pytest.raises(
        ModelFileError, match=r"; it has net\.0.* and 3 more; ornstein layers"
    ) as error:
        file.find("encoder")
    assert len(str(error.value).removeprefix(str(file.path))) < 300
    with pytest.raises(ModelFileError, match=r"layer conv\.weight may be any of .*; name it"):
        file.find("conv.weight")


def test_skips_may_hold_colons_in_their_names(tmp_path):
    save_file({"a:0": np.ones(1), "b:0": np.ones(1)}, tmp_path / "net.safetensors")
    assert open_tensors(tmp_path / "net.safetensors").find_pair("a:0:b:0") == ("a:0", "b:0")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([1.0, np.nan]), "w holds values that are not finite numbers, 1 of 2$"),
        (np.array([np.inf, np.inf], np.float16), "2 of 2; did they overflow float16"),
    ],
)
def test_values_must_be_finite(tmp_path, values, words):
    save_file({"w": values}, tmp_path / "net.safetensors")
    with pytest.raises(ModelFileError, match=words):
        open_tensors(tmp_path / "net.safetensors").read("w")


def test_text_is_no_tensor(tmp_path):
    np.savez(tmp_path / "net.npz", w=np.array(["a"]))
    with pytest.raises(ModelFileError, match="w holds <U1, not numbers"):
        open_tensors(tmp_path / "net.npz").read("w")


@pytest.mark.parametrize("size", [0, 5, 60, -10])
@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_truncated_files_are_refused(tmp_path, suffix, size):
    path = tmp_path / f"net.{suffix}"
    save_file(named(), path) if suffix == "safetensors" else np.savez(path, **named())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelFileError, match=rf"not a readable \.?{suffix} file"):
        open_tensors(path)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_foreign_content_is_refused(tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    path.write_bytes(b"GIF89a" * 100)
    with pytest.raises(ModelFileError, match=rf"not a readable \.?{suffix} file"):
        open_tensors(path)
    np.save(tmp_path / "net.npy", np.ones(3))
    (tmp_path / "net.npy").replace(path)
    with pytest.raises(ModelFileError, match=rf"not a readable \.?{suffix} file"):
        open_tensors(path)


def test_a_folder_of_several_files_asks_for_one(tmp_path):
    for name in ("a", "b"):
        save_file(named(), tmp_path / f"{name}.safetensors")
    with pytest.raises(ModelFileError, match=r"name one of its files, a\.safetensors, b\.saf"):
        open_tensors(tmp_path)
