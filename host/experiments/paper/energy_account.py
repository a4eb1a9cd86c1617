# SPDX-License-Identifier: Apache-2.0
"""F: the energy account. What the paper claims, what its own arithmetic gives, and joules of
machines that exist.

Sources of the figures that are not computed here:

- the paper's account: run_experiments.py of aditixde/thermodynamic-diffusion-inference (k_B T x 2 D
  x 400 steps at 300 K, 8 mJ for an A100, a division by 1,000 for converters, "~10^7" as a fixed
  text);
- digital multiply-accumulates: M. Horowitz, "Computing's energy problem", ISSCC 2014, 45 nm: 0.2 +
  0.03 pJ with 8-bit integers, 3.7 + 0.9 pJ in float32, without memory accesses;
- A100: NVIDIA's data sheet, 312 TFLOP/s dense float16 at 400 W;
- iCE40UP5K core currents at 1.219 V: measured by github.com/tinyvision-ai-inc/ice40_power with a
  Joulescope.
"""

import time
from collections.abc import Callable
from pathlib import Path

from ornstein.hdl.config import ICEBREAKER
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.experiments.paper.subjects import COLD_SAMPLES, Gateware, Subject
from ornstein.host.experiments.results import Experiment, Progress
from ornstein.host.models import recipes
from ornstein.host.models.run import recipe_problem

BOLTZMANN = 1.380649e-23
ROOM = 300.0
"""Temperature in kelvin that the paper's account takes."""
STEPS = 400
GPU_JOULES = 8e-3
CONVERTERS = 1e3
CLAIMED_GAIN = 1e7
INT8_JOULES, FLOAT32_JOULES = 0.23e-12, 4.6e-12
A100_FLOPS, A100_WATTS = 312e12, 400.0

ICEBREAKER_CELLS, ICEBREAKER_MHZ = 4377, 48.0  # of its bitstream: ornstein build icebreaker
CORE_VOLTS = 1.219
STATIC_MA, PLL_MA = 0.0856, 0.139
CLOCK_MA, CLOCK_MA_PER_MHZ = (
    0.78,
    0.036,
)  # near-empty designs on the PLL at 16, 32 and 48 MHz, less the static part
CELL_MA_PER_MHZ = (
    (0.996 - 0.645) / (208 - 28) / 12
)  # a multiplier of two counters in cells, all of them switching

ASSUMED_CORE_WATTS = 15.0
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_SECONDS = 0.3


def floor_joules(units: int, steps: int = STEPS) -> float:
    """The paper's k_B T x units x steps."""
    return BOLTZMANN * ROOM * units * steps


def icebreaker_watts(cells: int = ICEBREAKER_CELLS, mhz: float = ICEBREAKER_MHZ) -> float:
    """Estimated core power of an iCE40UP5K with so many cells all switching like a multiplier's; an
    upper estimate.
    """
    return (
        CORE_VOLTS
        * 1e-3
        * (STATIC_MA + PLL_MA + CLOCK_MA + CLOCK_MA_PER_MHZ * mhz + CELL_MA_PER_MHZ * cells * mhz)
    )


