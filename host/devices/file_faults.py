# SPDX-License-Identifier: Apache-2.0
"""Damaged program files: makes them, and finds out what they do to a device.

Two kinds are made. In a *damaged* file bytes of the file, bits of its arrays or values of its
document have changed. It must be refused in one line, or answer what the intact file answers. A
*forged* file is changed alike and then given the right checksum, as by someone who means it: then
another answer is no fault, but it too must be refused in one line or run to its end.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from ornstein.hdl.config import TINY
from ornstein.host.compile.program import InputError, ProgramError
from ornstein.host.compile.program_file import checksum, load_program, save_program
from ornstein.host.devices.device import Device, DeviceError, Outputs, open_device
from ornstein.host.devices.selftest import builtin_program

_REFUSALS = ProgramError, InputError, DeviceError
_NUMBERS = (0, -1, 1, 255, 65_535, 65_536, 1 << 31, -1 << 31, 10**9, 1 << 62, 1 << 70, 1e300, 0.5)
"""Numbers that are put in the place of others."""
_ODD = (None, True, "", "é\n\x1b[31m", "../../x", [], {}, [[[]]], float("nan"), float("inf"))
"""Values of other types that are put in the place of numbers."""
_DEPTH = 100_000
"""Brackets of the deepest document."""


@dataclass
class FileCampaign:
    """What became of so many files.

    Attributes
    ----------
    outcomes : number of files by kind and outcome: ``refused``, ``same`` answer as the intact file,
        and ``other`` answer
    failures : descriptions of the files that were not handled as they must be
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [
            f"{count:,} {kind} {what}" for (kind, what), count in sorted(self.outcomes.items())
        ]
        return f"{', '.join(parts)}; {len(self.failures)} handled wrongly"


def attack_files(folder: Path, count: int, seed: int = 1) -> Iterator[FileCampaign]:
    """Yields the campaign after each of ``count`` files, which are loaded and run on the model.

    ``folder`` holds the file that is being tried; it is left there if the process dies of it.
    """
    rng = np.random.default_rng(seed)
    program, inputs = builtin_program(TINY)
    intact, tried = folder / "intact.program", folder / "tried.program"
    save_program(program, intact)
    campaign = FileCampaign()
    with open_device("model:tiny") as device:
        expected = _answer(device, intact, inputs)
        for number in range(count):
            forged = number % 3 == 2
            what = forge(intact, tried, rng) if forged else damage(intact, tried, rng)
            outcome = _outcome(device, tried, inputs, expected)
            kind = "forged" if forged else "damaged"
            campaign.outcomes[kind, outcome] += 1
            if outcome not in ("refused", "same") and not (forged and outcome == "other"):
                campaign.failures.append(f"file {number} ({kind}, {what}): {outcome}")
            yield campaign


def _outcome(device: Device, path: Path, inputs: np.ndarray, expected: Outputs) -> str:
    try:
        found = _answer(device, path, inputs)
    except _REFUSALS as error:
        return "refused" if "\n" not in str(error) else f"refused in several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    arrays = ("mean", "second", "samples", "sums", "squares")
    equal = all(np.array_equal(getattr(found, a), getattr(expected, a)) for a in arrays)
    return "same" if equal else "other"


def _answer(device: Device, path: Path, inputs: np.ndarray) -> Outputs:
    device.load(load_program(path))
    return device.run(inputs, seed=3)


# ---- how files are changed -----------------------------------------------------------------------


