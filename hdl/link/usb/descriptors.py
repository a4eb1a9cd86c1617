# SPDX-License-Identifier: Apache-2.0
"""USB descriptors of a serial port, as bytes.

Universal Serial Bus Specification 2.0: 9.6 (standard descriptors), and its change notice on
interface association descriptors; Class Definitions for
Communications Devices 1.2: 5.2.3 (functional descriptors); PSTN subclass 1.2: 5.3 (those of an
abstract control model), 6.3.11 (line coding).
"""

import struct

__all__ = [
    "CONFIGURATION",
    "DATA_ENDPOINT",
    "DEVICE",
    "INTERFACES",
    "LINE_CODING",
    "MAX_PACKET",
    "PRODUCT_ID",
    "STATUS_ENDPOINT",
    "STRINGS",
    "TO_HOST",
    "VENDOR_ID",
]

VENDOR_ID, PRODUCT_ID = 0x1209, 0x0001
"""Numbers that pid.codes reserves for tests and private use."""

MAX_PACKET = 64
"""Largest number of bytes in a packet at full speed, on every endpoint."""

DATA_ENDPOINT = 4
"""Number of the endpoint that carries the bytes, in both directions."""
STATUS_ENDPOINT = 3
"""Number of the endpoint for notifications, of which the device sends none."""
TO_HOST = 0x80
"""Part of the address of an endpoint that sends to the host."""
INTERFACES = 2
"""Number of interfaces: number 0 for communication, number 1 for data."""

_DEVICE, _CONFIGURATION, _STRING, _INTERFACE, _ENDPOINT, _CLASS = 1, 2, 3, 4, 5, 0x24
_ASSOCIATION = 11
_GROUPED = 0xEF, 2, 1
"""Class, subclass and protocol of a device that describes groups of its interfaces."""
_COMMUNICATION, _ABSTRACT_CONTROL, _AT_COMMANDS, _DATA = 2, 2, 1, 10
_BULK, _INTERRUPT = 2, 3


def _descriptor(kind: int, layout: str, *fields: int) -> bytes:
    """Length, type and fields, little-endian."""
    body = struct.pack("<" + layout, *fields)
    return bytes([2 + len(body), kind]) + body


def _string(text: str) -> bytes:
    body = text.encode("utf-16-le")
    return bytes([2 + len(body), _STRING]) + body


def _endpoint(address: int, kind: int, interval: int) -> bytes:
    return _descriptor(_ENDPOINT, "BBHB", address, kind, MAX_PACKET, interval)


STRINGS = (
    _descriptor(_STRING, "H", 0x0409),
    _string("Ornstein"),
    _string("Ornstein fabric"),
)
"""The only language, English; the manufacturer; the product."""

# USB 2.0; a device whose interfaces are grouped by an association descriptor
DEVICE = _descriptor(
    _DEVICE,
    "HBBBBHHHBBBB",
    0x0200,
    *_GROUPED,
    MAX_PACKET,
    VENDOR_ID,
    PRODUCT_ID,
    0x0100,
    1,
    2,
    0,
    1,
)

_PARTS = b"".join(
    (
        _descriptor(_ASSOCIATION, "6B", 0, 2, _COMMUNICATION, _ABSTRACT_CONTROL, _AT_COMMANDS, 0),
        _descriptor(_INTERFACE, "7B", 0, 0, 1, _COMMUNICATION, _ABSTRACT_CONTROL, _AT_COMMANDS, 0),
        _descriptor(_CLASS, "BH", 0, 0x0120),  # header: CDC 1.2
        _descriptor(_CLASS, "BBB", 1, 0, 1),  # call management: none; the data are on interface 1
        _descriptor(_CLASS, "BB", 2, 0b0110),  # abstract control: line coding and state, break
        _descriptor(_CLASS, "BBB", 6, 0, 1),  # union of interfaces 0 and 1
        _endpoint(TO_HOST | STATUS_ENDPOINT, _INTERRUPT, 255),
        _descriptor(_INTERFACE, "7B", 1, 0, 2, _DATA, 0, 0, 0),
        _endpoint(TO_HOST | DATA_ENDPOINT, _BULK, 0),
        _endpoint(DATA_ENDPOINT, _BULK, 0),
    )
)
_HEAD = 9
"""Number of bytes in the configuration's own descriptor."""

# Bus-powered, 100 mA; the number of the configuration is 1.
CONFIGURATION = (
    bytes([_HEAD, _CONFIGURATION])
    + struct.pack("<HBBBBB", _HEAD + len(_PARTS), INTERFACES, 1, 0, 0x80, 50)
    + _PARTS
)

LINE_CODING = struct.pack("<IBBB", 115_200, 0, 0, 8)
"""Bit rate, one stop bit, no parity, eight bits: any values will do, since there is no line."""
