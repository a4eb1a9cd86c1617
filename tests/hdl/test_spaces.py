# SPDX-License-Identifier: Apache-2.0
"""The table of spaces: sizes by hand, options, and who may reach a space when."""

from dataclasses import replace

import pytest

from ornstein.hdl.config import ICEBREAKER, PRESETS, TINY, WIDE
from ornstein.hdl.regmap import Control, Space
from ornstein.hdl.spaces import When, bus_width, spaces

EVERY_CONFIG = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


def test_element_bits():
    config = replace(TINY, factor_width=9, sum_width=33)
    expected = {
        Space.FACTOR: 9,
        Space.STATE: 16,
        Space.DRIVE: 16,
        Space.RANK: 16,
        Space.ACTIVATION: 28,
        Space.NOISE: 2,
        Space.SUM: 33,
        Space.SQUARE: 49,
        Space.SAMPLE: 16,
        Space.IDENTITY: 32,
        Space.CONTROL: 32,
        Space.DESCRIPTOR: 32,
        Space.SEED: 32,
    }
    assert {space: info.bits for space, info in spaces(config).items()} == expected
    for info in spaces(config).values():
        assert 8 * info.bytes - 7 <= info.bits <= 8 * info.bytes
    assert spaces(config)[Space.SUM].bytes == 5


def test_space_sizes_by_hand():
    expected = {
        Space.CONTROL: len(Control),
        Space.FACTOR: 4096 * 16,
        Space.STATE: 512 * 4,
        Space.DRIVE: 1024 * 4,
        Space.RANK: 512 * 4,
        Space.DESCRIPTOR: 256 * 4,
        Space.ACTIVATION: 256,
        Space.SEED: 4 * 2,
        Space.NOISE: 512 * 4,
        Space.SUM: 2 * 512 * 4,
        Space.SQUARE: 2 * 512 * 4,
        Space.SAMPLE: 4096 * 4,
    }
    assert {space: spaces(WIDE)[space].size for space in expected} == expected
    assert set(Space) - set(expected) == {Space.IDENTITY}


def test_options_that_are_left_out_have_no_row():
    assert spaces(ICEBREAKER)[Space.CONTROL].size == Control.SCRUB
    assert set(Space) - set(spaces(ICEBREAKER)) == {Space.SQUARE, Space.SAMPLE}


@EVERY_CONFIG
def test_the_bus_carries_every_element_and_no_more(config):
    assert bus_width(config) == max(8 * info.bytes for info in spaces(config).values())


@EVERY_CONFIG
def test_an_address_is_a_word_and_a_lane(config):
    for info in spaces(config).values():
        assert info.lanes == 1 << info.lane_bits and info.size <= 1 << info.address_bits


def test_the_bus_finds_the_engine_out_of_its_way():
    """Inputs can be written and statistics read while a job runs; memories only while none does."""
    table = spaces(WIDE)
    busy = {space for space, row in table.items() if row.write == When.IDLE}
    assert busy == {
        Space.FACTOR,
        Space.STATE,
        Space.RANK,
        Space.DESCRIPTOR,
        Space.ACTIVATION,
        Space.NOISE,
    }
    assert table[Space.DRIVE].read == When.IDLE and table[Space.DRIVE].write == When.CONTENDED
    assert {space for space, row in table.items() if row.read == When.CONTENDED} == {
        Space.SUM,
        Space.SQUARE,
    }


def test_states_and_coefficients_are_signed_and_registers_are_not():
    assert {space for space, info in spaces(WIDE).items() if not info.signed} == {
        Space.IDENTITY,
        Space.CONTROL,
        Space.DESCRIPTOR,
        Space.ACTIVATION,
        Space.SEED,
        Space.SQUARE,
    }
