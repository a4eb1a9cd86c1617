# SPDX-License-Identifier: Apache-2.0
"""Any device as an imperfect chip. The program does not see it: it is loaded as it is, and the chip
makes of its couplings, its biases and its read-outs what its imperfections make of them.

Couplings are changed where the device holds them: the stored factors become those that the chip
realises, rounded to the factor bits. A connection is that of one unit to one mode of a coupling.
Its errors stay when other factors are written to it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ornstein.host.compile.coupling_memory import (
    connections,
    sums_fit,
    with_coupling_factors,
    with_factors,
)
from ornstein.host.compile.factors import factor_top
from ornstein.host.compile.program import INPUT_LIMIT, EncodedInputs, Program, ProgramError
from ornstein.host.compile.relaxing import Side
from ornstein.host.devices.device import Device, DeviceError, Outputs, Selection, open_device
from ornstein.host.devices.float import FloatDevice
from ornstein.host.devices.imperfections import (
    AGE,
    Chip,
    Converter,
    ConverterErrors,
    ImperfectNoise,
    NoiseErrors,
    lost,
    mismatched,
    unequal_temperatures,
)
from ornstein.host.physics.problem import BIAS

(
    _GAINS,
    _DEAD,
    _STUCK,
    _DRIFT,
    _BIASES,
    _READS,
    _TEMPERATURES,
    _BIAS_NOISE,
    _MEAN_NOISE,
    _SAMPLE_NOISE,
) = range(10)
"""Purposes of a chip's random numbers."""


def open_imperfect(ideal: str, chip: Chip, uri: str | None = None) -> Device:
    """Opens the device of the URI ``ideal`` as a chip with imperfections.

    ``uri`` is the name of the chip. Raises what :func:`ornstein.host.devices.device.open_device`
    raises, and DeviceError if the chip's noise is not ideal and the device's noise cannot change.
    """
    if chip.noise == NoiseErrors():
        return ImperfectDevice(open_device(ideal), chip, uri or ideal)
    if ideal != "float":
        raise DeviceError(
            f"the noise of device {ideal!r} is white and of one temperature by construction; leave "
            "out the imperfections' table [noise], or use the device float"
        )

    def source(rng: np.random.Generator, units: int) -> ImperfectNoise:
        temperatures = unequal_temperatures(chip.rng(_TEMPERATURES), units, chip.noise.spread)
        return ImperfectNoise(rng, temperatures, chip.noise.correlation, chip.noise.corner)

    return ImperfectDevice(FloatDevice(ideal, source=_SizedNoise.maker(source)), chip, uri or ideal)


class _SizedNoise:
    """Noise whose number of units is known at the first step only."""

    def __init__(
        self, rng: np.random.Generator, source: Callable[[np.random.Generator, int], ImperfectNoise]
    ):
        self._rng, self._source = rng, source
        self._noise: ImperfectNoise | None = None

    @classmethod
    def maker(
        cls, source: Callable[[np.random.Generator, int], ImperfectNoise]
    ) -> Callable[[np.random.Generator], "_SizedNoise"]:
        return lambda rng: cls(rng, source)

    def standard_normal(self, shape: tuple[int, ...], /) -> np.ndarray:
        """Returns the numbers (..., units) of the next step."""
        if self._noise is None:
            self._noise = self._source(self._rng, shape[-1])
        return self._noise.standard_normal(shape)


