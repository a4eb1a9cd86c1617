# SPDX-License-Identifier: Apache-2.0
"""Program files: a compiled program saved to one file and loaded from it.

The file is safetensors: arrays ``image.*`` (integers, as the memories hold them) and ``problem.*``
(float64), and one JSON document in the metadata under ``ornstein``. Anything that reads safetensors
can read it. The metadata also hold a checksum over the document and all arrays, so that a damaged
file is refused. What a file says is checked before a device sees it, whoever wrote it
(:func:`ornstein.host.compile.consistency.check_program`).
"""

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ornstein.hdl.config import LATE_OPTIONS, ConfigError, FabricConfig
from ornstein.host.compile.consistency import check_program
from ornstein.host.compile.program import (
    AccuracyCheck,
    FieldRange,
    Layout,
    Program,
    ProgramError,
    job_issues,
)
from ornstein.host.files.replace import replacing
from ornstein.host.physics.interface import Interface, Layer, Readout
from ornstein.host.physics.problem import Drive, Problem, ProblemError
from ornstein.sim.energy import Coupling, Energy, EnergyError, Module
from ornstein.sim.stages import Stage

FORMAT_VERSION = 4
LONGEST_JOB = 100_000_000
"""Cycles in which a job of a file may multiply unless it is loaded as a long one: two seconds at 48
MHz, and some minutes in a simulation.
"""
LARGEST_FILE = 1 << 28
"""Bytes of the largest program file that is read."""
_IMAGES = "factor", "constants", "descriptors", "activation", "input_lsb"
"""Fields of a program that are stored as arrays."""
_IMAGE_TYPES = np.int16, np.int16, np.uint16, np.int16, np.float64
_PLAIN_FIELDS = {
    "name": str,
    "dt": float,
    "integrator": str,
    "rounding": str,
    "entry": str,
    "bias_sets": int,
    "target": str | None,
}
"""Fields of a problem that JSON stores as they are, and their types."""


_LARGEST_NUMBER = 1e300


class _DamageError(ValueError):
    """What makes a document unusable."""


_LATE_FIELDS = ("halvings",)
"""Fields of a stage that came after the format of the file, 0 where they lack."""


def save_program(program: Program, path: str | Path) -> None:
    """Write the program file, whole or not at all. Raises OSError if it cannot be written, and
    FileNotFoundError naming the folder if that is missing.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {folder}")
    arrays = {f"image.{name}": np.ascontiguousarray(getattr(program, name)) for name in _IMAGES}
    document = {
        "version": FORMAT_VERSION,
        "name": program.name,
        "config": _config_document(program.config),
        "layout": asdict(program.layout),
        "state_lsb": program.state_lsb,
        "dt": program.dt,
        "ranges": [asdict(row) for row in program.ranges],
        "checks": [asdict(check) for check in program.checks],
        "problem": _problem_document(program.problem, arrays),
        "realised": [
            _energy_document(energy, f"realised{index}", arrays)
            for index, energy in enumerate(program.realised)
        ],
    }
    text = json.dumps(document, allow_nan=False)
    metadata = {"ornstein": text, "checksum": checksum(text, arrays)}
    with replacing(path) as file:
        file.write(save(arrays, metadata=metadata))


def load_program(path: str | Path, *, long: bool = False) -> Program:
    """Read a program file.

    Parameters
    ----------
    long : accept a program whose jobs take more than :data:`LONGEST_JOB` cycles

    Raises
    ------
    ProgramError
        The file is missing, damaged or something else, or its parts contradict each other; one
        line.
    """
    metadata, arrays = _read_file(path)
    if "ornstein" not in metadata:
        raise ProgramError(
            f"{path} is a safetensors file, but not a program; make one with: ornstein compile"
        )
    try:
        text = metadata["ornstein"]
        document = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
        version = document["version"] if isinstance(document, dict) else None
        if version != FORMAT_VERSION and isinstance(version, int):
            raise ProgramError(
                f"{path} has program format {version}; this version reads {FORMAT_VERSION}; "
                "compile it again"
            )
        if metadata.get("checksum") != checksum(text, arrays):
            raise _DamageError("its checksum is not that of its content")
        program = _read_program(_typed(dict, document, "document"), arrays)
        program.problem.check()
        for energy in program.realised:
            energy.check_shapes()
        check_program(program)
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:
        if isinstance(error, ProgramError):
            raise
        reason = str(error) if isinstance(error, _STATED) else f"{type(error).__name__}: {error}"
        raise ProgramError(
            f"{path} is a damaged program file ({_one_line(reason)}); compile it again"
        ) from None
    if not long and (cycles := job_issues(program)) > LONGEST_JOB:
        raise ProgramError(
            f"a job of {path} takes {cycles:,} cycles, more than {LONGEST_JOB:,}; give --long to "
            "run it all the same"
        )
    return program


_STATED = _DamageError, ConfigError, ProblemError, EnergyError
"""Errors whose message says by itself what is wrong."""


def _one_line(text: str) -> str:
    """Returns a text of a file so that it can be shown: without line breaks, and not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= 300 else f"{line[:300]}..."


