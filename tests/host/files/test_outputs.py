# SPDX-License-Identifier: Apache-2.0
"""Outputs: every format holds the same rows, and a file is whole or not there."""

import os
import resource
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
from safetensors.numpy import load_file

from ornstein.host.files.outputs import check_output, open_outputs
from ornstein.host.files.replace import OutputError, check_distinct, replacing

ROWS = np.random.default_rng(4).normal(size=(70, 3))


def write(target, rows=ROWS):
    with open_outputs(str(target), "mean") as writes:
        for first in range(0, len(rows), 32):
            writes(rows[first : first + 32])


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("x.npy", np.load),
        ("x.NPY", np.load),
        ("x.npz", lambda path: np.load(path)["mean"]),
        ("x.safetensors", lambda path: load_file(path)["mean"]),
    ],
)
def test_arrays_hold_every_row(tmp_path, name, load):
    write(tmp_path / name)
    np.testing.assert_array_equal(load(tmp_path / name), ROWS)
    assert os.listdir(tmp_path) == [name]


def test_text_holds_every_row_to_nine_digits(tmp_path):
    write(tmp_path / "x.csv")
    read = np.loadtxt(tmp_path / "x.csv", delimiter=",")
    np.testing.assert_allclose(read, ROWS, rtol=1e-8)


@pytest.mark.parametrize("name", ["x.parquet", "x", "x.csv.gz"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"are written as \.csv, \.npy, \.npz, \.safetensors"):
        check_output(str(tmp_path / name))
    assert not os.listdir(tmp_path)


def test_places_that_cannot_hold_a_file(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match="is a folder; name a file in it"):
        check_output(str(tmp_path))
    with pytest.raises(OutputError, match="there is no folder"):
        check_output(str(tmp_path / "no" / "x.csv"))
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(OutputError, match="standard output is closed"):
        check_output("-")


def test_rows_appear_in_a_pipe_as_they_are_written(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    lines = []

    def listen():
        with open(tmp_path / "fifo") as file:
            lines.append(file.readline())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    with open_outputs(str(tmp_path / "fifo"), "mean") as writes:
        writes(ROWS[:1])
        listener.join(timeout=30)
        assert lines == [",".join(f"{value:.9g}" for value in ROWS[0]) + "\n"]


def test_after_an_error_the_old_file_is_as_it_was(tmp_path):
    for name in ("x.csv", "x.npy", "x.npz"):
        path = tmp_path / name
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt), open_outputs(str(path), "mean") as writes:
            writes(ROWS)
            raise KeyboardInterrupt
        assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["x.csv", "x.npy", "x.npz"]


def test_permissions_and_links_are_kept(tmp_path):
    old = os.umask(0o027)
    try:
        write(tmp_path / "new.npy")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new.npy").stat().st_mode) == 0o640
    (tmp_path / "shared.npy").touch()
    (tmp_path / "shared.npy").chmod(0o664)
    (tmp_path / "link.npy").symlink_to("shared.npy")
    write(tmp_path / "link.npy")
    assert (tmp_path / "link.npy").is_symlink()
    np.testing.assert_array_equal(np.load(tmp_path / "shared.npy"), ROWS)
    assert stat.S_IMODE((tmp_path / "shared.npy").stat().st_mode) == 0o664


def test_a_link_to_nothing_gets_its_file(tmp_path):
    (tmp_path / "link.csv").symlink_to("there.csv")
    write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "there.csv").is_file()


def test_a_name_of_full_length(tmp_path):
    write(tmp_path / ("x" * 251 + ".npy"))
    assert [len(name) for name in os.listdir(tmp_path)] == [255]


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz", ".safetensors"])
def test_where_there_is_no_room_nothing_is_left(tmp_path, suffix):
    """A limit of the size of files does what a full disk does."""
    code = (
        "import numpy as np, sys\n"
        "from ornstein.host.files.outputs import open_outputs\n"
        "try:\n"
        "    with open_outputs(sys.argv[1], 'mean') as write:\n"
        "        for _ in range(64): write(np.ones((64, 8)))\n"
        "except OSError as error: print(error.filename, '|', error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / f"x{suffix}"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / f'x{suffix}'} | File too large\n"
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".ornstein-0"))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError) as caught, replacing(tmp_path / "x.csv"):
        pass
    assert caught.value.filename == str(tmp_path / "x.csv")


def test_an_input_is_never_the_output(tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(b"x")
    (tmp_path / "link.npy").symlink_to(path)
    os.link(path, tmp_path / "hard.npy")
    for other in ("x.npy", "link.npy", "hard.npy"):
        with pytest.raises(OutputError, match=r"is the file that is read, .*; name another file"):
            check_distinct(tmp_path / other, tmp_path / "no", path)
    (tmp_path / "copy.npy").write_bytes(b"x")
    check_distinct(tmp_path / "copy.npy", path)
    check_distinct("/dev/null", "/dev/null")
