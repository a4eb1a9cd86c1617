# SPDX-License-Identifier: Apache-2.0
"""From a float program to integer images: formats are chosen from the data, memories allotted,
passes written.

Units of measure, used throughout: a state is ``z = z_int * state_lsb``; a bias enters the update as
``dt * b = b_int * state_lsb * 2^(bias_shift - 12)``. A factor column is scaled by any real number,
chosen so that it fills its bits; what is left over goes into the mixing coefficients, or into the
partner's factor where a skip needs no mixing. Shifts are then picked so that every narrowed result
fills its 16 bits without clipping on the calibration data. That no accumulator can overflow is
proved from the integers themselves.
"""

from dataclasses import replace

import numpy as np

from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    AMPLITUDE_WIDTH,
    GUARD_BITS,
    SLOPE_WIDTH,
    STATE_WIDTH,
    FabricConfig,
)
from ornstein.hdl.engine.noise import VARIANCE
from ornstein.hdl.engine.update import SQUARE_SHIFT
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.schedule import place_waits, step_cycles
from ornstein.host.compile.program import INPUT_LIMIT, FieldRange, Layout, Program, ProgramError
from ornstein.host.physics.interface import BIAS as BIAS_PREFIX
from ornstein.host.physics.interface import INPUT, Layer, silu
from ornstein.host.physics.problem import BIAS, INTERFACE, STATE, STOCHASTIC, Problem
from ornstein.sim.energy import Coupling, Energy
from ornstein.sim.reference import relax
from ornstein.sim.stages import LM

TOP = (1 << STATE_WIDTH - 1) - 1
FILL = 0.9
"""Fraction of a 16-bit range that calibration data may fill."""
MARGIN = 1.25
"""What inputs may exceed the calibration data by."""
SIGMAS = 6.0
"""Standard deviations of thermal motion that a range leaves room for."""
OBSERVED = 64
"""Calibration inputs, and states of each stage, from which the range of a quartic energy is taken.
"""
SILU_SLOPE = 1.1
"""Steepest slope of SiLU."""
CHAINS = (1, 2, 4, 8)
"""Inputs relaxed at once that are tried: more hide the pipeline's latency and take more memory."""
WORTHWHILE = 0.002
"""Share of the cycles that more inputs at once must save."""
MOST_SPARE = 2
"""Top bits of the state that may be left unused where a step's forces would not fit beside a finer
LSB.
"""


class _FormatError(ProgramError):
    """What is multiplied or added in one step does not fit its bits; a coarser state may help."""


class _Allotment:
    """Words of one memory, handed out from the bottom."""

    def __init__(self, name: str, config: FabricConfig):
        self._name, self._config, self.used = name, config, 0

    def take(self, words: int) -> int:
        start = self.used
        self.used += words
        depth = getattr(self._config, self._name)
        if self.used > depth:
            raise ProgramError(
                f"the program needs {self._name} >= {self.used}, but fabric {self._config.name!r} has "
                f"{depth}; lower the rank or choose a larger fabric"
            )
        return start


def compile_problem(
    problem: Problem, config: FabricConfig, calibration: np.ndarray, *, spare: int = 0
) -> Program:
    """Compile for one fabric.

    Parameters
    ----------
    calibration : inputs (n, input_size) like those to come; they set every range
    spare : top bits of the state to leave unused at least: what a fabric with so many fewer bits of
        state would answer

    Raises
    ------
    ProblemError, EnergyError
        The float program makes no sense.
    ProgramError
        It does not fit the fabric: names the memory or the field, and what there is.
    """
    problem.check()
    calibration = np.asarray(calibration, float)
    if (
        calibration.ndim != 2
        or not len(calibration)
        or calibration.shape[1] != problem.input_size
        or not np.isfinite(calibration).all()
    ):
        raise ProgramError(
            f"calibration inputs must be finite, one or more, and of shape (n, {problem.input_size}), "
            f"not {calibration.shape}"
        )
    shortage = None
    for unused in range(spare, spare + MOST_SPARE + 1):
        best: tuple[float, Program] | None = None
        for chains in CHAINS:
            try:
                program = _Compiler(problem, config, calibration, chains, unused).build()
            except ProgramError as error:
                shortage = error
                break
            cost = _cycles(program) / chains
            if best is None or cost < best[0] * (1 - WORTHWHILE):
                best = cost, program
        if best is not None:
            return best[1]
        if not isinstance(shortage, _FormatError):
            break
    raise shortage


def _cycles(program: Program) -> int:
    """Estimated cycles of a job: what is issued, short passes held up by the next one's fetch, and
    waits.
    """
    return sum(
        level.steps * step_cycles(program.config, passes) for level, passes in program.schedule()
    )


def activation_table(function) -> np.ndarray:
    """(256, 2) int16: value and slope of a function from rank steps to rank steps, clipped to 16
    bits.

    Neighbouring entries meet, except where the rank word's range begins. Raises ProgramError if a
    slope exceeds its bits.
    """
    per_entry = 1 << STATE_WIDTH - 8
    first = np.arange(ACTIVATION_ENTRIES, dtype=np.uint8).view(np.int8).astype(float) * per_entry
    ends = [np.clip(np.rint(function(step)), -TOP - 1, TOP) for step in (first, first + per_entry)]
    slopes = ends[1] - ends[0]
    if np.abs(slopes).max() >= 1 << SLOPE_WIDTH - 1:
        raise ProgramError(
            f"the activation rises by {np.abs(slopes).max():.0f} an entry, more than {SLOPE_WIDTH} bits"
        )
    return np.stack([ends[0], slopes], axis=1).astype(np.int16)


