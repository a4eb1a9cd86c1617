# SPDX-License-Identifier: Apache-2.0
"""Experiment F: the energy account.

It has what the paper claims, what its own arithmetic gives, and joules of machines that exist.
Sources of the figures that are not computed here:

- the paper's account: :mod:`ornstein.host.experiments.paper.reported`;
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
from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.production import LABELS
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.models import recipes
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import compile_recipe

BOLTZMANN = 1.380649e-23
"""In J/K."""
INT8_JOULES, FLOAT32_JOULES = 0.23e-12, 4.6e-12
"""Energy of one multiply-accumulate, in J."""
A100_FLOPS, A100_WATTS = 312e12, 400.0
"""Peak rate in operations a second, and power in W."""

ICEBREAKER_CELLS, ICEBREAKER_MHZ, ICEBREAKER_UNITS = 4378, 48.0, 64
"""Cells and clock of the bitstream that ``ornstein build icebreaker`` makes, and the largest module
whose programs fit its memories."""
CORE_VOLTS = 1.219
STATIC_MA, PLL_MA = 0.0856, 0.139
CLOCK_MA, CLOCK_MA_PER_MHZ = 0.78, 0.036
"""Of near-empty designs on the PLL at 16, 32 and 48 MHz, less the static part."""
CELL_MA_PER_MHZ = (0.996 - 0.645) / (208 - 28) / 12
"""Of a cell in a multiplier of two counters, in which all cells switch."""

ASSUMED_CORE_WATTS = 15.0
"""Power of one core of a CPU whose energy counter cannot be read."""
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_SECONDS = 0.3

FLOOR, GPU = "k_B T x units x 400 steps, J", "GPU, J"
GAIN, GAIN_LESS_CONVERTERS = "GPU / floor", "GPU / floor / 1,000"
U_NET = "whole U-Net on an A100 at its peak, J"
CYCLES, ICEBREAKER_JOULES = "cycles per inference", "iCEBreaker, J per inference"
CPU_JOULES = "CPU, float64 closed form, J per inference"
INTEGERS, FLOATS = "8-bit integers", "float32"
INTERFACE_JOULES = {name: f"interface, {name}, J" for name in (INTEGERS, FLOATS)}
INTERFACE_GAIN = {name: f"GPU / interface, {name}" for name in (INTEGERS, FLOATS)}
"""Quantities of the table."""


def floor_joules(units: int, steps: int = reported.STEPS) -> float:
    """Returns the paper's k_B T x units x steps."""
    return BOLTZMANN * reported.ROOM * units * steps


def icebreaker_watts(cells: int = ICEBREAKER_CELLS, mhz: float = ICEBREAKER_MHZ) -> float:
    """Returns an upper estimate of an iCE40UP5K's core power, in W.

    All cells are assumed to switch like those of a multiplier.
    """
    clock = PLL_MA + CLOCK_MA + CLOCK_MA_PER_MHZ * mhz
    return CORE_VOLTS * 1e-3 * (STATIC_MA + clock + CELL_MA_PER_MHZ * cells * mhz)


def net_multiplies(channels: int, inputs: int, side: int = 32) -> int:
    """Returns the multiply-accumulates of the U-Net's convolutions for one image."""
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


def measured_joules(work: Callable[[], object], per_call: int) -> tuple[float, str]:
    """Returns the joules of one inference on this machine's CPU, and how they were found.

    ``work`` makes ``per_call`` inferences. Joules come from the package's energy counter where it
    can be read, else from the time on one core and an assumed power.
    """
    work()
    calls, start, before = 0, time.perf_counter(), _counter()
    while (seconds := time.perf_counter() - start) < _SECONDS:
        work()
        calls += 1
    after = _counter()
    seconds_each = seconds / calls / per_call
    if before is not None and after is not None and after > before:
        note = PROSE("note_counter", seconds=seconds_each)
        return (after - before) * 1e-6 / calls / per_call, note
    note = PROSE("note_assumed_power", seconds=seconds_each, watts=ASSUMED_CORE_WATTS)
    return seconds_each * ASSUMED_CORE_WATTS, note


def _counter() -> int | None:
    """Returns the energy counter of the CPU's package in microjoules, None if it has none."""
    try:
        return int(_RAPL.read_text())
    except (OSError, ValueError):
        return None


