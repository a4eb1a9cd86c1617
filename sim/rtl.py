# SPDX-License-Identifier: Apache-2.0
"""The gateware as a device: a library made by Verilator that exchanges the link's bytes."""

import ctypes
import threading
import time
from pathlib import Path

from ornstein.hdl import top
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import NO_LINE, SCRUBBED, Line, Space
from ornstein.sim import faults, verilated
from ornstein.sim.transport import LinkError, Transport
from ornstein.sim.waves import check_reader, write_layouts

_HARNESS = Path(__file__).with_name("rtl.cpp")
_CHUNK = 50_000
"""Cycles that are simulated before the host looks at its clock."""
_QUIET = 32
"""Cycles without a byte after which an answer is taken to be complete."""


def library(
    config: FabricConfig,
    line: Line = NO_LINE,
    *,
    faulty: bool = False,
    trace: bool = False,
    upsets: bool = False,
    cache: Path | None = None,
) -> Path:
    """Returns the compiled simulator of a fabric, which is built if the cache does not hold it.

    Parameters
    ----------
    config : the fabric
    line : the serial line in the fabric's identity
    faulty : build the fabric of :mod:`ornstein.sim.faults`, whose faults can be switched on
    trace : the simulator writes waveforms, which makes it slower
    upsets : build a fabric in whose memories bits can be changed; not with ``faulty`` or ``trace``
    cache : folder of the cache; None for the user's

    Raises
    ------
    ToolError
        Verilator or a C++ compiler is missing, or the build failed.
    """

    def verilog() -> str:
        source = (
            faults.upset_verilog(config, line)
            if upsets
            else (faults if faulty else top).verilog(config, line)
        )
        if trace:
            return source
        # The harness changes the clock once a cycle, and the design reacts to both edges. That
        # halves the evaluations: none is spent on an edge at which nothing happens.
        return source.replace("always @(posedge clk)", "always @(edge clk)")

    return verilated.library(
        config.name,
        verilog,
        _HARNESS,
        depends=repr((config, line)),
        sources=(Path(__file__), *([Path(faults.__file__)] if faulty or upsets else [])),
        defines=("FAULTS",) if faulty else ("UPSETS",) if upsets else (),
        # tracing takes most of the time of a traced run, whatever the compiler does
        optimise="-O1" if trace else "-O2",
        trace=trace,
        cache=cache,
    )


