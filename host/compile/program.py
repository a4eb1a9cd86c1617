# SPDX-License-Identifier: Apache-2.0
"""The compiled program: integer images, their layout and formats, and the float program they came
from; one file.

The file is safetensors: arrays ``image.*`` (integers, as the memories hold them) and ``problem.*``
(float64), and one JSON document in the metadata under ``ornstein``. Anything that reads safetensors
can read it.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ornstein.hdl.config import STATE_WIDTH, ConfigError, FabricConfig
from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.host.physics.interface import Interface, Layer, Readout
from ornstein.host.physics.problem import BIAS, INTERFACE, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

FORMAT_VERSION = 1
INPUT_LIMIT = (1 << STATE_WIDTH - 1) - 1


class ProgramError(ValueError):
    """A program that cannot be built, read, or run on this fabric; one line that names the field
    and the remedy.
    """


class InputError(ValueError):
    """Inputs that a program cannot take: wrong shape, not finite, or out of its range. Nothing has
    been written.
    """


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

    ``low`` and ``high`` bound the expected values, ``lsb`` is the value of one step, ``clipped``
    the fraction of calibration values beyond the format. ``requested`` and ``realised`` are set
    where a quantity is quantized.
    """

    name: str
    low: float
    high: float
    bits: int
    lsb: float
    clipped: float = 0.0
    requested: float | None = None
    realised: float | None = None


@dataclass(frozen=True)
class Layout:
    """Where a program's parts are. Words of the memories; descriptors by index.

    ``chains`` inputs are relaxed at once by one job. A chain's input has ``input_words`` words from
    ``input_word + chain * input_words``, in the second bank ``bank_offset`` further.
    ``module_words`` and ``input_sizes`` say how units and input numbers fill words: each entry is
    (first word, length), and every one starts a new word. ``load_level`` is the level that sets the
    initial state; a warm start begins one later.
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
    input_lsb : (input_size,) value of one step of each input number, after centring and scaling
    dt : the realised time step
    realised : the energies as the quantized factors make them
    ranges : the range report
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

    @property
    def matrices(self) -> np.ndarray:
        """(energies, units, units), M as the quantized factors realise it."""
        return np.stack([energy.matrix() for energy in self.realised])

    def encode(self, inputs: ArrayLike) -> EncodedInputs:
        """Checks inputs (n, input_size) and quantises them to drive words.

        Inputs of the entry ``bias`` may also have the shape (n, bias_sets, units).

        Raises
        ------
        InputError
            The shape is wrong, or a value is not finite or out of range. The message names the
            first such value and the limit.
        """
        values = self._checked_values(inputs)
        if self.problem.entry == INTERFACE:
            scaled = (values - self.problem.interface.centre) / self.problem.interface.scale
        else:
            scaled = values
        steps = np.rint(scaled / self.input_lsb)
        if (np.abs(steps) > INPUT_LIMIT).any():
            row, column = np.argwhere(np.abs(steps) > INPUT_LIMIT)[0]
            low, high = self._limits(column)
            raise InputError(
                f"input {row} is {values[row, column]:.6g} at position {column}; program "
                f"{self.name!r} takes {low:.6g} to {high:.6g} there"
            )
        lanes = self.config.unit_lanes
        words = np.zeros((len(values), self.layout.input_words * lanes), np.int16)
        column = 0
        for first, length in self.layout.input_parts:
            start = first * lanes
            words[:, start : start + length] = steps[:, column : column + length]
            column += length
        return EncodedInputs(values, words.reshape(len(values), self.layout.input_words, lanes))

    def _checked_values(self, inputs: ArrayLike) -> np.ndarray:
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
        values = given.astype(float)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise InputError(f"input {row} is not finite at position {column}")
        return values

    def _limits(self, column: int) -> tuple[float, float]:
        """Returns the lowest and the highest value that an input may have at that position."""
        reach = INPUT_LIMIT * self.input_lsb[column]
        if self.problem.entry != INTERFACE:
            return -reach, reach
        centre, scale = self.problem.interface.centre[column], self.problem.interface.scale[column]
        return centre - reach * scale, centre + reach * scale

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

    def _rank_words(self) -> int:
        return max(
            (
                step.dest + step.outer
                for _, passes in self.schedule()
                for step in passes
                if step.operation != Operation.EXPAND
            ),
            default=0,
        )

    def save(self, path: str | Path) -> None:
        """Write the program file. Raises FileNotFoundError naming the folder if it is missing."""
        folder = Path(path).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"{path} cannot be written: there is no folder {folder}")
        arrays = {
            f"image.{name}": np.ascontiguousarray(getattr(self, name))
            for name in ("factor", "constants", "descriptors", "activation", "input_lsb")
        }
        document = {
            "version": FORMAT_VERSION,
            "name": self.name,
            "config": asdict(self.config),
            "layout": asdict(self.layout),
            "state_lsb": self.state_lsb,
            "dt": self.dt,
            "ranges": [asdict(row) for row in self.ranges],
            "problem": _problem_document(self.problem, arrays),
            "realised": [
                _energy_document(energy, f"realised{index}", arrays)
                for index, energy in enumerate(self.realised)
            ],
        }
        save_file(arrays, str(path), metadata={"ornstein": json.dumps(document)})

    @classmethod
    def load(cls, path: str | Path) -> "Program":
        """Read a program file. Raises ProgramError if it is missing, truncated or
        something else.
        """
        try:
            with safe_open(str(path), "numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        except (OSError, SafetensorError) as error:
            raise ProgramError(f"{path} cannot be read as a program file: {error}") from None
        if "ornstein" not in metadata:
            raise ProgramError(
                f"{path} is a safetensors file, but not a program; make one with: ornstein compile"
            )
        try:
            document = json.loads(metadata["ornstein"])
            if document["version"] != FORMAT_VERSION:
                raise ProgramError(
                    f"{path} has program format {document['version']}; this version reads "
                    f"{FORMAT_VERSION}; compile it again"
                )
            config = FabricConfig(
                **{
                    name: tuple(value) if isinstance(value, list) else value
                    for name, value in document["config"].items()
                }
            )
            layout = {
                name: tuple(map(tuple, value)) if isinstance(value, list) else value
                for name, value in document["layout"].items()
            }
            return cls(
                name=document["name"],
                config=config,
                problem=_read_problem(document["problem"], arrays),
                layout=Layout(**layout),
                state_lsb=document["state_lsb"],
                dt=document["dt"],
                ranges=tuple(FieldRange(**row) for row in document["ranges"]),
                realised=tuple(_read_energy(energy, arrays) for energy in document["realised"]),
                **{
                    name: arrays[f"image.{name}"]
                    for name in ("factor", "constants", "descriptors", "activation", "input_lsb")
                },
            )
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError, ConfigError) as error:
            raise ProgramError(
                f"{path} is a damaged program file ({type(error).__name__}: {error}); "
                "compile it again"
            ) from None


_PLAIN = [
    f.name
    for f in fields(Problem)
    if f.name in ("name", "dt", "integrator", "rounding", "entry", "bias_sets", "target")
]


def _keep(name: str, array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    """Put the array among the file's and return the name it has there."""
    arrays[name] = np.ascontiguousarray(array, float)
    return name


