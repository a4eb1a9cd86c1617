# SPDX-License-Identifier: Apache-2.0
"""Program files: what is saved is what is loaded, and damaged files are refused."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from helpers.programs import random_program, toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import ProgramError, job_issues
from ornstein.host.compile.program_file import (
    FORMAT_VERSION,
    LONGEST_JOB,
    checksum,
    load_program,
    save_program,
)
from ornstein.host.devices.file_faults import attack_files
from ornstein.host.physics.interface import Readout
from ornstein.sim.stages import Stage

DATA = Path(__file__).parents[2] / "data" / "programs"


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
    assert "there is no such file; make one with: ornstein compile" in refused(tmp_path / "missing")
    assert "cannot be read as a program file" in refused(tmp_path)  # a folder
    noise = tmp_path / "noise"
    noise.write_bytes(np.random.default_rng(5).bytes(5000))
    assert "cannot be read as a program file" in refused(noise)
    weights = tmp_path / "weights.safetensors"
    save_file({"w": np.zeros(3)}, weights)
    assert "is a safetensors file, but not a program" in refused(weights)


def rewritten(path, change, *, arrays_too=None, signed=True):
    """The program file with its document, or the text of it, changed, and with the checksum that
    belongs to it unless it is not ``signed``.
    """
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
        metadata = file.metadata()
    document = json.loads(metadata["ornstein"])
    text = change(document)
    text = text if isinstance(text, str) else json.dumps(document)
    if arrays_too is not None:
        arrays_too(arrays)
    check = checksum(text, arrays) if signed else metadata["checksum"]
    save_file(arrays, path, metadata={"ornstein": text, "checksum": check})
    return path


def keep(document):
    """Changes nothing."""


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION))
def test_a_file_of_an_older_version_says_so(version):
    """Files that the releases of those formats wrote."""
    assert refused(DATA / f"format{version}.program").endswith(
        f"has program format {version}; this version reads {FORMAT_VERSION}; compile it again"
    )


def test_a_newer_version_is_refused(saved):
    rewritten(saved, lambda document: document.update(version=FORMAT_VERSION + 1))
    assert (
        f"has program format {FORMAT_VERSION + 1}; this version reads {FORMAT_VERSION}"
        in refused(saved)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: "{", "JSONDecodeError"),
        (lambda document: "[]", "document is no dict"),
        (lambda document: "null", "document is no dict"),
        (lambda document: "[" * 100_000, "RecursionError"),
        (lambda document: json.dumps(document).replace("1", "1" * 10_000, 1), "ValueError"),
        (
            lambda document: json.dumps(document).replace('"dt"', '"dt": 1, "dt"', 1),
            "a key of its document is there twice",
        ),
        (lambda document: document.pop("layout") and None, "KeyError: 'layout'"),
        (lambda document: document.pop("version") and None, "KeyError: 'version'"),
        (lambda document: document["layout"].update(colour=1), "layout has no colour"),
        (lambda document: document["layout"].pop("chains") and None, "layout lacks chains"),
        (lambda document: document["layout"].update(chains=1.5), "layout.chains is no int"),
        (lambda document: document["layout"].update(chains=True), "layout.chains is no int"),
        (lambda document: document["config"].update(factor_width=99), "factor_width must be"),
        (lambda document: document["config"].update(drive_depth=1 << 40), "drive_depth must be"),
        (lambda document: document.update(name="a\x1b[31m"), "name holds control characters"),
        (lambda document: document.update(state_lsb=float("nan")), "its document holds NaN"),
        (lambda document: document.update(state_lsb=10**400), "state_lsb is not finite"),
        (lambda document: document["problem"].pop("energies") and None, "energies is no list"),
        (
            lambda document: document["problem"]["energies"][0]["couplings"][0].update(mix="none"),
            "there is no array none",
        ),
        (
            lambda document: document["problem"]["energies"][0]["couplings"][0].update(
                mix="image.factor"
            ),
            "image.factor is int16 of 2 dimensions, not float64 of 3",
        ),
        (lambda document: document["problem"].update(stages=3), "stages is no list"),
        (lambda document: document["problem"].update(bias_sets=0), "toy: stage 0 names"),
        (lambda document: document["problem"].update(target="c"), "toy: the target 'c' is none of"),
    ],
)
def test_damaged_documents_are_refused(saved, change, message):
    assert f"is a damaged program file ({message}" in refused(rewritten(saved, change))


def test_missing_arrays_are_refused(saved):
    rewritten(saved, keep, arrays_too=lambda arrays: arrays.pop("image.factor"))
    assert "is a damaged program file (there is no array image.factor)" in refused(saved)


def test_a_changed_bit_is_refused(saved):
    """One bit of any array would change answers without a word, but for the checksum."""

    def flip(arrays):
        arrays["image.factor"][0, 0] ^= 1

    rewritten(saved, keep, arrays_too=flip, signed=False)
    assert "its checksum is not that of its content" in refused(saved)
    rewritten(saved, lambda document: document.update(dt=0.5), signed=False)
    assert "its checksum is not that of its content" in refused(saved)


def test_a_large_file_is_not_read(tmp_path):
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    assert "no program file: it has more than 268,435,456 bytes" in refused(huge)


def test_long_jobs_are_asked_for(tmp_path):
    stages = (Stage(65_536 * 50, 0.01), Stage(20, 0.01, accumulate=True))
    program = compile_problem(toy(stages=stages), TINY, toy_inputs())
    assert job_issues(program) > LONGEST_JOB
    save_program(program, tmp_path / "p")
    assert f"cycles, more than {LONGEST_JOB:,}; give --long" in refused(tmp_path / "p")
    assert_same(load_program(tmp_path / "p", long=True), program)


def test_damaged_files_are_refused_or_harmless(tmp_path):
    """As ``ornstein selftest --files`` tries many more."""
    for campaign in attack_files(tmp_path, 300, seed=5):
        assert campaign.failures == []
    assert campaign.outcomes.total() == 300
    assert campaign.outcomes["damaged", "other"] == 0
    assert campaign.outcomes["damaged", "refused"] > campaign.outcomes["damaged", "same"] > 0
    assert campaign.outcomes["forged", "refused"] > 0
