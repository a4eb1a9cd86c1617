# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: every figure is a ratio to a limit or a peer, measured in one run; cycles before
seconds.

``ornstein bench`` prints them and writes them as JSON. What cannot be measured on a machine has the
value None and the reason in its note.
"""

import importlib.util
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ornstein.hdl.config import NEIGHBOURS, REFERENCE, ULX3S, FabricConfig
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.link import Link
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.serial import SerialTransport
from ornstein.host.experiments.demo.run import compile_recipe
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim import reference
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.port import Port
from ornstein.sim.rtl import RtlTransport, library
from ornstein.sim.stages import LM, Stage
from ornstein.sim.toolchain import for_icarus

SD15_CHANNELS = (320, 640, 1280, 1280)
"""Channels of Stable Diffusion 1.5's U-Net on the way down, each met again on the way up (SPEC
section 1).
"""
RTL_GOAL = 3e6
CYCLES, MIXED = "cycles_per_step_", "_mixed"
"""How the names of the figures begin that give the cycles of a step, and end where Gram terms mix
modes.
"""
BAUD = 1_000_000
_REPEATS = 8
"""How often the memory is written: what the paced port may catch up is then 1.5 % of the whole."""


@dataclass(frozen=True)
class Figure:
    """One row: ``ratio`` is ``value`` over ``reference``, both in ``unit``; None where it was not
    measured.
    """

    name: str
    value: float | None
    unit: str
    reference: float | None
    ratio: float | None
    note: str


def figure(name: str, value: float | None, unit: str, against: float | None, note: str) -> Figure:
    """A row with its ratio worked out."""
    ratio = value / against if value is not None and against else None
    return Figure(name, value, unit, against, ratio, note)


def skip_energy(sizes: tuple[int, ...], rank: int, gram: float = 0.0, seed: int = 0) -> Energy:
    """Pairs of modules of those sizes, each pair an aligned skip of that rank: orthonormal factors,
    gain 0.8.

    ``gram`` > 0 couples every module to itself too, through the same factors: each mode then mixes
    with its partner.
    """
    rng = np.random.default_rng(seed)
    modules, couplings = [], []
    for index, size in enumerate(sizes):
        names = f"e{index}", f"d{index}"
        modules += [Module(name, size) for name in names]
        factors = tuple(np.linalg.qr(rng.normal(size=(size, rank)))[0] for _ in names)
        mix = np.zeros((2, 2, rank))
        mix[0, 1] = mix[1, 0] = -0.2 * 0.8
        mix[0, 0] = mix[1, 1] = gram
        couplings.append(Coupling(names, factors, mix))
    return Energy(tuple(modules), tuple(couplings))


def skip_program(
    fabric: FabricConfig, sizes: tuple[int, ...], rank: int, steps: int, gram: float = 0.0
) -> Program:
    """A program that relaxes :func:`skip_energy` for that many averaged steps at kT = 0.1, driven
    by biases.
    """
    energy = skip_energy(sizes, rank, gram)
    problem = Problem(
        f"skip {sizes} x {rank}", (energy,), (Stage(steps, 0.1, accumulate=True),), entry=BIAS
    )
    return compile_problem(problem, fabric, _biases(energy.units, 8))


def _biases(units: int, count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(scale=0.02, size=(count, units))


def useful_multiplies(program: Program) -> int:
    """Multiplies that one input needs: project and expand of every factor, and every mixing
    coefficient.
    """
    problem = program.problem
    total = 0
    for stage in problem.stages:
        for coupling in problem.energies[stage.energy].couplings:
            ends = len(coupling.modules)
            mixed = (
                0
                if ends == 2 and not coupling.mix[[0, 1], [0, 1]].any()
                else ends * ends * coupling.rank
            )
            total += stage.steps * (sum(2 * f.size for f in coupling.factors) + mixed)
    return total


def busy_cycles(device: FabricDevice, program: Program, inputs: int) -> int:
    """Cycles that a streamed batch takes on the gateware, from its own counter."""
    device.load(program)
    return device.run(_biases(program.problem.energies[0].units, inputs)).counters["cycles"]


@dataclass(frozen=True)
class Cell:
    """A point of the grid over which the lanes' use is measured, and what was measured there.

    ``bound`` and ``cycles`` are those of a step of one input; ``share`` is useful multiplies over
    lanes x cycles of a whole streamed batch.
    """

    sizes: tuple[int, ...]
    rank: int
    lanes: int
    mixed: bool
    chains: int
    bound: float
    cycles: float
    share: float

    @property
    def label(self) -> str:
        """The point in words."""
        return (
            f"D = {self.sizes[0]}, {2 * len(self.sizes)} modules, rank {self.rank}, {self.lanes} lanes"
            + (", mixed" if self.mixed else "")
        )

    @property
    def name(self) -> str:
        """The point in a figure's name."""
        return f"d{self.sizes[0]}_m{2 * len(self.sizes)}_k{self.rank}_p{self.lanes}" + (
            MIXED if self.mixed else ""
        )


