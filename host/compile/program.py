# SPDX-License-Identifier: Apache-2.0
"""The compiled program: integer images, their layout and formats, and the float program they came
from.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np
from numpy.typing import ArrayLike

from ornstein.hdl.config import STATE_WIDTH, FabricConfig
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.schedule import reads, step_cycles, writes
from ornstein.host.physics.problem import BIAS, Problem
from ornstein.host.physics.timestep import TimeStep, spectrum
from ornstein.sim.energy import Energy

INPUT_LIMIT = (1 << STATE_WIDTH - 1) - 1


class ProgramError(ValueError):
    """A program that cannot be built, read, or run on this fabric. The message is one line and
    names the field and the remedy.
    """


class InputError(ValueError):
    """Inputs that a program cannot take: of a wrong shape, not finite, or out of range. Nothing has
    been written to a device.

    Attributes
    ----------
    what : what is wrong with them
    row : number of the input that is wrong, from 0, in all that were given; None if it is not one
    """

    def __init__(self, what: str, row: int | None = None):
        super().__init__(what, row)
        self.what, self.row = what, row

    def __str__(self) -> str:
        return self.what if self.row is None else f"input {self.row} {self.what}"


class InputRangeError(InputError):
    """A value beyond what a program's inputs can hold; :meth:`Program.clip` brings it within."""


@dataclass(frozen=True, eq=False)
class EncodedInputs:
    """Inputs of one program, checked and quantised by :meth:`Program.encode`.

    Attributes
    ----------
    values : (n, input_size) float64, the inputs as they were given
    words : (n, input_words, unit_lanes) int16, the inputs as drive words
    """

    values: np.ndarray
    words: np.ndarray

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, rows: slice) -> "EncodedInputs":
        return EncodedInputs(self.values[rows], self.words[rows])


@dataclass(frozen=True)
class FieldRange:
    """One row of the range report: what a field holds and in which format.

    Attributes
    ----------
    low, high : bounds of the expected values
    bits : width of the format
    lsb : value of one step
    clipped : fraction of the values computed from the calibration inputs, in float64, that lie
        beyond the format; None for a field without such values. Of the state these are equilibrium
        means, or the states that a quartic energy visits, and initial states. Of a bias they are
        all sums that layers of the interface store. A layer's row counts its hidden values, which
        are 16-bit rank words, and a coupling's row its projections, before and after mixing. Inputs
        that the ranges leave out count where they enter, as inputs, biases or initial states.
    requested, realised : what was asked for and what the format makes of it, where one quantity
        stands for the field
    """

    name: str
    low: float
    high: float
    bits: int
    lsb: float
    clipped: float | None = None
    requested: float | None = None
    realised: float | None = None


@dataclass(frozen=True)
class AccuracyCheck:
    """A measured figure of how well a program holds what was asked for, beside its tolerance.

    Attributes
    ----------
    name : what is measured
    measured : the figure
    tolerance : the largest figure that needs no warning or, with ``least``, the smallest
    warning : one line for the user if the figure is beyond the tolerance, which says what was found
        and what was or can be done; else empty
    """

    name: str
    measured: float
    tolerance: float
    warning: str
    least: bool = False

    @classmethod
    def of(
        cls, name: str, measured: float, tolerance: float, warning: str, *, least: bool = False
    ) -> "AccuracyCheck":
        """A check that keeps the warning only if the figure is beyond the tolerance."""
        passed = measured >= tolerance if least else measured <= tolerance
        return cls(name, float(measured), tolerance, "" if passed else warning, least)


@dataclass(frozen=True)
class Layout:
    """Where the parts of a program lie in the fabric's memories.

    Attributes
    ----------
    chains : inputs that one job relaxes at once
    input_word : first drive word of the inputs in the first bank; that of a chain is ``input_word +
        chain * input_words``
    input_words : drive words of an input
    bank_offset : drive words between an input's place in the first and in the second bank
    input_parts : (first word, numbers) of the parts of an input; every part starts a new word
    constant_word : first drive word of the constants
    state_words : words of a state
    module_parts : (first word, units) of the modules of a state; every module starts a new word
    first_level : index of the level that sets the initial state; a warm start begins one later
    levels : levels of a job
    sampled_words : state words that a job sends to the sample stream
    """

    chains: int
    input_word: int
    input_words: int
    bank_offset: int
    input_parts: tuple[tuple[int, int], ...]
    constant_word: int
    state_words: int
    module_parts: tuple[tuple[int, int], ...]
    first_level: int
    levels: int
    sampled_words: int


