# SPDX-License-Identifier: Apache-2.0
"""A device watched step by step: how far its states are from equilibrium, how warm they are, and
how well they answer.

A job of a watched program is a single time step whose states are read, and the next one starts from
them (a warm run). That needs nothing but means, which every device reads out, boards as well. The
steps are those of Euler-Maruyama, whose noise is new in every step, so that steps in jobs of their
own are the same as steps in one job; Leimkuhler-Matthews shares noise between neighbours.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import Device, DeviceError, Selection
from ornstein.host.experiments.scores import score
from ornstein.host.physics.problem import STATE, Problem, ProblemError
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.reference import stationary_covariance
from ornstein.sim.stages import EM, Stage

KT = 0.01
"""Temperature of the package's own program: its thermal spread is some LSB of the states."""
LATE = 40
"""Time steps of an input in equilibrium, from which temperature and answer are taken."""
_RECENT = 50
"""Time steps over which the speed is measured."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of a watched device after a time step.

    Attributes
    ----------
    step, steps : number of this time step of an input, from 1, and of the last one
    inputs : how many inputs have come to their end
    remaining : (steps,) share of the way to equilibrium that is left after each time step, in the
        direction of the way; NaN where none has been measured
    law : (steps,) the same of (1 - dt M)^n
    kT, kT_error : temperature by the spread of the states, and its standard error over the inputs;
        None before there are any
    centred : centred cosine of the answers so far; None before there are any
    steps_per_second : time steps of one chain, all of them read back; None before there are two
    cycles_per_step : clock cycles of a time step of all chains; None without a clock
    saturations : words of states and projections that were cut to their range
    """

    step: int
    steps: int
    inputs: int
    remaining: np.ndarray
    law: np.ndarray
    kT: float | None
    kT_error: float | None
    centred: float | None
    steps_per_second: float | None
    cycles_per_step: float | None
    saturations: int