class ImperfectDevice(Device):
    """See :class:`ornstein.host.devices.device.Device`. ``sums`` and ``squares`` are None where the
    read-out is converted.

    Parameters
    ----------
    inner : the device that runs the programs; it is closed with this one
    chip : its imperfections
    uri : the name of this device

    Attributes
    ----------
    answered : inputs that were run since the device was opened, by which its connections drift
    """

    def __init__(self, inner: Device, chip: Chip, uri: str):
        super().__init__()
        self.uri, self.config = uri, inner.config
        self.inner, self.chip = inner, chip
        self.warm_start, self.answered = inner.warm_start, 0
        self.upsets = inner.upsets  # one count for both

    def close(self) -> None:
        super().close()
        self.inner.close()

    def _load(self, program: Program) -> None:
        self._check_entry(program)
        self.inner.load(self._realised(program))
        units = program.problem.energies[0].units
        self._biases = self._converter(self.chip.bias_converter, _BIASES, units)
        self._reads = self._converter(self.chip.read_converter, _READS, units)

    def _update(self, program: Program, changed: np.ndarray) -> None:
        self.inner.update(self._realised(program))

    def verify(self) -> int:
        self._loaded()
        return self.inner.verify()

    def _check_entry(self, program: Program) -> None:
        """Raises ProgramError if biases are to be converted that the device makes itself, or if a
        converter belongs to a module that the program has not.
        """
        problem = program.problem
        modules = problem.energies[0].slices
        for errors in (self.chip.bias_converter, self.chip.read_converter):
            if unknown := [name for name in errors.ranges if name not in modules]:
                raise ProgramError(
                    f"program {program.name!r} has no module {unknown[0]!r}, for which the "
                    f"imperfections of {self.uri!r} have a converter; it has {', '.join(modules)}"
                )
        if self.chip.bias_converter != ConverterErrors() and problem.entry != BIAS:
            raise ProgramError(
                f"program {program.name!r} has the entry {problem.entry!r}, but the imperfections "
                f"of {self.uri!r} convert biases, which only the entry {BIAS!r} has; leave out the "
                "table [bias_converter]"
            )

    def _converter(self, errors: ConverterErrors, purpose: int, units: int) -> Converter | None:
        if errors == ConverterErrors():
            return None
        return Converter.drawn(
            self.chip.rng(purpose), units, bits=errors.bits, offset=errors.offset, gain=errors.gain
        )

    # ---- couplings -------------------------------------------------------------------------------

    def _realised(self, program: Program) -> Program:
        """Returns the program as the chip realises its couplings."""
        energies = list(program.problem.energies)
        realised = program
        for index, places in connections(program):
            image = program.factor.ravel()
            top = factor_top(program.config)
            integers = {
                side: np.clip(np.rint(self._of_chip(image[place], side)), -top, top)
                for side, place in places.items()
            }
            if places and not sums_fit(program, index, integers):
                raise DeviceError(
                    f"the couplings of chip {self.uri!r} could overflow the "
                    f"{program.config.accumulator_width}-bit accumulators; lower the shares of "
                    "stuck connections and the mismatch, or choose a fabric with wider ones"
                )
            realised = with_factors(realised, index, places, integers)
            energy = energies[index]
            energies[index] = with_coupling_factors(
                energy,
                {
                    side: self._of_chip(energy.couplings[side[0]].factors[side[1]], side)
                    for side in places
                },
            )
        problem = replace(realised.problem, energies=tuple(energies))
        if self.chip.bias_converter != ConverterErrors():
            problem = replace(problem, drive=None)  # what is given to the inner device are biases
        return replace(realised, problem=problem)

    def _of_chip(self, factor: np.ndarray, side: Side) -> np.ndarray:
        """Returns the factor (units, rank) of a side as its connections realise it."""
        errors = self.chip.connections
        age = (self.chip.age + self.answered) / AGE
        shape = factor.shape
        drift = errors.drift * age * self._drawn(_DRIFT, side, shape)
        value = mismatched(factor, errors.mismatch, self._drawn(_GAINS, side, shape))
        value = value + factor * drift
        value = lost(value, errors.dead, self._drawn(_DEAD, side, shape, normal=False))
        uniform = self._drawn(_STUCK, side, shape, normal=False)
        # the same number decides on the sign, by its last digits
        sign = np.where(np.floor(uniform * 2**40) % 2, 1.0, -1.0)
        return lost(value, errors.stuck, uniform, sign) if errors.stuck else value

    def _drawn(
        self, purpose: int, side: Side, shape: tuple[int, ...], *, normal: bool = True
    ) -> np.ndarray:
        """Returns the random numbers (units, rank) of a side's connections. They depend on the unit
        and the mode alone, whatever the rank and the place in the memory.
        """
        rng = self.chip.rng(purpose, *side)
        return (rng.standard_normal(shape[::-1]) if normal else rng.random(shape[::-1])).T

    # ---- runs ------------------------------------------------------------------------------------

    def _run_blocks(
        self,
        program: Program,
        blocks: Iterator[EncodedInputs],
        seed: int,
        warm: bool,
        selection: Selection,
    ) -> Iterator[Outputs]:
        if self.chip.connections.drift:
            self.inner.update(self._realised(program))
        # One generator for each kind of conversion: outputs then depend neither on how inputs are
        # divided into blocks nor on what is read.
        of_biases, of_means, of_samples = (
            self.chip.rng(purpose, seed) for purpose in (_BIAS_NOISE, _MEAN_NOISE, _SAMPLE_NOISE)
        )
        given = (self._converted_biases(program, block.values, of_biases) for block in blocks)
        for outputs in self.inner.stream(given, seed=seed, warm=warm, selection=selection):
            self.answered += len(outputs.mean)
            self.reloads = self.inner.reloads
            if self._reads is not None:
                outputs = replace(
                    outputs,
                    mean=self._read(program, self._reads, outputs.mean, selection, of_means),
                    samples=self._read(
                        program, self._reads, outputs.samples, selection, of_samples
                    ),
                    sums=None,
                    squares=None,
                )
            yield outputs

    def _converted_biases(
        self, program: Program, values: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Returns what the inner device is given: the biases (n, bias_sets * units) behind their
        converters, or the inputs where there are none.
        """
        if self._biases is None:
            return values
        biases = program.problem.biases(values)
        formats = (INPUT_LIMIT * program.input_lsb).reshape(biases.shape[1:])
        ranges = self._ranges(program, self.chip.bias_converter, formats)
        noise = self.chip.bias_converter.noise * rng.standard_normal(biases.shape)
        return self._biases(biases + noise * ranges, ranges).reshape(len(biases), ranges.size)

    def _read(
        self,
        program: Program,
        converter: Converter,
        values: np.ndarray,
        selection: Selection,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Returns values (..., selected units) as their converters read them."""
        units = selection.units(program)
        count = program.problem.energies[0].units
        formats = np.full(count, INPUT_LIMIT * program.state_lsb)
        ranges = self._ranges(program, self.chip.read_converter, formats)[units]
        drawn = rng.standard_normal((*values.shape[:-1], count))[..., units]
        noisy = values + self.chip.read_converter.noise * ranges * drawn
        return converter(noisy, ranges, units)

    @staticmethod
    def _ranges(program: Program, errors: ConverterErrors, formats: np.ndarray) -> np.ndarray:
        """Returns the ranges (..., units) of converters: the chip's where it has some, otherwise
        those of the number formats.
        """
        slices, ranges = program.problem.energies[0].slices, formats.copy()
        for name, reach in errors.ranges.items():
            ranges[..., slices[name]] = reach
        return ranges
