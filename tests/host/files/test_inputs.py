# SPDX-License-Identifier: Apache-2.0
"""Inputs: whatever form they have, the same numbers come out, and what is wrong is named."""

import gzip
import io
import os
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from ornstein.host.compile.program import InputError
from ornstein.host.files import inputs as files
from ornstein.host.files.inputs import open_inputs

ROWS = np.random.default_rng(3).normal(size=(150, 4))


def read(path, key=None, size=4, job=8) -> np.ndarray:
    """All rows of a source; every block but the last holds whole jobs."""
    with open_inputs(str(path), size, key=key, job=job) as inputs:
        blocks = [block for block in inputs.blocks if len(block)]
    assert all(len(block) % job == 0 for block in blocks[:-1])
    return np.concatenate(blocks)


def refusal(path, **options) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def text(rows=ROWS, separator=",", end="\n") -> str:
    return "".join(separator.join(map(repr, map(float, row))) + end for row in rows)


# ---- text ----------------------------------------------------------------------------------------

FORMS = {
    "commas": text(),
    "semicolons": text(separator=";"),
    "tabs": text(separator="\t"),
    "spaces": text(separator="  "),
    "bars": text(separator=" | "),
    "decimal commas": text(separator=";").replace(".", ","),
    "header": "a,b,c,d\n" + text(),
    "quoted header": '"a, first";"b";"c";"d"\n' + text(separator=";"),
    "quoted numbers": text(separator='","').replace("\n", '"\n"').join('""')[:-2] + "\n",
    "comments": "# measured\n\n" + text(ROWS[:70]) + "\n# more\n" + text(ROWS[70:]),
    "comments behind rows": text(end=" # measured\n"),
    "trailing separators": text(end=",\n"),
    "Windows": text(end="\r\n"),
    "old Macintosh": text(end="\r"),
    "no last line end": text().rstrip("\n"),
    "end of file mark": text() + "\x1a",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_text(tmp_path, form, encoding):
    path = tmp_path / "rows.csv"
    path.write_bytes(FORMS[form].encode(encoding))
    np.testing.assert_array_equal(read(path), ROWS)
    if encoding == "utf-8":
        path.write_bytes(gzip.compress(path.read_bytes()))
        np.testing.assert_array_equal(read(path), ROWS)


def test_members_of_gzip_follow_each_other(tmp_path):
    halves = (gzip.compress(text(part).encode()) for part in (ROWS[:20], ROWS[20:]))
    (tmp_path / "rows.csv.gz").write_bytes(b"".join(halves) + bytes(512))
    np.testing.assert_array_equal(read(tmp_path / "rows.csv.gz"), ROWS)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_every_number_is_read_exactly(numbers):
    """NumPy's reader rounds as Python's float does."""
    source = files.ByteSource("x", iter([text([numbers]).encode(), b""]).__next__, lambda: False)
    (rows,) = files.TextRows(source, len(numbers)).blocks(1, 1)
    assert rows.tolist() == [numbers]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "1,2,3,4\n1,2,x,4\n",
            "line 2, row 1 (from 0): has 'x' in column 2, which is not a number",
        ),
        ("h,i,j,k\n\n1,2,3,4\n1,2,,4\n", "line 4, row 1 (from 0): has nothing in column 2"),
        ("1,2,3,4\n1,2,3\n", "line 2, row 1 (from 0): has 3 numbers; the program takes 4"),
        ("0,1,2,3,4\n", "has 5 numbers; the program takes 4 (an index before them? leave it out)"),
        ("1,2,3,4,\u00e9\n", "row 0 (from 0): has 5 numbers; the program takes 4"),
        ("1,2,3,1_0\n", "has '1_0' in column 3"),
        (
            "1,2,3,4\nwhat is this\n",
            "line 2, row 1 (from 0): 'what is this' is not a row of numbers",
        ),
        ("1,2,3,4\n1,2\x00,3,4\n", "holds no lines of text"),
        ("\x7fELF\x02\x01\x01\x00\x00", "holds no lines of text"),
        ("PAR1\x15\x04", "is a Parquet file; save it as CSV"),
    ],
)
def test_what_is_wrong_in_text_is_named(tmp_path, content, words):
    path = tmp_path / "rows.csv"
    path.write_bytes(content.encode("latin-1"))
    assert refusal(path).startswith(str(path)) and words in refusal(path)