def measure(fabric: FabricConfig, sizes: tuple[int, ...], rank: int, mixed: bool = False) -> Cell:
    """Runs a point of the grid on the gateware.

    The cycles of a step are the difference of two batches, the second of twice as many steps, so
    that loading and starting a job do not count in them; in the share they do.
    """
    bound = 4 * sum(sizes) * rank / fabric.lanes
    steps = int(max(16, min(200, 100_000 / bound)))
    gram = 0.1 if mixed else 0.0
    short, long = (skip_program(fabric, sizes, rank, count, gram) for count in (steps, 2 * steps))
    inputs = 2 * short.layout.chains
    with FabricDevice(RtlTransport(fabric), "rtl", timeout=120.0) as device:
        first, second = (busy_cycles(device, program, inputs) for program in (short, long))
    return Cell(
        sizes,
        rank,
        fabric.lanes,
        mixed,
        long.layout.chains,
        bound,
        (second - first) / inputs / steps,
        useful_multiplies(long) * inputs / (fabric.lanes * second),
    )


def bench(progress: Callable[[str], None] = lambda what: None) -> Iterator[Figure]:
    """All figures, as they are measured."""
    progress("compiling the default program")
    model = TrainedModel.load()
    aligned = recipes.ours_aligned(model)
    began = time.perf_counter()
    program = compile_recipe(aligned, model, REFERENCE, kT=1e-3, samples=64)
    yield figure(
        "compile_s",
        time.perf_counter() - began,
        "s",
        2.0,
        "compiling the aligned program; the limit is 2 s",
    )
    yield from _lanes(progress)
    yield from _streaming(program, model, progress)
    yield from _simulators(program, model, progress)
    yield from _models(program, model, progress)
    yield from _large(progress)
    yield from _line(program, progress)
    yield from _memory(progress)


