# SPDX-License-Identifier: Apache-2.0
"""A small learning problem: the toy energy, whose module "b" answers what "a" is driven with."""

from dataclasses import replace

import numpy as np

from helpers.programs import toy_energy
from ornstein.hdl.config import TINY
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS, Drive, Problem
from ornstein.sim.stages import Stage

STAGES = Stage(60), Stage(1, accumulate=True)


def problem(**changes) -> Problem:
    """The encoder "a" is driven by the input; the mean of "b" is read and scaled."""
    made = Problem(
        "pupil",
        (toy_energy(across=0.1),),
        STAGES,
        dt=2.0,
        entry=BIAS,
        drive=Drive(("a",), np.zeros(5), np.ones(5)),
        readout=Readout(np.array([1.0, 2.0, 0.5]), np.array([0.1, 0.0, -0.2])),
        target="b",
    )
    return replace(made, **changes)


def inputs(count: int = 200) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, (count, 5))


def program(**changes):
    """The compiled problem."""
    made = problem(**changes)
    calibration = np.random.default_rng(6).uniform(-1, 1, (50, made.input_size))
    return compile_problem(made, TINY, calibration)


def targets(given: np.ndarray, made: Problem | None = None) -> np.ndarray:
    """What an ideal device answers, in closed form."""
    made = made or problem()
    return made.decode(made.energy.mean(made.biases(given)[:, 0]))
