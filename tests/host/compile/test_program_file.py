# SPDX-License-Identifier: Apache-2.0
"""Program files: what is saved is what is loaded, and damaged files are refused."""

import json
from dataclasses import fields

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from helpers.programs import random_program, toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.program_file import FORMAT_VERSION, load_program, save_program
from ornstein.host.physics.interface import Readout


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs())


@pytest.fixture
def saved(program, tmp_path):
    path = tmp_path / "toy.ornstein"
    save_program(program, path)
    return path


def refused(path) -> str:
    with pytest.raises(ProgramError) as caught:
        load_program(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def assert_same(one, other, name="program"):
    """Equal in every field, however deep."""
    assert isinstance(other, type(one)), name
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, name
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif isinstance(one, tuple | list):
        assert len(one) == len(other), name
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{name}[{index}]")
    elif isinstance(one, dict):
        assert list(one) == list(other), name
        for key in one:
            assert_same(one[key], other[key], f"{name}[{key!r}]")
    elif hasattr(one, "__dataclass_fields__"):
        for entry in fields(one):
            assert_same(
                getattr(one, entry.name), getattr(other, entry.name), f"{name}.{entry.name}"
            )
    else:
        assert one == other, name


@pytest.mark.parametrize("seed", range(30))
def test_what_is_saved_is_loaded(seed, tmp_path):
    """Every field is equal: images, layout, ranges, and the float program with all its arrays."""
    program, _ = random_program(seed)
    save_program(program, tmp_path / "p")
    assert_same(load_program(tmp_path / "p"), program)


def test_readout_and_target_are_saved(tmp_path):
    problem = toy(target="b", readout=Readout(np.full(3, 2.0), np.arange(3.0)))
    program = compile_problem(problem, TINY, toy_inputs())
    save_program(program, tmp_path / "p")
    loaded = load_program(str(tmp_path / "p"))
    assert_same(loaded, program)
    np.testing.assert_array_equal(loaded.problem.decode(np.ones((1, 8))), [[2.0, 3.0, 4.0]])


def test_a_missing_folder_is_named(program, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder") as caught:
        save_program(program, tmp_path / "missing" / "p")
    assert str(caught.value).endswith(str(tmp_path / "missing"))


def test_a_program_is_a_safetensors_file(saved):
    with safe_open(saved, "numpy") as file:
        assert {"image.factor", "image.descriptors", "problem.energy0.coupling0.mix"} <= set(
            file.keys()
        )
        assert json.loads(file.metadata()["ornstein"])["version"] == FORMAT_VERSION


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(saved, part):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(part * len(data))])
    assert "cannot be read as a program file" in refused(saved)


def test_what_is_no_program_is_refused(tmp_path, saved):
    assert "cannot be read as a program file" in refused(tmp_path / "missing")
    assert "cannot be read as a program file" in refused(tmp_path)  # a folder
    noise = tmp_path / "noise"
    noise.write_bytes(np.random.default_rng(5).bytes(5000))
    assert "cannot be read as a program file" in refused(noise)
    weights = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(3)}, weights)
    assert "is a safetensors file, but not a program" in refused(weights)


def rewritten(path, change, drop=()):
    """The program file with its document, or the text of it, changed."""
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys() if name not in drop}
        document = json.loads(file.metadata()["ornstein"])
    text = change(document)
    save_file(
        arrays, path, metadata={"ornstein": text if isinstance(text, str) else json.dumps(document)}
    )
    return path


def test_another_version_is_refused(saved):
    rewritten(saved, lambda document: document.update(version=FORMAT_VERSION + 1))
    assert (
        f"has program format {FORMAT_VERSION + 1}; this version reads {FORMAT_VERSION}"
        in refused(saved)
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda document: "{",
        lambda document: "[]",
        lambda document: "null",
        lambda document: document.pop("layout") and None,
        lambda document: document.pop("version") and None,
        lambda document: document["layout"].update(colour=1),
        lambda document: document["config"].update(factor_width=99),
        lambda document: document["problem"].pop("energies") and None,
        lambda document: document["problem"]["energies"][0]["couplings"][0].update(mix="nowhere"),
        lambda document: document["problem"].update(stages=3),
    ],
    ids=range(10),
)
def test_damaged_documents_are_refused(saved, change):
    assert "is a damaged program file" in refused(rewritten(saved, change))


def test_missing_arrays_are_refused(saved):
    assert "is a damaged program file (KeyError: 'image.factor')" in refused(
        rewritten(saved, lambda document: None, drop=("image.factor",))
    )