def _energy_document(energy: Energy, prefix: str, arrays: dict[str, np.ndarray]) -> dict:
    return {
        "j2": energy.j2,
        "j4": energy.j4,
        "modules": [[module.name, module.units] for module in energy.modules],
        "couplings": [
            {
                "modules": coupling.modules,
                "mix": _keep(f"{prefix}.coupling{c}.mix", coupling.mix, arrays),
                "factors": [
                    _keep(f"{prefix}.coupling{c}.factor{i}", f, arrays)
                    for i, f in enumerate(coupling.factors)
                ],
            }
            for c, coupling in enumerate(energy.couplings)
        ],
    }


def _read_energy(document: dict, arrays: dict[str, np.ndarray]) -> Energy:
    couplings = tuple(
        Coupling(
            tuple(c["modules"]), tuple(arrays[name] for name in c["factors"]), arrays[c["mix"]]
        )
        for c in document["couplings"]
    )
    return Energy(
        tuple(Module(*module) for module in document["modules"]),
        couplings,
        document["j2"],
        document["j4"],
    )


def _problem_document(problem: Problem, arrays: dict[str, np.ndarray]) -> dict:
    """The problem as JSON; its arrays go into ``arrays`` and are named in their place."""

    def keep(name: str, array: np.ndarray) -> str:
        return _keep(f"problem.{name}", array, arrays)

    document = {name: getattr(problem, name) for name in _PLAIN}
    document["stages"] = [asdict(stage) for stage in problem.stages]
    document["energies"] = [
        _energy_document(energy, f"problem.energy{index}", arrays)
        for index, energy in enumerate(problem.energies)
    ]
    if problem.interface is not None:
        interface = problem.interface
        document["interface"] = {
            "centre": keep("interface.centre", interface.centre),
            "scale": keep("interface.scale", interface.scale),
            "offset": {
                name: keep(f"interface.offset.{name}", value)
                for name, value in interface.offset.items()
            },
            "layers": [
                {
                    "source": layer.source,
                    "activation": layer.activation,
                    "target": layer.target,
                    "project": keep(f"interface.layer{i}.project", layer.project),
                    "expand": keep(f"interface.layer{i}.expand", layer.expand),
                }
                for i, layer in enumerate(interface.layers)
            ],
        }
    if problem.offset is not None:
        document["offset"] = keep("offset", problem.offset)
    if problem.readout is not None:
        document["readout"] = [
            keep("readout.scale", problem.readout.scale),
            keep("readout.offset", problem.readout.offset),
        ]
    return document


def _read_problem(document: dict, arrays: dict[str, np.ndarray]) -> Problem:
    energies = tuple(_read_energy(energy, arrays) for energy in document["energies"])
    interface = None
    if "interface" in document:
        body = document["interface"]
        interface = Interface(
            arrays[body["centre"]],
            arrays[body["scale"]],
            tuple(
                Layer(
                    layer["source"],
                    arrays[layer["project"]],
                    layer["activation"],
                    arrays[layer["expand"]],
                    layer["target"],
                )
                for layer in body["layers"]
            ),
            {name: arrays[value] for name, value in body["offset"].items()},
        )
    return Problem(
        energies=energies,
        stages=tuple(Stage(**stage) for stage in document["stages"]),
        interface=interface,
        offset=arrays[document["offset"]] if "offset" in document else None,
        readout=Readout(*(arrays[name] for name in document["readout"]))
        if "readout" in document
        else None,
        **{name: document[name] for name in _PLAIN},
    )
