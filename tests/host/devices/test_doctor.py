# SPDX-License-Identifier: Apache-2.0
"""The doctor: each check passes here, and fails when what it looks at is not in order."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ornstein.host.devices import doctor
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.models.model_file import ModelFileError, TrainedModel
from ornstein.sim.toolchain import ToolError, install_command
from ornstein.sim.transport import LinkError

OPTIONAL = [
    "place and route",
    "cosimulation",
    "studies",
    "the screen of ornstein watch",
    "training",
    "ONNX files",
    "ncnn files",
    "peers of ornstein bench",
]


@pytest.fixture
def no_ports(monkeypatch):
    monkeypatch.setattr(doctor.ports, "examine", lambda: iter([]))


def test_a_sound_installation(no_ports, tmp_path, monkeypatch):
    checks = {check.name: check for check in doctor.examine()}
    assert list(checks) == [
        "Python",
        "Verilator and C++ compiler",
        "cache",
        "default model",
        "gateware against model",
        *OPTIONAL,
    ]
    assert all(check.ok for check in checks.values() if check.needed)
    assert [check.name for check in checks.values() if not check.needed] == OPTIONAL
    assert checks["gateware against model"].detail == "equal in every bit for 5 inputs"
    command = TrainedModel.load().provenance["command"]
    assert checks["default model"].detail == f"made by: {command}"
    assert checks["Verilator and C++ compiler"].detail.count("/") >= 2
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / "new"))
    assert doctor._cache().detail == f"{tmp_path / 'new'} can be written"


def test_gateware_that_differs(monkeypatch):
    def run_wrong(self, *arguments, **options):
        outputs = run(self, *arguments, **options)
        counters = outputs.counters | {"issued": outputs.counters["issued"] + 1}
        return replace(outputs, counters=counters)

    run = FabricDevice.run
    monkeypatch.setattr(FabricDevice, "run", run_wrong)
    check = doctor._gateware_against_model()
    assert not check.ok and check.needed
    assert check.detail.startswith("this build of the gateware must not be trusted: self-test: ")
    assert "issued: " in check.detail
    assert check.detail.endswith("rtl, so that it is built again")


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "/cache"), LinkError("no answer")]
)
def test_the_doctor_goes_on_where_the_gateware_cannot_be_run(monkeypatch, error):
    def refuse(uri):
        raise error

    monkeypatch.setattr(doctor, "open_device", refuse)
    check = doctor._gateware_against_model()
    assert not check.ok and check.detail == str(error)


@pytest.mark.parametrize(
    ("function", "error", "check"),
    [
        ("verilator_environment", ToolError, "_verilator"),
        ("open_device", ToolError, "_gateware_against_model"),
        ("check_equals_model", ModelMismatchError, "_gateware_against_model"),
    ],
)
def test_what_fails_is_told(monkeypatch, function, error, check):
    def fail(*_, **__):
        raise error("this is why")

    monkeypatch.setattr(doctor, function, fail)
    found = getattr(doctor, check)()
    assert not found.ok and "this is why" in found.detail


def test_a_model_that_cannot_be_read(monkeypatch):
    def fail():
        raise ModelFileError("no weights")

    monkeypatch.setattr(TrainedModel, "load", fail)
    found = doctor._default_model()
    assert not found.ok and found.detail == "no weights"


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / "file"))
    found = doctor._cache()
    assert not found.ok and found.detail.endswith("set ORNSTEIN_CACHE")
    assert str(tmp_path / "file") in found.detail


def test_optional_packages(no_ports, monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    for check in ("_verilator", "_cache", "_default_model", "_gateware_against_model"):
        monkeypatch.setattr(doctor, check, lambda: None)
    checks = {check.name: check for check in doctor.examine() if check}
    routing, training = checks["place and route"], checks["training"]
    assert not routing.ok and routing.detail == f"optional; {install_command('synth')}"
    assert not training.ok and training.detail == f"optional; {install_command('train')}"


def test_every_extra_for_users_is_looked_for():
    extras = {extra for *_, extra in doctor._OPTIONAL_PACKAGES}
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert extras == set(project["optional-dependencies"]) - {"test", "lint", "docs"}