class _Compiler:
    """One attempt, with so many inputs relaxed at once and so many of the state's top bits to
    spare.
    """

    def __init__(
        self,
        problem: Problem,
        config: FabricConfig,
        calibration: np.ndarray,
        chains: int,
        spare: int,
    ):
        self.problem, self.config, self.chains, self.spare = problem, config, chains, spare
        self.calibration = calibration
        self.ranges: list[FieldRange] = []
        self.factors = _Allotment("factor_depth", config)
        self.rank = _Allotment("rank_depth", config)
        self.drive = _Allotment("drive_depth", config)
        self.state = _Allotment("state_depth", config)
        self.images: list[np.ndarray] = []
        self.factor_top = (1 << config.factor_width - 1) - 1
        self.activation = np.zeros((ACTIVATION_ENTRIES, 2), np.int16)
        self.activation_scale: tuple[float, float] | None = None

    # ---- the order of work -----------------------------------------------------------------------

    def build(self) -> Program:
        problem, config = self.problem, self.config
        energies = problem.energies
        modules = energies[0].modules
        lanes = config.unit_lanes
        self._check_options()
        self._choose_time_step()
        self._choose_state()

        words = [-(-module.units // lanes) for module in modules]
        starts = np.concatenate([[0], np.cumsum(words)])
        self.module_word = {
            module.name: int(start) for module, start in zip(modules, starts, strict=False)
        }
        self.module_words = dict(zip((module.name for module in modules), words, strict=True))
        state_words = int(starts[-1])
        self.state.take(self.chains * state_words)
        module_parts = tuple(
            (int(start), module.units) for start, module in zip(starts, modules, strict=False)
        )
        if problem.entry == INTERFACE:
            input_parts = ((0, problem.input_size),)
        else:
            sets = problem.bias_sets if problem.entry == BIAS else 1
            input_parts = tuple(
                (index * state_words + start, length)
                for index in range(sets)
                for start, length in module_parts
            )
        input_words = max(start + -(-length // lanes) for start, length in input_parts)
        bank = self.chains * input_words
        input_word = self.drive.take(2 * bank)
        self.input_word, self.input_words, self.state_words = input_word, input_words, state_words

        self._choose_biases()
        constants, conditioning = self._conditioning()

        levels: list[tuple[Level, list[Pass]]] = [(Level(steps=1), self._loading())]
        if conditioning:
            levels.append((Level(steps=1), conditioning))
        relaxing = [self._relaxing(index) for index in range(len(energies))]
        first_sums = True
        sampled = 0
        for stage in problem.stages:
            passes = [self._driven(step, stage.bias) for step in relaxing[stage.energy][0]]
            steps, remaining = [], stage.steps
            while remaining:
                steps.append(min(remaining, (1 << 16) // max(1, stage.thin) * max(1, stage.thin)))
                remaining -= steps[-1]
            for count in steps:
                levels.append(
                    (
                        Level(
                            keep=1,
                            midpoint=int(problem.integrator == LM),
                            dither=int(problem.rounding == STOCHASTIC),
                            accumulate=int(stage.accumulate),
                            clear=int(stage.accumulate and first_sums),
                            thin=stage.thin,
                            steps=count,
                            leak=self.leak,
                            amplitude=self._amplitude(stage.kT),
                            quartic=self.quartic,
                        ),
                        passes,
                    )
                )
                first_sums = first_sums and not stage.accumulate
                sampled += (count // stage.thin if stage.thin else 0) * self.chains * state_words
        descriptors = self._descriptors(levels, bank)
        if problem.samples > config.max_samples:
            raise ProgramError(
                f"{problem.samples} averaged steps could overflow the sums of fabric {config.name!r}, "
                f"which hold {config.max_samples}"
            )
        layout = Layout(
            chains=self.chains,
            input_word=input_word,
            input_words=input_words,
            bank_offset=bank,
            input_parts=input_parts,
            constant_word=self.constant_word,
            state_words=state_words,
            module_parts=module_parts,
            first_level=0,
            levels=len(levels),
            sampled_words=sampled,
        )
        return Program(
            name=problem.name,
            config=config,
            problem=problem,
            layout=layout,
            factor=np.concatenate([np.zeros((0, config.lanes)), *self.images]).astype(np.int16),
            constants=constants,
            descriptors=descriptors,
            activation=self.activation,
            state_lsb=self.lsb,
            input_lsb=self.input_lsb,
            dt=self.dt,
            realised=tuple(energy for _, energy in relaxing),
            ranges=tuple(self.ranges),
        )

    def _check_options(self) -> None:
        if self.problem.energies[0].j4 and not self.config.quartic:
            raise ProgramError(
                f"the energy has j4 = {self.problem.energies[0].j4}, but fabric {self.config.name!r} "
                "was built without the quartic term"
            )
        if any(stage.thin for stage in self.problem.stages) and not self.config.sample_depth:
            raise ProgramError(
                f"the schedule streams samples, but fabric {self.config.name!r} was built without a "
                "sample stream"
            )
        if any(stage.thin >= 1 << 11 for stage in self.problem.stages):
            raise ProgramError(f"thin must be below {1 << 11}")

    # ---- formats ---------------------------------------------------------------------------------

    def _choose_time_step(self) -> None:
        j2, one = self.problem.energies[0].j2, 1 << self.config.leak_bits
        self.leak = round(2 * j2 * self.problem.dt * one)
        if not 0 < self.leak < one:
            raise ProgramError(
                f"2 j2 dt = {2 * j2 * self.problem.dt:.4g} must round to between 1/{one} and "
                f"{one - 1}/{one}; change dt = {self.problem.dt}"
            )
        self.dt = self.leak / one / (2 * j2)
        self.ranges.append(
            FieldRange(
                "time step",
                0,
                1 / (2 * j2),
                self.config.leak_bits,
                1 / one / (2 * j2),
                requested=self.problem.dt,
                realised=self.dt,
            )
        )

    def _choose_state(self) -> None:
        problem = self.problem
        biases = problem.biases(self.calibration)
        hottest = max(stage.kT for stage in problem.stages)
        reach = 0.0
        self.mean_reach, self.heat = [], []
        visited = self._visited(biases)
        for index, energy in enumerate(problem.energies):
            if energy.j4:
                means, heat = visited[index], 0.0
            else:
                means = np.concatenate(
                    [energy.mean(biases[:, number]) for number in range(biases.shape[1])]
                )
                # the largest inflation that Euler-Maruyama gives any mode
                heat = hottest / (
                    1 if problem.integrator == LM else 1 - self.dt * energy.eigenvalues()[-1] / 2
                )
            self.mean_reach.append(means)
            self.heat.append(heat)
            reach = max(
                reach,
                MARGIN * np.abs(means).max() + SIGMAS * np.sqrt(heat * energy.variances().max()),
            )
        if problem.entry == STATE:
            reach = max(reach, MARGIN * np.abs(self.calibration).max())
        reach = reach or 1.0
        self.fraction = int(np.floor(np.log2(TOP * FILL / reach))) - self.spare
        self.quartic = 0
        j4 = problem.energies[0].j4
        if j4:
            per_square = 4 * j4 * self.dt * 2.0 ** (SQUARE_SHIFT + 2 * GUARD_BITS)
            while round(per_square * 4.0**-self.fraction) >= 1 << 16:
                self.fraction += 1
            self.quartic = round(per_square * 4.0**-self.fraction)
            if not self.quartic:
                raise ProgramError(f"j4 = {j4} is too small for the state's range of {reach:.4g}")
        self.lsb = 2.0**-self.fraction
        self.ranges.append(FieldRange("state", -reach, reach, STATE_WIDTH, self.lsb))
        if j4:
            realised = self.quartic / per_square * 4.0**self.fraction * j4
            self.ranges.append(
                FieldRange(
                    "j4", 0, realised, 16, realised / self.quartic, requested=j4, realised=realised
                )
            )
        for stage in dict.fromkeys(stage.kT for stage in problem.stages):
            amplitude = self._amplitude(stage)
            realised = stage if not stage else (amplitude * self._noise_unit()) ** 2 / (2 * self.dt)
            self.ranges.append(
                FieldRange(
                    "temperature",
                    0,
                    stage,
                    AMPLITUDE_WIDTH,
                    self._noise_unit(),
                    requested=stage,
                    realised=realised,
                )
            )

    def _visited(self, biases: np.ndarray) -> list[np.ndarray]:
        """States (n, units) that float64 dynamics visits under each quartic energy, for some of the
        calibration data.

        What the quartic holds back would reach much further in its absence, so no closed form
        bounds it.
        """
        problem = self.problem
        units = problem.energies[0].units
        visited = [[np.zeros((1, units))] for _ in problem.energies]
        if not problem.energies[0].j4:
            return [part[0] for part in visited]
        rng = np.random.default_rng(0)
        biases = biases[:OBSERVED]
        state = (
            self.calibration[:OBSERVED]
            if problem.entry == STATE
            else np.zeros((len(biases), units))
        )
        for stage in problem.stages:
            with np.errstate(over="ignore", invalid="ignore"):
                run = relax(
                    problem.energies,
                    biases,
                    (replace(stage, thin=max(1, stage.steps // OBSERVED)),),
                    dt=self.dt,
                    integrator=problem.integrator,
                    initial=state,
                    rng=rng,
                )
            state = run.final
            visited[stage.energy].append(run.samples.reshape(-1, units))
        if not np.isfinite(state).all():
            raise ProgramError(
                f"the quartic term overshoots, so that states diverge; lower dt = {self.dt:.4g}"
            )
        return [np.concatenate(parts) for parts in visited]

    def _noise_unit(self) -> float:
        """sqrt(2 kT dt) of one step of the amplitude."""
        samples = 2 if self.problem.integrator == LM else 1
        return self.lsb / (1 << GUARD_BITS) * np.sqrt(VARIANCE) * samples

    def _amplitude(self, kT: float) -> int:
        amplitude = round(np.sqrt(2 * kT * self.dt) / self._noise_unit())
        if amplitude >= 1 << AMPLITUDE_WIDTH:
            raise ProgramError(f"kT = {kT} needs a noise amplitude beyond {AMPLITUDE_WIDTH} bits")
        return amplitude

    def _choose_biases(self) -> None:
        """A bias format per module: the finest whose range holds it and, behind an interface, can
        be reached.
        """
        problem, config = self.problem, self.config
        biases = problem.biases(self.calibration)
        modules = problem.energies[0].slices
        self.bias_shift: dict[str, int] = {}
        self.bias_scale: dict[str, float] = {}
        reaches: dict[str, float] = {}
        if problem.entry == INTERFACE:
            standard = (self.calibration - problem.interface.centre) / problem.interface.scale
            reach = MARGIN * np.abs(standard).max() or 1.0
            step = 2.0 ** np.ceil(np.log2(reach / INPUT_LIMIT))
            self.input_lsb = np.full(problem.input_size, step)
            self.ranges.append(
                FieldRange("input, centred and scaled", -reach, reach, STATE_WIDTH, step)
            )
        for name, place in modules.items():
            reach = MARGIN * np.abs(biases[..., place]).max()
            # the constant a layer starts from has to fit too
            if problem.interface is not None and name in problem.interface.offset:
                reach = max(reach, MARGIN * np.abs(problem.interface.offset[name]).max())
            reaches[name] = reach
            for index in range(len(config.bias_shifts)):
                self._set_bias_format(name, index)
                if reach * self.bias_scale[name] <= TOP:
                    break
            else:
                raise _FormatError(
                    f"biases of module {name!r} reach {reach:.4g}, more than the widest bias format "
                    f"holds ({TOP / self.bias_scale[name]:.4g}); lower dt = {problem.dt:.4g}"
                )
        while problem.entry == INTERFACE and (weak := self._weak_target()):
            if self.bias_shift[weak] + 1 == len(config.bias_shifts):
                raise _FormatError(
                    f"a layer of the interface into module {weak!r} is too strong for the "
                    f"{config.factor_width}-bit factors of fabric {config.name!r}; spread it over more "
                    f"hidden units, or lower dt = {problem.dt:.4g}"
                )
            self._set_bias_format(weak, self.bias_shift[weak] + 1)
        for name, reach in reaches.items():
            self.ranges.append(
                FieldRange(f"bias of {name}", -reach, reach, STATE_WIDTH, 1 / self.bias_scale[name])
            )
        if problem.entry == BIAS:
            self.input_lsb = np.tile(
                np.concatenate(
                    [
                        np.full(place.stop - place.start, 1 / self.bias_scale[name])
                        for name, place in modules.items()
                    ]
                ),
                problem.bias_sets,
            )
        elif problem.entry == STATE:
            self.input_lsb = np.full(problem.input_size, self.lsb)

    # ---- factors ---------------------------------------------------------------------------------

    def _pack(self, columns: np.ndarray) -> np.ndarray:
        """Factor words (unit words * rank words, lanes) of an integer matrix (units, rank): unit
        words outermost.
        """
        ranks, units = self.config.rank_lanes, self.config.unit_lanes
        rows, groups = -(-columns.shape[0] // units), -(-columns.shape[1] // ranks)
        padded = np.zeros((rows * units, groups * ranks), np.int64)
        padded[: columns.shape[0], : columns.shape[1]] = columns
        return (
            padded.reshape(rows, units, groups, ranks)
            .swapaxes(1, 2)
            .reshape(rows * groups, units * ranks)
        )

    def _store(self, words: np.ndarray) -> int:
        start = self.factors.take(len(words))
        self.images.append(words)
        return start

    def _groups(self, rank: int) -> int:
        return -(-rank // self.config.rank_lanes)

    def _padded_columns(self, matrix: np.ndarray) -> np.ndarray:
        """The matrix with its columns filled up to whole rank words."""
        return np.pad(
            matrix,
            ((0, 0), (0, self._groups(matrix.shape[1]) * self.config.rank_lanes - matrix.shape[1])),
        )

    def _project_format(
        self, columns: np.ndarray, reach: np.ndarray, source_lsb: float, *, equal: bool = False
    ):
        """(scales, shift index, values per column): integer columns whose projections fill their 16
        bits.

        ``reach`` bounds each projection in physical units; a projection is ``p_int * unit`` with
        the returned units.
        """
        peaks = np.abs(columns).max(axis=0)
        scales = np.where(peaks > 0, self.factor_top / np.where(peaks > 0, peaks, 1), 1.0)
        if equal:
            scales = np.full_like(scales, scales[peaks > 0].min() if (peaks > 0).any() else 1.0)
        # |sum| < 2^(w-1) whatever the states are
        room = (1 << self.config.accumulator_width - 1) - (1 << self.config.project_shifts[-1])
        sums = np.abs(np.rint(columns * scales)).sum(axis=0) * (TOP + 1)
        scales = scales * np.minimum(1.0, room / np.maximum(sums, 1) * (1 - 1e-3))
        shifts = self.config.project_shifts
        for index in range(len(shifts)):
            if (reach * scales / source_lsb * 2.0 ** -shifts[index] <= FILL * TOP).all():
                break
        else:
            limit = FILL * TOP * 2.0 ** shifts[-1] * source_lsb / np.maximum(reach, 1e-300)
            scales = np.minimum(scales, limit.min() if equal else limit)
        return scales, index, source_lsb * 2.0 ** shifts[index] / scales

    def _expand_shift(self, rows: np.ndarray) -> tuple[np.ndarray, int]:
        """(integer rows, shift index) of real rows, in LSBs of a coupling sum per step of the rank
        words.

        Raises ProgramError if they exceed the factors' bits at the smallest shift.
        """
        config = self.config
        for index in reversed(range(len(config.expand_shifts))):
            integers = np.rint(rows * 2.0 ** config.expand_shifts[index])
            if np.abs(integers).max(initial=0) <= self.factor_top and self._expand_safe(integers):
                return integers, index
        raise _FormatError(
            "an expansion is too strong for the factor bits; widen the bias format or the factors"
        )

    def _expand_safe(self, integers: np.ndarray) -> bool:
        return bool(
            (
                np.abs(integers).sum(axis=1) * (TOP + 1) < 1 << self.config.accumulator_width - 1
            ).all()
        )

    # ---- conditioning ----------------------------------------------------------------------------

    def _layer_formats(self, layer: Layer, values: np.ndarray, source_lsb: float):
        """(integer columns, shift index, value per step of what is expanded) of a layer fed with
        ``values``.
        """
        columns = self._padded_columns(layer.project)
        reach = MARGIN * np.abs(values @ columns).max(axis=0)
        scales, shift, unit = self._project_format(
            columns, reach, source_lsb, equal=layer.activation is not None
        )
        if layer.activation is None:
            return np.rint(columns * scales), shift, unit
        if self.activation_scale is None:
            # an argument that fills few of its bits gets a value of fewer bits too, or its slope
            # would not fit
            steepest = SILU_SLOPE * unit[0] * (1 << STATE_WIDTH - 8) / ((1 << SLOPE_WIDTH - 1) - 2)
            self.activation_scale = (
                float(unit[0]),
                float(max(silu(reach.max()) / (FILL * TOP), steepest)),
            )
            self.activation = activation_table(
                lambda step: silu(step * unit[0]) / self.activation_scale[1]
            )
        elif not np.isclose(self.activation_scale[0], unit[0]):
            raise ProgramError(
                "two activated layers need one format, but the fabric holds a single activation table"
            )
        return np.rint(columns * scales), shift, np.full_like(unit, self.activation_scale[1])

    def _layers(self) -> list[Layer]:
        """The interface's layers but those that read a bias which is still zero: they add
        nothing.
        """
        interface = self.problem.interface
        driven = {
            INPUT,
            *(BIAS_PREFIX + name for name, value in interface.offset.items() if np.any(value)),
        }
        layers = []
        for layer in interface.layers:
            if layer.source in driven:
                layers.append(layer)
                driven.add(BIAS_PREFIX + layer.target)
        return layers

    def _sources(self):
        """(layer, values that feed it, LSB of those values), the biases as they stand when the
        layer runs.
        """
        interface = self.problem.interface
        standard = (self.calibration - interface.centre) / interface.scale
        biases = {
            name: np.tile(value, (len(standard), 1)) for name, value in interface.offset.items()
        }
        for layer in self._layers():
            from_input = layer.source == INPUT
            module = layer.source.removeprefix(BIAS_PREFIX)
            values = standard if from_input else biases[module]
            yield layer, values, self.input_lsb[0] if from_input else 1 / self.bias_scale[module]
            hidden = values @ layer.project
            biases[layer.target] = (
                biases[layer.target] + (silu(hidden) if layer.activation else hidden) @ layer.expand
            )

    def _set_bias_format(self, module: str, index: int) -> None:
        self.bias_shift[module] = index
        self.bias_scale[module] = (
            self.dt / self.lsb * 2.0 ** (GUARD_BITS - self.config.bias_shifts[index])
        )

    def _weak_target(self) -> str | None:
        """The target of the first layer that the factors' bits are too few for, at the present bias
        formats.
        """
        for layer, values, source_lsb in self._sources():
            *_, unit = self._layer_formats(layer, values, source_lsb)
            self.activation_scale = None
            if not self._strong_enough(layer, unit, self.bias_scale[layer.target]):
                return layer.target
        return None

    def _strong_enough(self, layer: Layer, unit, scale: float) -> bool:
        rows = (
            np.abs(self._padded_columns(layer.expand.T))
            * unit
            * scale
            * (1 << self.config.coupling_bits)
        )
        smallest = 2.0 ** self.config.expand_shifts[0]
        return bool(
            (rows * smallest <= self.factor_top).all() and self._expand_safe(rows * smallest)
        )

    def _conditioning(self) -> tuple[np.ndarray, list[Pass]]:
        """(constant drive words, passes) that make the biases from the input."""
        problem, config = self.problem, self.config
        lanes = config.unit_lanes
        self.biased: dict[str, bool] = {}
        offset: dict[str, np.ndarray] = {}
        if problem.entry == INTERFACE:
            offset = problem.interface.offset
        elif problem.entry == STATE and problem.offset is not None:
            offset = {
                name: problem.offset[place] for name, place in problem.energies[0].slices.items()
            }
        needed = {name: value for name, value in offset.items() if np.any(value)}
        constants = np.zeros((sum(self.module_words[name] for name in needed), lanes), np.int16)
        produced = [] if problem.interface is None else [layer.target for layer in self._layers()]
        regions = {
            name: [self.drive.take(self.module_words[name]) for _ in range(self.chains)]
            for name in dict.fromkeys(produced)
        }
        self.constant_word = self.drive.take(len(constants))
        constant_at, word = {}, 0
        for name, value in needed.items():
            steps = np.rint(value * self.bias_scale[name])
            constants[word : word + self.module_words[name]].reshape(-1)[: len(value)] = steps
            constant_at[name] = self.constant_word + word
            word += self.module_words[name]
        self.bias_word = {
            name: regions.get(name) or [constant_at[name]] * self.chains
            for name in {**regions, **constant_at}
        }

        stages: list[list[Pass]] = []
        begun: set[str] = set()
        identity = self._identity_shift()
        for layer, values, source_lsb in self._sources() if produced else ():
            integers, shift, unit = self._layer_formats(layer, values, source_lsb)
            groups = integers.shape[1] // config.rank_lanes
            project = self._store(self._pack(integers))
            scale = self.bias_scale[layer.target]
            rows = self._padded_columns(layer.expand.T) * unit * scale * (1 << config.coupling_bits)
            integers_out, expand_shift = self._expand_shift(rows)
            expand = self._store(self._pack(integers_out))
            self.ranges.append(
                FieldRange(
                    f"interface {layer.source} to {layer.target}",
                    float(layer.expand.min()),
                    float(layer.expand.max()),
                    config.factor_width,
                    1
                    / float(
                        np.max(unit * scale)
                        * (1 << config.coupling_bits)
                        * 2.0 ** config.expand_shifts[expand_shift]
                    ),
                )
            )
            reads = -(-layer.project.shape[0] // config.unit_lanes)
            banked = layer.source == INPUT
            projecting, activating, expanding = [], [], []
            for chain in range(self.chains):
                rank = self.rank.take(groups)
                module = layer.source.removeprefix(BIAS_PREFIX)
                source = (
                    self.input_word + chain * self.input_words
                    if banked
                    else regions[module][chain]
                    if module in begun
                    else constant_at[module]
                )
                projecting.append(
                    Pass(
                        operation=Operation.PROJECT,
                        from_drive=1,
                        banked=int(banked),
                        shift=shift,
                        outer=groups,
                        inner=reads,
                        factor=project,
                        source=source,
                        dest=rank,
                        stride=groups,
                    )
                )
                if layer.activation is not None:
                    activating.append(
                        Pass(
                            operation=Operation.ACTIVATE,
                            outer=groups,
                            inner=config.rank_lanes,
                            source=rank,
                            dest=rank,
                        )
                    )
                first = layer.target not in begun
                start = constant_at.get(layer.target) if first else regions[layer.target][chain]
                expanding.append(
                    Pass(
                        operation=Operation.EXPAND,
                        to_drive=1,
                        coupled=1,
                        biased=int(start is not None),
                        shift=expand_shift,
                        bias_shift=identity,
                        outer=self.module_words[layer.target],
                        inner=groups,
                        factor=expand,
                        source=rank,
                        dest=regions[layer.target][chain],
                        bias=start or 0,
                    )
                )
            begun.add(layer.target)
            stages.append(projecting + activating + expanding)
        return constants, [step for stage in stages for step in stage]

    def _identity_shift(self) -> int:
        """Index of the bias shift at which a drive word is worth a state LSB."""
        if GUARD_BITS not in self.config.bias_shifts:
            raise ProgramError(
                f"bias_shifts of fabric {self.config.name!r} lack {GUARD_BITS}, which loads a value as "
                "it is"
            )
        return self.config.bias_shifts.index(GUARD_BITS)

    # ---- relaxation ------------------------------------------------------------------------------

    def _loading(self) -> list[Pass]:
        """Passes that set the initial state: the input itself, or zero."""
        from_input = self.problem.entry == STATE
        return [
            Pass(
                operation=Operation.EXPAND,
                biased=int(from_input),
                banked=int(from_input),
                bias_shift=self._identity_shift() if from_input else 0,
                outer=self.state_words,
                inner=1,
                dest=chain * self.state_words,
                bias=self.input_word + chain * self.input_words if from_input else 0,
            )
            for chain in range(self.chains)
        ]

    def _driven(self, step: Pass, bias_set: int) -> Pass:
        """The pass with the biases of that set, where biases are the input."""
        if self.problem.entry == BIAS and step.operation == Operation.EXPAND:
            return replace(step, bias=step.bias + bias_set * self.state_words)
        return step

    def _relaxing(self, index: int) -> tuple[list[Pass], Energy]:
        """(passes of one time step, the energy as realised) of one energy."""
        energy, config = self.problem.energies[index], self.config
        rank = _Allotment("rank_depth", config)
        projecting, mixing, expanding = ([[] for _ in range(self.chains)] for _ in range(3))
        slices = energy.slices
        # the columns of a module, coupling by coupling: they are expanded together
        members = [
            (number, place, name)
            for number, coupling in enumerate(energy.couplings)
            for place, name in enumerate(coupling.modules)
        ]
        of_module = {
            name: [(number, place) for number, place, owner in members if owner == name]
            for name in slices
        }
        direct = self._direct(energy, of_module)
        reach = {}
        for number, place, name in members:
            factor = energy.couplings[number].factors[place]
            part = slices[name]
            thermal = np.sqrt(np.maximum(self.heat[index] * energy.spread(factor, part), 0))
            reach[number, place] = self._pad(
                MARGIN * np.abs(self.mean_reach[index][:, part] @ factor).max(axis=0)
                + SIGMAS * thermal
            )
        columns = {
            (number, place): self._padded_columns(energy.couplings[number].factors[place])
            for number, place, _ in members
        }
        scales, shift, unit = {}, {}, {}
        for key in columns:
            scales[key], shift[key], unit[key] = self._project_format(
                columns[key], reach[key], self.lsb
            )
        expand_shift: dict[str, int] = {}
        mix: dict[tuple[int, int], tuple[np.ndarray, int]] = {}
        for number in sorted(direct):
            if not self._direct_formats(
                energy.couplings[number], number, columns, reach, scales, shift, unit, expand_shift
            ):
                direct.discard(number)
        for name, keys in of_module.items():
            if keys and keys[0][0] not in direct:
                expand_shift[name] = self._mix_formats(
                    energy, keys, columns, scales, unit, reach, mix
                )

        integers = {key: np.rint(columns[key] * scales[key]) for key in columns}
        groups = {key: columns[key].shape[1] // config.rank_lanes for key in columns}
        base, first_group, total_groups = {}, {}, {}
        for name, keys in of_module.items():
            if not keys:
                continue
            together = np.concatenate([integers[key] for key in keys], axis=1)
            if not self._expand_safe(together):
                raise ProgramError(
                    f"the couplings of module {name!r} could overflow the "
                    f"{config.accumulator_width}-bit accumulators of fabric {config.name!r}; lower the "
                    "rank or choose a wider fabric"
                )
            start, count = self._store(self._pack(together)), 0
            for key in keys:
                base[key], first_group[key] = start, count
                count += groups[key]
            total_groups[name] = count
        coefficients = {}
        for (number, place), (values, _) in mix.items():
            terms = values.shape[0]
            words = np.zeros((groups[number, place], terms, config.lanes), np.int64)
            words[:, :, : config.rank_lanes] = values.reshape(
                terms, -1, config.rank_lanes
            ).swapaxes(0, 1)
            coefficients[number, place] = self._store(words.reshape(-1, config.lanes))

        for chain in range(self.chains):
            projected = {}
            for number, coupling in enumerate(energy.couplings):
                start = rank.take(len(coupling.modules) * groups[number, 0])
                for place, name in enumerate(coupling.modules):
                    key = number, place
                    projected[key] = start + place * groups[key]
                    projecting[chain].append(
                        Pass(
                            operation=Operation.PROJECT,
                            shift=shift[key],
                            outer=groups[key],
                            inner=self.module_words[name],
                            factor=base[key] + first_group[key],
                            source=chain * self.state_words + self.module_word[name],
                            dest=projected[key],
                            stride=total_groups[name],
                        )
                    )
            for name, keys in of_module.items():
                bias, banked = self._bias_of(name, chain)
                step = Pass(
                    operation=Operation.EXPAND,
                    coupled=int(bool(keys)),
                    biased=int(bias is not None),
                    banked=int(banked),
                    bias_shift=self.bias_shift[name],
                    outer=self.module_words[name],
                    inner=1,
                    dest=chain * self.state_words + self.module_word[name],
                    bias=bias or 0,
                )
                if keys and keys[0][0] in direct:
                    number, place = keys[0]
                    step = replace(
                        step,
                        inner=total_groups[name],
                        factor=base[keys[0]],
                        shift=expand_shift[name],
                        source=projected[number, 1 - place],
                    )
                elif keys:
                    mixed = rank.take(total_groups[name])
                    for number, place in keys:
                        values, mix_shift = mix[number, place]
                        mixing[chain].append(
                            Pass(
                                operation=Operation.MIX,
                                shift=mix_shift,
                                outer=groups[number, place],
                                inner=values.shape[0],
                                factor=coefficients[number, place],
                                source=projected[number, 0],
                                dest=mixed + first_group[number, place],
                                stride=groups[number, place],
                            )
                        )
                    step = replace(
                        step,
                        inner=total_groups[name],
                        factor=base[keys[0]],
                        shift=expand_shift[name],
                        source=mixed,
                    )
                expanding[chain].append(step)
        self.rank.used = max(self.rank.used, rank.used)
        passes = [
            step for part in (projecting, mixing, expanding) for chain in part for step in chain
        ]
        realised = self._realised(energy, direct, integers, shift, expand_shift, mix)
        self._report_couplings(index, energy, realised)
        return passes, realised

    def _pad(self, vector: np.ndarray) -> np.ndarray:
        return self._padded_columns(vector[None])[0]

    def _bias_of(self, name: str, chain: int) -> tuple[int | None, bool]:
        """(drive word, whether it moves with the bank) of a module's bias, None if it has none."""
        if self.problem.entry == BIAS:
            return self.input_word + chain * self.input_words + self.module_word[name], True
        return self.bias_word[name][chain] if name in self.bias_word else None, False

    def _direct(self, energy: Energy, of_module: dict) -> set[int]:
        """Couplings of two modules that need no mixing: nothing on the diagonal, and no other
        coupling beside them.
        """
        return {
            number
            for number, coupling in enumerate(energy.couplings)
            if len(coupling.modules) == 2
            and not coupling.mix[[0, 1], [0, 1]].any()
            and all(len(of_module[name]) == 1 for name in coupling.modules)
            and self.config.expand_shifts == tuple(range(len(self.config.expand_shifts)))
        }

    def _direct_formats(
        self, coupling: Coupling, number: int, columns, reach, scales, shift, unit, expand_shift
    ) -> bool:
        """Scales of a skip whose coefficient is shared out between its two factors; False if there
        are none.

        The product of the two scales of a column is fixed at dt |mix| 2^(12 + project shift +
        expand shift).
        """
        config = self.config
        strength = self._pad(self.dt * np.abs(coupling.mix[0, 1])) * (1 << config.coupling_bits)
        peaks = [np.abs(columns[number, place]).max(axis=0) for place in (0, 1)]
        used = (strength > 0) & (peaks[0] > 0) & (peaks[1] > 0)
        safe = np.where(used, strength, 1.0), *(np.where(used, peak, 1.0) for peak in peaks)
        for total in range(config.project_shifts[-1] + config.expand_shifts[-1], -1, -1):
            product = safe[0] * 2.0**total
            pair = [
                np.where(used, np.sqrt(product * safe[2 - place] / safe[1 + place]), 0.0)
                for place in (0, 1)
            ]
            if any((pair[place] * peaks[place] > self.factor_top).any() for place in (0, 1)):
                continue
            chosen = []
            for place in (0, 1):
                fits = [
                    i
                    for i, s in enumerate(config.project_shifts)
                    if total - s in config.expand_shifts
                    and (
                        reach[number, place] * pair[place] / self.lsb * 2.0**-s <= FILL * TOP
                    ).all()
                ]
                integers = np.rint(columns[number, place] * pair[place])
                bounded = (
                    np.abs(integers).sum(axis=0) * (TOP + 1)
                    < (1 << config.accumulator_width - 1) - (1 << config.project_shifts[-1])
                ).all()
                chosen.append(fits[0] if fits and bounded and self._expand_safe(integers) else None)
            if None not in chosen:
                break
        else:
            return False
        sign = self._pad(np.sign(-coupling.mix[0, 1]))
        for place, name in enumerate(coupling.modules):
            key = number, place
            scales[key] = pair[place] * (np.where(sign < 0, -1.0, 1.0) if place == 0 else 1.0)
            shift[key] = chosen[place]
            unit[key] = np.ones_like(pair[place])
            other = config.project_shifts[chosen[1 - place]]
            expand_shift[name] = config.expand_shifts.index(total - other)
        return True

    def _mix_formats(self, energy: Energy, keys, columns, scales, unit, reach, mix) -> int:
        """Choose a module's expand shift and the integer coefficients of its couplings; the shift's
        index.
        """
        config = self.config
        # a mode that a module takes no part in has no scale there, and needs no coefficient
        member = {key: np.abs(columns[key]).max(axis=0) > 0 for key in columns}
        for index in reversed(range(len(config.expand_shifts))):
            found = {}
            for number, place in keys:
                coupling = energy.couplings[number]
                guard = (
                    -self.dt
                    / self.lsb
                    * (1 << config.coupling_bits)
                    * 2.0 ** config.expand_shifts[index]
                )
                real = np.stack(
                    [
                        self._pad(coupling.mix[place, term])
                        * guard
                        / scales[number, place]
                        * np.where(
                            member[number, place] & member[number, term], unit[number, term], 0.0
                        )
                        for term in range(len(coupling.modules))
                    ]
                )
                spread = sum(
                    self._pad(np.abs(coupling.mix[place, term])) * reach[number, term]
                    for term in range(len(coupling.modules))
                )
                if (np.abs(guard) * spread / scales[number, place] > FILL * TOP)[
                    member[number, place]
                ].any():
                    break
                fits = [
                    i
                    for i, s in enumerate(config.project_shifts)
                    if np.abs(np.rint(real * 2.0**s)).max() <= self.factor_top
                ]
                if not fits:
                    break
                found[number, place] = (
                    np.rint(real * 2.0 ** config.project_shifts[fits[-1]]),
                    fits[-1],
                )
            if len(found) == len(keys):
                mix.update(found)
                return index
        raise _FormatError(
            f"the couplings of module {energy.couplings[keys[0][0]].modules[keys[0][1]]!r} fit no "
            f"format of fabric {config.name!r}; lower dt = {self.problem.dt:.4g}, or weaken them"
        )

    def _realised(self, energy: Energy, direct, integers, shift, expand_shift, mix) -> Energy:
        """The energy as the integers make it: integer factors, and what they are worth in the mix.

        Raises ProgramError if it is harmonic and no longer positive definite.
        """
        config = self.config
        couplings = []
        for number, coupling in enumerate(energy.couplings):
            size = len(coupling.modules)
            worth = np.zeros((size, size, coupling.rank))
            for place, row in enumerate(coupling.modules):
                guard = 2.0 ** -(config.coupling_bits + config.expand_shifts[expand_shift[row]])
                for term in range(size):
                    narrowed = 2.0 ** -config.project_shifts[shift[number, term]]
                    if number in direct:
                        worth[place, term] = 0.0 if place == term else -guard * narrowed / self.dt
                    else:
                        values, mix_shift = mix[number, place]
                        narrowed *= 2.0 ** -config.project_shifts[mix_shift]
                        worth[place, term] = (
                            -guard * narrowed / self.dt * values[term][: coupling.rank]
                        )
            factors = tuple(integers[number, place][:, : coupling.rank] for place in range(size))
            couplings.append(Coupling(coupling.modules, factors, worth))
        realised = replace(energy, couplings=tuple(couplings))
        smallest = float(realised.eigenvalues()[0])
        if smallest <= 0 and not energy.j4:
            raise ProgramError(
                f"quantized to {self.config.factor_width} bits M is no longer positive definite: its "
                f"smallest eigenvalue is {smallest:.4g}"
            )
        return realised

    def _report_couplings(self, index: int, energy: Energy, realised: Energy) -> None:
        for wanted, made in zip(energy.couplings, realised.couplings, strict=True):
            last = len(wanted.modules) - 1
            block, made_block = wanted.block(0, last), made.block(0, last)
            peak = np.unravel_index(np.abs(block).argmax(), block.shape)
            self.ranges.append(
                FieldRange(
                    f"coupling {'-'.join(wanted.modules)}"
                    + (f" of energy {index}" if index else ""),
                    float(min(f.min() for f in wanted.factors)),
                    float(max(f.max() for f in wanted.factors)),
                    self.config.factor_width,
                    float(max(np.abs(f).max() for f in wanted.factors)) / self.factor_top,
                    requested=float(block[peak]),
                    realised=float(made_block[peak]),
                )
            )

    # ---- descriptors -----------------------------------------------------------------------------

    def _descriptors(self, levels: list[tuple[Level, list[Pass]]], bank_offset: int) -> np.ndarray:
        """(count, 8) words: the levels, then their passes; levels of the same passes share them."""
        words: list[list[int]] = []
        stored: dict[tuple, int] = {}
        passes: list[Pass] = []
        for level, steps in levels:
            try:
                placed = tuple(
                    place_waits(
                        self.config, steps, bank_offset=bank_offset, repeated=level.steps > 1
                    )
                )
                first = stored.setdefault(placed, len(levels) + len(passes))
                if first == len(levels) + len(passes):
                    passes += placed
                words.append(replace(level, first=first, passes=len(steps)).pack())
            except ValueError as error:
                raise ProgramError(f"the schedule cannot be encoded: {error}") from None
        words += [step.pack() for step in passes]
        if len(words) > self.config.descriptor_depth:
            raise ProgramError(
                f"the program needs descriptor_depth >= {len(words)}, but fabric {self.config.name!r} "
                f"has {self.config.descriptor_depth}"
            )
        return np.array(words, np.uint16)