def _lanes(progress) -> Iterator[Figure]:
    """Lane utilisation over D, k, modules and lanes, and how cycles grow."""
    skips, mixed = [], []
    for count, (ranks, units) in {8: (8, 1), 32: (16, 2), 128: (16, 8)}.items():
        fabric = replace(
            REFERENCE,
            name=f"bench{count}",
            rank_lanes=ranks,
            unit_lanes=units,
            factor_depth=(1 << 18) // count,
            state_depth=(1 << 13) // units,
            drive_depth=(1 << 14) // units,
            rank_depth=1 << 9,
            descriptor_depth=256,
            descriptor_width=128,
            accumulator_width=40,
            second_moment=False,
            sample_depth=0,
            quartic=False,
        )
        progress(f"lane utilisation: {count} lanes")
        skips += [measure(fabric, (size,), rank) for size in (64, 320, 1280) for rank in (16, 64)]
        skips += [measure(fabric, (64,) * pairs, 16) for pairs in (2, 4)]
        mixed += [
            measure(fabric, (size,), rank, mixed=True) for size in (64, 320) for rank in (16, 64)
        ]
    yield figure(
        "lane_utilisation_d64_k16_p8",
        skips[0].share,
        "of lanes x cycles",
        1.0,
        "streamed aligned skips, from on-chip counters; 0.95 is asked for",
    )
    worst = min(skips, key=lambda cell: cell.share)
    yield figure(
        "lane_utilisation_min",
        worst.share,
        "of lanes x cycles",
        1.0,
        "least over D 64, 320, 1280, rank 16, 64, and 2, 4, 8 modules, lanes 8, 32, 128: at "
        f"{worst.label}, {worst.chains} inputs at once; 0.90 is asked for",
    )
    worst = min(mixed, key=lambda cell: cell.share)
    yield figure(
        "lane_utilisation_mixed_min",
        worst.share,
        "of lanes x cycles",
        1.0,
        f"the same with Gram terms, least over D 64, 320, rank 16, 64: at {worst.label}, {worst.chains} "
        "inputs at once",
    )
    for cell in skips + mixed:
        yield figure(
            f"{CYCLES}{cell.name}",
            cell.cycles,
            "cycles",
            cell.bound,
            f"bound 4 D k / lanes; utilisation {cell.share:.3f}, {cell.chains} inputs at once",
        )
    work = np.array([cell.bound for cell in skips])
    cycles = np.array([cell.cycles for cell in skips])
    design = np.stack([work, np.ones_like(work)], axis=1) / cycles[:, None]
    solution, *_ = np.linalg.lstsq(design, np.ones_like(cycles), rcond=None)
    residual = float(np.abs(design @ solution - 1).max())
    yield figure(
        "cycle_fit_residual",
        residual,
        "of the cycles",
        0.03,
        f"largest relative residual of cycles = {solution[0]:.4f} x (4 D k / lanes) + {solution[1]:.2f}, D "
        "summed over pairs of modules",
    )


def relaxation_issues(program: Program) -> int:
    """Cycles in which the lanes relax in one job: the schedule's stages, without loading and
    conditioning.
    """
    return sum(
        level.steps * sum(step.outer * step.inner for step in passes)
        for level, passes in program.schedule()
        if level.keep
    )


def _streaming(program: Program, model: TrainedModel, progress) -> Iterator[Figure]:
    """Clock cycles of a whole stream, link and all, over those of relaxation alone."""
    progress("streaming against relaxation alone")
    transport = RtlTransport(program.config)
    with FabricDevice(transport, "rtl", timeout=120.0) as device:
        device.load(program)
        device.run(model.x_test[:2])
        before = transport.cycles
        device.run(model.x_test)
        elapsed = transport.cycles - before
    relaxing = len(model.x_test) / program.layout.chains * relaxation_issues(program)
    yield figure(
        "streaming_over_relaxation",
        elapsed,
        "cycles",
        relaxing,
        "64 inputs of the aligned demo program, inputs and read-outs over the link included, against the "
        "cycles in which relaxation issues; at most 1.05 is asked for",
    )


def _simulators(program: Program, model: TrainedModel, progress) -> Iterator[Figure]:
    """Cycles a second of the Verilated gateware, beside Icarus and Amaranth's own simulator on the
    same bytes.
    """
    progress("cycles a second of the Verilated gateware")
    log: list[bytes] = []
    transport = _Recorder(program.config, log)
    with FabricDevice(transport, "rtl", timeout=120.0) as device:
        device.load(program)
        device.run(model.x_test)
    speed = transport.cycles / transport.seconds
    yield figure(
        "rtl_cycles_per_s",
        speed,
        "cycles/s",
        RTL_GOAL,
        "whole demo fabric, link included, one core",
    )
    progress("two simulators on two threads")
    yield _threads(program, model)
    yield from _starting(program.config, progress)
    data = b"".join(log[:200])
    progress("cycles a second of Icarus Verilog")
    slow = _icarus(program.config, data)
    note = (
        "the same Verilog and bytes; at least 30 is asked for"
        if slow
        else "Icarus Verilog is not installed (apt-get install iverilog)"
    )
    yield figure("rtl_over_icarus", speed if slow else None, "cycles/s", slow, note)
    progress("cycles a second of Amaranth's simulator")
    yield figure(
        "rtl_over_pysim",
        speed,
        "cycles/s",
        _pysim(program.config, data),
        "the same design and bytes; at least 50 is asked for",
    )


