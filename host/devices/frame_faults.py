# SPDX-License-Identifier: Apache-2.0
"""Frames of any kind for a device at rest: sound ones, damaged ones, lengths and numbers that
contradict each other, and bytes that mean nothing. A decoder of its own says what must be answered,
and what the memories must hold.

The decoder follows the text of :mod:`ornstein.hdl.protocol`; all that it shares with the gateware
are the tables of numbers and sizes.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import sliplib

from ornstein.hdl import protocol
from ornstein.hdl.config import TINY, FabricConfig
from ornstein.hdl.protocol import (
    CRC_BYTES,
    END,
    ESC,
    MAX_REQUEST,
    REQUEST_HEADER_BYTES,
    Opcode,
    Status,
)
from ornstein.hdl.regmap import Event, Space, identity
from ornstein.hdl.spaces import When, spaces
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.transport import Transport

BATCH = 200
"""Frames that are sent at once."""
_MEMORY_ROUND = 20
"""Batches after which all memories are read."""
_AT_REST = Event.IDLE | Event.ROOM
"""Events that hold while no job runs and no sample waits."""
_LONGEST_WAIT = 2
"""Units that a request may wait for an event that does not come."""
_ESCAPED = {protocol.ESC_END: END, protocol.ESC_ESC: ESC}
_READ_SECONDS = 30.0
"""Seconds without a byte after which a device counts as silent."""


@dataclass
class FrameCampaign:
    """What became of the frames so far.

    Attributes
    ----------
    answers : number of answers by their status, as the decoder foretold
    silent : frames that need no answer: those without a byte
    failures : descriptions of what differed
    """

    answers: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def frames(self) -> int:
        return self.answers.total() + self.silent

    def __str__(self) -> str:
        parts = ", ".join(f"{count:,} {name}" for name, count in sorted(self.answers.items()))
        return (
            f"{self.frames:,} frames: {parts}, {self.silent:,} without an answer; "
            f"{len(self.failures)} batches answered wrongly"
        )


def attack_frames(
    count: int, seed: int = 1, *, transport: Transport | None = None
) -> Iterator[FrameCampaign]:
    """Yields the campaign after each batch of frames, ``count`` frames in all.

    The last batch, and one of each twenty, is followed by reads of all memories, which come on top.
    The campaign ends with the first batch that is answered wrongly.

    Parameters
    ----------
    count : frames
    seed : of the frames
    transport : line to a fabric ``tiny`` that was just reset; None for the simulated gateware
    """
    rng = np.random.default_rng(seed)
    decoder, campaign = Decoder(TINY), FrameCampaign()
    last = -(-count // BATCH) - 1
    with transport or RtlTransport(TINY) as line:
        for batch in range(last + 1):
            packets = [_packet(rng, decoder) for _ in range(min(BATCH, count - batch * BATCH))]
            if batch == last or batch % _MEMORY_ROUND == _MEMORY_ROUND - 1:
                packets += _memory_reads()
            expected = []
            for packet in packets:
                answer = decoder.answer(packet)
                if answer is None:
                    campaign.silent += 1
                else:
                    campaign.answers[Status(answer[1]).name] += 1
                    expected.append(bytes([END]) + sliplib.encode(answer) + bytes([END]))
            line.write(b"".join(packets))
            if wrong := _difference(line, expected, at_end=batch == last):
                campaign.failures.append(f"batch {batch}, {wrong}")
            yield campaign
            if campaign.failures:
                return


def _difference(line: Transport, expected: list[bytes], at_end: bool) -> str | None:
    """Returns what is wrong with the answers that come, if anything is.

    More answers than expected show in the next batch, or, ``at_end``, by waiting for them.
    """
    whole = b"".join(expected)
    found = b""
    while len(found) < len(whole):
        more = line.read(_READ_SECONDS)
        if not more:
            break
        found += more
    if at_end:
        found += line.read(0.0)
    if found == whole:
        return None
    place = 0
    for number, answer in enumerate(expected):
        if found[place : place + len(answer)] != answer:
            seen = found[place : place + len(answer)]
            return f"answer {number} is {seen.hex()} instead of {answer.hex()}"
        place += len(answer)
    return f"{len(found) - len(whole)} bytes more than the answers: {found[place:].hex()}"


# ---- what must be answered -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    sequence: int
    opcode: int
    space: int
    address: int
    count: int
    data: bytes

    @classmethod
    def of(cls, frame: bytes) -> "_Request":
        number = int.from_bytes
        return cls(
            frame[0],
            frame[1],
            frame[2],
            number(frame[3:6], "little"),
            number(frame[6:8], "little"),
            frame[REQUEST_HEADER_BYTES:-CRC_BYTES],
        )


class Decoder:
    """What a fabric at rest answers, and holds, after a reset.

    It does not know what starts a job, sets a seed or changes a register; see
    :meth:`is_foretold`.
    """

    def __init__(self, config: FabricConfig):
        self._spaces = spaces(config)
        self._memories = {space: [0] * info.size for space, info in self._spaces.items()}
        self._memories[Space.IDENTITY] = list(identity(config).values())
        self._address_mask = (1 << max(info.address_bits for info in self._spaces.values())) - 1

    def is_foretold(self, packet: bytes) -> bool:
        """Whether the decoder knows the answer to a packet."""
        frame = unescaped(packet)
        if not _intact(frame):
            return True
        assert frame is not None
        request = _Request.of(frame)
        if request.opcode == Opcode.WAIT:
            return bool(request.address & _AT_REST) or request.count <= _LONGEST_WAIT
        if request.space == Space.IDENTITY and request.opcode == Opcode.READ:
            size = self._spaces[Space.IDENTITY].size  # whatever lies behind is not said
            return (request.address & self._address_mask) + request.count <= size
        return request.space not in (Space.CONTROL, Space.SEED)

    def answer(self, packet: bytes) -> bytes | None:
        """Returns the answer to the bytes up to an END, without SLIP; None where there is none."""
        frame = unescaped(packet)
        if frame == b"":
            return None
        if not _intact(frame):
            return protocol.answer(0, Status.CORRUPT)
        assert frame is not None
        request = _Request.of(frame)
        return protocol.answer(request.sequence, *self._execute(request))

    def _execute(self, request: _Request) -> tuple[Status, bytes]:
        if request.opcode == Opcode.WAIT:
            if request.data:
                return Status.MALFORMED, b""
            holds = bool(request.address & _AT_REST)
            return (Status.OK if holds else Status.TIMEOUT), bytes([_AT_REST])
        if request.opcode not in (Opcode.READ, Opcode.WRITE):
            return Status.MALFORMED, b""
        if request.space not in self._spaces:
            return Status.ADDRESS, b""
        info = self._spaces[Space(request.space)]
        length = request.count * info.bytes if request.opcode == Opcode.WRITE else 0
        if not request.count or len(request.data) != length:
            return Status.MALFORMED, b""
        memory, read = self._memories[info.space], b""
        for place in range(request.count):
            # bits of an address beyond those of the largest memory, and of this one, do not count
            address = (request.address + place & self._address_mask) % info.size
            if request.opcode == Opcode.READ:
                read += memory[address].to_bytes(info.bytes, "little")
            elif info.write != When.NEVER:
                element = request.data[place * info.bytes : (place + 1) * info.bytes]
                memory[address] = int.from_bytes(element, "little") & (1 << info.bits) - 1
        return Status.OK, read


def unescaped(packet: bytes) -> bytes | None:
    """Returns the frame in the bytes up to an END; None if an ESC escapes nothing."""
    frame, escaped, damaged = bytearray(), False, False
    for byte in packet.removesuffix(bytes([END])):
        if escaped:
            damaged |= byte not in _ESCAPED
            frame.append(_ESCAPED.get(byte, byte))
            escaped = False
        elif byte == ESC:
            escaped = True
        else:
            frame.append(byte)
    if not frame:  # a lone ESC is no byte of a frame
        return b""
    return None if damaged or escaped else bytes(frame)


def _intact(frame: bytes | None) -> bool:
    return (
        frame is not None
        and REQUEST_HEADER_BYTES + CRC_BYTES <= len(frame) <= MAX_REQUEST
        and protocol.crc(frame) == 0
    )


# ---- frames --------------------------------------------------------------------------------------


def _packet(rng: np.random.Generator, decoder: Decoder) -> bytes:
    """Returns the bytes of a random frame whose answer is foretold, up to and with its END."""
    while True:
        packet = _any_packet(rng)
        if decoder.is_foretold(packet):
            return packet


def _any_packet(rng: np.random.Generator) -> bytes:
    kind = rng.integers(10)
    if kind == 0:  # what is no request at all, sealed or not
        content = rng.bytes(int(rng.choice([0, 1, 5, 7, 8, 40, 509, 510, 511, 600])))
        frame = protocol.sealed(content) if rng.random() < 0.7 else content
    else:
        frame = _request(rng)
    if kind == 1:
        frame = _damaged(rng, frame)
    packet = sliplib.encode(frame)
    if kind == 2:  # on the line; an END inside would make two frames of it
        packet = _damaged(rng, packet).replace(bytes([END]), b"")
    return packet + bytes([END])


def _request(rng: np.random.Generator) -> bytes:
    """Returns a sealed request, most of them sound."""
    infos = spaces(TINY)
    space = int(rng.choice(list(infos))) if rng.random() < 0.95 else int(rng.integers(256))
    info = infos.get(Space(space)) if space in infos else None
    size, element = (info.size, info.bytes) if info else (256, 4)
    opcode = int(rng.choice(list(Opcode), p=[0.4, 0.5, 0.1]))
    if rng.random() < 0.03:
        opcode = int(rng.integers(256))
    address = int(rng.integers(size)) if rng.random() < 0.9 else int(rng.integers(1 << 24))
    most = (MAX_REQUEST - REQUEST_HEADER_BYTES - CRC_BYTES) // element
    count = int(rng.integers(most + 1)) if rng.random() < 0.1 else int(rng.integers(8))
    data = rng.bytes(count * element) if opcode == Opcode.WRITE else b""
    if rng.random() < 0.05:  # a length that contradicts the header
        data += rng.bytes(int(rng.integers(1, 9)))
    return protocol.request(int(rng.integers(256)), opcode, space, address, count, data)


def _damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns bytes of which one to three were changed, left out or doubled."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(found)))
        kind = rng.integers(4)
        if kind == 0 and len(found) > 1:
            del found[place]
        elif kind == 1:
            found.insert(place, found[place])
        elif kind == 2:
            found[place] = int(rng.choice([ESC, protocol.ESC_END, protocol.ESC_ESC]))
        else:
            found[place] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _memory_reads() -> list[bytes]:
    """Returns requests for the contents of all memories."""
    packets = []
    for info in spaces(TINY).values():
        step = protocol.MAX_READ_BYTES // info.bytes
        for first in range(0, info.size if info.memory else 0, step):
            count = min(step, info.size - first)
            frame = protocol.request(1, Opcode.READ, info.space, first, count)
            packets.append(sliplib.encode(frame) + bytes([END]))
    return packets
