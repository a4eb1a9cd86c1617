# SPDX-License-Identifier: Apache-2.0
"""``ornstein devices`` and ``doctor``: every figure is that of the fabric, port or check."""

import json
from dataclasses import asdict

import pytest
from serial.tools.list_ports_common import ListPortInfo

from ornstein.hdl.config import PRESETS, TINY
from ornstein.host.cli import devices as commands
from ornstein.host.cli.app import CheckError
from ornstein.host.devices import doctor, ports
from ornstein.host.devices.check import Check
from ornstein.host.devices.device import URIS
from ornstein.host.devices.ports import Found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("│").split("│")]


def test_every_fabric_is_listed_with_its_sizes(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(ports, "candidates", lambda every=False: [])
    commands.devices(json_file=tmp_path / "devices.json")
    out = capsys.readouterr().out
    rows = {row[0]: row for row in map(cells, out.splitlines()) if len(row) == 5}
    for config in PRESETS.values():
        _, lanes, units, factors, options = rows[config.name]
        assert lanes == f"{config.rank_lanes} x {config.unit_lanes}"
        assert int(units) == config.state_depth * config.unit_lanes
        assert int(factors) == config.factor_depth * config.lanes
        assert ("second moment" in options) == config.second_moment
        assert ("sample stream" in options) == bool(config.sample_depth)
        assert ("quartic" in options) == config.quartic
    assert all(uri in out for uri in URIS)
    assert "no serial port found" in out
    document = json.loads((tmp_path / "devices.json").read_text())
    assert document["ports"] == document["answers"] == []
    assert document["fabrics"]["tiny"]["state_depth"] == TINY.state_depth


def test_ports_and_what_answers_there(capsys, monkeypatch, tmp_path):
    listed = []
    for name in ("/dev/ttyUSB3", "/dev/ttyACM1"):
        listed.append(ListPortInfo(name))
        listed[-1].description = f"board at {name}"
    found = {
        "/dev/ttyUSB3": Found("/dev/ttyUSB3", TINY, 3_000_000),
        "/dev/ttyACM1": Found("/dev/ttyACM1", problem="silent"),
    }
    monkeypatch.setattr(ports, "candidates", lambda every=False: listed)
    monkeypatch.setattr(ports, "ask", found.__getitem__)
    commands.devices(probe=True, json_file=tmp_path / "devices.json")
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "serial:/dev/ttyUSB3  board at /dev/ttyUSB3",
        "serial:/dev/ttyACM1  board at /dev/ttyACM1",
        "asked: serial:/dev/ttyUSB3?baud=3000000 (fabric tiny)",
        "asked: /dev/ttyACM1: silent",
    ]
    document = json.loads((tmp_path / "devices.json").read_text())
    assert document["ports"] == ["serial:/dev/ttyUSB3", "serial:/dev/ttyACM1"]
    assert [answer["baud"] for answer in document["answers"]] == [3_000_000, 0]


def test_doctor_prints_each_check_and_fails_on_a_needed_one(capsys, monkeypatch, tmp_path):
    checks = [
        Check("first", True, "in order"),
        Check("second", False, "optional; install it", needed=False),
        Check("third", False, "wrong"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda: iter(checks[:2]))
    commands.doctor()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["ok", "first:", "in", "order"],
        ["absent", "second:", "optional;", "install", "it"],
    ]
    monkeypatch.setattr(doctor, "examine", lambda: iter(checks))
    with pytest.raises(CheckError, match=r"^these checks failed: third$"):
        commands.doctor(tmp_path / "doctor.json")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["failed", "third:", "wrong"]
    assert json.loads((tmp_path / "doctor.json").read_text()) == [asdict(one) for one in checks]