@dataclass(frozen=True, eq=False)
class Program:
    """Integer images for one fabric, and the float program beside them.

    Attributes
    ----------
    factor : (words, lanes) int16; constants : (words, unit_lanes) int16, drive words from
        ``layout.constant_word``
    descriptors : (count, 8) uint16; activation : (256, 2) int16, value and slope
    state_lsb : value of the state's LSB, a power of two
    input_lsb : (written numbers,) value of one step of each number that an input writes, after
        centring and scaling; with a drive these are the biases of all modules
    dt : the realised time step
    realised : the energies as the quantized factors make them
    ranges : the range report
    checks : what the compiler measured of the program's accuracy
    """

    name: str
    config: FabricConfig
    problem: Problem
    layout: Layout
    factor: np.ndarray
    constants: np.ndarray
    descriptors: np.ndarray
    activation: np.ndarray
    state_lsb: float
    input_lsb: np.ndarray
    dt: float
    realised: tuple[Energy, ...]
    ranges: tuple[FieldRange, ...]
    checks: tuple[AccuracyCheck, ...] = ()

    def __repr__(self) -> str:
        units = self.problem.energy.units
        return (
            f"Program({self.name!r} for fabric {self.config.name}: {units} units, "
            f"{self.problem.steps} steps, dt = {self.dt:.6g})"
        )

    def warnings(self) -> tuple[str, ...]:
        """Returns a line for every check of the compiler that is beyond its tolerance."""
        return tuple(check.warning for check in self.checks if check.warning)

    @property
    def matrices(self) -> np.ndarray:
        """(energies, units, units), M as the quantized factors realise it."""
        return np.stack([energy.matrix() for energy in self.realised])

    @property
    def relaxation(self) -> TimeStep | None:
        """What the quantized couplings make of the time step and the steps before the first read.

        Its tolerance is the share of the distance from equilibrium left at the first read.
        None for a quartic energy, and where several energies or time steps come before the first
        read.
        """
        stages = list(takewhile(lambda stage: not stage.accumulate, self.problem.stages))
        first_read = self.problem.stages[len(stages)]
        used = {stage.energy for stage in (*stages, first_read)}
        time_steps = {stage.time_step(self.dt) for stage in (*stages, first_read)}
        if len(used) > 1 or len(time_steps) > 1 or self.problem.energy.j4:
            return None
        steps = sum(stage.steps for stage in stages) + 1
        return TimeStep.after(steps, *spectrum([self.realised[used.pop()]]), time_steps.pop())

    def clip(self, inputs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Takes for every finite value of inputs (n, input_size) the nearest that the program can
        hold (:meth:`input_limits`).

        Returns the inputs, float64, and which of them (n,) were changed. Raises InputError if the
        shape is wrong; a value that is not finite stays for :meth:`encode` to refuse.
        """
        values = self._checked_shape(inputs)
        clipped = np.where(np.isfinite(values), np.clip(values, *self.input_limits()), values)
        return clipped, (np.isfinite(values) & (clipped != values)).any(axis=1)

    def encode(self, inputs: ArrayLike, *, first: int = 0) -> EncodedInputs:
        """Checks inputs (n, input_size) and quantises them to drive words.

        Inputs of the entry ``bias`` may also have the shape (n, bias_sets, units). ``first`` is the
        number that errors give the first of them.

        Raises
        ------
        InputError
            The shape is wrong, or a value is not finite.
        InputRangeError
            A value is out of range. The message names the first such value and the limits.
        """
        values = self._checked_shape(inputs)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise InputError(f"is not finite at position {column}", first + int(row))
        interface = self.problem.interface
        if interface is not None:
            scaled = (values - interface.centre) / interface.scale
        elif self.problem.drive is not None:
            scaled = self.problem.biases(values)[:, 0]
        else:
            scaled = values
        steps = np.rint(scaled / self.input_lsb)
        if (np.abs(steps) > INPUT_LIMIT).any():
            row, column = np.argwhere(np.abs(self._of_inputs(steps)) > INPUT_LIMIT)[0]
            low, high = (limits[column] for limits in self.input_limits())
            raise InputRangeError(
                f"is {values[row, column]:.6g} at position {column}; program {self.name!r} takes "
                f"{low:.6g} to {high:.6g} there",
                first + int(row),
            )
        lanes = self.config.unit_lanes
        words = np.zeros((len(values), self.layout.input_words * lanes), np.int16)
        column = 0
        for first, length in self.layout.input_parts:
            start = first * lanes
            words[:, start : start + length] = steps[:, column : column + length]
            column += length
        return EncodedInputs(values, words.reshape(len(values), self.layout.input_words, lanes))

    def _checked_shape(self, inputs: ArrayLike) -> np.ndarray:
        """Returns the inputs as float64 (n, input_size). Raises InputError if they are not."""
        given = np.asarray(inputs)
        if given.dtype.kind not in "fiu":
            raise InputError(f"inputs are of type {given.dtype}; numbers are needed")
        size = self.problem.input_size
        if self.problem.entry == BIAS and given.ndim == 3:
            given = given.reshape(len(given), -1)
        if given.ndim != 2 or given.shape[1] != size:
            raise InputError(
                f"inputs have shape {given.shape}; program {self.name!r} takes (n, {size})"
            )
        return given.astype(float)

    def input_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lowest and the highest value, (input_size,) each, that an input may have."""
        reach = INPUT_LIMIT * self._of_inputs(self.input_lsb)
        standardised = self.problem.interface or self.problem.drive
        if standardised is None:
            return -reach, reach
        centre, scale = standardised.centre, standardised.scale
        return centre - reach * scale, centre + reach * scale

    @cached_property
    def draws(self) -> bool:
        """Whether the answers depend on random numbers, and so on the seed."""
        return any(level.amplitude or level.dither for level, _ in self.schedule)

    def _of_inputs(self, values: np.ndarray) -> np.ndarray:
        """Returns those of the values (..., written numbers) that belong to the input."""
        return values if self.problem.drive is None else values[..., self.problem.driven_units]

    def units(self, words: np.ndarray) -> np.ndarray:
        """Returns the units (..., units) of state words (..., state_words, unit_lanes).

        Each module starts a new word, so its last word may hold padding, which is left out.
        """
        lanes = self.config.unit_lanes
        flat = words.reshape(*words.shape[:-2], words.shape[-2] * lanes)
        return np.concatenate(
            [
                flat[..., first * lanes : first * lanes + length]
                for first, length in self.layout.module_parts
            ],
            axis=-1,
        )

    def check_fits(self, config: FabricConfig) -> None:
        """Raise ProgramError naming the field unless a fabric of that configuration runs this
        program.
        """
        exact = (
            "rank_lanes",
            "unit_lanes",
            "factor_width",
            "accumulator_width",
            "leak_bits",
            "project_shifts",
            "expand_shifts",
            "bias_shifts",
            "sum_width",
        )
        for name in exact:
            if getattr(config, name) != getattr(self.config, name):
                raise ProgramError(
                    f"program {self.name!r} is compiled for {name} = {getattr(self.config, name)}, "
                    f"but fabric {config.name!r} has {getattr(config, name)}; compile it for this "
                    "fabric"
                )
        for name in (
            "factor_depth",
            "state_depth",
            "drive_depth",
            "rank_depth",
            "descriptor_depth",
            "sample_depth",
        ):
            if getattr(config, name) < self._needs()[name]:
                raise ProgramError(
                    f"program {self.name!r} needs {name} >= {self._needs()[name]}, but fabric "
                    f"{config.name!r} has {getattr(config, name)}"
                )
        if not config.fine_noise and any(level.fine for level, _ in self.schedule):
            raise ProgramError(
                f"program {self.name!r} draws fine noise, which fabric {config.name!r} was built "
                "without; compile it for this fabric"
            )
        if self.config.mix_window and not config.mix_window:
            raise ProgramError(
                f"program {self.name!r} mixes in a window of MIX, which fabric {config.name!r} was "
                "built without; compile it for this fabric"
            )
        if self.problem.energy.j4 and not config.quartic:
            raise ProgramError(
                f"program {self.name!r} has a quartic term, which fabric {config.name!r} was built "
                "without"
            )

    def _needs(self) -> dict[str, int]:
        layout = self.layout
        return {
            "factor_depth": len(self.factor),
            "state_depth": layout.chains * layout.state_words,
            "drive_depth": layout.constant_word + len(self.constants),
            "rank_depth": self._rank_words(),
            "descriptor_depth": len(self.descriptors),
            "sample_depth": 64 if layout.sampled_words else 0,
        }

    @cached_property
    def schedule(self) -> list[tuple[Level, list[Pass]]]:
        """The levels of a job, each with the passes that it repeats."""
        first = self.layout.first_level
        levels = [Level.unpack(row) for row in self.descriptors[first : first + self.layout.levels]]
        return [
            (
                level,
                [
                    Pass.unpack(row)
                    for row in self.descriptors[level.first : level.first + level.passes]
                ],
            )
            for level in levels
        ]

    @property
    def input_cycles(self) -> float:
        """Clock cycles of a job for one of its inputs, by the schedule; the link takes no part."""
        cycles = sum(
            level.steps * step_cycles(self.config, passes) for level, passes in self.schedule
        )
        return cycles / self.layout.chains

    @property
    def touched_states(self) -> int:
        """Words of the state memory, from the first on, that the passes read or write."""
        return max(
            (
                end
                for level, passes in self.schedule
                for step in passes
                # a pass that makes biases alone does not use the states that it reads
                if level.keep or not (step.operation == Operation.EXPAND and step.to_drive)
                for memory, _, end in (writes(step), *reads(step, self.layout.bank_offset))
                if memory == "state"
            ),
            default=0,
        )

    def _rank_words(self) -> int:
        return max(
            (
                step.dest + step.outer
                for _, passes in self.schedule
                for step in passes
                if step.operation != Operation.EXPAND
            ),
            default=0,
        )


def job_issues(program: Program, *, warm: bool = False) -> int:
    """Returns the number of cycles in which a job of the program issues to the lanes.

    A warm job leaves out the level that sets the initial state.
    """
    return sum(
        level.steps
        * sum(step.outer * step.inner for step in passes if step.operation != Operation.ACTIVATE)
        for level, passes in program.schedule[int(warm) :]
    )
