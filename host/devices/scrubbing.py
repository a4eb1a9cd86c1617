# SPDX-License-Identifier: Apache-2.0
"""What a fabric's scrubber is told of a program: the words to verify, and their checksums."""

import numpy as np

from ornstein.hdl.regmap import (
    SCRUBBED,
    Control,
    ScrubRegister,
    Space,
    WordsRegister,
    checksum_register,
    words_register,
)
from ornstein.hdl.scrub import checksum, pass_cycles
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.program import Program
from ornstein.host.devices.images import MemoryImage, memory_images
from ornstein.host.devices.link import Link


def verified_images(program: Program) -> list[MemoryImage]:
    """Returns what a scrubber can verify of a program: whole words of the memories that hold it."""
    return [image for image in memory_images(program) if image.space in SCRUBBED]


def verification_cycles(program: Program) -> int:
    """Returns the cycles that a scrubber adds to each job of a program while the bus is quiet."""
    lanes = {space: info.lanes for space, info in spaces(program.config).items()}
    images = verified_images(program)
    words = {image.space: len(image.elements) // lanes[image.space] for image in images}
    return pass_cycles(program.config, words)


def stop(link: Link) -> None:
    """Ends the verification, so that the memories can be written."""
    link.write(Space.CONTROL, Control.SCRUB, [0])


def begin(link: Link, program: Program) -> int:
    """Begins to verify a program that is in the memories; returns the memories that are verified, a
    bit each in the order of :data:`ornstein.hdl.regmap.SCRUBBED`.
    """
    memories = 0
    for image in verified_images(program):
        lanes = spaces(link.config)[image.space].lanes
        first = image.start // lanes
        last = first + len(image.elements) // lanes - 1
        words = WordsRegister.const({"first": first, "last": last}).as_bits()
        expected = checksum(link.config, image.space, image.elements)
        link.write(Space.CONTROL, words_register(image.space), np.array([words]))
        link.write(Space.CONTROL, checksum_register(image.space), np.array([expected]))
        memories |= 1 << SCRUBBED.index(image.space)
    register = ScrubRegister.const({"memories": memories}).as_bits()
    link.write(Space.CONTROL, Control.SCRUB, [register])
    return memories
