# SPDX-License-Identifier: Apache-2.0
"""Memory images: the elements that a program puts into a fabric's memories, and their comparison
with what the memories hold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import SLOPE_WIDTH, STATE_WIDTH
from ornstein.hdl.regmap import Control, Space
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import DeviceError


@dataclass(frozen=True, eq=False)
class MemoryImage:
    """Elements (n,) int64 of one space, from element ``start`` on."""

    space: Space
    start: int
    elements: np.ndarray


def memory_images(program: Program) -> list[MemoryImage]:
    """Returns the images of everything that a program consists of."""
    layout = program.layout
    images = [
        (Space.FACTOR, 0, program.factor),
        (Space.DRIVE, layout.constant_word * program.config.unit_lanes, program.constants),
        (Space.DESCRIPTOR, 0, descriptor_elements(program.descriptors)),
        (Space.ACTIVATION, 0, activation_elements(program.activation)),
        (Space.CONTROL, Control.BANK_OFFSET, np.array([layout.bank_offset])),
    ]
    return [
        MemoryImage(space, start, values.ravel().astype(np.int64))
        for space, start, values in images
        if values.size
    ]


def compare_images(
    uri: str, program: Program, read: Callable[[Space, int, int], np.ndarray]
) -> int:
    """Compares a program's images with a device's memories; returns the number of elements.

    ``read(space, start, count)`` gives elements of the device of that URI. Raises DeviceError at
    the first element that differs.
    """
    compared = 0
    for image in memory_images(program):
        found = read(image.space, image.start, len(image.elements))
        wrong = np.flatnonzero(found != image.elements)
        if len(wrong):
            first = wrong[0]
            raise DeviceError(
                f"device {uri!r} holds {found[first]} instead of {image.elements[first]} in "
                f"element {image.start + first} of {image.space.name}; load the program again"
            )
        compared += len(found)
    return compared


def activation_elements(table: np.ndarray) -> np.ndarray:
    """Returns the elements (256,) of the activation space for a table (256, 2) of value and slope.

    The value is in the low bits, the slope above it.
    """
    values, slopes = table.astype(np.int64).T
    return values & (1 << STATE_WIDTH) - 1 | (slopes & (1 << SLOPE_WIDTH) - 1) << STATE_WIDTH


def descriptor_elements(words: np.ndarray) -> np.ndarray:
    """Returns the elements (4 * count,) of the descriptor space for 16-bit words (count, 8).

    An element holds two words, the first of them in the low bits.
    """
    words = words.astype(np.int64)
    return (words[:, 0::2] | words[:, 1::2] << 16).ravel()
