# SPDX-License-Identifier: Apache-2.0
"""The checksum of a memory: which changes it cannot miss, and its definition as a polynomial."""

import numpy as np
import pytest

from helpers.link_bench import seeded
from ornstein.hdl import scrub
from ornstein.hdl.config import PRESETS, TINY, ULX3S, WIDE
from ornstein.hdl.regmap import SCRUBBED, Space
from ornstein.hdl.spaces import spaces

EVERY_MEMORY = [
    pytest.param(config, space, id=f"{config.name}-{space.name.lower()}")
    for config in (TINY, ULX3S)
    for space in SCRUBBED
]
WORDS = 5


def random_words(config, space, rng) -> np.ndarray:
    info = spaces(config)[space]
    return np.array([rng.getrandbits(info.bits) for _ in range(WORDS * info.lanes)])


@pytest.mark.parametrize("config, space", EVERY_MEMORY)
def test_every_single_bit_counts(config, space):
    elements = random_words(config, space, seeded(1))
    right = scrub.checksum(config, space, elements)
    for place in range(len(elements)):
        for bit in range(0, spaces(config)[space].bits, 5):
            flipped = elements.copy()
            flipped[place] ^= 1 << bit
            assert scrub.checksum(config, space, flipped) != right, (place, bit)


@pytest.mark.parametrize("config, space", EVERY_MEMORY)
def test_no_two_elements_can_be_exchanged(config, space):
    rng = seeded(2)
    elements = random_words(config, space, rng)
    right = scrub.checksum(config, space, elements)
    for _ in range(100):
        one, other = rng.sample(range(len(elements)), 2)
        exchanged = elements.copy()
        exchanged[[one, other]] = exchanged[[other, one]]
        same = exchanged[one] == exchanged[other]
        assert (scrub.checksum(config, space, exchanged) == right) == same, (one, other)


def test_it_is_the_remainder_of_a_polynomial():
    """Of the start value and the entries, each 32 bits, as coefficients of powers of x^8."""
    elements = random_words(TINY, Space.DESCRIPTOR, seeded(3))
    polynomial = 1 << 32 | scrub.POLYNOMIAL
    dividend = scrub.START << 8 * len(elements)
    for place, entry in enumerate(elements):
        dividend ^= int(entry) << 8 * (len(elements) - 1 - place)
    while dividend.bit_length() > 32:
        dividend ^= polynomial << dividend.bit_length() - 33
    assert scrub.checksum(TINY, Space.DESCRIPTOR, elements) == dividend


def test_its_polynomial_is_primitive():
    """x has the order 2^32 - 1: no smaller one, for no prime factor of it."""

    def power(exponent):
        result, square = 1, 2
        while exponent:
            if exponent & 1:
                result = product(result, square)
            square, exponent = product(square, square), exponent >> 1
        return result

    def product(a, b):
        result = 0
        for bit in reversed(range(32)):
            result <<= 1
            result ^= (1 << 32 | scrub.POLYNOMIAL) * (result >> 32)
            result ^= a if b >> bit & 1 else 0
        return result

    assert power(2**32 - 1) == 1
    assert all(power((2**32 - 1) // prime) != 1 for prime in (3, 5, 17, 257, 65537))


def test_zeros_count():
    """A word that was skipped shows even where the memory is empty."""
    config = TINY
    sums = {scrub.checksum(config, Space.FACTOR, np.zeros(2 * words, int)) for words in range(9)}
    assert len(sums) == 9


def test_a_pass_reads_all_unit_lanes_of_the_factors_at_once():
    full = {Space.FACTOR: ULX3S.factor_depth}
    bursts = ULX3S.factor_depth // scrub.BURST * scrub.drain(ULX3S)
    reading = ULX3S.rank_lanes * (ULX3S.factor_depth + bursts)
    assert 0 < scrub.pass_cycles(ULX3S, full) - reading < 100
    assert scrub.pass_cycles(ULX3S, full | {Space.DRIVE: 1}) > scrub.pass_cycles(ULX3S, full)


def test_presets_for_small_chips_have_none():
    with_scrubber = {config.name for config in PRESETS.values() if config.scrub}
    assert with_scrubber == {TINY.name, WIDE.name, ULX3S.name}
