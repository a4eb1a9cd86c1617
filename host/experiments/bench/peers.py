# SPDX-License-Identifier: Apache-2.0
"""Independent samples a second of the integer model, thermox and thrml as the energy grows.

All sample the same energy: an aligned skip between two modules, coupled at rank 16. A sample is
independent where the slowest mode has forgotten the last one by exp(-2). The model walks there in
time steps, thermox jumps there exactly in float64, and thrml's block Gibbs sampler sweeps there
over one module and the other, with Gaussian units. Each runs in a process of its own, on one core:

    python -m ornstein.host.experiments.bench.peers thermox 128
"""

import importlib.util
import itertools
import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ornstein.hdl.config import ICEBREAKER, REFERENCE, ULX3S, FabricConfig
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.devices.model import ModelDevice
from ornstein.host.devices.soak import resident_memory
from ornstein.host.experiments.bench.cores import core_seconds
from ornstein.host.experiments.bench.figures import (
    JOULES_PREFIX,
    MEMORY_PREFIX,
    SAMPLES_PREFIX,
    Figure,
    Progress,
    figure,
)
from ornstein.host.experiments.bench.programs import (
    GAIN,
    random_biases,
    skip_energy,
    skip_program,
)
from ornstein.host.experiments.paper.energy_account import ICEBREAKER_MHZ, icebreaker_watts
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.cores import VARIABLE
from ornstein.sim.energy import Energy
from ornstein.sim.toolchain import install_command

UNITS = (64, 128, 512, 2048, 7040)
RANK, KT = 16, 0.1
SPACING = 2.0
"""Correlation times of the slowest mode from one independent sample to the next."""
STEPS, JOBS = 400, 64
"""Steps and jobs in which the model is timed."""
CHAINS = 64
"""Chains of the peers, beside one."""
SAMPLED_UNITS = 1 << 19
"""Units times samples that a peer draws at once, or so."""
SECONDS = 300
"""Seconds of one core that a peer may take."""
PEERS = "thermox", "thrml"


@dataclass(frozen=True)
class Speed:
    """What one sampler reaches on one core.

    Attributes
    ----------
    rate : independent samples a second
    memory : largest resident memory of its process, in MiB
    """

    rate: float
    memory: float


def peer_figures(progress: Progress, units: tuple[int, ...] = UNITS) -> Iterator[Figure]:
    """Yields samples a second and memory of the model over those of each peer, by units."""
    beaten = dict.fromkeys(PEERS, "")  # why a peer is not asked for still more units
    for count in units:
        progress(f"independent samples of {count:,} units")
        model, _ = speed("model", count)
        for peer in PEERS:
            other, reason = (None, beaten[peer]) if beaten[peer] else speed(peer, count)
            beaten[peer] = reason
            for prefix, field in ((SAMPLES_PREFIX, "rate"), (MEMORY_PREFIX, "memory")):
                yield figure(
                    f"{prefix}{peer}_d{count}",
                    model and getattr(model, field),
                    other and getattr(other, field),
                    outcome=reason or f"{count:,} units, rank {RANK}, on one core each",
                )
    for count in units:
        if (joules := icebreaker_joules(count)) is not None:
            yield figure(f"{JOULES_PREFIX}d{count}", joules, mhz=ICEBREAKER_MHZ, units=count)


def speed(sampler: str, units: int) -> tuple[Speed | None, str]:
    """Returns the speed of a sampler, measured in a process of its own, or why there is none."""
    if sampler in PEERS and importlib.util.find_spec(sampler) is None:
        return None, f"{sampler} is not installed ({install_command('bench')})"
    one_core = {
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "OMP_NUM_THREADS": "1",
        VARIABLE: "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__, sampler, str(units)],
        env={**os.environ, **one_core},
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 10)),
    )
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return None, f"{sampler} takes more than {SECONDS} s of a core for {units:,} units"
    if done.returncode:
        return None, f"{sampler} failed: {done.stderr.strip().splitlines()[-1]}"
    return Speed(**json.loads(done.stdout.splitlines()[-1])), ""


def crossing(figures: list[Figure], peer: str) -> float | None:
    """Returns the units from which on the model is the faster one, between two that were measured
    on a straight line of logarithms; None if it is at none or all of them.
    """
    found = [
        (math.log(units_of(row)), math.log(row.ratio))
        for row in figures
        if row.name.startswith(f"{SAMPLES_PREFIX}{peer}_d") and row.ratio
    ]
    for (x, y), (further, larger) in itertools.pairwise(found):
        if y < 0 <= larger:
            return math.exp(x + (further - x) * -y / (larger - y))
    return None