class RtlTransport(Transport):
    """Transport to a fabric that is simulated in this process.

    The device's clock runs only while the host reads. Time-outs are in seconds of the host.

    Parameters
    ----------
    config, line, faulty, upsets : see :func:`library`
    waves : FST file to which the waveforms of all signals are written, clock cycles of 20 ns, with
        the layouts of :mod:`ornstein.sim.waves` beside it; it is whole once the transport is
        closed. None writes none.

    Attributes
    ----------
    stop : another thread sets it to end what waits for an answer here, with LinkError; or None

    Raises
    ------
    ToolError
        See :func:`library`; or the package that reads waveforms is missing.
    OSError
        The folder of ``waves`` cannot be made or written to.
    """

    window = 1 << 16  # bytes wait in this object until the device takes them, so none can be lost

    def __init__(
        self,
        config: FabricConfig,
        line: Line = NO_LINE,
        *,
        faulty: bool = False,
        upsets: bool = False,
        waves: Path | None = None,
    ):
        if waves is not None:
            check_reader()
            waves.parent.mkdir(parents=True, exist_ok=True)
            waves.touch()  # the simulator would not say that it cannot write
        path = library(config, line, faulty=faulty, upsets=upsets, trace=waves is not None)
        self.stop: threading.Event | None = None
        self._library = ctypes.CDLL(str(path))
        self._library.rtl_open.restype = ctypes.c_void_p
        self._waves, self._opened = waves, 0
        self._handle = self._open()
        self._waiting, self._arrived = b"", b""
        # what the simulator says: bytes that it took and gave since last noted, cycles in all
        self._taken, self._given = ctypes.c_size_t(), ctypes.c_size_t()
        self._cycles = ctypes.c_uint64()
        self._answer = ctypes.create_string_buffer(1 << 16)
        self._line = line

    @property
    def cycles(self) -> int:
        """Simulated cycles of the device's clock."""
        return self._cycles.value

    @property
    def device_baud(self) -> int:
        """Bits per second of the device's line, which :func:`library` was given."""
        return self._line.bauds[self._library.rtl_rate(self._handle)]

    def break_down(self, fault: faults.Fault) -> None:
        """Switches that fault on and all others off; only for a ``faulty`` fabric."""
        self._library.rtl_fault(self._handle, ctypes.c_uint32(fault))

    def upset(self, space: Space, word: int, bit: int, cycles: int = 0) -> None:
        """Changes a bit of a memory of :data:`ornstein.hdl.regmap.SCRUBBED` after that many cycles,
        until it is written again; only where the fabric was built with ``upsets``.

        It replaces one that is still to come. Only the last one in a memory holds.

        Parameters
        ----------
        space, word : the memory and its word
        bit : of the word, whose lanes lie side by side
        """
        self._library.rtl_upset(
            self._handle, 1 + SCRUBBED.index(space), word, bit, ctypes.c_uint64(cycles)
        )

    def cancel_upset(self) -> bool:
        """Forgets an upset that is still to come; returns whether there was one."""
        waits = bool(self._library.rtl_upset_waits(self._handle))
        self._library.rtl_upset(self._handle, 0, 0, 0, ctypes.c_uint64(0))
        return waits

    def reset(self) -> None:
        """Configures the device anew, as after a brown-out: everything is as at power-up, and bytes
        on their way are lost.
        """
        self._settle()
        self._end()
        self._handle = self._open()
        self._waiting = self._arrived = b""

    def write(self, data: bytes) -> None:
        self._settle()
        self._waiting += data

    def read(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        self._settle()
        while not self._arrived:
            self._library.rtl_run(
                self._handle,
                self._waiting,
                ctypes.c_size_t(len(self._waiting)),
                ctypes.byref(self._taken),
                self._answer,
                ctypes.c_size_t(len(self._answer)),
                ctypes.byref(self._given),
                ctypes.c_uint64(_CHUNK),
                ctypes.c_uint64(_QUIET),
                ctypes.byref(self._cycles),
            )
            self._settle()
            if self.stop is not None and self.stop.is_set():
                raise LinkError("the run on the simulated device was stopped")
            if time.monotonic() >= deadline:
                break
        data, self._arrived = self._arrived, b""
        return data

    def _settle(self) -> None:
        """Notes what the last call of the simulator took and gave. Ctrl-C is heard right behind
        that call, so the next use of this object does it if the last one could not.

        Raises LinkError if the simulator is closed.
        """
        if not self._handle:
            raise LinkError("the simulated device is closed; open it again")
        if taken := self._taken.value:
            self._waiting, self._taken.value = self._waiting[taken:], 0
        if given := self._given.value:
            self._arrived, self._given.value = self._arrived + self._answer.raw[:given], 0

    def close(self) -> None:
        if self._handle:
            self._end()
            self._handle = None

    def _open(self) -> ctypes.c_void_p:
        """Returns a simulator as after power-up. Each has waveforms of its own."""
        self._opened += 1
        return ctypes.c_void_p(self._library.rtl_open(str(self._trace or "").encode()))

    def _end(self) -> None:
        """Ends the simulator, and writes the layouts of its waveforms."""
        self._library.rtl_close(self._handle)
        if self._trace is not None:
            write_layouts(self._trace)

    @property
    def _trace(self) -> Path | None:
        """The file of the present simulator's waveforms: those after a reset are numbered."""
        if self._waves is None or self._opened == 1:
            return self._waves
        return self._waves.with_stem(f"{self._waves.stem}-{self._opened}")
