# SPDX-License-Identifier: Apache-2.0
"""Builds simulators: shared libraries made by Verilator and a C++ compiler, kept in a cache."""

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import ornstein.hdl
from ornstein.sim.caches import cache_folder, library_caches
from ornstein.sim.toolchain import ToolError, check_waveforms, verilator_environment


def library(
    name: str,
    verilog: Callable[[], str],
    harness: Path,
    *,
    depends: str,
    sources: tuple[Path, ...] = (),
    defines: tuple[str, ...] = (),
    optimise: str = "-O2",
    trace: bool = False,
    cache: Path | None = None,
) -> Path:
    """Returns the compiled simulator, which is built if the cache does not hold it.

    Parameters
    ----------
    name : first part of the file's name, for people
    verilog : returns the Verilog of the module ``top``
    harness : C++ file that runs the module
    depends : text that changes with everything that the Verilog depends on besides files
    sources : files, besides those of the gateware, that the Verilog depends on
    defines : macros that are defined when the harness is compiled, as NAME or NAME=VALUE
    optimise : the C++ compiler's optimisation; more of it pays off only for long simulations
    trace : the harness writes waveforms, and has the macro TRACE
    cache : folder of the cache; None for :func:`ornstein.sim.caches.cache_folder`

    Raises
    ------
    ToolError
        Verilator or a C++ compiler is missing, or the libraries that write waveforms, or the build
        failed.
    """
    if trace:
        defines = (*defines, "TRACE")
    digest = _digest([harness, Path(__file__), *sources], f"{depends} {defines} {optimise}")
    target = (cache or cache_folder()) / harness.stem / f"{name}-{digest}.so"
    if not target.exists():
        if trace:
            check_waveforms()
        with library_caches():
            source = verilog()
        _build(name, source, harness, defines, optimise, target)
    return target


def _build(
    name: str,
    verilog: str,
    harness: Path,
    defines: tuple[str, ...],
    optimise: str,
    target: Path,
) -> None:
    """Builds the simulator as the file ``target``. Raises ToolError if a tool fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_folder_without_spaces()) as scratch:
        environment = verilator_environment(Path(scratch))
        source = Path(scratch) / "top.v"
        source.write_text(verilog)
        harness = Path(shutil.copy(harness, scratch))
        command = [
            "verilator",
            "--cc",
            "--exe",
            "--build",
            "-j",
            "2",
            "--top-module",
            "top",
            "-O3",
            "--x-assign",
            "fast",
            "--x-initial",
            "fast",
            "--noassert",
            "-Wno-fatal",
            "-Wno-lint",
            "--pins-inout-enables",
            *(["--trace-fst"] if "TRACE" in defines else []),
            "--Mdir",
            scratch,
            "-MAKEFLAGS",
            f"OPT_FAST={optimise}",
            "-MAKEFLAGS",
            f"OPT_GLOBAL={optimise}",
            "-CFLAGS",
            " ".join(["-fPIC", *(f"-D{define}" for define in defines)]),
            "-LDFLAGS",
            "-shared",
            "-o",
            "rtl.so",
            str(source),
            str(harness),
        ]
        built = subprocess.run(command, env=environment, capture_output=True, text=True)
        if built.returncode:
            log = target.with_suffix(".log")
            log.write_text(built.stdout + built.stderr)
            raise ToolError(f"the simulator of fabric {name!r} could not be built; see {log}")
        # another process may build the same file, so it is put in place in one step
        finished = target.with_suffix(f".{os.getpid()}")
        shutil.move(Path(scratch) / "rtl.so", finished)
        finished.replace(target)


def _folder_without_spaces() -> str:
    """Returns a folder for temporary files that make can use, since it takes no path with spaces.

    Raises ToolError if there is none.
    """
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not re.search(r"\s", folder) and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise ToolError(
        f"make cannot build in {tempfile.gettempdir()!r}, whose name has a space; name a folder "
        "without one in the environment variable TMPDIR"
    )


def _digest(sources: list[Path], depends: str) -> str:
    """Returns a digest of everything that the built library depends on."""
    digest = hashlib.sha256()
    folder = Path(ornstein.hdl.__file__).parent
    for source in [*sorted(folder.rglob("*.py")), *sources]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for package in ("amaranth", "verilator"):
        digest.update(importlib.metadata.version(package).encode())
    digest.update(depends.encode())
    return digest.hexdigest()[:16]
