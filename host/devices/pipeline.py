# SPDX-License-Identifier: Apache-2.0
"""Requests that are sent ahead of the answers to earlier ones, so that both directions of the line
are used at once.

Nothing is repeated here, as in :meth:`Link._exchange`: what was lost would be executed behind
requests that rely on it. Every answer must be the next one that is due, sound and OK, and nothing
else may arrive. Otherwise the pipeline ends with an error, and what it was for must be done again.
"""

from collections import deque
from typing import NamedTuple

from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.protocol import MAX_READ_BYTES, Opcode, Status
from ornstein.host.devices.frames import MOST_AHEAD, SEQUENCES, Request, parsed
from ornstein.host.devices.link import Link
from ornstein.sim.transport import LinkError

_MOST_ANSWERED = 4 * MAX_READ_BYTES
"""Bytes of answers that may be on their way: an operating system keeps about as many for a port
whose reader is slow."""


class DisturbedError(LinkError):
    """The answers were not those that had to come. What the device has done since is unknown."""


class _Sent(NamedTuple):
    """A request with its sequence number, its packet, and the bytes of all packets up to the end of
    this one.
    """

    request: Request
    sequence: int
    packet: bytes
    end: int


class Pipeline:
    """See the module. After a DisturbedError it must not be used any more.

    ``link.strays`` and ``link.repairs`` count as for other exchanges: answers that no packet sent
    explains, and requests that are lost, which are all that were not answered.
    """

    def __init__(self, link: Link):
        self._link = link
        self._waiting: deque[_Sent] = deque()
        self._in_flight: deque[_Sent] = deque()
        self._long: deque[int] = deque()  # ends of those whose answers take more than a packet
        self._end = 0  # bytes of all packets so far
        self._awaited = 0  # bytes of data of the answers to all in flight
        self._answers: deque[bytes] = deque()

    def send(self, requests: list[Request]) -> None:
        """Sends the requests as soon as there is room for them on the device. Their packets are
        made now, so that later nothing stands between an answer and what it makes room for: nothing
        else is sent meanwhile, so that their sequence numbers are known.
        """
        for request in requests:
            sequence = (self._link.made + len(self._waiting)) % SEQUENCES + 1
            packet = request.packet(sequence)
            self._end += len(packet)
            self._waiting.append(_Sent(request, sequence, packet, self._end))
        self._send()

    def answers(self, count: int) -> list[bytes]:
        """Returns the data of the next ``count`` answers. Raises DisturbedError, and LinkError if
        the transport fails.
        """
        link, transport = self._link, self._link.transport
        deadline = transport.now() + link.timeout
        while len(self._answers) < count:
            data = transport.read(max(0.0, deadline - transport.now()))
            packets = link.packets(data)
            for packet in packets:
                self._take(packet)
            self._send()
            if packets:
                deadline = transport.now() + link.timeout
            elif transport.now() >= deadline:
                raise self._lost("is not answered")
        return [self._answers.popleft() for _ in range(count)]

    def _send(self) -> None:
        """Sends what may be in flight beside what is, in one piece. A device that holds one packet
        gets a WAIT at the beginning of a packet, so that it holds what follows while it waits.
        """
        link, packets = self._link, []
        while self._waiting and self._has_room(self._waiting[0]):
            sent = self._waiting.popleft()
            request = sent.request
            self._in_flight.append(sent)
            self._awaited += request.answer_bytes
            if request.answer_bytes > MAX_PACKET:
                self._long.append(sent.end)
            link.made += 1
            link.expect(sent.sequence)
            if packets and request.opcode == Opcode.WAIT and link.holds_a_packet:
                link.transport.write(b"".join(packets))
                packets.clear()
            packets.append(sent.packet)
        if packets:
            link.transport.write(b"".join(packets))

    def _has_room(self, new: _Sent) -> bool:
        """Returns whether the device has room for a packet, and the host's port for its answer."""
        if not self._in_flight:
            return True
        if len(self._in_flight) >= MOST_AHEAD:
            return False
        if self._awaited + new.request.answer_bytes > _MOST_ANSWERED:
            return False
        if self._long and self._link.holds_a_packet and new.end - self._long[0] > MAX_PACKET:
            return False
        return new.end - self._in_flight[0].end <= self._link.window

    def _take(self, packet: bytes) -> None:
        """Takes the answer to the oldest request in flight."""
        answer = parsed(packet)
        if answer is None:
            raise self._lost("is answered by bytes that are no answer")
        sequence, status, data = answer
        if not self._link.explain(sequence) and status != Status.CORRUPT:
            self._link.strays += 1
        if not self._in_flight or sequence != self._in_flight[0].sequence:
            raise self._lost("is not answered before a later one")
        request, _, _, end = self._in_flight[0]
        if status != Status.OK:
            raise DisturbedError(f"{request} is answered by {status.name}")
        if len(data) != request.answer_bytes:
            raise self._lost("is answered with the wrong number of bytes")
        self._in_flight.popleft()
        if self._long and self._long[0] == end:
            self._long.popleft()
        self._awaited -= request.answer_bytes
        self._answers.append(data)

    def _lost(self, how: str) -> DisturbedError:
        """Returns the error after counting what is in flight as lost."""
        self._link.repairs += max(1, len(self._in_flight))
        what = self._in_flight[0].request if self._in_flight else "no request"
        return DisturbedError(f"{what} {how}")
