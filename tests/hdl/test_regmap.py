# SPDX-License-Identifier: Apache-2.0
"""The register map: sizes of elements and spaces, fields of registers, and the order of the
identity.
"""

from dataclasses import replace

import pytest

from ornstein.hdl import regmap
from ornstein.hdl.config import ICEBREAKER, PRESETS, TINY, WIDE
from ornstein.hdl.regmap import (
    NO_LINE,
    Control,
    Line,
    Space,
    element_bits,
    element_bytes,
    signed,
    space_size,
)

EVERY_CONFIG = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


@EVERY_CONFIG
def test_identity_begins_with_what_a_host_checks_first(config):
    values = regmap.identity(config)
    assert list(values)[:3] == ["magic", "protocol", "build_hash"]
    assert values["magic"].to_bytes(4, "little") == b"OSTN"
    assert values["protocol"] == regmap.PROTOCOL_VERSION
    assert values["build_hash"] == config.build_hash
    assert list(values)[3:-2] == list(config.identity())
    assert list(values)[-2:] == ["line_clock", "line_divisors"]
    assert space_size(config, Space.IDENTITY) == len(values)


def test_a_line_tells_its_rates():
    line = Line.at(21_000_000, (1_000_000, 3_000_000))
    assert line.divisors == (21, 7) and line.bauds == (1_000_000, 3_000_000)
    values = regmap.identity(TINY, line)
    assert values["line_divisors"].to_bytes(4, "little") == bytes([21, 7, 0, 0])
    assert Line.from_identity(values) == line
    assert Line.from_identity(regmap.identity(TINY)) == NO_LINE and NO_LINE.bauds == ()


def test_rates_that_a_clock_cannot_make():
    with pytest.raises(
        ValueError,
        match="a clock of 21000000 Hz cannot make 12000000 baud; the nearest is 10500000",
    ):
        Line.at(21_000_000, (1_000_000, 12_000_000))
    with pytest.raises(ValueError, match="divisors must be at most four between 1 and 255"):
        Line(48_000_000, (417,))


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
    assert {space: element_bits(config, space) for space in Space} == expected
    for space in Space:
        assert (
            8 * element_bytes(config, space) - 7
            <= element_bits(config, space)
            <= 8 * element_bytes(config, space)
        )
    assert element_bytes(config, Space.SUM) == 5


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
    assert {space: space_size(WIDE, space) for space in expected} == expected
    assert set(Space) - set(expected) == {Space.IDENTITY}


def test_options_that_are_left_out_have_no_elements():
    assert space_size(ICEBREAKER, Space.SQUARE) == space_size(ICEBREAKER, Space.SAMPLE) == 0


@EVERY_CONFIG
def test_the_bus_carries_every_element_and_no_more(config):
    present = [space for space in Space if space_size(config, space)]
    assert regmap.bus_width(config) == max(8 * element_bytes(config, space) for space in present)


def test_states_and_coefficients_are_signed_and_registers_are_not():
    assert {space for space in Space if not signed(space)} == {
        Space.IDENTITY,
        Space.CONTROL,
        Space.DESCRIPTOR,
        Space.ACTIVATION,
        Space.SEED,
        Space.SQUARE,
    }


@pytest.mark.parametrize("prefix", ["JOB_", "STATUS_"])
def test_register_fields_do_not_overlap(prefix):
    places = [value for name, value in vars(regmap).items() if name.startswith(prefix)]
    bits = [bit for low, width in places for bit in range(low, low + width)]
    assert len(set(bits)) == len(bits) and max(bits) < 32


def test_field_takes_its_bits():
    status = 0xAB << 16 | 0xCD << 8 | 0b10
    assert regmap.field(status, regmap.STATUS_TAG) == 0xAB
    assert regmap.field(status, regmap.STATUS_DONE) == 0xCD
    assert regmap.field(status, regmap.STATUS_PENDING) == 1
    assert regmap.field(status, regmap.STATUS_RUNNING) == 0


def test_control_registers_are_contiguous():
    assert list(Control) == list(range(len(Control)))
