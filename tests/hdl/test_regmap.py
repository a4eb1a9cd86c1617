# SPDX-License-Identifier: Apache-2.0
"""The register map: fields of registers, and the order of the identity."""

import pytest

from ornstein.hdl import regmap
from ornstein.hdl.config import LATE_OPTIONS, PRESETS, TINY
from ornstein.hdl.regmap import (
    EVENTS,
    NO_LINE,
    Control,
    Event,
    Line,
    Space,
    StartRegister,
    StatusRegister,
)
from ornstein.hdl.spaces import spaces

EVERY_CONFIG = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


@EVERY_CONFIG
def test_identity_begins_with_what_a_host_checks_first(config):
    values = regmap.identity(config)
    assert list(values)[:3] == ["magic", "protocol", "build_hash"]
    assert values["magic"].to_bytes(4, "little") == b"OSTN"
    assert values["protocol"] == regmap.PROTOCOL_VERSION
    assert values["build_hash"] == config.build_hash
    assert [*list(values)[3:-6], *list(values)[-4:-1]] == list(config.identity())
    # what is new comes last, where older gateware answers zero
    assert list(values)[-6:] == ["line_clock", "line_divisors", *LATE_OPTIONS, "line_spare"]
    assert spaces(config)[Space.IDENTITY].size == len(values)


def test_a_line_tells_its_rates_and_its_queue():
    line = Line.at(21_000_000, (1_000_000, 3_000_000), spare=512)
    assert line.divisors == (21, 7) and line.bauds == (1_000_000, 3_000_000)
    values = regmap.identity(TINY, line)
    assert values["line_divisors"].to_bytes(4, "little") == bytes([21, 7, 0, 0])
    assert values["line_spare"] == 512
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


def test_a_job_packs_into_its_register():
    job = StartRegister.const({"first": 3, "levels": 2, "reseed": 1, "bank": 1, "tag": 0xAB})
    assert job.as_bits() == 0xAB << 24 | 0b11 << 16 | 2 << 8 | 3


def test_status_unpacks_from_its_register():
    status = StatusRegister.from_bits(0xAB << 16 | 0xCD << 8 | 0b10)
    assert (status.tag, status.done, status.pending, status.running) == (0xAB, 0xCD, 1, 0)


def test_events_have_the_bits_of_the_flags():
    assert {name: 1 << field.offset for name, field in EVENTS} == {
        event.name.lower(): event.value for event in Event
    }


def test_control_registers_are_contiguous():
    assert list(Control) == list(range(len(Control)))
