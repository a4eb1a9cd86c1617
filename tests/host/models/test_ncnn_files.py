# SPDX-License-Identifier: Apache-2.0
"""Files of ncnn are read layer by layer, and what does not add up is refused."""

import numpy as np
import pytest

from ornstein.host.models.ncnn_files import NcnnFileError, read_layers, read_weights
from ornstein.host.models.tensor_files import ModelFileError, open_tensors

MAGIC = "7767517\n"
CONVOLUTION = "Convolution c 1 1 x y 0=2 1=3 11=1 3=2 5=1 6=18\n"
"""Two filters of 1 x 3 pixels over three channels, stride 2, with a bias."""
LINEAR = "InnerProduct l 1 1 y z 0=2 1=0 2=6\n"


def write(folder, text, data):
    path = folder / "net.param"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(data)
    return path


def float32(values, tag=0):
    return np.uint32(tag).tobytes() + np.asarray(values, "<f4").tobytes()


def test_weights_are_found_behind_biases_and_tags(tmp_path):
    filters, bias, matrix = np.arange(18), np.ones(2), np.arange(6) / 4
    halves = np.uint32(0x01306B47).tobytes() + matrix.astype("<f2").tobytes()
    data = float32(filters, tag=0x0002C056) + bias.astype("<f4").tobytes() + halves
    path = write(tmp_path, f"{MAGIC}2 3\n{CONVOLUTION}{LINEAR}", data)
    found = read_weights(path)
    np.testing.assert_array_equal(found["c.weight"], filters.reshape(2, 3, 1, 3))
    np.testing.assert_array_equal(found["l.weight"], matrix.reshape(2, 3))
    assert open_tensors(path).shapes == {"c.weight": (2, 3, 1, 3), "l.weight": (2, 3)}


def test_an_odd_number_of_halves_fills_up_four_bytes(tmp_path):
    """Behind it comes another layer, which is read from where it is."""
    lines = "InnerProduct a 1 1 x y 0=1 2=3\nInnerProduct b 1 1 y z 0=1 2=1\n"
    halves = np.uint32(0x01306B47).tobytes() + np.array([1, 2, 3, 0], "<f2").tobytes()
    found = read_weights(write(tmp_path, f"{MAGIC}2 3\n{lines}", halves + float32([5.0])))
    np.testing.assert_array_equal(found["a.weight"], [[1, 2, 3]])
    np.testing.assert_array_equal(found["b.weight"], [[5]])


@pytest.mark.parametrize(
    ("line", "numbers"),
    [
        ("BatchNorm n 1 1 y w 0=2", 8),
        ("Scale n 1 1 y w 0=2 1=1", 4),
        ("Scale n 2 1 y s w 0=-233", 0),
        ("PReLU n 1 1 y w 0=2", 2),
        ("GroupNorm n 1 1 y w 0=1 1=2", 4),
        ("InstanceNorm n 1 1 y w 0=2 2=0", 0),
        ("LayerNorm n 1 1 y w 0=2", 4),
        ("MemoryData n 0 1 w 0=3 1=2", 6),
        ("Pooling n 1 1 y w 0=1 4=1", 0),
    ],
)
def test_the_numbers_of_other_layers_are_passed_over(tmp_path, line, numbers):
    text = f"{MAGIC}2 3\n{line}\nInnerProduct l 1 1 w z 0=1 2=2\n"
    data = np.zeros(numbers, "<f4").tobytes() + float32([3, 4])
    np.testing.assert_array_equal(read_weights(write(tmp_path, text, data))["l.weight"], [[3, 4]])


def test_copies_have_the_name_of_what_is_copied(tmp_path):
    text = f"{MAGIC}3 4\nInput i 0 1 x\nSplit s 1 2 x a b\nEltwise e 2 1 a b y 0=1\n"
    layers = read_layers(write(tmp_path, text, b""))
    assert [(layer.type, layer.inputs) for layer in layers] == [
        ("Input", ()),
        ("Eltwise", ("x", "x")),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its first line is not 7767517"),
        ("7767518\n1 1\n", "its first line is not 7767517"),
        (f"{MAGIC}2 2\n{LINEAR}", "it holds 1 layers and announces 2"),
        (f"{MAGIC}1 2\nInnerProduct l one 1 y z\n", "invalid literal"),
    ],
)
def test_other_files_are_refused(tmp_path, text, words):
    with pytest.raises(NcnnFileError, match=words):
        read_layers(write(tmp_path, text, b""))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (float32(np.ones(5)), r"the \.bin file ends before its last layer"),
        (float32(np.ones(7)), "4 bytes of the .bin file belong to no layer that is known"),
        (float32(np.ones(6), tag=0x000D4B38), "its weights are quantised"),
    ],
)
def test_weights_that_do_not_fit_the_layers_are_refused(tmp_path, data, words):
    with pytest.raises(ModelFileError, match=f"its weights cannot be read .*{words}"):
        open_tensors(write(tmp_path, f"{MAGIC}1 2\n{LINEAR}", data))
