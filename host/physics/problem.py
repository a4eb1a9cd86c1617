# SPDX-License-Identifier: Apache-2.0
"""The float program: what is to be relaxed, in physical units, without number formats."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.physics.interface import Interface, Readout
from ornstein.host.physics.timestep import (
    MOST_HALVINGS,
    TimeStep,
    fastest_time_step,
    largest_curvature,
    relaxation_rates,
)
from ornstein.sim.energy import Energy
from ornstein.sim.stages import EM, LM, Stage

NEAREST, STOCHASTIC = "nearest", "stochastic"
INTERFACE, BIAS, STATE = "interface", "bias", "state"


class ProblemError(ValueError):
    """A float program that is inconsistent. The message is one line and names the field, its value
    and what it may be.
    """


@dataclass(frozen=True, eq=False)
class Drive:
    """Inputs that are the biases of some modules: each bias is (input - centre) / scale.

    Only these constants lie between an input and its unit. The biases of all other modules are
    zero.

    Attributes
    ----------
    modules : the driven modules, in the order in which the input holds their numbers
    centre, scale : (input_size,), one number for each unit of those modules
    """

    modules: tuple[str, ...]
    centre: np.ndarray
    scale: np.ndarray

    @property
    def constants(self) -> int:
        """Number of centring and scaling constants."""
        return self.centre.size + self.scale.size

    def units(self, energy: Energy) -> np.ndarray:
        """Positions in z of the driven units, in the order of the input."""
        slices = energy.slices
        return np.concatenate([np.r_[slices[name]] for name in self.modules])

    def biases(self, energy: Energy, inputs: np.ndarray) -> np.ndarray:
        """Biases (n, units) of all units of the energy for inputs (n, input_size), float64."""
        biases = np.zeros((len(inputs), energy.units))
        biases[:, self.units(energy)] = (np.asarray(inputs, float) - self.centre) / self.scale
        return biases


@dataclass(frozen=True, eq=False)
class Problem:
    """An energy, what drives it, and the schedule under which it relaxes.

    Attributes
    ----------
    energies : the energies that stages choose from, all on the same modules
    stages : in the order of time; at least one accumulates
    dt : time step, dimensionless; the compiler takes the nearest that the bits of the leak allow.
        By default it chooses one, see :func:`with_time_steps`. Stages may halve it
    integrator : "lm", Leimkuhler-Matthews, or "em", Euler-Maruyama
    rounding : "nearest" or "stochastic"
    entry : how an input reaches the substrate: "interface", by the biases that ``interface`` makes
        of it; "bias", as the biases; or "state", as the initial state
    interface : for entry "interface" only
    bias_sets : for entry "bias", the number of sets of biases in one input
    drive : for entry "bias", how inputs become biases; None if they are the biases of all modules
    offset : for entry "state", constant biases (units,)
    readout, target : module whose mean is the prediction, and the map from the mean to the
        prediction; None for the means of all modules, and for no map
    """

    name: str
    energies: tuple[Energy, ...]
    stages: tuple[Stage, ...]
    dt: float | None = None
    integrator: str = LM
    rounding: str = NEAREST
    entry: str = INTERFACE
    interface: Interface | None = None
    bias_sets: int = 1
    drive: Drive | None = None
    offset: np.ndarray | None = None
    readout: Readout | None = None
    target: str | None = None

    @property
    def energy(self) -> Energy:
        """The energy of the last accumulating stage: the one whose equilibrium is read."""
        return self.energies[[stage for stage in self.stages if stage.accumulate][-1].energy]

    @property
    def samples(self) -> int:
        """Number of steps that are averaged."""
        return sum(stage.steps for stage in self.stages if stage.accumulate)

    @property
    def halvings(self) -> int:
        """How often the time step is halved in the stage with the smallest."""
        return max(stage.halvings for stage in self.stages)

    @property
    def steps(self) -> int:
        """Number of steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def kT(self) -> float:
        """Temperature of the last accumulating stage."""
        return [stage for stage in self.stages if stage.accumulate][-1].kT

    @property
    def time_step(self) -> float:
        """``dt``, for what needs a number. Raises ProblemError if it has not been chosen."""
        if self.dt is None:
            raise ProblemError(f"{self.name}: name a dt, or let compile_problem choose one")
        return self.dt

    @property
    def input_size(self) -> int:
        """Count of numbers in one input."""
        if self.interface is not None:
            return self.interface.centre.size
        if self.drive is not None:
            return self.drive.centre.size
        return self.energies[0].units * (self.bias_sets if self.entry == BIAS else 1)

    @property
    def driven_units(self) -> np.ndarray:
        """Positions in z of the units that ``drive`` gives biases, in the order of the input.

        Empty without a drive.
        """
        return np.zeros(0, int) if self.drive is None else self.drive.units(self.energies[0])

    def check(self) -> "Problem":
        """Return this problem. Raises ProblemError, or EnergyError for one of its energies."""
        for name, values, kind, single in (
            ("energies", self.energies, Energy, "(energy,)"),
            ("stages", self.stages, Stage, "(stage,)"),
        ):
            if not isinstance(values, tuple) or not all(isinstance(v, kind) for v in values):
                raise ProblemError(
                    f"{self.name}: {name} must be a tuple of {kind.__name__}, not "
                    f"{type(values).__name__}; a single one is written {single}"
                )
        if not self.energies or not self.stages:
            raise ProblemError(f"{self.name}: needs at least one energy and one stage")
        for energy in self.energies:
            energy.check()
            if energy.modules != self.energies[0].modules:
                raise ProblemError(
                    f"{self.name}: all energies must have the modules {self.energies[0].modules}"
                )
            if energy.j2 != self.energies[0].j2 or energy.j4 != self.energies[0].j4:
                raise ProblemError(f"{self.name}: all energies must have the same j2 and j4")
        self._check_stages()
        self._check_options()
        self._check_drive()
        self._check_parts()
        if self.dt is None:
            return self
        fastest = max(largest_curvature(energy) for energy in self.energies)
        if not (np.isfinite(self.dt) and 0 < self.dt < 2 / fastest):
            raise ProblemError(
                f"{self.name}: dt = {self.dt} is unstable or not positive; the largest curvature "
                f"{fastest:.4g} allows dt < {2 / fastest:.4g}"
            )
        return self

    def _check_stages(self) -> None:
        if not any(stage.accumulate for stage in self.stages):
            raise ProblemError(
                f"{self.name}: no stage accumulates, so there would be nothing to read"
            )
        for index, stage in enumerate(self.stages):
            if stage.steps < 1 or stage.thin < 0 or not np.isfinite(stage.kT) or stage.kT < 0:
                raise ProblemError(
                    f"{self.name}: stage {index} needs steps >= 1, thin >= 0 and a finite kT >= 0, "
                    f"not {stage.steps}, {stage.thin} and {stage.kT}"
                )
            if stage.halvings < 0 or (stage.halvings and self.energies[0].j4):
                raise ProblemError(
                    f"{self.name}: stage {index} needs halvings >= 0, and 0 under a quartic term, "
                    f"not {stage.halvings}"
                )
            if not (0 <= stage.energy < len(self.energies) and 0 <= stage.bias < self.bias_sets):
                raise ProblemError(
                    f"{self.name}: stage {index} names energy {stage.energy} of "
                    f"{len(self.energies)} and bias set {stage.bias} of {self.bias_sets}"
                )

    def _check_options(self) -> None:
        if self.integrator not in (LM, EM):
            raise ProblemError(
                f"{self.name}: integrator must be {LM!r} or {EM!r}, not {self.integrator!r}"
            )
        if self.rounding not in (NEAREST, STOCHASTIC):
            raise ProblemError(
                f"{self.name}: rounding must be {NEAREST!r} or {STOCHASTIC!r}, "
                f"not {self.rounding!r}"
            )
        if self.entry not in (INTERFACE, BIAS, STATE):
            raise ProblemError(
                f"{self.name}: entry must be {INTERFACE!r}, {BIAS!r} or {STATE!r}, "
                f"not {self.entry!r}"
            )
        if (self.entry == INTERFACE) != (self.interface is not None):
            raise ProblemError(
                f"{self.name}: an interface belongs to entry {INTERFACE!r} and to no other"
            )

    def _check_drive(self) -> None:
        """Raise ProblemError unless ``drive`` fits the entry and the modules."""
        if self.drive is None:
            return
        if self.entry != BIAS or self.bias_sets != 1:
            raise ProblemError(f"{self.name}: a drive belongs to entry {BIAS!r} with one bias set")
        names = [module.name for module in self.energies[0].modules]
        if missing := [name for name in self.drive.modules if name not in names]:
            raise ProblemError(f"{self.name}: the drive names module {missing[0]!r} of {names}")
        shape = self.driven_units.shape
        if not (self.drive.centre.shape == self.drive.scale.shape == shape):
            raise ProblemError(
                f"{self.name}: the drive has {self.drive.centre.shape} centres and "
                f"{self.drive.scale.shape} scales for {shape} driven units"
            )
        if not (np.isfinite(self.drive.centre).all() and np.all(self.drive.scale > 0)):
            raise ProblemError(f"{self.name}: the drive needs finite centres and positive scales")

    def _check_parts(self) -> None:
        """Raise ProblemError, or EnergyError for the interface, unless interface, offset, target
        and read-out have the sizes of the modules.
        """
        modules = self.energies[0].modules
        if self.interface is not None:
            self.interface.check(modules)
        if self.bias_sets < 1 or (self.entry != BIAS and self.bias_sets != 1):
            raise ProblemError(f"{self.name}: bias_sets = {self.bias_sets} does not fit the entry")
        part = self._target_units()
        sizes = [("offset", self.offset, self.energies[0].units)]
        if self.readout is not None:
            read = len(range(self.energies[0].units)[part])
            sizes += [
                ("readout.scale", self.readout.scale, read),
                ("readout.offset", self.readout.offset, read),
            ]
        for name, array, size in sizes:
            if array is not None and (np.shape(array) != (size,) or not np.isfinite(array).all()):
                raise ProblemError(
                    f"{self.name}: {name} must be {size} finite numbers, not an array of shape "
                    f"{np.shape(array)}"
                )

    def _target_units(self) -> slice:
        """The units of the target. Raises ProblemError if there is no such module."""
        if self.target is None:
            return slice(None)
        slices = self.energies[0].slices
        if self.target not in slices:
            raise ProblemError(f"{self.name}: the target {self.target!r} is none of {list(slices)}")
        return slices[self.target]

    def biases(self, inputs: np.ndarray) -> np.ndarray:
        """Biases (n, bias_sets, units) of inputs (n, input_size), float64."""
        energy = self.energies[0]
        if self.interface is not None:
            produced = self.interface(inputs)
            return np.hstack(
                [
                    produced[module.name]
                    if module.name in produced
                    else np.zeros((len(inputs), module.units))
                    for module in energy.modules
                ]
            )[:, None]
        if self.drive is not None:
            return self.drive.biases(energy, inputs)[:, None]
        if self.entry == BIAS:
            return np.asarray(inputs, float).reshape(len(inputs), self.bias_sets, energy.units)
        offset = np.zeros(energy.units) if self.offset is None else self.offset
        if np.shape(offset) != (energy.units,):
            raise ProblemError(
                f"{self.name}: offset must be {energy.units} finite numbers, not an array of shape "
                f"{np.shape(offset)}"
            )
        return np.broadcast_to(offset, (len(inputs), 1, energy.units))

    def decode(self, means: np.ndarray) -> np.ndarray:
        """The prediction from mean states (n, units): those of the target module, read out."""
        if self.target is None:
            return means
        return self.decode_target(means[:, self._target_units()])

    def decode_target(self, means: np.ndarray) -> np.ndarray:
        """The prediction from the target module's mean states (n, units of the target)."""
        return self.readout(means) if self.readout is not None else means


