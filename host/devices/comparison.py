# SPDX-License-Identifier: Apache-2.0
"""Compares what a device answered with what the integer model answers, in every bit."""

from dataclasses import replace

import numpy as np

from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Outputs

_ARRAYS = ("sums", "squares", "samples")


class ModelMismatchError(RuntimeError):
    """A device and the integer model gave different bits for the same program, inputs and seed."""


def differences(found: Outputs, expected: Outputs) -> list[str]:
    """Returns one line for each array and each counter in which ``found`` is not ``expected``.

    Sums, squares and samples are compared, not their scaled copies. Counters that ``expected`` has
    as None, such as the cycles of the integer model, are left out. The list is empty if all bits
    agree.
    """
    lines = []
    for name in _ARRAYS:
        line = _array_difference(name, getattr(found, name), getattr(expected, name))
        if line is not None:
            lines.append(line)
    for name, value in expected.counters.items():
        if value is not None and found.counters[name] != value:
            lines.append(f"{name}: {found.counters[name]} instead of {value}")
    return lines


def compared_numbers(expected: Outputs) -> dict[str, int]:
    """Returns how many numbers of each kind :func:`differences` compares with ``expected``."""
    arrays = {name: getattr(expected, name) for name in _ARRAYS}
    counts = {name: array.size for name, array in arrays.items() if array is not None}
    counts["counters"] = sum(value is not None for value in expected.counters.values())
    return {name: count for name, count in counts.items() if count}


def check_equals_model(
    program: Program, inputs: np.ndarray, outputs: Outputs, seed: int, warm: bool = False
) -> None:
    """Runs the program on the integer model and compares the model's answer with ``outputs``.

    Only what was selected for ``outputs`` is compared.

    Parameters
    ----------
    inputs : (n, input_size), the inputs that gave ``outputs``
    seed, warm : the seed and the kind of start with which the device ran. The model starts with
        memories of zeros, so a warm run can be compared only if it was the device's first one.

    Raises
    ------
    ModelMismatchError
        A sum, square, sample or counter differs; the message names each difference.
    """
    # Imported here, since the integer model loads Numba and the command line needs only the error.
    from ornstein.host.devices.model import ModelDevice

    with ModelDevice(program.config) as model:
        model.load(program)
        expected = model.run(inputs, seed=seed, warm=warm, selection=outputs.selection)
    if outputs.squares is None:  # the device was built without second moments
        expected = replace(expected, squares=None)
    found = differences(outputs, expected)
    if found:
        raise ModelMismatchError(
            f"{program.name}: the device and the integer model differ ({'; '.join(found)}); "
            "run ornstein doctor"
        )


def _array_difference(
    name: str, found: np.ndarray | None, expected: np.ndarray | None
) -> str | None:
    """Returns a line on how an array (inputs, ..., units) differs, or None if it does not."""
    if found is None or expected is None:
        if found is expected:
            return None
        return f"{name}: only {'the model' if found is None else 'the device'} has them"
    if found.shape != expected.shape:
        return f"{name}: shape {found.shape} instead of {expected.shape}"
    wrong = np.argwhere(found != expected)
    if not len(wrong):
        return None
    first = tuple(wrong[0])
    return (
        f"{name}: {len(wrong)} of {expected.size} differ, first unit {first[-1]} of input "
        f"{first[0]}: {found[first]} instead of {expected[first]}"
    )