def _read_file(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Returns the metadata and the arrays of a safetensors file. Raises ProgramError."""
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise ProgramError(
                f"{path} is no program file: it has more than {LARGEST_FILE:,} bytes"
            )
        with safe_open(str(path), "numpy") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise ProgramError(
            f"{path}: there is no such file; make one with: ornstein compile --output {path}"
        ) from None
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ProgramError):
            raise
        raise ProgramError(
            f"{path} cannot be read as a program file: {_one_line(str(error))}"
        ) from None


def checksum(text: str, arrays: dict[str, np.ndarray]) -> str:
    """Returns the SHA-256 of the document and of every array with its name, type and shape."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object of JSON. Raises _DamageError if it has a key twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DamageError("a key of its document is there twice")
    return found


def _no_number(constant: str) -> None:
    raise _DamageError(f"its document holds {constant}")


# ---- values of the document ----------------------------------------------------------------------


def _typed(kind: Any, value: Any, where: str) -> Any:
    """Returns a value of the document as that type, with tuples for lists.

    ``kind`` is str, int, float, bool, dict, a dataclass, a tuple of such types, or one of them or
    None. Raises _DamageError that names the place ``where`` the value stands if it has another
    type, or is a number that is not finite.
    """
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(typing.cast(type, kind), value, where)
    if isinstance(kind, types.UnionType):
        return None if value is None else _typed(typing.get_args(kind)[0], value, where)
    if typing.get_origin(kind) is tuple:
        return _typed_tuple(typing.get_args(kind), value, where)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _DamageError(f"{where} is no {kind.__name__}")
    if isinstance(value, str) and not value.isprintable():
        raise _DamageError(f"{where} holds control characters")
    if isinstance(value, int | float) and not abs(value) < _LARGEST_NUMBER:
        raise _DamageError(f"{where} is not finite, or too large")
    return value


def _typed_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple:
    """Returns a list of the document as a tuple; ``kinds`` are the arguments of its type."""
    if not isinstance(value, list):
        raise _DamageError(f"{where} is no list")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(kinds) != len(value):
        raise _DamageError(f"{where} has {len(value)} parts instead of {len(kinds)}")
    pairs = zip(kinds, value, strict=True)
    return tuple(_typed(kind, part, f"{where}[{i}]") for i, (kind, part) in enumerate(pairs))


def _read_dataclass(kind: type, value: Any, where: str) -> Any:
    """Returns an object of the document as an instance of a dataclass with the same fields."""
    fields = typing.get_type_hints(kind)
    given = _typed(dict, value, where)
    if given.keys() != fields.keys():
        odd = sorted(given.keys() ^ fields.keys())[0]
        raise _DamageError(f"{where} lacks {odd}" if odd in fields else f"{where} has no {odd}")
    return kind(
        **{name: _typed(fields[name], part, f"{where}.{name}") for name, part in given.items()}
    )


def _list(document: dict, name: str) -> list:
    """Returns a list of the document by its name."""
    if not isinstance(document.get(name), list):
        raise _DamageError(f"{name} is no list")
    return document[name]


def _array(
    arrays: dict[str, np.ndarray], name: Any, dtype: type = np.float64, *, dimensions: int = 1
) -> np.ndarray:
    """Returns an array of the file. Raises _DamageError if it is not there or of another kind, or
    if it is not finite.
    """
    array = arrays.get(_typed(str, name, "the name of an array"))
    if array is None:
        raise _DamageError(f"there is no array {name}")
    if array.dtype != dtype or array.ndim != dimensions:
        raise _DamageError(
            f"{name} is {array.dtype} of {array.ndim} dimensions, not {np.dtype(dtype)} of "
            f"{dimensions}"
        )
    if not np.isfinite(array).all():
        raise _DamageError(f"{name} is not finite")
    return array


def _config_document(config: FabricConfig) -> dict:
    """The configuration as JSON. Late options are only there where they are set, so that files from
    before there were these fields can be read, and others are as they were.
    """
    document = asdict(config)
    return {name: value for name, value in document.items() if value or name not in LATE_OPTIONS}


def _read_program(document: dict, arrays: dict[str, np.ndarray]) -> Program:
    images = {
        name: _array(arrays, f"image.{name}", dtype, dimensions=1 if name == "input_lsb" else 2)
        for name, dtype in zip(_IMAGES, _IMAGE_TYPES, strict=True)
    }
    return Program(
        name=_typed(str, document["name"], "name"),
        config=_typed(
            FabricConfig,
            dict.fromkeys(LATE_OPTIONS, False) | _typed(dict, document["config"], "config"),
            "config",
        ),
        problem=_read_problem(_typed(dict, document["problem"], "problem"), arrays),
        layout=_typed(Layout, document["layout"], "layout"),
        state_lsb=_typed(float, document["state_lsb"], "state_lsb"),
        dt=_typed(float, document["dt"], "dt"),
        ranges=_typed(tuple[FieldRange, ...], document["ranges"], "ranges"),
        checks=_typed(tuple[AccuracyCheck, ...], document["checks"], "checks"),
        realised=tuple(_read_energy(part, arrays) for part in _list(document, "realised")),
        **images,
    )


def _keep(name: str, array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    """Put the array among those of the file and return its name there."""
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
            _typed(tuple[str, ...], part["modules"], "modules"),
            tuple(_array(arrays, name, dimensions=2) for name in _list(part, "factors")),
            _array(arrays, part["mix"], dimensions=3),
        )
        for part in _list(document, "couplings")
    )
    modules = _typed(tuple[tuple[str, int], ...], document["modules"], "modules")
    return Energy(
        tuple(Module(*module) for module in modules),
        couplings,
        _typed(float, document["j2"], "j2"),
        _typed(float, document["j4"], "j4"),
    )


