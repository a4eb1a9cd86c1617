# SPDX-License-Identifier: Apache-2.0
"""``ornstein cosim``: testbenches and own cocotb tests, their results, and their failures."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ornstein.host.cli.app import app
from ornstein.host.cosim.testbenches import TESTBENCHES
from ornstein.sim.cosim.results import CosimulationError, read_cases

SIMULATOR = "icarus" if shutil.which("iverilog") else "verilator"
"""The one that builds in less time."""

(EXAMPLE,) = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[3] / "docs" / "simulate.md").read_text(), re.S
)
"""The documentation's test of one's own; it passes."""

WRONG = """
import cocotb
import helper
from cocotb.triggers import Timer

SEED = cocotb.RANDOM_SEED  # of the whole run; each test has another one


@cocotb.test
async def is_wrong(dut):
    await Timer(10, "ns")
    assert SEED == helper.SEED, f"the seed is [red]{SEED}"
"""


def call(*arguments):
    return CliRunner().invoke(app, ["cosim", *map(str, arguments)])


def test_list():
    result = call("--list")
    assert result.exit_code == 0
    for bench in TESTBENCHES.values():
        assert bench.name in result.output and bench.module.startswith("ornstein.")


def test_own_tests(tmp_path):
    """A folder of tests with a helper beside them: results as a table, JUnit and JSON. The failed
    test's message is printed as it is.
    """
    folder, output, report = tmp_path / "my tests", tmp_path / "out", tmp_path / "report.json"
    folder.mkdir()
    (folder / "test_example.py").write_text(EXAMPLE)
    (folder / "test_wrong.py").write_text(WRONG)
    (folder / "helper.py").write_text("SEED = 77\n")
    result = call(
        *("noise", "--module", folder, "--simulator", SIMULATOR, "--seed", 5),
        *("--output", output, "--json", report),
    )
    assert isinstance(result.exception, CosimulationError)
    assert "1 of 2 tests failed with seed 5, first is_wrong" in str(result.exception)
    assert "the seed is [red]5" in result.output
    expected = {"a_seed_becomes_the_state": "passed", "is_wrong": "failed"}
    (document,) = json.loads(report.read_text())
    assert {case["name"]: case["result"] for case in document["cases"]} == expected
    cases = read_cases(output / "results.xml")
    assert {case.name: case.result for case in cases} == expected
    assert {case.module for case in cases} == {"noise.test_example", "noise.test_wrong"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("top", "--fabric", "wide"), "testbench top does not run on fabric 'wide'"),
        (("--module", "no_such_tests"), "there is no module 'no_such_tests'; give a folder"),
    ],
)
def test_refusals(arguments, message, tmp_path):
    result = call(*arguments, "--output", tmp_path)
    assert result.exit_code == 1 and message in str(result.exception)
    assert list(tmp_path.iterdir()) == []
