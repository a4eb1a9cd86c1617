# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of the link as the packets that travel."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import sliplib

from ornstein.hdl import protocol
from ornstein.hdl.protocol import (
    ANSWER_HEADER_BYTES,
    CRC_BYTES,
    REQUEST_HEADER,
    REQUEST_HEADER_BYTES,
    Opcode,
    Status,
)
from ornstein.hdl.regmap import Event, Space

END = bytes([protocol.END])
SEQUENCES = 255
"""Sequence numbers of requests: 1 to 255. Answers to damaged requests carry 0."""
MOST_AHEAD = 120
"""Requests that may be sent from the oldest unanswered one on. This is less than half of the
sequence numbers, so that none is used again while its request can still be answered: not within a
batch, nor by the batch after one that failed.
"""
_ESCAPE = bytes([protocol.ESC])
_STATUS = {status.value: status for status in Status}
_PLACES = dict(
    zip(
        (name for name, _ in REQUEST_HEADER),
        accumulate((width for _, width in REQUEST_HEADER), initial=0),
        strict=False,
    )
)
"""The lowest bit of each field of a request's header."""


@dataclass(frozen=True)
class Request:
    """A request without its sequence number; its answer has ``answer_bytes`` bytes of data."""

    opcode: Opcode
    space: int
    address: int
    count: int
    data: bytes = b""
    answer_bytes: int = 0

    def __str__(self) -> str:
        if self.opcode == Opcode.WAIT:
            return f"wait for {Event(self.address).name}"
        space = Space(self.space).name
        return f"{self.opcode.name.lower()} of {self.count} elements of {space} at {self.address}"

    def packet(self, sequence: int) -> bytes:
        """Returns the bytes that are sent."""
        frame = protocol.sealed(bytes((sequence,)) + self._content)
        return END + sliplib.encode(frame) + END

    @cached_property
    def _content(self) -> bytes:
        """What follows the sequence number, which is the first byte."""
        header = (
            self.opcode << _PLACES["opcode"]
            | self.space << _PLACES["space"]
            | self.address << _PLACES["address"]
            | self.count << _PLACES["count"]
        )
        return header.to_bytes(REQUEST_HEADER_BYTES, "little")[1:] + self.data


def parsed(packet: bytes) -> tuple[int, Status, bytes] | None:
    """Returns sequence number, status and data of the answer in a packet between two END; None if
    it is no valid answer.
    """
    try:
        frame = sliplib.decode(packet) if _ESCAPE in packet else packet
    except sliplib.ProtocolError:
        return None
    if len(frame) < ANSWER_HEADER_BYTES + CRC_BYTES or protocol.crc(frame):
        return None
    status, data = _STATUS.get(frame[1]), frame[ANSWER_HEADER_BYTES:-CRC_BYTES]
    if status is None or (data and status not in (Status.OK, Status.TIMEOUT)):
        return None  # no device refuses with data: the line echoes what is sent
    return frame[0], status, data
