# SPDX-License-Identifier: Apache-2.0
"""Gradients of couplings from means that a device reads out (equilibrium propagation).

A device relaxes freely, to the mean z0. Then the biases of the target module are nudged by +beta w
(t - y0) and by -beta w (t - y0), for targets t and loss weights w, and it relaxes to z+ and z-. The
loss is L = sum w (t - y)^2 / 2, averaged over the inputs, and

    dL/dtheta = (dE/dtheta(z+) - dE/dtheta(z-)) / (2 beta)

for any parameter theta of the energy E. Another loss nudges by its own slope, -dL/dy at y0, instead
of w (t - y0). Of a harmonic energy the covariance is the same in both phases and cancels, so that
means are enough at any temperature. See ``docs/learning.md``, "The rule".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.compile.coupling_memory import Factors
from ornstein.host.compile.program import INPUT_LIMIT, InputError, Program, ProgramError
from ornstein.host.devices.device import Device, DeviceError, Selection
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS
from ornstein.sim.energy import Energy

MEANS = Selection(second=False, samples=False)
FREE, NUDGED, VALIDATION = range(3)
"""Purposes of runs, each with seeds of its own."""
_INSIDE = 0.99
"""Share of the range of a bias that a nudge may fill."""


@dataclass(frozen=True, eq=False)
class Phases:
    """Means of n inputs.

    Attributes
    ----------
    free, plus, minus : (n, units)
    beta : (n,) strength of the nudges
    error : (n, target units) target minus free mean, in units of the state; of another loss its
        slope
    """

    free: np.ndarray
    plus: np.ndarray
    minus: np.ndarray
    beta: np.ndarray
    error: np.ndarray


Slope = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of a loss: takes free means and targets, (n, target units) in units of the state, and returns
-dL/dy over the weights."""