def units_of(row: Figure) -> int:
    """Returns the units of which a figure beside a peer is."""
    return int(row.name.rpartition("_d")[2])


def energy_of(units: int) -> Energy:
    """Returns the energy of that many units."""
    return skip_energy((units // 2,), RANK)


def icebreaker_joules(units: int) -> float | None:
    """Returns the modelled energy of an independent sample on an iCEBreaker, None if the program
    does not fit it.
    """
    try:
        program = _program(ICEBREAKER, units)
    except ProgramError:
        return None
    cycles = program.input_cycles / STEPS * _steps(units, program.dt)
    return icebreaker_watts() * cycles / ICEBREAKER_MHZ / 1e6


def _program(fabric: FabricConfig, units: int) -> Program:
    """Returns the program that samples, in the time steps of the energy's spectrum: they give means
    and covariances exactly, while raw samples need steps as short as
    :data:`ornstein.host.physics.timestep.SHAPE_BOUND` says.
    """
    dt = choose_time_step([energy_of(units)]).dt
    return skip_program(fabric, (units // 2,), RANK, STEPS, dt=dt)


def _steps(units: int, dt: float) -> int:
    """Returns the time steps between two independent samples."""
    slowest = float(energy_of(units).eigenvalues()[0])
    return math.ceil(SPACING / -math.log(1 - dt * slowest))


def model_rate(units: int) -> float:
    """Returns independent samples a second of the integer model, of the smaller of two fabrics that
    holds the program.
    """
    try:
        program = _program(REFERENCE, units)
    except ProgramError:
        program = _program(ULX3S, units)
    inputs = random_biases(units, JOBS * program.layout.chains)
    with ModelDevice(program.config) as device:
        device.load(program)
        device.run(inputs)  # compiles
        seconds = core_seconds(lambda: device.run(inputs))
    return len(inputs) * STEPS / seconds / _steps(units, program.dt)


def thermox_rate(units: int) -> float:
    """Returns exact samples a second of thermox, the fastest of one chain and many, with either of
    its ways to go through time. The eigenvectors that it needs first do not count.
    """
    import jax
    import thermox

    jax.config.update("jax_enable_x64", True)
    energy = energy_of(units)
    spacing = SPACING / float(energy.eigenvalues()[0])
    start, A, D = (
        jax.numpy.asarray(array)
        for array in (np.zeros(units), energy.matrix(), 2 * KT * np.eye(units))
    )
    prepared = thermox.preprocess(A, D)

    def rate(in_parallel: bool) -> float:
        def draw(chains: int, count: int) -> Callable[[], object]:
            times = jax.numpy.arange(count + 1) * spacing
            keys = jax.random.split(jax.random.PRNGKey(0), chains)

            def sample(key: jax.Array, drift: Any, diffusion: Any) -> jax.Array:
                return thermox.sample(key, times, start, drift, start, diffusion, in_parallel)

            drawn = jax.jit(jax.vmap(sample, in_axes=(0, None, None)))
            return lambda: drawn(keys, *prepared).block_until_ready()

        return _faster(draw, units)

    return max(rate(in_parallel) for in_parallel in (False, True))


def thrml_rate(units: int) -> float:
    """Returns samples a second of thrml's block Gibbs sampler, the faster of one chain and many."""
    import jax

    from ornstein.host.experiments.bench.thrml_units import gaussian_program

    energy = energy_of(units)
    sweeps = math.ceil(SPACING / -math.log(GAIN**2))  # a sweep goes over both modules
    sample = gaussian_program(energy, KT, sweeps)

    def draw(chains: int, count: int) -> Callable[[], object]:
        keys = jax.random.split(jax.random.PRNGKey(0), chains)
        drawn = jax.jit(jax.vmap(lambda key: sample(key, count)))
        return lambda: jax.block_until_ready(drawn(keys))

    return _faster(draw, units)


def _faster(draw: Callable[[int, int], Callable[[], object]], units: int) -> float:
    """Returns samples a second of the faster of one chain and many. ``draw(chains, count)`` returns
    what draws ``count`` samples in each chain.
    """

    def rate(chains: int) -> float:
        count = max(8, SAMPLED_UNITS // units // chains)
        action = draw(chains, count)
        action()  # compiles
        return chains * count / core_seconds(action)

    return max(rate(1), rate(CHAINS))


RATES = {"model": model_rate, "thermox": thermox_rate, "thrml": thrml_rate}

if __name__ == "__main__":
    _, chosen, size = sys.argv
    print(json.dumps(asdict(Speed(RATES[chosen](int(size)), resident_memory()))))
