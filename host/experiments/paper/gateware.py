# SPDX-License-Identifier: Apache-2.0
"""The gateware column of the paper's tables: a runner, and what relaxations on it answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from ornstein.hdl.config import WIDE
from ornstein.host.devices.device import DeviceError
from ornstein.host.experiments.common import Runner
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.host.physics.timestep import time_steps
from ornstein.sim.energy import Energy

GATEWARE_INPUTS = 2
"""Inputs of every program that the gateware answers too."""
TOLERANCE = 1e-3
"""Share of the distance from equilibrium that a relaxation leaves: the means are compared with
closed forms."""


def gateware_runner(uri: str, seed: int) -> Runner:
    """Returns a runner whose integer model answers, confirmed by the device on the first inputs.

    Programs that do not fit the device's memories run on the ``wide`` fabric. Float64 dynamics
    have no fabric and answer for themselves. Raises DeviceError for a device without dynamics.
    """
    if uri == "float:exact":
        raise DeviceError(
            "the experiments run dynamics, and device 'float:exact' has none; use float, model or "
            "rtl"
        )
    return Runner(uri, seed, gateware_inputs=GATEWARE_INPUTS, fallback=WIDE)


@dataclass(frozen=True)
class Source:
    """Where the gateware column comes from; ``str`` says it in words.

    Attributes
    ----------
    uri : of the device that the user named
    bit_exact : whether that computes in integers
    compared : inputs that gateware and integer model have both answered, equal in every bit
    confirmed : URIs of that gateware, in the order of its first use
    """

    uri: str
    bit_exact: bool
    compared: int
    confirmed: tuple[str, ...]

    @classmethod
    def of(cls, runner: Runner) -> Self:
        """Returns what a runner has done so far."""
        return cls(runner.uri, runner.bit_exact, runner.compared, tuple(runner.confirmed))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Returns as one what several runners of the same device have done, one or more."""
        confirmed = dict.fromkeys(uri for part in parts for uri in part.confirmed)
        compared = sum(part.compared for part in parts)
        return cls(parts[0].uri, parts[0].bit_exact, compared, tuple(confirmed))

    def __str__(self) -> str:
        if not self.bit_exact:
            return "the float64 dynamics, no gateware"
        if self.uri.startswith("model"):
            return "the integer model, which equals the gateware in every bit"
        devices = " and ".join(self.confirmed) or self.uri
        return (
            f"the integer model, with {self.compared:,} inputs run on {devices} as well and equal "
            "in every bit"
        )


def relax(runner: Runner, energy: Energy, biases: np.ndarray) -> tuple[np.ndarray, Energy]:
    """Relaxes biases (n, units) at kT = 0.

    Returns the means (n, units), and the energy that the program's factors realise.
    """
    # A quartic term makes the energy stiffer than M says, so that M does not tell the time step.
    dt = 1.0 if energy.j4 else None
    problems = (
        Problem("relax", (energy,), equilibrium(step, kT=0.0), dt=step.dt, entry=BIAS)
        for step in time_steps([energy], tolerance=TOLERANCE, dt=dt)
    )
    run = runner.run_first(problems, biases)
    return run.outputs.mean, run.program.realised[0]
