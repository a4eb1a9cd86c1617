"""The gateware itself as a device: Verilated, compiled to a library, spoken to through its link bytes."""

import ctypes
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import platformdirs

import ornstein.hdl
from ornstein.hdl import top
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import NO_LINE, Line
from ornstein.host.transport.base import Transport
from ornstein.sim import faults
from ornstein.sim.toolchain import ToolError, verilator_environment

_HARNESS = Path(__file__).with_name("rtl.cpp")
_CHUNK = 50_000
"""Cycles run before the host looks at its clock."""
_QUIET = 32
"""Cycles without a byte after which an answer is taken to be complete."""


def cache_folder() -> Path:
    """Where built simulators are kept: ``ORNSTEIN_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("ORNSTEIN_CACHE") or platformdirs.user_cache_dir("ornstein"))


def _key(config: FabricConfig, line: Line = NO_LINE, faulty: bool = False) -> str:
    """Digest of everything that the built library depends on."""
    digest = hashlib.sha256()
    folder = Path(ornstein.hdl.__file__).parent
    for source in [*sorted(folder.rglob("*.py")), _HARNESS, *([Path(faults.__file__)] if faulty else [])]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for package in ("amaranth", "verilator"):
        digest.update(importlib.metadata.version(package).encode())
    digest.update(repr((config, line)).encode())
    return digest.hexdigest()[:16]


def _on_both_edges(verilog: str) -> str:
    """The design with every change of its one clock as a cycle: half the evaluations, most of them spent on nothing."""
    return verilog.replace("always @(posedge clk)", "always @(edge clk)")


def library(config: FabricConfig, line: Line = NO_LINE, *, faulty: bool = False, cache: Path | None = None) -> Path:
    """The compiled simulator of that fabric, built if ``cache``, :func:`cache_folder` by default, does not hold it.

    Parameters
    ----------
    line : what its identity says of the serial line
    faulty : that of :mod:`ornstein.sim.faults`, whose faults can be switched on

    Raises
    ------
    ToolError
        Verilator or a C++ compiler is missing, or the build failed.
    """
    target = (cache or cache_folder()) / "rtl" / f"{config.name}-{_key(config, line, faulty)}.so"
    if target.exists():
        return target
    environment = verilator_environment()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        source = Path(scratch) / "top.v"
        source.write_text(_on_both_edges((faults if faulty else top).verilog(config, line)))
        command = [
            "verilator", "--cc", "--exe", "--build", "-j", "2", "--top-module", "top", "-O3", "--x-assign", "fast",
            "--x-initial", "fast", "--noassert", "-Wno-fatal", "-Wno-lint", "--Mdir", scratch,
            "-MAKEFLAGS", "OPT_FAST=-O2", "-MAKEFLAGS", "OPT_GLOBAL=-O2",
            "-CFLAGS", "-fPIC -DFAULTS" if faulty else "-fPIC", "-LDFLAGS", "-shared", "-o", "rtl.so",
            str(source), str(_HARNESS),
        ]
        built = subprocess.run(command, env=environment, capture_output=True, text=True)
        if built.returncode:
            log = target.with_suffix(".log")
            log.write_text(built.stdout + built.stderr)
            raise ToolError(f"the simulator of fabric {config.name!r} could not be built; see {log}")
        # another process may have built the same: the last one to finish replaces an equal file
        finished = target.with_suffix(f".{os.getpid()}")
        shutil.move(Path(scratch) / "rtl.so", finished)
        finished.replace(target)
    return target


class RtlTransport(Transport):
    """The link's bytes to and from a Verilated fabric that runs in this process.

    The clock runs while the host reads: time-outs are in seconds of the host, ``cycles`` counts the device's. ``line``
    and ``faulty`` as in :func:`library`.
    """

    window = 1 << 16     # bytes wait here until the device takes them, so nothing can be lost

    def __init__(self, config: FabricConfig, line: Line = NO_LINE, *, faulty: bool = False):
        self._library = ctypes.CDLL(str(library(config, line, faulty=faulty)))
        self._library.rtl_open.restype = ctypes.c_void_p
        self._library.rtl_run.restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._library.rtl_open())
        self._waiting = b""
        self._answer = ctypes.create_string_buffer(1 << 16)
        self._line = line
        self.cycles = 0

    @property
    def device_baud(self) -> int:
        """Bits per second of the device's line, if there is one."""
        return self._line.bauds[self._library.rtl_rate(self._handle)]

    def break_down(self, fault: faults.Fault) -> None:
        """Switches that fault on, and any other off; only where ``faulty``."""
        self._library.rtl_fault(self._handle, ctypes.c_uint32(fault))

    def write(self, data: bytes) -> None:
        self._waiting += data

    def read(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while True:
            taken, given = ctypes.c_size_t(), ctypes.c_size_t()
            self.cycles += self._library.rtl_run(
                self._handle, self._waiting, ctypes.c_size_t(len(self._waiting)), ctypes.byref(taken), self._answer,
                ctypes.c_size_t(len(self._answer)), ctypes.byref(given), ctypes.c_uint64(_CHUNK),
                ctypes.c_uint64(_QUIET))
            self._waiting = self._waiting[taken.value:]
            if given.value:
                return self._answer.raw[:given.value]
            if time.monotonic() >= deadline:
                return b""

    def close(self) -> None:
        if self._handle:
            self._library.rtl_close(self._handle)
            self._handle = None