def with_time_steps(problem: Problem) -> Iterator[Problem]:
    """The problem with the time steps to try in turn: its own, or if it has none the one that
    relaxes its energies with the fewest steps, and its halves where formats are too narrow for it.

    At a temperature, and under a quartic term, steps are small enough for the shape of the
    distribution. Raises what :meth:`Problem.check` does.
    """
    problem.check()
    if problem.dt is not None:
        yield problem
        return
    coldest = min(stage.kT for stage in problem.stages)
    rates = [relaxation_rates(energy, coldest) for energy in problem.energies]
    first = fastest_time_step(
        min(slowest for slowest, _ in rates),
        max(fastest for _, fastest in rates),
        problem.energies[0].j2,
        shape_matters=bool(problem.energies[0].j4) or any(stage.kT for stage in problem.stages),
    )
    for halvings in range(MOST_HALVINGS + 1):
        yield replace(problem, dt=first / 2**halvings)


def equilibrium(step: TimeStep, *, kT: float, samples: int = 1, thin: int = 0) -> tuple[Stage, ...]:
    """The usual schedule: relax as long as the time step asks for, then average.

    ``samples`` steps are averaged, and every ``thin``-th of their states is streamed if ``thin`` is
    not 0.
    """
    burn_in = (Stage(step.burn_in, kT),) if step.burn_in else ()
    return (*burn_in, Stage(samples, kT, accumulate=True, thin=thin))