def damage(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Writes a damaged copy of a program file; returns what was done to it."""
    data = bytearray(source.read_bytes())
    header = 8 + struct.unpack("<Q", data[:8])[0]
    choice = rng.integers(6)
    if choice == 0:
        places = rng.integers(len(data), size=int(rng.integers(1, 9)))
        for place in places:
            data[place] = int(rng.integers(256))
        what = f"bytes {sorted(map(int, places))} changed"
    elif choice == 1:
        place = int(rng.integers(header, len(data)))
        data[place] ^= 1 << int(rng.integers(8))
        what = f"a bit of byte {place} changed"
    elif choice == 2:
        place = int(rng.integers(header))
        data[place] = int(rng.integers(256))
        what = f"byte {place} of the header changed"
    elif choice == 3:
        length = int(rng.integers(len(data)))
        data = data[:length]
        what = f"cut to {length} bytes"
    elif choice == 4:
        first, length = (int(rng.integers(len(data))) for _ in range(2))
        data[first:first] = data[:length]
        what = f"{length} bytes inserted at {first}"
    else:
        arrays, document, _ = _parts(source)
        what = _change(arrays, document, rng)
        _write(target, arrays, json.dumps(document), _parts(source)[2])
        return what
    target.write_bytes(data)
    return what


def forge(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Writes a changed copy of a program file with the right checksum; returns what was done."""
    arrays, document, _ = _parts(source)
    changes = [_change(arrays, document, rng) for _ in range(int(rng.integers(1, 3)))]
    text = json.dumps(document)
    if rng.random() < 0.02:
        text = "[" * _DEPTH + "]" * _DEPTH
        changes = [f"a document of {_DEPTH} brackets"]
    elif rng.random() < 0.05:
        text = text.replace('"name"', '"name": "", "name"', 1)
        changes = ["a key given twice"]
    elif rng.random() < 0.05:
        text = text.replace("1", "1" * 10_000, 1)
        changes = ["a number of 10,000 digits"]
    _write(target, arrays, text, checksum(text, arrays))
    return "; ".join(changes)


def _parts(path: Path) -> tuple[dict[str, np.ndarray], dict, str]:
    """Returns the arrays, the document and the checksum of a program file."""
    with safe_open(path, "numpy") as file:
        arrays = {name: file.get_tensor(name).copy() for name in file.keys()}
        metadata = file.metadata()
    return arrays, json.loads(metadata["ornstein"]), metadata["checksum"]


def _write(path: Path, arrays: dict[str, np.ndarray], text: str, check: str) -> None:
    save_file(arrays, path, metadata={"ornstein": text, "checksum": check})


def _change(arrays: dict[str, np.ndarray], document: dict, rng: np.random.Generator) -> str:
    """Changes one thing in the arrays or in the document; returns what."""
    if rng.random() < 0.5:
        return _change_array(arrays, rng)
    places = list(_leaves(document))
    holder, key, path = places[int(rng.integers(len(places)))]
    old = holder[key]
    if rng.random() < 0.15:
        del holder[key]
        return f"{path} left out"
    if isinstance(old, int | float) and rng.random() < 0.7:
        near = (old + 1, old - 1, 2 * old, -old)
        choices: tuple[Any, ...] = near + _NUMBERS
    else:
        choices = _ODD + _NUMBERS
    holder[key] = choices[int(rng.integers(len(choices)))]
    return f"{path} = {holder[key]!r:.40} instead of {old!r:.40}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Yields (holder, key, name) of every part of a document, however deep."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in list(pairs):
        name = f"{path}.{key}"
        yield value, key, name
        if isinstance(part, dict | list):
            yield from _leaves(part, name)


def _change_array(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> str:
    """Changes an array; descriptors as often as all others together."""
    names = sorted(arrays)
    name = "image.descriptors" if rng.random() < 0.5 else names[int(rng.integers(len(names)))]
    array = arrays[name]
    choice = rng.integers(6) if array.size and array.ndim else 5
    if choice < 3:
        flat = array.reshape(-1)
        place = int(rng.integers(flat.size))
        if array.dtype.kind == "f":
            value = rng.choice([np.nan, np.inf, -1.0, 0.0, 1e300, -flat[place]])
            with np.errstate(over="ignore"):  # the array may have been narrowed before
                flat[place] = value
        else:
            limits = np.iinfo(array.dtype)
            flat[place] = rng.choice([limits.min, limits.max, 0, flat[place] ^ 1, flat[place] >> 1])
        return f"{name}[{place}] = {flat[place]}"
    if choice == 3:
        arrays[name] = np.ascontiguousarray(array[: int(rng.integers(len(array)))])
    elif choice == 4:
        arrays[name] = array.astype(rng.choice(np.array(["i1", "i8", "f4", "u2"])))
    else:
        shape = [(0,), (1, 0), (), (*array.shape, 1), array.shape[::-1]][int(rng.integers(5))]
        arrays[name] = np.resize(array, shape) if array.size else np.zeros(shape, array.dtype)
    return f"{name} is now {arrays[name].dtype} {arrays[name].shape}"
