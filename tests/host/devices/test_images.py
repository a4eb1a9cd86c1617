# SPDX-License-Identifier: Apache-2.0
"""Memory images: what they hold, and that each differing element is found."""

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Space
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.device import DeviceError
from ornstein.host.devices.images import (
    activation_elements,
    compare_images,
    descriptor_elements,
    memory_images,
)


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs())


def test_packed_elements():
    words = np.array([[1, 2, 3, 4, 5, 6, 7, 0xFFFF]], np.uint16)
    np.testing.assert_array_equal(
        descriptor_elements(words), [0x20001, 0x40003, 0x60005, 0xFFFF0007]
    )
    table = np.array([[1, 2], [-1, 0]], np.int16)
    np.testing.assert_array_equal(activation_elements(table), [0x20001, 0xFFFF])


def test_equal_memories(program):
    held = {image.space: image for image in memory_images(program)}

    def read(space, start, count):
        assert (start, count) == (held[space].start, len(held[space].elements))
        return held[space].elements

    sizes = [len(image.elements) for image in memory_images(program)]
    assert compare_images("device", program, read) == sum(sizes)


@pytest.mark.parametrize("which", range(4))
def test_the_first_difference_is_named(program, which):
    images = memory_images(program)
    chosen = images[which]
    place = len(chosen.elements) - 1

    def read(space, start, count):
        elements = next(image.elements for image in images if image.space == space).copy()
        if space == chosen.space:
            elements[place] += 1
        return elements

    value = chosen.elements[place]
    with pytest.raises(DeviceError) as caught:
        compare_images("serial", program, read)
    assert str(caught.value) == (
        f"device 'serial' holds {value + 1} instead of {value} in element {chosen.start + place} "
        f"of {Space(chosen.space).name}; load the program again"
    )