def test_the_row_is_that_of_the_file_in_every_block(tmp_path):
    lines = text().splitlines()
    lines[120] = "1,2,3,four"
    (tmp_path / "rows.csv").write_text("a,b,c,d\n" + "\n".join(lines))
    assert "line 122, row 120 (from 0): has 'four' in column 3" in refusal(tmp_path / "rows.csv")


def test_names_of_columns_that_are_numbers_are_told(tmp_path):
    (tmp_path / "rows.csv").write_text("0,1,2,3\n" + text())
    with open_inputs(str(tmp_path / "rows.csv"), 4) as inputs:
        assert sum(map(len, inputs.blocks)) == len(ROWS) + 1
    (note,) = inputs.notes
    assert "is 0, 1, 2, ... and was taken as an input" in note


def test_a_line_without_end_is_no_text():
    with pytest.raises(InputError, match="/dev/zero holds no lines of text"):
        read("/dev/zero")


# ---- arrays --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8", ">f8", "i1", ">u4", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(tmp_path, kind, order):
    rows = np.asarray(np.rint(ROWS * 16) if kind[-2] != "f" else ROWS).astype(kind, order=order)
    np.save(tmp_path / "rows.npy", rows)
    os.rename(tmp_path / "rows.npy", tmp_path / "rows.NPY")
    np.savez_compressed(tmp_path / "rows.npz", first=rows, other=rows[:3])
    np.testing.assert_array_equal(read(tmp_path / "rows.NPY"), rows.astype(float))
    np.testing.assert_array_equal(read(tmp_path / "rows.npz", key="first"), rows.astype(float))
    np.testing.assert_array_equal(read(tmp_path / "rows.npz", key="other"), rows[:3].astype(float))


def test_sets_of_biases_are_rows(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS.reshape(150, 2, 2))
    np.testing.assert_array_equal(read(tmp_path / "rows.npy"), ROWS)


def test_safetensors(tmp_path):
    import ml_dtypes

    path = tmp_path / "rows.safetensors"
    coarse = ROWS.astype(ml_dtypes.bfloat16)
    save_file({"a": ROWS, "b": coarse}, path)
    np.testing.assert_array_equal(read(path, key="a"), ROWS)
    np.testing.assert_array_equal(read(path, key="b"), coarse.astype(float))
    assert "holds several arrays; choose one with --key: a, b" in refusal(path)
    path.write_bytes(b"\xff" * 100)
    assert "cannot be read as safetensors" in refusal(path)


def test_one_of_several_arrays_is_chosen_by_name(tmp_path):
    np.savez(tmp_path / "two.npz", a=ROWS, b=ROWS)
    np.savez(tmp_path / "one.npz", a=ROWS)
    assert "two.npz holds several arrays; choose one with --key: a, b" in refusal(
        tmp_path / "two.npz"
    )
    assert "two.npz has no array 'c'; it has a, b" in refusal(tmp_path / "two.npz", key="c")
    np.testing.assert_array_equal(read(tmp_path / "one.npz"), ROWS)
    np.save(tmp_path / "rows.npy", ROWS)
    with open_inputs(str(tmp_path / "rows.npy"), 4, key="a") as inputs:
        assert inputs.notes == ["--key has no effect on a file of one array"]


