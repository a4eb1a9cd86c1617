# SPDX-License-Identifier: Apache-2.0
"""A device in this process that speaks the link's protocol, and a line to it that can be made to
fail.
"""

from collections import deque

import sliplib

from helpers.link_bench import END, BusModel, framed
from ornstein.hdl import protocol
from ornstein.hdl.protocol import CRC_BYTES, MAX_REQUEST, REQUEST_HEADER, Opcode, Status
from ornstein.hdl.regmap import Event, Space, identity
from ornstein.hdl.spaces import spaces
from ornstein.sim.transport import Transport


class FakeDevice:
    """Answers whole requests as the bridge does. ``events`` are the flags that hold, after so many
    refused waits.
    """

    def __init__(self, config):
        self.config = config
        self.bus = BusModel(config)
        self.bus.memory |= {
            (Space.IDENTITY, n): value for n, value in enumerate(identity(config).values())
        }
        self.events = Event(0)
        self.waits = 0
        self._line = b""

    def answer(self, data: bytes) -> list[bytes]:
        """Frames that answer the bytes."""
        *packets, self._line = (self._line + data).split(END)
        return [self._answer(packet) for packet in packets if packet]

    def _answer(self, packet):
        frame = sliplib.decode(packet) if sliplib.is_valid(packet) else b""
        if len(frame) < 8 + CRC_BYTES or len(frame) > MAX_REQUEST or protocol.crc(frame):
            return protocol.answer(0, Status.CORRUPT)
        fields, place = [], 0
        for _, width in REQUEST_HEADER:
            fields.append(int.from_bytes(frame[place : place + width // 8], "little"))
            place += width // 8
        return protocol.answer(fields[0], *self._execute(*fields[1:], frame[place:-CRC_BYTES]))

    def _execute(self, opcode, space, address, count, data):
        if opcode == Opcode.WAIT:
            self.waits -= 1
            holding = self.events if self.waits < 0 else Event(0)
            return Status.OK if holding & address else Status.TIMEOUT, bytes([holding])
        if space not in spaces(self.config):
            return Status.ADDRESS, b""
        size = spaces(self.config)[Space(space)].bytes
        if len(data) != (count * size if opcode == Opcode.WRITE else 0):
            return Status.MALFORMED, b""
        out = b""
        for n in range(count):
            value = int.from_bytes(data[n * size : (n + 1) * size], "little")
            status, read = self.bus.access(1, space, address + n, opcode == Opcode.WRITE, value)
            if status != Status.OK:
                return (Status.OK, out) if out else (status, b"")
            if opcode == Opcode.READ:
                out += read.to_bytes(size, "little")
        return Status.OK, out


class FakeTransport(Transport):
    """A line to a :class:`FakeDevice`.

    ``on_request`` and ``on_answer`` see every frame and return what travels instead: bytes, or
    nothing. ``most_unanswered`` records how many bytes of requests were on their way behind the
    first.
    """

    def __init__(self, device, *, on_request=None, on_answer=None, chunk=4096):
        self.device = device
        self.written = 0
        self._on_request = on_request or framed
        self._on_answer = on_answer or framed
        self._chunk = chunk
        self._requests = deque()
        self._arrived = b""
        self.most_unanswered = 0
        self.closed = False

    def write(self, data):
        self.written += 1
        packets = [packet for packet in data.split(END) if packet]
        self._requests += [(sliplib.decode(packet), len(packet) + 2) for packet in packets]
        self.most_unanswered = max(
            self.most_unanswered, sum(size for _, size in list(self._requests)[1:])
        )

    def read(self, timeout):
        if not self._arrived and self._requests:
            frame, _ = self._requests.popleft()
            for answer in self.device.answer(self._on_request(frame) or b""):
                self._arrived += self._on_answer(answer) or b""
        data, self._arrived = self._arrived[: self._chunk], self._arrived[self._chunk :]
        return data

    def close(self):
        self.closed = True


def damaged(rng, frame):
    """The frame with one bit wrong."""
    frame = bytearray(frame)
    frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
    return bytes(frame)