def squared_error(free: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns the slope (n, target units) of the squared error."""
    return wanted - free


class Nudger:
    """Runs the phases of a program on a device.

    Attributes
    ----------
    program : what the device is loaded with: the same images, with the biases of all modules as
        inputs
    part : the units of the target module
    weights : (target units,) of the loss; it is that of the answers, in units of their mean square
        scale
    answered, saturations : inputs of all runs so far, and words that saturated in them

    Parameters
    ----------
    beta : strength of the nudges; an input whose nudge would leave the range of its biases gets a
        smaller one
    warm : start each nudged phase from the states of the phase before; otherwise from zero
    seed : of all runs
    slope : of the loss

    Raises
    ------
    ProgramError
        The program cannot be nudged.
    DeviceError
        The device keeps no states, and ``warm`` is asked for.
    """

    def __init__(
        self,
        program: Program,
        device: Device,
        *,
        beta: float,
        warm: bool,
        seed: int,
        slope: Slope = squared_error,
    ) -> None:
        check_nudgeable(program)
        if warm and not device.warm_start:
            raise DeviceError(
                f"device {device.uri!r} keeps no states for a warm start; learn with --cold, or on "
                "another device"
            )
        self.beta, self.warm, self.seed = beta, warm, seed
        self._slope = slope
        self.answered = self.saturations = 0
        self._device, self._problem = device, program.problem
        self.program = with_free_biases(program)
        self.part = program.problem.energies[0].slices[str(program.problem.target)]
        units = self.part.stop - self.part.start
        self._readout = program.problem.readout or Readout(np.ones(units), np.zeros(units))
        self.weights = self._readout.scale**2 / np.mean(self._readout.scale**2)

    def load(self, program: Program) -> None:
        """Loads a program of the same layout."""
        self._device.load(with_free_biases(program))

    def update(self, program: Program) -> int:
        """Writes the factors that differ; returns the number of words."""
        return self._device.update(with_free_biases(program))

    def biases(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the biases (n, units) of inputs (n, input_size)."""
        return self._problem.biases(np.asarray(inputs, float))[:, 0]

    def states(self, targets: np.ndarray) -> np.ndarray:
        """Returns targets (n, D) in units of the state. Raises InputError for another width."""
        if targets.ndim != 2 or targets.shape[1] != len(self.weights):
            raise InputError(
                f"targets have shape {targets.shape}; program {self.program.name!r} answers "
                f"(n, {len(self.weights)})"
            )
        return (targets - self._readout.offset) / self._readout.scale

    def answers(self, inputs: np.ndarray, step: int = 0) -> np.ndarray:
        """Returns the answers (n, D) of the device to inputs."""
        return self._problem.decode(self._run(self.biases(inputs), step, VALIDATION))

    def _run(
        self, biases: np.ndarray, step: int, purpose: int, *, warm: bool = False
    ) -> np.ndarray:
        """Returns the means (n, units) under biases, and counts what the run takes."""
        seed = (self.seed << 32) + 4 * step + purpose
        outputs = self._device.run(biases, seed=seed, warm=warm, selection=MEANS)
        self.answered += len(biases)
        self.saturations += sum(
            outputs.counters[name] or 0 for name in ("rank_saturations", "state_saturations")
        )
        return outputs.mean

    def measure(self, inputs: np.ndarray, targets: np.ndarray, step: int = 0) -> Phases:
        """Runs the three phases of inputs (n, input_size) and targets (n, D).

        ``step`` chooses the seeds. Raises what :meth:`Device.run` raises.
        """
        biases, wanted = self.biases(inputs), self.states(targets)
        free = self._run(biases, step, FREE)
        error = self._slope(free[:, self.part], wanted)
        nudge = np.zeros_like(biases)
        nudge[:, self.part] = self.weights * error
        beta = self._strengths(biases, nudge)
        shift = beta[:, None] * nudge
        plus, minus = (self._warm if self.warm else self._cold)(biases, shift, step)
        return Phases(free, plus, minus, beta, error)

    def _strengths(self, biases: np.ndarray, nudge: np.ndarray) -> np.ndarray:
        """Returns the strength (n,) of each input's nudge (n, units)."""
        reach = _INSIDE * INPUT_LIMIT * self.program.input_lsb
        with np.errstate(divide="ignore", invalid="ignore"):
            most = np.where(nudge != 0, (reach - np.abs(biases)) / np.abs(nudge), np.inf)
        strengths = np.minimum(self.beta, most.min(axis=1))
        if (strengths <= 0).any():
            raise ProgramError(
                f"program {self.program.name!r} leaves its target's biases no room for a nudge; "
                "compile it with calibration inputs closer to these"
            )
        return strengths

    def _cold(
        self, biases: np.ndarray, shift: np.ndarray, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        rows = np.concatenate([biases + shift, biases - shift])
        mean = self._run(rows, step, NUDGED)
        return mean[: len(biases)], mean[len(biases) :]

    def _warm(
        self, biases: np.ndarray, shift: np.ndarray, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As many inputs as there are chains relax freely, then with the one nudge and then with
        the other, each from where its chain was. All of it is one stream.
        """
        count, chains = len(biases), self.program.layout.chains
        padding = [(0, -count % chains), (0, 0)]
        given, moved = (np.pad(array, padding) for array in (biases, shift))
        phases = np.stack([given, given + moved, given - moved])  # (phase, input, unit)
        groups = phases.reshape(3, -1, chains, biases.shape[1]).swapaxes(0, 1)
        rows = groups.reshape(-1, biases.shape[1])
        mean = self._run(rows, step, NUDGED, warm=True)
        found = mean.reshape(groups.shape).swapaxes(0, 1).reshape(phases.shape)
        return found[1, :count], found[2, :count]


def check_nudgeable(program: Program) -> None:
    """Raises ProgramError unless a device's couplings can be learned with the program."""
    problem = program.problem
    if problem.target is None:
        raise ProgramError(
            f"program {program.name!r} has no target module, so that nothing says which answers "
            "are wrong; learn with one that has, such as that of ornstein compile"
        )
    if problem.entry != BIAS or problem.bias_sets != 1:
        raise ProgramError(
            f"program {program.name!r} has the entry {problem.entry!r} with {problem.bias_sets} "
            f"bias sets; only one set of biases that are inputs can be nudged, as in: ornstein "
            "compile --recipe aligned"
        )
    if problem.energies[0].j4 and any(stage.kT for stage in problem.stages):
        raise ProgramError(
            f"program {program.name!r} has a quartic term and a temperature, under which means are "
            "not enough to learn from; compile it at kT = 0"
        )


def with_free_biases(program: Program) -> Program:
    """Returns the same images with the biases of all modules as inputs, in units of the energy."""
    return replace(program, problem=replace(program.problem, drive=None))


def coupling_gradient(energy: Energy, states: np.ndarray, weights: np.ndarray) -> Factors:
    """Returns dE/dF of every factor F, summed over states (n, units) with weights (n,)."""
    slices, gradient = energy.slices, {}
    for number, coupling in enumerate(energy.couplings):
        parts = [states[:, slices[name]] for name in coupling.modules]
        projected = [part @ f for part, f in zip(parts, coupling.factors, strict=True)]
        for place, part in enumerate(parts):
            force = sum(m * p for m, p in zip(coupling.mix[place], projected, strict=True))
            gradient[number, place] = part.T @ (weights[:, None] * force)
    return gradient


def loss_gradient(energy: Energy, phases: Phases, *, symmetric: bool = True) -> Factors:
    """Returns dL/dF of every factor of the energy, (units, rank) each.

    Without ``symmetric`` it is the difference between one nudged phase and the free one, whose
    error falls with beta instead of beta^2.
    """
    count = len(phases.beta)
    if symmetric:
        states, weights = (phases.plus, phases.minus), 1 / (2 * phases.beta * count)
    else:
        states, weights = (phases.plus, phases.free), 1 / (phases.beta * count)
    plus, other = (coupling_gradient(energy, part, weights) for part in states)
    return {side: plus[side] - other[side] for side in plus}
