# SPDX-License-Identifier: Apache-2.0
"""The link's protocol: framing, requests and answers, as gateware, host and tests share it. Pure
data.

Bytes travel in SLIP frames (RFC 1055) that begin and end with END, so that any END resynchronises;
empty frames mean nothing. A frame carries its CRC-16/IBM-3740 in its last two bytes, most
significant first: the CRC of a whole frame is then zero. Every other number is little-endian.

========  ========================================================================================
request   sequence u8, opcode u8, space u8, address u24, count u16,
          then for WRITE ``count`` elements
answer    sequence u8, status u8,
          then for READ ``count`` elements, for WAIT the events (u8) that hold when it ends
========  ========================================================================================

``address`` and ``count`` are in elements; an element has as many bytes as
:attr:`ornstein.hdl.spaces.SpaceInfo.bytes` says. In WAIT ``address`` is a mask of
:class:`ornstein.hdl.regmap.Event` and ``count`` the
patience in units of ``WAIT_UNIT`` clock cycles. Requests are executed one at a time, in order, and
each only after its CRC was found right. All commands can be repeated without harm, so a host that
misses an answer asks again.

A READ or WRITE stops at the first element that is refused. A refused WRITE answers that element's
status. A READ refused at its first element answers the status and no data; at a later one its data
end early.
"""

import binascii
import enum

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
"""Bytes with a meaning in SLIP: end of frame, escape, and what follows ESC in place of END and of
ESC.
"""

REQUEST_HEADER = (("sequence", 8), ("opcode", 8), ("space", 8), ("address", 24), ("count", 16))
"""Fields of a request's header and their bits."""

REQUEST_HEADER_BYTES = sum(width for _, width in REQUEST_HEADER) // 8
ANSWER_HEADER_BYTES = 2
CRC_BYTES = 2

MAX_REQUEST = 512
"""Bytes of the longest request with header and CRC, before escaping: what the device's frame buffer
holds.
"""

MAX_WRITE_BYTES = MAX_REQUEST - REQUEST_HEADER_BYTES - CRC_BYTES
"""Bytes of elements that fit one WRITE."""

MAX_READ_BYTES = 1024
"""Bytes of elements that a host asks for at once. Devices stream their answers and take any count.
"""

WAIT_UNIT = 1024
"""Clock cycles in a unit of WAIT's patience."""


class Opcode(enum.IntEnum):
    """What a request asks for."""

    READ = 1
    WRITE = 2
    WAIT = 3


class Status(enum.IntEnum):
    """What became of a request, and of a transaction on the bus."""

    OK = 0
    BUSY = 1  # this space cannot be reached while a job runs
    FULL = 2  # a job waits already
    ADDRESS = 3  # there is no such space, or the address lies outside it
    MALFORMED = 4  # unknown opcode, or a length that contradicts the header
    CORRUPT = 5  # wrong CRC, invalid escape, too short or too long; the answer's sequence is zero
    TIMEOUT = 6  # WAIT ended without any of its events


STATUS_BITS = 3


def crc(data: bytes) -> int:
    """CRC-16/IBM-3740 of the bytes; zero for a whole frame."""
    return binascii.crc_hqx(data, 0xFFFF)


def sealed(data: bytes) -> bytes:
    """The bytes followed by their CRC."""
    return data + crc(data).to_bytes(CRC_BYTES, "big")


def request(
    sequence: int, opcode: int, space: int, address: int, count: int, data: bytes = b""
) -> bytes:
    """A request with its CRC, not yet in SLIP."""
    values = (sequence, opcode, space, address, count)
    header = b"".join(
        value.to_bytes(width // 8, "little")
        for value, (_, width) in zip(values, REQUEST_HEADER, strict=True)
    )
    return sealed(header + data)


def answer(sequence: int, status: int, data: bytes = b"") -> bytes:
    """An answer with its CRC, not yet in SLIP."""
    return sealed(bytes([sequence, status]) + data)
