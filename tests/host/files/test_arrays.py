# SPDX-License-Identifier: Apache-2.0
"""Archives of arrays that are read as a whole: names are distinct, and memory is bounded."""

import zipfile

import numpy as np
import pytest

from ornstein.host.files import arrays
from ornstein.host.files.arrays import ArrayFileError, load_arrays


@pytest.fixture
def zeros(tmp_path):
    """Two arrays of 64,000 bytes each, packed into less than a thousand."""
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, a=np.zeros(8000), b=np.zeros(8000))
    assert path.stat().st_size < 1000
    return path


def test_the_arrays_of_an_archive_together_are_bounded(zeros, monkeypatch):
    monkeypatch.setattr(arrays, "LARGEST", 128_000)
    assert {name: values.shape for name, values in load_arrays(zeros).items()} == {
        "a": (8000,),
        "b": (8000,),
    }
    monkeypatch.setattr(arrays, "LARGEST", 127_999)
    with pytest.raises(ArrayFileError, match="unpacks to 128,000 bytes, more than 127,999"):
        load_arrays(zeros)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_is_given_once(zeros):
    with zipfile.ZipFile(zeros, "a") as archive:
        archive.writestr("a.npy", archive.read("b.npy"))
    with pytest.raises(ArrayFileError, match="it holds 2 arrays of the name 'a'"):
        load_arrays(zeros)
