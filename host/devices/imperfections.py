# SPDX-License-Identifier: Apache-2.0
"""What is not ideal about a physical substrate: couplings, converters and noise.

The studies draw these imperfections at random, many times over. A :class:`Chip` has those of one
device, which a file describes and a seed fixes, so that the same chip can be returned to.
"""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ornstein.host.devices.device import DeviceError

TIMES = 4.0 ** np.arange(9)
"""Correlation times, in steps, of the processes whose sum is 1/f noise. The density follows 1/f
down to a frequency of 1 / (2 pi 65,536)."""
AGE = 1000.0
"""Inputs in which connections age by their ``drift``."""


# ---- connections ---------------------------------------------------------------------------------


def mismatched(factor: np.ndarray, variation: float, normal: np.ndarray) -> np.ndarray:
    """Returns a factor whose every connection is multiplied by 1 + ``variation`` x its normal
    number; all arrays have one shape.
    """
    return factor * (1 + variation * normal)


def lost(
    factor: np.ndarray, fraction: float, uniform: np.ndarray, sign: np.ndarray | None = None
) -> np.ndarray:
    """Returns a factor (units, rank) that has lost the connections whose uniform number in [0, 1)
    is below ``fraction``.

    A lost connection is dead, which is zero. With a ``sign`` of -1 or 1 it is stuck instead, at the
    largest magnitude of its column.
    """
    value = 0.0 if sign is None else np.abs(factor).max(axis=0) * sign
    return np.where(uniform < fraction, value, factor)


@dataclass(frozen=True)
class Connections:
    """How the couplings of a chip differ from the programmed ones.

    Attributes
    ----------
    mismatch : rms of the relative error of a connection
    dead, stuck : share of the connections that are lost, see :func:`lost`
    drift : rms of the relative change of a connection while the chip answers `AGE` inputs; every
        connection drifts at its own constant rate
    """

    mismatch: float = 0.0
    dead: float = 0.0
    stuck: float = 0.0
    drift: float = 0.0


# ---- converters ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Converter:
    """Static errors of a converter for each unit. The errors act first; then the value is rounded
    to the nearest of 2^bits levels and saturates.

    Attributes
    ----------
    gains : (units,) factors
    offsets : (units,), in units of the range
    bits : None does not round
    """

    gains: np.ndarray
    offsets: np.ndarray
    bits: int | None = None

    @classmethod
    def drawn(
        cls,
        rng: np.random.Generator,
        units: int,
        *,
        bits: int | None = None,
        offset: float = 0.0,
        gain: float = 0.0,
    ) -> "Converter":
        """Draws normal errors; ``offset`` and ``gain`` are their standard deviations."""
        gains = 1 + gain * rng.standard_normal(units)
        return cls(gains, offset * rng.standard_normal(units), bits)

    def __call__(
        self, values: np.ndarray, scale: np.ndarray, units: slice = slice(None)
    ) -> np.ndarray:
        """Returns converted values (..., units).

        Parameters
        ----------
        scale : range of each converter, like the last axis of the values; 0 is a unit without one
        units : which converters, among all
        """
        value = values * self.gains[units] + self.offsets[units] * scale
        if self.bits is None:
            return np.clip(value, -scale, scale)
        half = 1 << self.bits - 1
        step = scale / half
        codes = np.rint(np.divide(value, step, out=np.zeros_like(value), where=step > 0))
        return np.clip(codes, -half, half - 1) * step


@dataclass(frozen=True)
class ConverterErrors:
    """Errors of the converters of a chip.

    Attributes
    ----------
    bits : None does not round
    offset, gain : standard deviations over the units, the offset's as a share of the range
    noise : standard deviation of what each conversion adds, as a share of the range
    ranges : largest magnitude that the converters of a module hold, by the module's name; by
        default that of the program's number format
    """

    bits: int | None = None
    offset: float = 0.0
    gain: float = 0.0
    noise: float = 0.0
    ranges: dict[str, float] = field(default_factory=dict)


# ---- noise ---------------------------------------------------------------------------------------


