# SPDX-License-Identifier: Apache-2.0
"""Standard normal noise from the substrate's own temperature.

Units without couplings relax at a temperature kT; the stationary states of a unit have the variance
kT / (2 j2) and are independent of all other units. One relaxation of as many units as an image has
pixels makes the noise of one image and level, and the host draws no random number: it gives each
relaxation the seed of the fabric's noise generators, which stand for thermal noise.
"""

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, Selection
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Energy, Module
from ornstein.sim.stages import Stage

BITS_PER_NORMAL = 64
"""Random bits that the host's generator takes for a normal number at least (NumPy's ziggurat)."""
J2 = 0.1
TOLERANCE = 1e-2
"""Share of the initial state that is left when it is read: the variance lacks its square."""


def noise_problem(units: int) -> Problem:
    """Units that relax to standard normal states."""
    energy = Energy((Module("noise", units),), (), J2)
    step = choose_time_step([energy], tolerance=TOLERANCE, shape_matters=True)
    kT = 2 * J2
    return Problem(
        name=f"noise of {units} units",
        energies=(energy,),
        stages=(Stage(step.burn_in, kT), Stage(1, kT, accumulate=True)),
        dt=step.dt,
        entry=BIAS,
    )


def noise_program(fabric: FabricConfig, units: int) -> Program:
    """The program of :func:`noise_problem`. Raises ProgramError if the fabric has no room."""
    return compile_problem(noise_problem(units), fabric, np.zeros((1, units)))


def substrate_noise(
    device: Device, program: Program, levels: int, count: int, side: int, seed: int
) -> np.ndarray:
    """Noise (levels, count, side, side) from a device, which then holds ``program``."""
    device.load(program)
    inputs = np.zeros((levels * count, side * side))
    outputs = device.run(inputs, seed=seed, selection=Selection(second=False, samples=False))
    return outputs.mean.reshape(levels, count, side, side)


def host_bits(levels: int, side: int) -> int:
    """Random bits of one image that the host does not draw where the substrate makes the noise."""
    return levels * side**2 * BITS_PER_NORMAL
