# SPDX-License-Identifier: Apache-2.0
"""Gaussian units for thrml, which brings units of two and of several values."""

from collections.abc import Callable

import jax
import numpy as np
from thrml.block_management import Block
from thrml.block_sampling import (
    BlockGibbsSpec,
    BlockSamplingProgram,
    SamplingSchedule,
    sample_states,
)
from thrml.conditional_samplers import AbstractConditionalSampler
from thrml.interaction import InteractionGroup
from thrml.pgm import AbstractNode

from ornstein.sim.energy import Energy


class GaussianUnit(AbstractNode):
    """A unit whose state is a real number."""


class GaussianSampler(AbstractConditionalSampler):
    """Draws units of one module, all of which have the curvature ``diagonal``, at kT = ``kT``."""

    diagonal: float
    kT: float

    def sample(self, key, interactions, active_flags, states, sampler_state, output_sd):
        """See the base class: interactions are the couplings (units, neighbours)."""
        force = sum(
            (weights * active * neighbours[0]).sum(axis=1)
            for weights, active, neighbours in zip(interactions, active_flags, states, strict=True)
        )
        spread = (self.kT / self.diagonal) ** 0.5
        drawn = jax.random.normal(key, output_sd.shape, output_sd.dtype)
        return -force / self.diagonal + spread * drawn, sampler_state


def gaussian_program(energy: Energy, kT: float, sweeps: int) -> Callable:
    """Returns a function of a key and a number of samples, ``sweeps`` sweeps apart, that draws
    from a harmonic energy of two modules which are coupled to each other alone.
    """
    matrix = energy.matrix()
    half = len(matrix) // 2
    modules = [Block([GaussianUnit() for _ in range(half)]) for _ in range(2)]
    couplings = [
        InteractionGroup(
            jax.numpy.asarray(matrix[own, other].ravel(), jax.numpy.float32),
            Block([unit for unit in head for _ in range(half)]),
            [Block(list(tail) * half)],
        )
        for own, other, head, tail in (
            (slice(half), slice(half, None), modules[0], modules[1]),
            (slice(half, None), slice(half), modules[1], modules[0]),
        )
    ]
    shape: dict[type[AbstractNode], jax.ShapeDtypeStruct]
    shape = {GaussianUnit: jax.ShapeDtypeStruct((), jax.numpy.float32)}
    sampler = GaussianSampler(float(np.diag(matrix)[0]), kT)
    program = BlockSamplingProgram(BlockGibbsSpec(modules, [], shape), [sampler] * 2, couplings)
    start = [jax.numpy.zeros(half, jax.numpy.float32)] * 2

    def sample(key: jax.Array, count: int) -> list[jax.Array]:
        return sample_states(key, program, SamplingSchedule(0, count, sweeps), start, [], modules)

    return sample
