# SPDX-License-Identifier: Apache-2.0
import pytest
from amaranth.lib.crc import catalog

from ornstein.hdl import protocol
from ornstein.hdl.bus import ADDRESS_BITS, SPACE_BITS, BusSignature
from ornstein.hdl.config import PRESETS
from ornstein.hdl.protocol import (
    CRC_BYTES,
    MAX_REQUEST,
    MAX_WRITE_BYTES,
    REQUEST_HEADER_BYTES,
    Opcode,
    Status,
)
from ornstein.hdl.regmap import Event, Space
from ornstein.hdl.spaces import spaces


def test_crc_is_the_one_of_the_gateware():
    parameters = catalog.CRC16_IBM_3740(8)
    for data in (b"", b"123456789", bytes(range(256))):
        assert protocol.crc(data) == parameters.compute(data)
    assert protocol.crc(b"123456789") == 0x29B1


def test_the_crc_of_a_whole_frame_is_zero():
    for length in range(20):
        assert protocol.crc(protocol.sealed(bytes(range(length)))) == 0


def test_request_layout():
    frame = protocol.request(0x12, Opcode.WRITE, Space.DRIVE, 0x345678, 0x9ABC, b"xy")
    assert frame[:-CRC_BYTES] == bytes([0x12, 2, 4, 0x78, 0x56, 0x34, 0xBC, 0x9A]) + b"xy"
    assert len(frame) == REQUEST_HEADER_BYTES + 2 + CRC_BYTES


def test_answer_layout():
    assert protocol.answer(3, Status.BUSY, b"z")[:-CRC_BYTES] == b"\x03\x01z"


def test_requests_fit_their_buffer():
    assert len(protocol.request(1, Opcode.WRITE, 0, 0, 0, bytes(MAX_WRITE_BYTES))) == MAX_REQUEST


@pytest.mark.parametrize(
    "values",
    [(256, 1, 0, 0, 0), (1, 1, 0, 1 << 24, 0), (1, 1, 0, 0, 1 << 16)],
    ids=["sequence", "address", "count"],
)
def test_fields_that_do_not_fit(values):
    with pytest.raises(OverflowError):
        protocol.request(*values)


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_fields_reach_every_element(config):
    assert max(Space) < 1 << SPACE_BITS
    for info in spaces(config).values():
        assert info.size <= 1 << ADDRESS_BITS
        assert info.bytes <= 8
    assert max(Status) < 1 << protocol.STATUS_BITS
    assert len(Event) <= 8


def test_bus_signature():
    assert BusSignature(32) == BusSignature(32) != BusSignature(40)
    assert BusSignature(40).width == 40
    assert repr(BusSignature(32)) == "BusSignature(32)"
    with pytest.raises(ValueError, match="width must be positive, not 0"):
        BusSignature(0)
