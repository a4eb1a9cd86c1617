# SPDX-License-Identifier: Apache-2.0
"""Cycles a second of the Verilated gateware, beside two other simulators of the same design."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ornstein.hdl.config import REFERENCE, FabricConfig
from ornstein.host.compile.program import Program
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.rtl import RtlDevice
from ornstein.host.experiments.bench.cores import gain_figure
from ornstein.host.experiments.bench.figures import Figure, Progress, Stopwatch, figure
from ornstein.host.experiments.bench.programs import random_biases, skip_program
from ornstein.sim.rtl import RtlTransport, library
from ornstein.sim.toolchain import for_icarus

RECORDED_WRITES = 200
"""Writes of the host whose bytes the other simulators are fed."""
ICARUS_CYCLES, PYSIM_CYCLES = 20_000, 1_500
PYSIM_START = 20
"""Cycles that Amaranth's simulator runs before its time counts."""

_ICARUS_BENCH = """
module bench;
  reg clk = 0; reg [7:0] bytes [0:{last}]; integer at = 0, n;
  wire ready, valid; wire [7:0] payload;
  top dut(.clk(clk), .i__payload(bytes[at]), .i__valid(at <= {last}), .i__ready(ready),
          .o__payload(payload), .o__valid(valid), .o__ready(1'b1));
  initial begin
    $readmemh("{folder}/bytes.hex", bytes);
    for (n = 0; n < {cycles}; n = n + 1) begin
      #1 clk = 1; if (ready && at < {last}) at = at + 1; #1 clk = 0;
    end
    $finish;
  end
endmodule
"""


class RecordingTransport(RtlTransport):
    """Keeps what the host writes, and counts the seconds that the simulator runs.

    Attributes
    ----------
    written : the bytes of each write
    seconds : time spent in :meth:`read`, in which the simulator runs
    """

    def __init__(self, config: FabricConfig):
        super().__init__(config)
        self.written: list[bytes] = []
        self.seconds = 0.0

    def write(self, data: bytes) -> None:
        self.written.append(data)
        super().write(data)

    def read(self, timeout: float) -> bytes:
        with Stopwatch() as watch:
            data = super().read(timeout)
        self.seconds += watch.seconds
        return data


def simulator_figures(program: Program, inputs: np.ndarray, progress: Progress) -> Iterator[Figure]:
    """Yields the speed of the Verilated gateware, its start, and its peers."""
    config = program.config
    progress("cycles a second of the Verilated gateware")
    transport = RecordingTransport(config)
    with FabricDevice(transport, "rtl", timeout=120.0) as device:
        device.load(program)
        device.run(inputs)
    speed = transport.cycles / transport.seconds
    yield figure("rtl_cycles_per_s", speed)
    progress("the gateware on all cores")
    long = skip_program(REFERENCE, (64,), 16, 500)
    with RtlDevice(REFERENCE, "rtl") as device:
        device.load(long)
        biases = random_biases(long.problem.energies[0].units, 64)
        yield gain_figure("rtl_all_cores", device, biases)
    progress("building the simulator")
    yield figure("rtl_build_s", build_seconds(config))
    yield figure("rtl_start_s", start_seconds(config))
    data = b"".join(transport.written[:RECORDED_WRITES])
    progress("cycles a second of Icarus Verilog")
    yield icarus_figure(speed, icarus_speed(config, data))
    progress("cycles a second of Amaranth's simulator")
    yield figure("rtl_over_pysim", speed, pysim_speed(config, data))


def build_seconds(config: FabricConfig) -> float:
    """Returns the seconds that building the simulator takes with an empty cache."""
    with tempfile.TemporaryDirectory() as folder, Stopwatch() as watch:
        library(config, cache=Path(folder))
    return watch.seconds


def start_seconds(config: FabricConfig) -> float:
    """Returns the seconds from opening a simulator that is built to its identity."""
    with Stopwatch() as watch:
        device = FabricDevice(RtlTransport(config), "rtl")
    device.close()
    return watch.seconds


def icarus_figure(speed: float, icarus: float | None) -> Figure:
    """Returns the figure of the Verilated gateware's speed over that of Icarus, None if missing."""
    if icarus is None:
        outcome = "Icarus Verilog is not installed (apt-get install iverilog)"
        return figure("rtl_over_icarus", None, outcome=outcome)
    outcome = "the same Verilog and bytes; the goal is at least 30"
    return figure("rtl_over_icarus", speed, icarus, outcome=outcome)


def icarus_speed(config: FabricConfig, data: bytes, cycles: int = ICARUS_CYCLES) -> float | None:
    """Returns cycles a second of Icarus on the Verilog of the whole design, fed with ``data``.

    None if Icarus is not installed.
    """
    from ornstein.hdl import top

    if not shutil.which("iverilog"):
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, bench, binary = (folder / file for file in ("top.v", "bench.v", "bench.vvp"))
        source.write_text(for_icarus(top.verilog(config)))
        (folder / "bytes.hex").write_text("\n".join(f"{byte:02x}" for byte in data))
        bench.write_text(_ICARUS_BENCH.format(folder=folder, last=len(data) - 1, cycles=cycles))
        compiling = ["iverilog", "-g2012", "-o", binary, source, bench]
        subprocess.run(compiling, check=True, capture_output=True)
        with Stopwatch() as watch:
            subprocess.run(["vvp", binary], check=True, capture_output=True)
    return cycles / watch.seconds


def pysim_speed(config: FabricConfig, data: bytes, cycles: int = PYSIM_CYCLES) -> float:
    """Returns cycles a second of Amaranth's own simulator, fed with ``data``."""
    from amaranth.sim import Simulator

    from ornstein.hdl.top import Top

    top: Any = Top(config)  # its ports are made when it is
    simulator = Simulator(top)
    simulator.add_clock(1e-6)

    async def feed(ctx) -> None:
        ctx.set(top.o.ready, 1)
        ctx.set(top.i.valid, 1)
        for byte in data[:cycles]:
            ctx.set(top.i.payload, byte)
            await ctx.tick()

    simulator.add_testbench(feed, background=True)
    simulator.run_until(1e-6 * PYSIM_START)
    with Stopwatch() as watch:
        simulator.run_until(1e-6 * (PYSIM_START + cycles))
    return cycles / watch.seconds