class Watch:
    """A device that relaxes one input after the other, and what its states have shown so far.

    Attributes
    ----------
    uri : name of the device
    program : the watched program, loaded
    kT : the temperature that it asks for
    answer : what the answers are compared with
    """

    def __init__(
        self,
        device: Device,
        problem: Problem,
        inputs: np.ndarray,
        *,
        targets: np.ndarray | None = None,
        train_mean: np.ndarray | None = None,
        kT: float | None = None,
        seed: int = 1,
    ):
        """Compile the problem for the device and load it.

        Parameters
        ----------
        problem : of one harmonic energy, to which inputs bring biases
        inputs : (n, input_size)
        targets : (n, D), what the answers are compared with; by default the closed form's answers
        train_mean : (D,), mean of the targets in training; by default that of ``targets``
        kT : temperature; by default the problem's own
        seed : fixes every random number

        Raises
        ------
        ProblemError, ProgramError
            The energy is not harmonic or not the only one, inputs are initial states, or the
            program does not fit the device.
        DeviceError
            The device keeps no states.
        """
        if len(problem.energies) != 1 or problem.energy.j4 or problem.entry == STATE:
            raise ProblemError(
                f"{problem.name} cannot be watched: that needs one harmonic energy, and inputs "
                "that are biases"
            )
        if not device.warm_start:
            raise DeviceError(f"device {device.uri!r} keeps no states between jobs; watch another")
        self.uri = device.uri
        self.kT = problem.kT if kT is None else kT
        step = choose_time_step(problem.energies, shape_matters=True)
        self._problem = replace(
            problem,
            stages=(Stage(1, self.kT, accumulate=True),),
            dt=step.dt,
            integrator=EM,
        )
        self.program = compile_problem(self._problem, device.config or REFERENCE, inputs)
        self._chains = self.program.layout.chains
        device.load(self.program)
        self._device, self._inputs, self._seed = device, inputs, seed
        self._steps = step.burn_in + LATE
        self.answer = "the closed form's answer" if targets is None else "the targets"
        self._measure(problem, targets, train_mean)

    def _measure(
        self, problem: Problem, targets: np.ndarray | None, train_mean: np.ndarray | None
    ) -> None:
        """Works out what the states are compared with, and forgets all readings."""
        energy = self.program.realised[0]
        matrix = energy.matrix()
        self._means = energy.mean(problem.biases(self._inputs)[:, 0])
        self._unit_variance = np.diagonal(
            stationary_covariance(matrix, kT=1.0, dt=self.program.dt, integrator=EM)
        )
        values, self._vectors = np.linalg.eigh(matrix)
        self._decay = (1 - self.program.dt * values) ** np.arange(1, self._steps + 1)[:, None]
        self._targets = problem.decode(self._means) if targets is None else targets
        self._train_mean = self._targets.mean(axis=0) if train_mean is None else train_mean
        self._weights = np.zeros(len(values))
        self._left, self._way = np.zeros(self._steps), np.zeros(self._steps)
        self._temperatures: list[float] = []
        self._centred: list[float] = []
        self._cycles, self._saturations, self._jobs = 0, 0, 0
        self._times: deque[float] = deque(maxlen=_RECENT)

    def readings(self) -> Iterator[Reading]:
        """Yields a reading after every time step, without end; the inputs begin again after the
        last one. May be left at any point.
        """
        group = 0
        while True:
            places = (group * self._chains + np.arange(self._chains)) % len(self._inputs)
            late = []
            self._weights += np.sum((self._means[places] @ self._vectors) ** 2, axis=0)
            for step in range(1, self._steps + 1):
                states = self._advance(self._inputs[places], warm=step > 1)
                self._note(states - self._means[places], places, step)
                late += [states] if step > self._steps - LATE else []
                if step == self._steps:
                    self._finish(np.array(late), places)
                yield self._reading(step)
            group += 1

    def _advance(self, inputs: np.ndarray, warm: bool) -> np.ndarray:
        """Returns the states (chains, units) after one more time step."""
        self._jobs += 1
        outputs = self._device.run(
            inputs,
            seed=self._seed + self._jobs,
            warm=warm,
            selection=Selection(second=False, samples=False),
        )
        self._times.append(time.perf_counter())
        self._cycles += outputs.counters["cycles"] or 0
        self._saturations += sum(
            outputs.counters[name] or 0 for name in ("rank_saturations", "state_saturations")
        )
        return outputs.mean

    def _note(self, away: np.ndarray, places: np.ndarray, step: int) -> None:
        """Adds the distances (chains, units) from equilibrium after a step of the inputs."""
        way = -self._means[places]
        self._left[step - 1] += np.sum(away * way)
        self._way[step - 1] += np.sum(way**2)

    def _finish(self, late: np.ndarray, places: np.ndarray) -> None:
        """Adds what the states (steps, chains, units) of inputs in equilibrium show."""
        away = late - self._means[places]
        self._temperatures += list((away**2 / self._unit_variance).mean(axis=(0, 2)))
        answers = self._problem.decode(late.mean(axis=0))
        scores = score(answers, self._targets[places], self._train_mean)
        self._centred.append(scores.centred_cosine)

    def _reading(self, step: int) -> Reading:
        """Returns what is known after that step."""
        count = len(self._temperatures)
        spread = np.std(self._temperatures, ddof=1) / np.sqrt(count) if count > 1 else None
        seconds = self._times[-1] - self._times[0]
        speed = (len(self._times) - 1) * self._chains / seconds if seconds > 0 else None
        with np.errstate(invalid="ignore"):
            remaining = self._left / self._way
        return Reading(
            step=step,
            steps=self._steps,
            inputs=count,
            remaining=remaining,
            law=self._decay @ self._weights / self._weights.sum(),
            kT=float(np.mean(self._temperatures)) if count else None,
            kT_error=None if spread is None else float(spread),
            centred=float(np.mean(self._centred)) if count else None,
            steps_per_second=speed,
            cycles_per_step=self._cycles / self._jobs if self._cycles else None,
            saturations=self._saturations,
        )