def _threads(program: Program, model: TrainedModel) -> Figure:
    """A batch split over two simulators on two threads, against one; the simulator itself runs on
    one.
    """

    def seconds(parts: int) -> float:
        devices = [
            FabricDevice(RtlTransport(program.config), "rtl", timeout=120.0) for _ in range(parts)
        ]
        for device in devices:
            device.load(program)
            device.run(model.x_test[:2])
        began = time.perf_counter()
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(FabricDevice.run, devices, np.array_split(model.x_test, parts)))
        elapsed = time.perf_counter() - began
        for device in devices:
            device.close()
        return elapsed

    one, two = seconds(1), seconds(2)
    return figure(
        "rtl_two_threads",
        one / two,
        "of one thread's speed",
        2.0,
        "threads pay from simulator to simulator, so the demo runs its rows so; within a simulator of "
        "4,000 instructions a cycle they do not",
    )


def _starting(config: FabricConfig, progress) -> Iterator[Figure]:
    """Seconds to build the simulator into an empty cache, and to start it once built."""
    progress("building the simulator")
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        library(config, cache=Path(folder))
        yield figure(
            "rtl_build_s",
            time.perf_counter() - began,
            "s",
            90.0,
            "Verilog, Verilator and C++ from nothing",
        )
    began = time.perf_counter()
    with FabricDevice(RtlTransport(config), "rtl"):
        yield figure(
            "rtl_start_s",
            time.perf_counter() - began,
            "s",
            1.0,
            "opening the built one, identity read",
        )


class _Recorder(RtlTransport):
    """Keeps what the host sends, and counts the seconds in which the simulator runs."""

    def __init__(self, config: FabricConfig, log: list[bytes]):
        super().__init__(config)
        self._log = log
        self.seconds = 0.0

    def write(self, data: bytes) -> None:
        self._log.append(data)
        super().write(data)

    def read(self, timeout: float) -> bytes:
        began = time.perf_counter()
        try:
            return super().read(timeout)
        finally:
            self.seconds += time.perf_counter() - began


