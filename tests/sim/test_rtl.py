# SPDX-License-Identifier: Apache-2.0
"""The simulated gateware as a transport: it is built once, found in the cache, and rebuilt when its
sources change.
"""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pywellen

import ornstein.hdl
from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import REFERENCE, TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.sim import faults, rtl, verilated
from ornstein.sim.toolchain import ToolError, check_waveforms
from ornstein.sim.waves import GROUPS


@pytest.fixture
def no_tools(monkeypatch):
    """No program can be started, so that nothing can be built."""

    def refuse(*arguments, **options):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


def test_a_second_open_builds_nothing(device, request, monkeypatch):
    device("rtl:tiny")
    request.getfixturevalue("no_tools")
    monkeypatch.setenv("PATH", "")  # the tools are not even looked for
    with open_device("rtl:tiny") as again:
        assert again.config == TINY


def test_an_empty_cache_needs_the_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))

    def missing(links):
        raise ToolError("c++ is missing")

    monkeypatch.setattr(verilated, "verilator_environment", missing)
    monkeypatch.setattr(rtl.top, "verilog", lambda config, line: "module top; endmodule")
    with pytest.raises(ToolError, match=r"^c\+\+ is missing$"):
        open_device("rtl:tiny")
    assert not list(tmp_path.rglob("*.so"))


def test_a_failed_build_leaves_its_log_and_no_library(tmp_path, monkeypatch):
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path))
    monkeypatch.setattr(verilated, "verilator_environment", lambda links: {})
    monkeypatch.setattr(rtl.top, "verilog", lambda config, line: "module top; endmodule")
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda *arguments, **options: subprocess.CompletedProcess(
            arguments, 1, "said this\n", "and that\n"
        ),
    )
    with pytest.raises(
        ToolError, match="the simulator of fabric 'tiny' could not be built; see "
    ) as caught:
        rtl.library(TINY)
    log = Path(str(caught.value).split("see ")[1])
    assert log.read_text() == "said this\nand that\n" and "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.so"))
    # nothing else is left behind
    assert [path.name for path in (tmp_path / "rtl").iterdir()] == [log.name]


@pytest.fixture
def built(monkeypatch, tmp_path):
    """A cache in which building a library only creates an empty file."""

    def touch(name, verilog, harness, define, optimise, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()

    monkeypatch.setattr(verilated, "_build", touch)
    monkeypatch.setattr(rtl.top, "verilog", lambda config, line, **options: "")
    monkeypatch.setenv("ORNSTEIN_CACHE", str(tmp_path / "cache"))


def test_the_library_is_that_of_the_configuration(built):
    configs = TINY, REFERENCE, replace(TINY, quartic=False), replace(TINY, rank_depth=33)
    assert len({rtl.library(config) for config in configs}) == 4
    assert rtl.library(replace(TINY)) == rtl.library(TINY)
    assert rtl.library(TINY) != rtl.library(TINY, faults.LINE)
    assert rtl.library(faults.CONFIG, faults.LINE) != rtl.library(
        faults.CONFIG, faults.LINE, faulty=True
    )
    assert rtl.library(TINY) != rtl.library(TINY, upsets=True)


def test_the_library_changes_with_the_gateware_and_the_tools(built, tmp_path, monkeypatch):
    copy = tmp_path / "hdl"
    shutil.copytree(
        Path(ornstein.hdl.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(ornstein.hdl, "__file__", str(copy / "__init__.py"))
    libraries = {rtl.library(TINY)}
    source = copy / "link" / "uart.py"
    source.write_text(source.read_text() + "\n# changed\n")
    libraries.add(rtl.library(TINY))
    monkeypatch.setattr(verilated.importlib.metadata, "version", lambda package: "99")
    libraries.add(rtl.library(TINY))
    harness = tmp_path / "rtl.cpp"
    harness.write_text("// another\n")
    monkeypatch.setattr(rtl, "_HARNESS", harness)
    libraries.add(rtl.library(TINY))
    assert len(libraries) == 4


def test_devices_are_independent(device):
    """Two simulators of one library, with programs of their own, running by turns."""
    first = device("rtl:tiny")
    warm, cold = toy(), toy(stages=(toy().stages[0], replace(toy().stages[1], kT=0.0)))
    inputs = toy_inputs()
    with open_device("rtl:tiny") as second:
        for one, problem in ((first, warm), (second, cold)):
            one.load(compile_problem(problem, TINY, inputs))
        expected = [one.run(inputs).sums for one in (first, second)]
        assert not np.array_equal(*expected)
        for _ in range(2):
            for one, sums in zip((first, second), expected, strict=True):
                np.testing.assert_array_equal(one.run(inputs).sums, sums)


def test_a_line_may_be_closed_twice():
    line = rtl.RtlTransport(TINY)
    line.close()
    line.close()


def test_waves(tmp_path, device):
    """The traced simulator gives the same answers in the same cycles; the waveforms hold
    them all, and the layouts show every group.
    """
    try:
        check_waveforms()
    except ToolError as error:
        pytest.skip(str(error))
    problem = toy()
    inputs = toy_inputs(2)
    program = compile_problem(problem, TINY, inputs)
    path = tmp_path / "new folder" / "run.fst"
    with open_device(f"rtl:tiny?waves={path}") as traced:
        traced.load(program)
        outputs = traced.run(inputs, seed=1)
    plain = device("rtl:tiny")
    plain.load(program)
    expected = plain.run(inputs, seed=1)
    np.testing.assert_array_equal(outputs.sums, expected.sums)
    assert outputs.counters == expected.counters
    waveform = pywellen.Waveform(str(path))
    clock = {signal.full_name: signal for signal in waveform.all_vars()}["top.clk"]
    edges = [time for time, _ in clock.signal]
    assert len(edges) > 2 * outputs.counters["cycles"]
    assert edges[:4] == [0, 10, 20, 30]
    layout = path.with_suffix(".sucl").read_text()
    assert layout.count("divider_add") == 1 + len(GROUPS)
    assert layout.count("variable_add") > sum(len(group.signals) for group in GROUPS)
    assert path.with_suffix(".gtkw").exists()


def test_every_device_has_waves_of_its_own(tmp_path):
    """Two that are open at once, as rows of the demo are."""
    try:
        check_waveforms()
    except ToolError as error:
        pytest.skip(str(error))
    path = tmp_path / "run.fst"
    with open_device(f"rtl:tiny?waves={path}"), open_device(f"rtl:tiny?waves={path}"):
        pass
    for name in ("run", "run-device2"):
        assert len(list(pywellen.Waveform(str(tmp_path / f"{name}.fst")).all_vars())) > 100
        assert (tmp_path / f"{name}.gtkw").exists()


def test_only_the_gateware_has_waves(tmp_path):
    for uri in ("model:tiny", "float", "serial:auto"):
        with pytest.raises(DeviceError, match=r"has no signals; waveforms are those of rtl"):
            open_device(f"{uri}?waves={tmp_path / 'run.fst'}")


def test_waves_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        open_device(f"rtl:tiny?waves={tmp_path / 'file' / 'run.fst'}")
