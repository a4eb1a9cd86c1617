# SPDX-License-Identifier: Apache-2.0
"""Program files: a compiled program saved to one file and loaded from it.

The file is safetensors: arrays ``image.*`` (integers, as the memories hold them) and ``problem.*``
(float64), and one JSON document in the metadata under ``ornstein``. Anything that reads safetensors
can read it.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ornstein.hdl.config import ConfigError, FabricConfig
from ornstein.host.compile.program import FieldRange, Layout, Program, ProgramError
from ornstein.host.physics.interface import Interface, Layer, Readout
from ornstein.host.physics.problem import Drive, Problem
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

FORMAT_VERSION = 2
_IMAGES = "factor", "constants", "descriptors", "activation", "input_lsb"
"""Fields of a program that are stored as arrays."""
_PLAIN_FIELDS = "name", "dt", "integrator", "rounding", "entry", "bias_sets", "target"
"""Fields of a problem that JSON stores as they are."""


def save_program(program: Program, path: str | Path) -> None:
    """Write the program file. Raises FileNotFoundError naming the folder if it is missing."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {folder}")
    arrays = {f"image.{name}": np.ascontiguousarray(getattr(program, name)) for name in _IMAGES}
    document = {
        "version": FORMAT_VERSION,
        "name": program.name,
        "config": asdict(program.config),
        "layout": asdict(program.layout),
        "state_lsb": program.state_lsb,
        "dt": program.dt,
        "ranges": [asdict(row) for row in program.ranges],
        "problem": _problem_document(program.problem, arrays),
        "realised": [
            _energy_document(energy, f"realised{index}", arrays)
            for index, energy in enumerate(program.realised)
        ],
    }
    save_file(arrays, str(path), metadata={"ornstein": json.dumps(document)})


def load_program(path: str | Path) -> Program:
    """Read a program file. Raises ProgramError if it is missing, damaged or something else."""
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
        return Program(
            name=document["name"],
            config=FabricConfig(**_with_tuples(document["config"])),
            problem=_read_problem(document["problem"], arrays),
            layout=Layout(**_with_tuples(document["layout"])),
            state_lsb=document["state_lsb"],
            dt=document["dt"],
            ranges=tuple(FieldRange(**row) for row in document["ranges"]),
            realised=tuple(_read_energy(energy, arrays) for energy in document["realised"]),
            **{name: arrays[f"image.{name}"] for name in _IMAGES},
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, ConfigError) as error:
        raise ProgramError(
            f"{path} is a damaged program file ({type(error).__name__}: {error}); compile it again"
        ) from None


def _with_tuples(value: Any) -> Any:
    """A value read from JSON, with tuples for lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(part) for name, part in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


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
    """The problem as JSON. Its arrays go into ``arrays``; the document holds their names."""

    def keep(name: str, array: np.ndarray) -> str:
        return _keep(f"problem.{name}", array, arrays)

    document = {name: getattr(problem, name) for name in _PLAIN_FIELDS}
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
    drive = None
    if "drive" in document:
        body = document["drive"]
        drive = Drive(tuple(body["modules"]), arrays[body["centre"]], arrays[body["scale"]])
    return Problem(
        energies=energies,
        stages=tuple(Stage(**stage) for stage in document["stages"]),
        interface=interface,
        drive=drive,
        offset=arrays[document["offset"]] if "offset" in document else None,
        readout=Readout(*(arrays[name] for name in document["readout"]))
        if "readout" in document
        else None,
        **{name: document[name] for name in _PLAIN_FIELDS},
    )
