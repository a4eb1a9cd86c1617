# SPDX-License-Identifier: Apache-2.0
"""The table of testbenches, and what counts as a user's own tests."""

from pathlib import Path

import pytest
from amaranth.hdl import Fragment

from ornstein.hdl.config import PRESETS, ConfigError
from ornstein.host.cosim.testbenches import TESTBENCHES, cosimulate, find_modules
from ornstein.sim.cosim.programs import fabric
from ornstein.sim.cosim.results import CosimulationError


def test_every_testbench_runs_on_its_fabrics():
    for bench in TESTBENCHES.values():
        assert bench.choose_fabric(None) == next(iter(bench.fabrics), None)
        for name in bench.fabrics:
            Fragment.get(bench.component(fabric(name)), None)  # elaborates it
    assert all(fabric(name).unit_lanes == 1 for name in TESTBENCHES["update"].fabrics)


def test_another_fabric_is_for_own_tests_only():
    top = TESTBENCHES["top"]
    with pytest.raises(ConfigError, match=r"top does not run on fabric 'wide'; it runs on tiny, "):
        top.choose_fabric("wide")
    assert [top.choose_fabric(name, own=True) for name in PRESETS] == list(PRESETS)
    with pytest.raises(ConfigError, match="no_such"):
        top.choose_fabric("no_such", own=True)


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A folder of tests and a helper, in the present folder."""
    folder = tmp_path / "my_tests"
    folder.mkdir()
    for name in ("test_one.py", "two.py", "_helper.py", "conftest.py"):
        (folder / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_folder_or_a_file_of_tests(own):
    assert find_modules(Path("my_tests")) == (["test_one", "two"], [own])
    assert find_modules("my_tests/two.py") == (["two"], [own])


def test_a_package_of_tests(own):
    (own / "__init__.py").write_text("")
    assert find_modules("my_tests") == (["my_tests.test_one", "my_tests.two"], [own.parent])


def test_a_module_by_name(own):
    assert find_modules("my_tests.two") == (["my_tests.two"], [Path()])
    assert find_modules("json") == (["json"], [Path()])


@pytest.mark.parametrize("name", ["no_such", "no_such.tests", "my_tests.three", "no/such", "x.py"])
def test_tests_that_do_not_exist(own, name):
    with pytest.raises(CosimulationError, match=r"there is no (module|file).*; give a folder of"):
        find_modules(name)


def test_an_empty_folder(tmp_path):
    with pytest.raises(CosimulationError, match="holds no Python file of tests"):
        cosimulate(TESTBENCHES["top"], folder=tmp_path, own=tmp_path)