def npy(shape, data=b"", descr="<f8", fortran=False) -> bytes:
    """A .npy file with any header."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": fortran, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


HOSTILE = {
    "more rows than there can be": (npy((2**64 - 1, 4)), "but the file ends after"),
    "negative": (npy((-1, 4)), "shape is (-1, 4)"),
    "rows too long": (npy((1, 2**62)), "the program takes rows of 4 numbers"),
    "cut": (npy((3, 4), bytes(40)), "ends in row 1 (from 0), of 3"),
    "cut in the header": (npy((3, 4))[:40], "cannot be read as an array"),
    "one dimension": (npy((4,), bytes(32)), "the rows of an array of two dimensions"),
    "complex": (npy((1, 4), bytes(64), "<c16"), "holds complex128, not numbers"),
    "text": (npy((1, 4), bytes(16), "<U1"), "holds <U1, not numbers"),
    "objects": (npy((1, 4), bytes(32), "|O"), "holds object, not numbers"),
    "records": (npy((1, 4), bytes(32), [("a", "<f8")]), "not numbers"),
    "no header": (b"\x93NUMPY\x01\x00\x10\x00{'descr': 1}\n     ", "cannot be read as an array"),
    "deep header": (b"\x93NUMPY\x01\x00\xff\x1f" + b"(" * 8191, "cannot be read as an array"),
    "unknown version": (b"\x93NUMPY\x09\x00" + bytes(64), "cannot be read as an array"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arrays_are_refused(tmp_path, name):
    content, words = HOSTILE[name]
    (tmp_path / "rows.npy").write_bytes(content)
    assert words in refusal(tmp_path / "rows.npy")
    with zipfile.ZipFile(tmp_path / "rows.npz", "w") as archive:
        archive.writestr("x.npy", content)
    assert words in refusal(tmp_path / "rows.npz")


def test_an_array_that_ends_early_names_the_row(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    content = npy((150, 4), ROWS[:100].tobytes())
    threading.Thread(target=path.write_bytes, args=(content,), daemon=True).start()
    assert "ends in row 100 (from 0), of 150" in refusal(path)


def test_an_archive_that_unpacks_to_much_more_takes_little_memory(tmp_path):
    """64 MiB of zeros in 64 KiB; a job of it is read at once, and no more."""
    import tracemalloc

    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros((1 << 21, 4)))
    tracemalloc.start()
    try:
        with open_inputs(str(tmp_path / "zeros.npz"), 4, job=8) as inputs:
            assert next(inputs.blocks).shape == (64, 4) and inputs.count == 1 << 21
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.txt": b"x"}, "an archive without arrays; it holds a.txt"),
        ({}, "an archive without arrays; it holds nothing"),
    ],
)
def test_archives_of_other_things(tmp_path, members, words):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("b", b"")  # an archive without members has another mark
        for name, content in members.items():
            archive.writestr(name, content)
    assert words.replace("nothing", "b").split(";")[0] in refusal(tmp_path / "x.npz")


def test_damaged_archives(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is it complete?" in refusal(path)
    path.write_bytes(whole.replace(ROWS.tobytes()[:64], bytes(64)))
    assert "is damaged: Bad CRC-32" in refusal(path)
    path.write_bytes(gzip.compress(text().encode())[:-30])
    assert "ends within its packed data; is it complete?" in refusal(path)
    path.write_bytes(gzip.compress(text().encode())[:200] + bytes(200))
    assert "cannot be unpacked" in refusal(path)


# ---- streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "packed text", "npy", "npz"])
def test_a_pipe_is_read_like_a_file(tmp_path, form):
    file = io.BytesIO()
    if form == "npz":
        np.savez(file, x=ROWS)
    elif form == "npy":
        np.save(file, ROWS)
    else:
        file.write(text().encode() if form == "text" else gzip.compress(text().encode()))
    os.mkfifo(tmp_path / "fifo")
    feed = threading.Thread(
        target=(tmp_path / "fifo").write_bytes, args=(file.getvalue(),), daemon=True
    )
    feed.start()
    np.testing.assert_array_equal(read(tmp_path / "fifo"), ROWS)
    feed.join()


def test_a_live_stream_gives_whole_jobs_as_they_come(tmp_path):
    """After each job the reader says that it has to wait, and does not wait for more."""
    reading, writing = os.pipe()
    feed = os.fdopen(writing, "wb", 0)
    feed.write(text(ROWS[:1]).encode())
    with open_inputs(f"/dev/fd/{reading}", 4, job=2) as inputs:
        for first in (0, 2, 4):
            if first:
                feed.write(text(ROWS[first : first + 1]).encode())
            feed.write(text(ROWS[first + 1 : first + 2]).encode()[:7])
            feed.write(text(ROWS[first + 1 : first + 2]).encode()[7:])
            blocks = []
            while not blocks or not len(blocks[-1]):
                blocks.append(next(inputs.blocks))
            np.testing.assert_array_equal(blocks[-1], ROWS[first : first + 2])
            assert next(inputs.blocks).shape == (0, 4)
        feed.write(text(ROWS[6:7]).encode())
        feed.close()
        np.testing.assert_array_equal(np.concatenate(list(inputs.blocks)), ROWS[6:7])
    os.close(reading)


# ---- places --------------------------------------------------------------------------------------


def test_sources_that_are_not_there(tmp_path, monkeypatch):
    assert refusal(tmp_path / "x.csv") == f"there is no input file {tmp_path / 'x.csv'}"
    assert refusal(tmp_path) == f"{tmp_path} is a folder; name a file in it"
    monkeypatch.setattr("sys.stdin", None)
    assert refusal("-") == "standard input is closed; name a file with --input"