@dataclass
class ImperfectNoise:
    """Random numbers that replace the independent normal ones of a generator.

    Attributes
    ----------
    temperatures : (units,) variance of each unit, 1 on average over the units
    correlation : of the white parts of any two units
    corner : frequency, in cycles a step, below which 1/f noise is stronger than white noise; it is
        added to the white noise. 0 for none
    """

    rng: np.random.Generator
    temperatures: np.ndarray
    correlation: float = 0.0
    corner: float = 0.0
    _slow: np.ndarray | None = None

    def standard_normal(self, shape: tuple[int, ...], /) -> np.ndarray:
        """Returns the numbers (..., units) of the next step.

        Rows are independent histories, which start in the stationary state.
        """
        white = np.sqrt(1 - self.correlation) * self.rng.standard_normal(shape)
        if self.correlation:
            common = self.rng.standard_normal((*shape[:-1], 1))
            white += np.sqrt(self.correlation) * common
        if self.corner:
            white += self._flicker(shape)
        return white * np.sqrt(self.temperatures)

    def _flicker(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns 1/f noise: a sum of equally strong first-order processes of different times."""
        drawn = self.rng.standard_normal((len(TIMES), *shape))
        keep = np.exp(-1 / TIMES).reshape((-1, *[1] * len(shape)))
        self._slow = (
            drawn if self._slow is None else keep * self._slow + np.sqrt(1 - keep**2) * drawn
        )
        return np.sqrt(flicker_variance(self.corner)) * self._slow.sum(axis=0)


def flicker_variance(corner: float) -> float:
    """Returns the variance of each process for a sum of density ``corner`` / f.

    White noise has a density of 1. Processes of variance v whose times differ by factors of r have
    a density of v / (2 f ln r) between the frequencies of the slowest and the fastest.
    """
    return 2 * corner * float(np.log(TIMES[1] / TIMES[0]))


def unequal_temperatures(rng: np.random.Generator, units: int, spread: float) -> np.ndarray:
    """Returns temperatures (units,) of mean 1, whose logarithms have the rms ``spread``."""
    drawn = np.exp(spread * rng.standard_normal(units))
    return drawn / drawn.mean()


@dataclass(frozen=True)
class NoiseErrors:
    """How the noise of a chip differs from white noise of one temperature.

    Attributes
    ----------
    spread : rms of ln kT over the units
    correlation : between any two units, 0 to 1
    corner : of 1/f noise, in cycles a step
    """

    spread: float = 0.0
    correlation: float = 0.0
    corner: float = 0.0


# ---- a chip --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chip:
    """The imperfections of one device.

    Attributes
    ----------
    seed : of everything that is drawn at random
    age : inputs that it has answered before
    """

    seed: int = 0
    age: float = 0.0
    connections: Connections = field(default_factory=Connections)
    bias_converter: ConverterErrors = field(default_factory=ConverterErrors)
    read_converter: ConverterErrors = field(default_factory=ConverterErrors)
    noise: NoiseErrors = field(default_factory=NoiseErrors)

    @classmethod
    def read(cls, path: str | Path) -> "Chip":
        """Reads a TOML file of :class:`Chip`'s fields. Raises DeviceError, which names the field,
        if the file cannot be read, a field is unknown, or a value is out of range.
        """
        try:
            document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DeviceError(f"no imperfections can be read from {path}: {error}") from None
        return cls(**_read(cls, document, str(path), ""))

    def rng(self, *purpose: int) -> np.random.Generator:
        """Returns the generator of one purpose, which no other purpose disturbs."""
        return np.random.default_rng([self.seed, *purpose])


_LIMITS = {
    "bits": (1, 24),
    "seed": (0, 2**63),
    "dead": (0, 1),
    "stuck": (0, 1),
    "correlation": (0, 1),
}
"""Lowest and highest value of the fields that have other limits than 0 and infinity."""


def _read(kind: type, document: dict, path: str, prefix: str) -> dict[str, Any]:
    """Returns the fields of a dataclass that a table of a TOML file gives."""
    known = {row.name: row for row in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name not in known:
            raise DeviceError(
                f"{path} has an unknown field {prefix}{name}; there are {', '.join(known)}"
            )
        default = getattr(kind(), name)
        if not isinstance(default, int | float | None):
            if not isinstance(value, dict):
                raise DeviceError(f"{path}: {name} must be a table [{name}], not {value!r}")
            if isinstance(default, dict):
                values[name] = _read_ranges(value, path, f"{prefix}{name}.")
            else:
                values[name] = type(default)(**_read(type(default), value, path, f"{name}."))
            continue
        low, high = _LIMITS.get(name, (0, np.inf))
        numbers = int if name in ("bits", "seed") else int | float
        if (
            not isinstance(value, numbers)
            or isinstance(value, bool)
            or not (np.isfinite(value) and low <= value <= high)
        ):
            noun = "a whole number" if numbers is int else "a number"
            raise DeviceError(
                f"{path}: {prefix}{name} must be {noun} from {low} to {high}, not {value!r}"
            )
        values[name] = value
    return values


def _read_ranges(document: dict, path: str, prefix: str) -> dict[str, float]:
    """Returns the ranges of modules, each a positive number."""
    for name, value in document.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < np.inf:
            raise DeviceError(f"{path}: {prefix}{name} must be a number above 0, not {value!r}")
    return {name: float(value) for name, value in document.items()}