def energy_account(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment F."""
    experiment = Experiment("F", "Energy account")
    say("F: energy account")
    for subject in subjects:
        _gain_rows(experiment, subject)
        _interface_rows(experiment, subject)
        _net_row(experiment, subject)
    for subject in subjects:
        for recipe in (recipes.ours_full(subject.model), recipes.ours_aligned(subject.model)):
            say(f"F: energy account, {subject.name}, {LABELS[recipe.key]}")
            _machine_rows(experiment, subject, recipe, runner)
    return experiment


def _gain_rows(experiment: Experiment, subject: Subject) -> None:
    """Adds the paper's account; its script has numbers for the untrained network only."""
    units = 2 * subject.size
    floor, gain = floor_joules(units), reported.GPU_JOULES / floor_joules(units)
    script = None
    if not subject.trained:
        script = reported.BOLTZMANN * reported.ROOM * units * reported.STEPS
    after_converters = gain / reported.CONVERTERS
    for quantity, paper, value, note in (
        (FLOOR, script, floor, PROSE("note_units", units=units, kelvin=reported.ROOM)),
        (GPU, reported.GPU_JOULES, None, PROSE("note_gpu")),
        (
            GAIN,
            reported.GPU_JOULES / script if script else None,
            gain,
            PROSE("note_gain"),
        ),
        (
            GAIN_LESS_CONVERTERS,
            reported.CLAIMED_GAIN,
            after_converters,
            PROSE("note_claimed_gain", times=after_converters / reported.CLAIMED_GAIN),
        ),
    ):
        experiment.add(
            subject.name,
            quantity,
            subject=subject.network,
            reference=paper,
            float64=value,
            note=note,
        )


def _interface_rows(experiment: Experiment, subject: Subject) -> None:
    """Adds what the paper's interface takes, 4 + 16 weights a unit each way, without memory."""
    multiplies = 2 * (4 + 16) * subject.size
    for name, joules in ((INTEGERS, INT8_JOULES), (FLOATS, FLOAT32_JOULES)):
        experiment.add(
            subject.name,
            INTERFACE_JOULES[name],
            subject=subject.network,
            float64=multiplies * joules,
            note=PROSE("note_interface", multiplies=multiplies, joules=joules),
        )
        experiment.add(
            subject.name,
            INTERFACE_GAIN[name],
            subject=subject.network,
            float64=reported.GPU_JOULES / (multiplies * joules),
            note=PROSE("note_most"),
        )


def _net_row(experiment: Experiment, subject: Subject) -> None:
    multiplies = net_multiplies(subject.size, 1 if subject.trained else 4)
    experiment.add(
        subject.name,
        U_NET,
        subject=subject.network,
        reference=reported.GPU_JOULES,
        float64=2 * multiplies / A100_FLOPS * A100_WATTS,
        note=PROSE("note_net", multiplies=multiplies),
    )


def _machine_rows(experiment: Experiment, subject: Subject, recipe: Recipe, runner: Runner) -> None:
    """Adds what a recipe takes on the device, on an iCEBreaker and on this machine's CPU."""
    model, row = subject.model, f"{subject.name}, {LABELS[recipe.key]}"
    cycles = runner.run_recipe(recipe, model).cycles_per_input
    small = None
    if subject.size <= ICEBREAKER_UNITS:
        small = compile_recipe(recipe, model, ICEBREAKER).input_cycles
    experiment.add(
        row,
        CYCLES,
        subject=subject.network,
        case=recipe.key,
        float64=small,
        gateware=cycles,
        note=PROSE("note_cycles", fits=small is not None, counted=cycles is not None),
    )
    if small is not None:
        experiment.add(
            row,
            ICEBREAKER_JOULES,
            subject=subject.network,
            case=recipe.key,
            float64=icebreaker_watts() * small / ICEBREAKER_MHZ / 1e6,
            note=PROSE(
                "note_icebreaker",
                microseconds=small / ICEBREAKER_MHZ,
                mhz=ICEBREAKER_MHZ,
                milliwatts=icebreaker_watts() * 1e3,
                cells=ICEBREAKER_CELLS,
                idle=icebreaker_watts(cells=0) * 1e3,
            ),
        )
    joules, note = measured_joules(lambda: recipe.predict(model.x_test), len(model.x_test))
    experiment.add(
        row, CPU_JOULES, subject=subject.network, case=recipe.key, float64=joules, note=note
    )
