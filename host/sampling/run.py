# SPDX-License-Identifier: Apache-2.0
"""One run of an energy of one's own: the fabric is chosen, and what it realised is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from ornstein.host.compile.compiler import compile_first, compile_smallest
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, DeviceError, Outputs, open_device
from ornstein.host.physics.problem import Problem

MOST_SHOWN = 4
"""Numbers of an array that are shown at a prompt."""


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A dataclass that is shown in one line for each field: arrays as their shape and first
    numbers, so that a result at a prompt fits a screen.
    """

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for field in fields(self):
            lines.append(f"  {field.name:17} {_shown(getattr(self, field.name))}")
        return "\n".join(lines)


def _shown(value: object) -> str:
    """A field's value in one line."""
    if isinstance(value, np.ndarray):
        numbers = [f"{number:.4g}" for number in value.ravel()[:MOST_SHOWN]]
        more = ", ..." if value.size > MOST_SHOWN else ""
        return f"{value.shape}: {', '.join(numbers)}{more}"
    if isinstance(value, tuple):
        return "; ".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, eq=False)
class Realised:
    """What a device made of the numbers that were asked for.

    The float device realises all but the time step exactly.

    Attributes
    ----------
    dt : time step
    kT : (stages,) temperature of each stage
    precision : (units, units), M as its quantized couplings make it
    """

    dt: float
    kT: np.ndarray
    precision: np.ndarray

    def __repr__(self) -> str:
        return f"dt = {self.dt:.6g}, kT = {', '.join(f'{kT:.6g}' for kT in self.kT)}"


@dataclass(frozen=True, eq=False)
class Run:
    """A program, its outputs, and the device that made them.

    Attributes
    ----------
    exact : whether the device computes in float64
    uri : of the device
    """

    program: Program
    outputs: Outputs
    exact: bool
    uri: str

    @property
    def realised(self) -> Realised:
        """See :class:`Realised`."""
        problem = self.program.problem
        made = {
            row.requested: row.realised for row in self.program.ranges if row.name == "temperature"
        }
        asked = [stage.kT for stage in problem.stages]
        kT = asked if self.exact else [made[value] for value in asked]
        matrix = problem.energy.matrix() if self.exact else self.program.matrices[0]
        return Realised(self.program.dt, np.array(kT, float), matrix)

    def clipped(self) -> tuple[str, ...]:
        """A warning if numbers were clipped during the run."""
        return clipped([self], "lower the temperature or the bias")

    def warnings(self) -> tuple[str, ...]:
        """Clipped numbers, and what the compiler warns of unless the device is the float one."""
        return (*self.clipped(), *(() if self.exact else self.program.warnings()))


def clipped(runs: Sequence[Run], remedy: str) -> tuple[str, ...]:
    """A warning, with what to do, if numbers were clipped during any of the runs."""
    counts = {
        name: sum(run.outputs.counters[name] or 0 for run in runs)
        for name in ("state_saturations", "rank_saturations")
    }
    saturated = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    return (f"numbers were clipped ({', '.join(saturated)}); {remedy}",) if saturated else ()


def run_problems(
    problems: Iterable[Problem],
    inputs: np.ndarray,
    calibration: np.ndarray,
    device: Device | str,
    seed: int,
) -> Run:
    """Compile the first of the problems that a fabric holds, and run inputs (n, input_size).

    Parameters
    ----------
    calibration : inputs from which number formats are chosen
    device : a device, or a URI (:data:`ornstein.host.devices.device.URIS`). "rtl" and "model"
        without a fabric get the smallest preset that holds the program

    Raises
    ------
    ProgramError, ProblemError, EnergyError
        No fabric, or not the named one, holds the program.
    DeviceError, LinkError
        There is no such device, or it fails.
    """
    if isinstance(device, Device):
        return _run_on(device, problems, inputs, calibration, seed)
    if not isinstance(device, str):
        raise DeviceError(f"device must be a Device or its URI, not {type(device).__name__}")
    if device in ("rtl", "model"):
        program = compile_smallest(problems, calibration)
        with open_device(f"{device}:{program.config.name}") as opened:
            return _run_program(opened, program, inputs, seed)
    with open_device(device) as opened:
        return _run_on(opened, problems, inputs, calibration, seed)


def _run_on(
    device: Device,
    problems: Iterable[Problem],
    inputs: np.ndarray,
    calibration: np.ndarray,
    seed: int,
) -> Run:
    if device.config is None:
        program = compile_smallest(problems, calibration)
    else:
        program = compile_first(problems, device.config, calibration)
    return _run_program(device, program, inputs, seed)


def _run_program(device: Device, program: Program, inputs: np.ndarray, seed: int) -> Run:
    device.load(program)
    return Run(program, device.run(inputs, seed=seed), device.config is None, device.uri)
