# SPDX-License-Identifier: Apache-2.0
"""The integer model: its speed beside float64, the gateware and thermox, and its memory."""

import importlib.util
from collections.abc import Iterator

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.program import Program
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.soak import resident_memory
from ornstein.host.experiments.bench.cores import core_seconds, gain_figure
from ornstein.host.experiments.bench.figures import Figure, Progress, Stopwatch, figure
from ornstein.host.experiments.bench.programs import random_biases, skip_program
from ornstein.host.physics.problem import Problem
from ornstein.sim import reference
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.stages import LM
from ornstein.sim.toolchain import install_command

STREAM, BLOCK = 1_000_000, 1_000
"""Inputs of the stream over which memory is watched, and inputs of one of its blocks."""
BATCH = 256
"""Inputs of the batch in which the model is timed: as many jobs as it runs side by side on two
cores."""
SPACING = 2.0
"""Correlation times of the slowest mode from one independent sample to the next."""


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
    progress("independent samples of thermox")
    yield thermox_figure(program, inputs, speed)


def relax_in_float(problem: Problem, inputs: np.ndarray) -> None:
    """Relaxes the inputs in float64, as the float reference does."""
    reference.relax(
        problem.energies,
        problem.biases(inputs),
        problem.stages,
        dt=problem.dt,
        integrator=LM,
        initial=np.zeros((len(inputs), problem.energies[0].units)),
        rng=np.random.default_rng(1),
    )


def thermox_figure(program: Program, inputs: np.ndarray, model_speed: float) -> Figure:
    """Returns independent samples a second of the model over those of thermox.

    The model has to make steps until its state is independent of the last sample; thermox jumps
    there exactly, in float64.

    Parameters
    ----------
    inputs : (n, input_size); the first one gives the biases, and thermox runs one chain or n
    model_speed : steps of one input that the model makes a second
    """
    if importlib.util.find_spec("thermox") is None:
        outcome = f"thermox is not installed ({install_command('bench')})"
        return figure("model_over_thermox", None, outcome=outcome)
    problem = program.problem
    bias = problem.biases(inputs)[0, 0]
    slowest = float(problem.energy.eigenvalues()[0])
    steps = SPACING / slowest / program.dt
    exact = thermox_speed(problem, bias, SPACING / slowest, len(inputs))
    ratio = model_speed / steps / exact
    outcome = (
        f"independent samples of the aligned energy, {problem.energy.units} units: the model needs "
        f"{steps:.0f} steps for each, thermox one exact jump (float64, the faster of one chain and "
        f"{len(inputs)}); thermox is faster where a sample takes more than {steps * ratio:,.0f} "
        f"steps, that is below an eigenvalue of {slowest / ratio:.2g} here"
    )
    return figure("model_over_thermox", model_speed / steps, exact, outcome=outcome)


def thermox_speed(problem: Problem, bias: np.ndarray, spacing: float, chains: int) -> float:
    """Returns exact samples a second of thermox, the faster of one chain and ``chains``.

    ``spacing`` is the time between samples, ``bias`` (units,) the drive.
    """
    import jax
    import thermox

    jax.config.update("jax_enable_x64", True)
    matrix, mean = problem.energy.matrix(), problem.energy.mean(bias[None])[0]
    kT = 1e-3
    diffusion = 2 * kT * np.eye(len(matrix))
    start, A, b, D = (
        jax.numpy.asarray(array) for array in (np.zeros(len(matrix)), matrix, mean, diffusion)
    )

    def rate(chains: int, count: int) -> float:
        times = jax.numpy.arange(count + 1) * spacing
        draw = jax.jit(jax.vmap(lambda key: thermox.sample(key, times, start, A, b, D)))
        keys = jax.random.split(jax.random.PRNGKey(0), chains)
        draw(keys).block_until_ready()  # compiles
        with Stopwatch() as watch:
            draw(keys).block_until_ready()
        return chains * count / watch.seconds

    return max(rate(1, 2_000), rate(chains, 100))


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
