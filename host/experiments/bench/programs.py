# SPDX-License-Identifier: Apache-2.0
"""The programs that the benchmarks run, and the work that they take by arithmetic alone."""

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

GAIN = 0.8
"""Gain of the skips; the smallest eigenvalue of M is 0.2 (1 - GAIN)."""


def skip_energy(sizes: tuple[int, ...], rank: int, gram: float = 0.0, seed: int = 0) -> Energy:
    """Returns an energy of one pair of modules for each size, each pair coupled by an aligned skip.

    The factors (size, rank) are orthonormal. With ``gram`` > 0 every module is also coupled to
    itself through the same factors, so that each mode mixes with its partner.
    """
    rng = np.random.default_rng(seed)
    modules, couplings = [], []
    for index, size in enumerate(sizes):
        names = f"e{index}", f"d{index}"
        modules += [Module(name, size) for name in names]
        factors = tuple(np.linalg.qr(rng.normal(size=(size, rank)))[0] for _ in names)
        mix = np.zeros((2, 2, rank))
        mix[0, 1] = mix[1, 0] = -0.2 * GAIN
        mix[0, 0] = mix[1, 1] = gram
        couplings.append(Coupling(names, factors, mix))
    return Energy(tuple(modules), tuple(couplings))


def skip_program(
    fabric: FabricConfig,
    sizes: tuple[int, ...],
    rank: int,
    steps: int,
    gram: float = 0.0,
    *,
    dt: float = 1.0,
) -> Program:
    """Returns a program that relaxes :func:`skip_energy`, with biases as its inputs.

    It takes ``steps`` steps at kT = 0.1 and averages all of them.
    """
    energy = skip_energy(sizes, rank, gram)
    stages = (Stage(steps, 0.1, accumulate=True),)
    problem = Problem(f"skip {sizes} x {rank}", (energy,), stages, entry=BIAS, dt=dt)
    return compile_problem(problem, fabric, random_biases(energy.units, 8))


def random_biases(units: int, count: int) -> np.ndarray:
    """Returns biases (count, units), normal with a standard deviation of 0.02."""
    return np.random.default_rng(1).normal(scale=0.02, size=(count, units))


def useful_multiplies(program: Program) -> int:
    """Returns the multiplies that one input needs.

    Those are projecting and expanding through every factor, and every mixing coefficient. A pair
    of modules that is coupled across only needs no mixing.
    """
    problem = program.problem
    total = 0
    for stage in problem.stages:
        for coupling in problem.energies[stage.energy].couplings:
            ends = len(coupling.modules)
            only_across = ends == 2 and not coupling.mix[[0, 1], [0, 1]].any()
            mixing = 0 if only_across else ends * ends * coupling.rank
            total += stage.steps * (sum(2 * factor.size for factor in coupling.factors) + mixing)
    return total


def relaxation_issues(program: Program) -> int:
    """Returns the cycles of a job in which the lanes relax.

    Those are the steps of the schedule, without loading the states and without conditioning.
    """
    return sum(
        level.steps * sum(step.outer * step.inner for step in passes)
        for level, passes in program.schedule
        if level.keep
    )