def _icarus(config: FabricConfig, data: bytes, cycles: int = 20_000) -> float | None:
    """Cycles a second of Icarus on the top's Verilog, fed with those bytes; None if it is not
    installed.
    """
    from ornstein.hdl import top

    if not shutil.which("iverilog"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, bench_file, binary = (
            Path(folder) / name for name in ("top.v", "bench.v", "bench.vvp")
        )
        source.write_text(for_icarus(top.verilog(config)))
        (Path(folder) / "bytes.hex").write_text("\n".join(f"{byte:02x}" for byte in data))
        bench_file.write_text(f"""
module bench;
  reg clk = 0; reg [7:0] bytes [0:{len(data) - 1}]; integer at = 0, n;
  wire ready, valid; wire [7:0] payload;
  top dut(.clk(clk), .i__payload(bytes[at]), .i__valid(at < {len(data)}), .i__ready(ready),
          .o__payload(payload), .o__valid(valid), .o__ready(1'b1));
  initial begin
    $readmemh("{folder}/bytes.hex", bytes);
    for (n = 0; n < {cycles}; n = n + 1) begin
      #1 clk = 1; if (ready && at < {len(data) - 1}) at = at + 1; #1 clk = 0;
    end
    $finish;
  end
endmodule
""")
        subprocess.run(
            ["iverilog", "-g2012", "-o", binary, source, bench_file],
            check=True,
            capture_output=True,
        )
        began = time.perf_counter()
        subprocess.run(["vvp", binary], check=True, capture_output=True)
        return cycles / (time.perf_counter() - began)


def _pysim(config: FabricConfig, data: bytes, cycles: int = 1_500) -> float:
    """Cycles a second of Amaranth's own simulator."""
    from amaranth.sim import Simulator

    from ornstein.hdl.top import Top

    top = Top(config)
    simulator = Simulator(top)
    simulator.add_clock(1e-6)

    async def feed(ctx):
        ctx.set(top.o.ready, 1)
        ctx.set(top.i.valid, 1)
        for byte in data[:cycles]:
            ctx.set(top.i.payload, byte)
            await ctx.tick()

    simulator.add_testbench(feed, background=True)
    simulator.run_until(1e-6 * 20)
    began = time.perf_counter()
    simulator.run_until(1e-6 * (20 + cycles))
    return cycles / (time.perf_counter() - began)


def _models(program: Program, model: TrainedModel, progress) -> Iterator[Figure]:
    """Steps a second of the integer model beside float64 NumPy, the gateware and thermox."""
    progress("steps a second of the integer model")
    inputs, problem = model.x_test, program.problem
    device = ModelDevice(program.config)
    device.load(program)
    device.run(inputs[:2])
    began = time.perf_counter()
    device.run(inputs)
    model_speed = len(inputs) * problem.steps / (time.perf_counter() - began)
    began = time.perf_counter()
    reference.relax(
        problem.energies,
        problem.biases(inputs),
        problem.stages,
        dt=problem.dt,
        integrator=LM,
        initial=np.zeros((len(inputs), problem.energies[0].units)),
        rng=np.random.default_rng(1),
    )
    float_speed = len(inputs) * problem.steps / (time.perf_counter() - began)
    yield figure(
        "model_over_float",
        model_speed,
        "steps/s",
        float_speed,
        "batch 64, one input one step; against the float64 NumPy reference; at least 1/3 is asked for",
    )
    with FabricDevice(RtlTransport(program.config), "rtl", timeout=120.0) as device:
        device.load(program)
        began = time.perf_counter()
        device.run(inputs)
        rtl_speed = len(inputs) * problem.steps / (time.perf_counter() - began)
    yield figure(
        "model_over_rtl",
        model_speed,
        "steps/s",
        rtl_speed,
        "the same program; at least 10 is asked for",
    )
    progress("thermox doing the same job")
    yield _thermox(program, model, model_speed)


def _thermox(program: Program, model: TrainedModel, model_speed: float) -> Figure:
    """Independent samples a second: the model's steps thinned to independence against thermox's
    exact ones.
    """
    name = "model_over_thermox"
    if importlib.util.find_spec("thermox") is None:
        return figure(
            name,
            None,
            "samples/s",
            None,
            "thermox is not installed (pip install 'ornstein[bench]')",
        )
    import jax
    import thermox

    jax.config.update("jax_enable_x64", True)
    energy = program.problem.energy
    matrix, bias = energy.matrix(), energy.mean(program.problem.biases(model.x_test)[0, 0][None])[0]
    slowest = float(np.linalg.eigvalsh(matrix)[0])
    # one effective sample every two correlation times of the slowest mode, for both
    spacing, kT = 2 / slowest, 1e-3
    arrays = [
        jax.numpy.asarray(array)
        for array in (np.zeros(len(matrix)), matrix, bias, 2 * kT * np.eye(len(matrix)))
    ]

    def rate(chains: int, count: int) -> float:
        times = jax.numpy.arange(count + 1) * spacing
        draw = jax.jit(jax.vmap(lambda key: thermox.sample(key, times, *arrays)))
        keys = jax.random.split(jax.random.PRNGKey(0), chains)
        draw(keys).block_until_ready()  # compiles
        began = time.perf_counter()
        draw(keys).block_until_ready()
        return chains * count / (time.perf_counter() - began)

    exact = max(rate(1, 2_000), rate(len(model.x_test), 100))
    steps = spacing / program.dt
    ratio = model_speed / steps / exact
    return figure(
        name,
        model_speed / steps,
        "samples/s",
        exact,
        f"independent samples of the aligned energy, 128 units: the model needs {steps:.0f} steps for each, "
        "thermox one exact jump (float64, the faster of one chain and 64); the CPU library wins where a "
        f"sample takes more than {steps * ratio:,.0f} steps, that is below an eigenvalue of "
        f"{slowest / ratio:.2g} here",
    )


def _large(progress) -> Iterator[Figure]:
    """The Stable-Diffusion-1.5-shaped hierarchy on the 128-lane fabric, bit for bit."""
    progress("7,040 units on 128 lanes")
    steps = 16
    program = skip_program(ULX3S, SD15_CHANNELS, 16, steps)
    inputs = _biases(program.problem.energies[0].units, 2)
    with FabricDevice(RtlTransport(ULX3S), "rtl", timeout=600.0) as device:
        device.load(program)
        outputs = device.run(inputs)
    model = ModelDevice(ULX3S)
    model.load(program)
    equal = bool(np.array_equal(outputs.sums, model.run(inputs).sums))
    cycles = outputs.counters["cycles"] / len(inputs) / steps
    bound = 4 * sum(SD15_CHANNELS) * 16 / ULX3S.lanes
    yield figure(
        "sd15_cycles_over_bound",
        cycles,
        "cycles/step",
        bound,
        f"8 modules, rank 16, {ULX3S.lanes} lanes, {steps} steps; gateware and model "
        f"{'equal in every bit' if equal else 'DIFFER'}; at most 1.1 is asked for; {len(program.factor)} of "
        f"{ULX3S.factor_depth} factor words, about {block_rams(ULX3S)} of 208 block RAMs",
    )


def block_rams(config: FabricConfig) -> int:
    """18-kbit block RAMs of an ECP5 that a fabric and its link take: 1024 x 18 or 512 x 36 each."""

    def rams(width: int, depth: int) -> int:
        return min(-(-width // 18) * -(-depth // 1024), -(-width // 36) * -(-depth // 512))

    total = 2  # the link's
    for info in spaces(config).values():
        if info.memory:
            # several unit lanes keep the factors of some multipliers without gaps between them
            grid = info.space == Space.FACTOR and config.unit_lanes > 1
            joined = min(NEIGHBOURS, config.rank_lanes) if grid else 1
            copies = 2 if info.space == Space.STATE else 1
            total += copies * info.lanes // joined * rams(joined * info.bits, info.depth)
    return total


def _line(program: Program, progress) -> Iterator[Figure]:
    """A serial port paced to a line rate, through the operating system's own pseudo-terminal."""
    progress("serial link against its line rate")
    with Port(RtlTransport(program.config), pace=BAUD) as port:
        link = Link(SerialTransport(port.name, baud=BAUD), timeout=5.0)
        link.identify()
        values = np.resize(
            program.factor, program.config.factor_depth * program.config.lanes
        ).astype(np.int64)
        began = time.perf_counter()
        for _ in range(_REPEATS):
            link.write(Space.FACTOR, 0, values)
        seconds = time.perf_counter() - began
        link.close()
    rate = 2 * len(values) * _REPEATS / seconds
    yield figure(
        "link_over_line_rate",
        rate,
        "bytes/s",
        BAUD / 10,
        f"payload bytes of a whole factor memory over serial: at {BAUD} baud (ten bits a byte), paced; at "
        "least 0.9 is asked for",
    )


def _memory(progress, count: int = 1_000_000) -> Iterator[Figure]:
    """Growth of the process over a long stream on the integer model."""
    progress(f"{count:,} inputs through the integer model")
    program = skip_program(REFERENCE, (8,), 2, 2)
    device = ModelDevice(REFERENCE)
    device.load(program)
    block = _biases(program.problem.energies[0].units, 1000)
    seen = 0
    start = None
    for outputs in device.stream(block for _ in range(count // len(block))):
        seen += len(outputs.mean)
        if start is None and seen >= count // 10:
            start = _resident()
    yield figure(
        "model_memory_growth",
        _resident() - start,
        "MiB",
        None,
        f"peak resident memory gained from input {count // 10:,} to input {count:,}",
    )


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(figures: list[Figure], stored: list[dict]) -> list[tuple[str, float]]:
    """(name, new value over old) of the figures that both runs measured."""
    old = {row["name"]: row["value"] for row in stored}
    return [
        (row.name, row.value / old[row.name])
        for row in figures
        if row.value is not None and old.get(row.name)
    ]