def net_multiplies(channels: int, inputs: int, side: int = 32) -> int:
    """Multiply-accumulates of one pass through the paper's U-Net for one image: its
    convolutions.
    """
    one, two, four = channels, 2 * channels, 4 * channels

    def block(into: int, out: int, pixels: int) -> int:
        return pixels * out * (9 * into + 9 * out + (into if into != out else 0))

    full = side * side
    return (
        full * 9 * inputs * one
        + block(one, one, full)
        + block(one, two, full // 4)
        + block(two, four, full // 16)
        + block(four + two, two, full // 4)
        + block(two + one, one, full)
        + full * one * inputs
    )


def job_cycles(program: Program) -> float:
    """Cycles an input takes by the schedule."""
    cycles = sum(
        level.steps * step_cycles(program.config, passes) for level, passes in program.schedule()
    )
    return cycles / program.layout.chains


def measured_joules(work: Callable[[], object], per_call: int) -> tuple[float, str]:
    """Joules of one of the ``per_call`` inferences that ``work`` makes, on this machine's CPU, and
    how they were found.

    From the package's energy counter where it can be read, or else time on one core times an
    assumed power.
    """
    work()
    calls, start, before = 0, time.perf_counter(), _counter()
    while (seconds := time.perf_counter() - start) < _SECONDS:
        work()
        calls += 1
    after = _counter()
    per = seconds / calls / per_call
    if before is not None and after is not None and after > before:
        return (after - before) * 1e-6 / calls / per_call, (
            f"RAPL counter of the whole package, everything else on it included; {per:.2g} s each"
        )
    return per * ASSUMED_CORE_WATTS, (
        f"{per:.2g} s each on one core times an assumed {ASSUMED_CORE_WATTS:g} W, for no "
        "energy counter can be read here"
    )


def _counter() -> int | None:
    try:
        return int(_RAPL.read_text())
    except (OSError, ValueError):
        return None


def energy_account(
    subjects: list[Subject], gateware: Gateware, seed: int, say: Progress
) -> Experiment:
    """F: the paper's joules and gains, and those of things that can be measured or looked up."""
    experiment = Experiment("F", "Energy account")
    say("F: energy account")
    for subject in subjects:
        _paper_rows(experiment, subject)
    for subject in subjects:
        _machine_rows(experiment, subject, gateware, say)
    trained = next(subject for subject in subjects if subject.trained)
    large = next((subject for subject in subjects if not subject.trained), trained)
    raw = experiment.find(large.name, "GPU / floor").float64
    interface = experiment.find(trained.name, "GPU / interface, 8-bit integers").float64
    emulator = experiment.find(
        f"{trained.name}, ours, closed form", "iCEBreaker, J per inference"
    ).float64
    experiment.paragraphs = [
        f"The paper's own arithmetic gives a gain of {raw:.2g}, or {raw / CONVERTERS:.2g} after its factor for "
        "converters. The 10^7 that it claims is in its script as a fixed text. The interface's own multiplies, which "
        f"the account leaves out, allow {interface:.2g} with 8-bit integers: such a machine would spend its energy in "
        "the digital part, not in the substrate.",
        "The floor itself is a heat of k_B T for each unit and step, which no device reaches, for 400 steps, which at "
        "kT = 1 do not average the noise away (experiment I).",
        f"8 mJ is {GPU_JOULES / A100_WATTS * 1e6:.0f} microseconds of an A100's 400 W. It would pay for the whole "
        "U-Net, while the substrate returns spatial means of one block.",
        f"The emulator is digital and no thermodynamic device: an iCEBreaker takes an estimated {emulator:.2g} J for "
        f"an inference at kT = 0, {emulator / GPU_JOULES:.2g} of the 8 mJ.",
    ]
    return experiment


def _paper_rows(experiment: Experiment, subject: Subject) -> None:
    units, row, untrained = 2 * subject.size, subject.name, not subject.trained
    floor = floor_joules(units)
    script = 1.38e-23 * 300 * units * STEPS if untrained else None
    experiment.add(
        row,
        "k_B T x units x 400 steps, J",
        paper=script,
        float64=floor,
        note=f"{units} units at {ROOM:g} K",
    )
    experiment.add(
        row, "GPU, J", paper=GPU_JOULES, note="the paper's, for an A100; it names no measurement"
    )
    experiment.add(
        row,
        "GPU / floor",
        paper=GPU_JOULES / script if script else None,
        float64=GPU_JOULES / floor,
        note="the script's raw gain",
    )
    experiment.add(
        row,
        "GPU / floor / 1,000",
        paper=CLAIMED_GAIN,
        float64=GPU_JOULES / floor / CONVERTERS,
        note=f"the script's converters taken off; {GPU_JOULES / floor / CONVERTERS / CLAIMED_GAIN:,.0f} "
        "times the 10^7 that it then prints as a fixed text",
    )
    multiplies = 8 * subject.size + 32 * subject.size
    for name, joules in (("8-bit integers", INT8_JOULES), ("float32", FLOAT32_JOULES)):
        experiment.add(
            row,
            f"interface, {name}, J",
            float64=multiplies * joules,
            note=f"{multiplies:,} multiply-accumulates at {joules * 1e12:g} pJ (Horowitz, ISSCC 2014, 45 "
            "nm), no memory",
        )
        experiment.add(
            row,
            f"GPU / interface, {name}",
            float64=GPU_JOULES / (multiplies * joules),
            note="the most that any substrate behind this interface can gain on 8 mJ",
        )
    multiplies = net_multiplies(subject.size, 1 if subject.trained else 4)
    experiment.add(
        row,
        "whole U-Net on an A100 at its peak, J",
        paper=GPU_JOULES,
        float64=2 * multiplies / A100_FLOPS * A100_WATTS,
        note=f"{multiplies:,} multiply-accumulates at 312 TFLOP/s and 400 W (NVIDIA's data sheet): a bound "
        "from below for one image",
    )


def _machine_rows(
    experiment: Experiment, subject: Subject, gateware: Gateware, say: Progress
) -> None:
    model = subject.model
    watts = icebreaker_watts()
    for recipe in (recipes.ours_full(model), recipes.ours_aligned(model)):
        row = f"{subject.name}, {recipe.name.replace('full interface', 'closed form')}"
        say(f"F: energy account, {row}")
        problem = recipe_problem(recipe, kT=0.0, samples=COLD_SAMPLES)
        outputs, _ = gateware.run(problem, model.x_test, model.x_train)
        cycles = outputs.counters["cycles"]
        device = None if cycles is None else cycles / len(model.x_test)
        small = None
        if subject.size <= 64:
            small = job_cycles(compile_problem(problem, ICEBREAKER, model.x_train))
        experiment.add(
            row,
            "cycles per inference",
            float64=small,
            gateware=device,
            note=(
                "float64: the schedule on the iCEBreaker's fabric"
                if small
                else "does not fit an iCEBreaker"
            )
            + ("; gateware: counted by the device" if device else "; what ran it has no clock"),
        )
        if small:
            experiment.add(
                row,
                "iCEBreaker, J per inference",
                float64=watts * small / ICEBREAKER_MHZ / 1e6,
                note=f"estimate: {small / ICEBREAKER_MHZ:,.0f} us at {ICEBREAKER_MHZ:g} MHz times "
                f"{watts * 1e3:.0f} mW, core only, if all {ICEBREAKER_CELLS:,} cells switch like those "
                f"measured (ice40_power); {icebreaker_watts(cells=0) * 1e3:.1f} mW if none does",
            )
        joules, how = measured_joules(
            lambda recipe=recipe: recipe.predict(model.x_test), len(model.x_test)
        )
        experiment.add(row, "CPU, float64 closed form, J per inference", float64=joules, note=how)