def _problem_document(problem: Problem, arrays: dict[str, np.ndarray]) -> dict:
    """The problem as JSON. Its arrays go into ``arrays``; the document holds their names."""

    def keep(name: str, array: np.ndarray) -> str:
        return _keep(f"problem.{name}", array, arrays)

    document = {name: getattr(problem, name) for name in _PLAIN_FIELDS}
    document["stages"] = [
        {name: value for name, value in asdict(stage).items() if value or name not in _LATE_FIELDS}
        for stage in problem.stages
    ]
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
    if problem.drive is not None:
        document["drive"] = {
            "modules": problem.drive.modules,
            "centre": keep("drive.centre", problem.drive.centre),
            "scale": keep("drive.scale", problem.drive.scale),
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
    drive = offset = readout = None
    if "drive" in document:
        body = _typed(dict, document["drive"], "drive")
        drive = Drive(
            _typed(tuple[str, ...], body["modules"], "drive.modules"),
            _array(arrays, body["centre"]),
            _array(arrays, body["scale"]),
        )
    if "offset" in document:
        offset = _array(arrays, document["offset"])
    if "readout" in document:
        scale, shift = _list(document, "readout")
        readout = Readout(_array(arrays, scale), _array(arrays, shift))
    stages = [
        dict.fromkeys(_LATE_FIELDS, 0) | _typed(dict, stage, "stages")
        for stage in _list(document, "stages")
    ]
    return Problem(
        energies=tuple(_read_energy(energy, arrays) for energy in _list(document, "energies")),
        stages=_typed(tuple[Stage, ...], stages, "stages"),
        interface=_read_interface(document["interface"], arrays)
        if "interface" in document
        else None,
        drive=drive,
        offset=offset,
        readout=readout,
        **{name: _typed(kind, document[name], name) for name, kind in _PLAIN_FIELDS.items()},
    )


def _read_interface(document: dict, arrays: dict[str, np.ndarray]) -> Interface:
    layers = tuple(
        Layer(
            _typed(str, layer["source"], "source"),
            _array(arrays, layer["project"], dimensions=2),
            _typed(str | None, layer["activation"], "activation"),
            _array(arrays, layer["expand"], dimensions=2),
            _typed(str, layer["target"], "target"),
        )
        for layer in _list(document, "layers")
    )
    offsets = _typed(dict, document["offset"], "interface.offset")
    return Interface(
        _array(arrays, document["centre"]),
        _array(arrays, document["scale"]),
        layers,
        {name: _array(arrays, value) for name, value in offsets.items()},
    )
