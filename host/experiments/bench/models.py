# SPDX-License-Identifier: Apache-2.0
"""The integer model: its speed beside float64 and the gateware, and its memory."""

from collections.abc import Iterator

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.program import Program
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.soak import resident_memory
from ornstein.host.experiments.bench.cores import core_seconds, gain_figure
from ornstein.host.experiments.bench.figures import Figure, Progress, figure
from ornstein.host.experiments.bench.programs import random_biases, skip_program
from ornstein.host.physics.problem import Problem
from ornstein.sim import reference
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.stages import LM

STREAM, BLOCK = 1_000_000, 1_000
"""Inputs of the stream over which memory is watched, and inputs of one of its blocks."""
BATCH = 256
"""Inputs of the batch in which the model is timed: as many jobs as it runs side by side on two
cores."""


def model_figures(program: Program, inputs: np.ndarray, progress: Progress) -> Iterator[Figure]:
    """Yields the steps a second of the integer model over those of its peers."""
    problem = program.problem
    batch = np.resize(inputs, (BATCH, inputs.shape[1]))
    progress("steps a second of the integer model")
    model = ModelDevice(program.config)
    model.load(program)
    model.run(batch)  # compiles
    speed, reference = (
        len(batch) * problem.steps / core_seconds(action)
        for action in (lambda: model.run(batch), lambda: relax_in_float(problem, batch))
    )
    yield figure("model_over_float", speed, reference, inputs=len(batch))
    long = skip_program(REFERENCE, (64,), 16, 500)
    model.load(long)
    biases = random_biases(long.problem.energies[0].units, BATCH)
    yield gain_figure("model_all_cores", model, biases)
    with FabricDevice(RtlTransport(program.config), "rtl", timeout=120.0) as rtl:
        rtl.load(program)
        rtl_speed = len(inputs) * problem.steps / core_seconds(lambda: rtl.run(inputs))
    yield figure("model_over_rtl", speed, rtl_speed)


def relax_in_float(problem: Problem, inputs: np.ndarray) -> None:
    """Relaxes the inputs in float64, as the float reference does."""
    reference.relax(
        problem.energies,
        problem.biases(inputs),
        problem.stages,
        dt=problem.time_step,
        integrator=LM,
        initial=np.zeros((len(inputs), problem.energies[0].units)),
        rng=np.random.default_rng(1),
    )


def memory_figures(progress: Progress, count: int = STREAM, block: int = BLOCK) -> Iterator[Figure]:
    """Yields by how much the process grows over the last nine tenths of a stream of ``count``."""
    progress(f"{count:,} inputs through the integer model")
    program = skip_program(REFERENCE, (8,), 2, 2)
    device = ModelDevice(REFERENCE)
    device.load(program)
    inputs = random_biases(program.problem.energies[0].units, block)
    seen = 0
    start = None
    for outputs in device.stream(inputs for _ in range(count // block)):
        seen += len(outputs.mean)
        if start is None and seen >= count // 10:
            start = resident_memory()
    assert start is not None  # the stream has at least one block
    growth = resident_memory() - start
    yield figure("model_memory_growth", growth, first=count // 10, last=count)
