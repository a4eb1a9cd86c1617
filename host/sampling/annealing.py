# SPDX-License-Identifier: Apache-2.0
"""Annealing: an energy is cooled, and the states that it ends in are read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, DeviceError
from ornstein.host.physics.timestep import TOLERANCE
from ornstein.host.sampling.problems import Pace, calibration, candidates, checked_bias
from ornstein.host.sampling.run import Realised, Result, run_problems
from ornstein.sim.energy import Energy, EnergyError
from ornstein.sim.stages import Stage

UNHURRIED = 4
"""Default steps at a temperature over those of a relaxation in a well: a state that lies near a
barrier leaves it slowly."""


@dataclass(frozen=True, eq=False, repr=False)
class Annealed(Result):
    """The states after the last step.

    Attributes
    ----------
    final : (chains, units) states after the last step, at the last temperature
    energies : (chains,) their energies, in float64
    best : (units,) the final state of the lowest energy
    realised : what the device made of time step, temperatures and precision matrix
    warnings : what the user should know, a sentence each
    program : the program that was run
    device : URI of the device
    """

    final: np.ndarray
    energies: np.ndarray
    best: np.ndarray
    realised: Realised
    warnings: tuple[str, ...]
    program: Program
    device: str


def anneal(
    energy: Energy,
    T: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    steps: int | None = None,
    chains: int = 8,
    dt: float | None = None,
    device: Device | str = "model",
    seed: int = 1,
) -> Annealed:
    """Take an energy through temperatures, from zero states, and read where it ends.

    Parameters
    ----------
    energy : its wells are what is searched
    T : temperatures in the order of time, (levels,), 0 or more; usually falling to 0
    bias : (units,), by default zero
    steps : steps at each temperature; by default :data:`UNHURRIED` times as many as the slowest
        motion in a well needs to come to rest
    chains : independent attempts
    dt, device, seed : see :func:`ornstein.host.sampling.equilibrium.sample`

    Raises EnergyError, which names the argument, and the errors of ``sample``.
    """
    temperatures = np.atleast_1d(np.asarray(T, float))
    if (
        temperatures.ndim != 1
        or not temperatures.size
        or not (np.isfinite(temperatures).all() and (temperatures >= 0).all())
    ):
        raise EnergyError(f"T must be temperatures of 0 or more in the order of time, not {T!r}")
    for name, value in (("steps", steps), ("chains", chains)):
        if value is not None and value < 1:
            raise EnergyError(f"{name} = {value} must be at least 1")
    field = checked_bias(energy, bias)

    def schedule(pace: Pace) -> tuple[Stage, ...]:
        count = steps or UNHURRIED * pace.step.steps
        levels = [Stage(count, float(kT)) for kT in temperatures]
        # the average over one step is the state after it
        return (*levels, Stage(1, float(temperatures[-1]), accumulate=True))

    problems = candidates(
        "annealing",
        energy,
        schedule,
        kT=float(temperatures.min()),
        tolerance=TOLERANCE,
        dt=dt,
    )
    inputs = np.tile(field, (chains, 1))
    run = run_problems(problems, inputs, calibration(energy, field), device, seed)
    if run.uri == "float:exact":
        raise DeviceError("device 'float:exact' has no states to cool; use 'float'")
    final = run.outputs.mean
    energies = energy.value(final, field)
    return Annealed(
        final=final,
        energies=energies,
        best=final[np.argmin(energies)],
        realised=run.realised,
        warnings=run.warnings(),
        program=run.program,
        device=run.uri,
    )
