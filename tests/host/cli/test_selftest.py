# SPDX-License-Identifier: Apache-2.0
"""``ornstein selftest`` with damaged files and failing lines; the test of a device itself is in
tests/host/devices/test_selftest.py.
"""

import json

import pytest

from ornstein.host.cli import flash
from ornstein.host.cli.app import CheckError
from ornstein.host.devices import file_faults, frame_faults, link_faults, upset_faults
from ornstein.host.devices.soak import BLOCK

OPTIONS = {"device": "rtl", "seed": 3, "files": 0, "faults": 0, "resets": 0.3, "rate": 1e-4}
OPTIONS |= {"frames": 0, "soak": 0.0, "upsets": 0}


def test_damaged_files_are_counted(capsys, tmp_path):
    flash.selftest(**OPTIONS | {"files": 30}, json_file=tmp_path / "files.json")
    found = json.loads((tmp_path / "files.json").read_text())
    assert sum(found["files"].values()) == 30 and found["failures"] == []
    assert capsys.readouterr().out.strip().endswith("0 handled wrongly")


def test_operations_under_faults_are_counted(capsys, tmp_path):
    flash.selftest(**OPTIONS | {"faults": 8}, json_file=tmp_path / "faults.json")
    found = json.loads((tmp_path / "faults.json").read_text())
    assert sum(found["outcomes"].values()) == 8 and found["failures"] == []
    assert "8 right" in capsys.readouterr().out


def test_frames_are_counted(capsys, tmp_path):
    flash.selftest(**OPTIONS | {"frames": 300}, json_file=tmp_path / "frames.json")
    found = json.loads((tmp_path / "frames.json").read_text())
    assert sum(found["answers"].values()) + found["silent"] > 300 and found["failures"] == []
    assert capsys.readouterr().out.strip().endswith("0 batches answered wrongly")


def test_a_stream_is_compared(capsys, tmp_path):
    """For a microsecond, which is one block."""
    options = OPTIONS | {"device": "model:tiny", "soak": 1e-6 / 60}
    flash.selftest(**options, json_file=tmp_path / "soak.json")
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["device"] == "model:tiny" and found["inputs"] == BLOCK
    said = capsys.readouterr().out
    assert said.startswith(f"{BLOCK} inputs in ") and "equal the integer model in every bit" in said


def test_changed_bits_are_counted(capsys, tmp_path):
    flash.selftest(**OPTIONS | {"upsets": 3}, json_file=tmp_path / "upsets.json")
    found = json.loads((tmp_path / "upsets.json").read_text())
    assert found["upsets"] == {"FACTOR": 1, "DRIVE": 1, "DESCRIPTOR": 1}
    assert capsys.readouterr().out.startswith("3 bits changed (1 in FACTOR, 1 in DRIVE, ")


def test_what_is_handled_wrongly_fails_the_check(monkeypatch):
    """A loader that lets damage through, and a device whose answers change, are found."""
    monkeypatch.setattr(file_faults, "_outcome", lambda *_: "other")
    with pytest.raises(CheckError, match=r"a program file was not handled: file 0 \(damaged"):
        flash.selftest(**OPTIONS | {"files": 3}, json_file=None)
    monkeypatch.setattr(link_faults, "operate", lambda *_: "wrong sums")
    with pytest.raises(CheckError, match=r"a fault was not handled: operation 0, .*wrong sums"):
        flash.selftest(**OPTIONS | {"faults": 2}, json_file=None)
    monkeypatch.setattr(frame_faults, "_difference", lambda *_, **__: "answer 1 is wrong")
    with pytest.raises(CheckError, match="a frame was not answered as it must be: batch 0, answer"):
        flash.selftest(**OPTIONS | {"frames": 1}, json_file=None)
    monkeypatch.setattr(upset_faults, "operate", lambda *_: "wrong sums")
    with pytest.raises(CheckError, match="a changed bit was not handled: bit"):
        flash.selftest(**OPTIONS | {"upsets": 1}, json_file=None)
