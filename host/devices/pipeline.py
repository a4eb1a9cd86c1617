# SPDX-License-Identifier: Apache-2.0
"""Requests that are sent ahead of the answers to earlier ones, so that both directions of the line
are used at once.

Nothing is repeated here, as in :meth:`Link._exchange`: what was lost would be executed behind
requests that rely on it. Every answer must be the next one that is due, sound and OK, and nothing
else may arrive. Otherwise the pipeline ends with an error, and what it was for must be done again.
"""

from collections import deque
from typing import NamedTuple

from ornstein.hdl.protocol import MAX_READ_BYTES, Status
from ornstein.host.devices.frames import MOST_AHEAD, SEQUENCES, Request, parsed
from ornstein.host.devices.link import Link
from ornstein.sim.transport import LinkError

_MOST_ANSWERED = 4 * MAX_READ_BYTES
"""Bytes of answers that may be on their way: an operating system keeps about as many for a port
whose reader is slow."""


class DisturbedError(LinkError):
    """The answers were not those that had to come. What the device has done since is unknown."""


class _Sent(NamedTuple):
    """A request that is not answered yet, with its sequence number and the bytes of its packet."""

    request: Request
    sequence: int
    size: int


class Pipeline:
    """See the module. After a DisturbedError it must not be used any more.

    ``link.strays`` and ``link.repairs`` count as for other exchanges: answers that no packet sent
    explains, and requests that are lost, which are all that were not answered.
    """

    def __init__(self, link: Link):
        self._link = link
        self._waiting: deque[Request] = deque()
        self._in_flight: deque[_Sent] = deque()
        self._behind = 0  # bytes of packets in flight behind the oldest
        self._packet = b""  # of the first request that waits, once it was made
        self._awaited = 0  # bytes of data of the answers to all in flight
        self._answers: deque[bytes] = deque()

    def send(self, requests: list[Request]) -> None:
        """Sends the requests as soon as there is room for them on the device."""
        self._waiting.extend(requests)
        self._send()

    def answers(self, count: int) -> list[bytes]:
        """Returns the data of the next ``count`` answers. Raises DisturbedError, and LinkError if
        the transport fails.
        """
        link, transport = self._link, self._link.transport
        deadline = transport.now() + link.timeout
        while len(self._answers) < count:
            data = transport.read(max(0.0, deadline - transport.now()))
            for packet in link.packets(data):
                self._take(packet)
                deadline = transport.now() + link.timeout
            if transport.now() >= deadline:
                raise self._lost("is not answered")
            self._send()
        return [self._answers.popleft() for _ in range(count)]

    def _send(self) -> None:
        """Sends what may be in flight beside what is, in one piece."""
        link, packets = self._link, []
        while self._waiting and len(self._in_flight) < MOST_AHEAD:
            request, sequence = self._waiting[0], link.made % SEQUENCES + 1
            # nothing else is sent meanwhile, so that a packet that has to wait keeps its number
            self._packet = packet = self._packet or request.packet(sequence)
            awaited = self._awaited + request.answer_bytes
            full = self._behind + len(packet) > link.transport.window or awaited > _MOST_ANSWERED
            if self._in_flight and full:
                break
            self._waiting.popleft()
            self._packet = b""
            link.made += 1
            self._behind += len(packet) if self._in_flight else 0
            self._awaited = awaited
            self._in_flight.append(_Sent(request, sequence, len(packet)))
            link.expect(sequence)
            packets.append(packet)
        if packets:
            link.transport.write(b"".join(packets))

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
        oldest = self._in_flight[0]
        if status != Status.OK:
            raise DisturbedError(f"{oldest.request} is answered by {status.name}")
        if len(data) != oldest.request.answer_bytes:
            raise self._lost("is answered with the wrong number of bytes")
        self._in_flight.popleft()
        self._behind -= self._in_flight[0].size if self._in_flight else 0
        self._awaited -= oldest.request.answer_bytes
        self._answers.append(data)

    def _lost(self, how: str) -> DisturbedError:
        """Returns the error after counting what is in flight as lost."""
        self._link.repairs += max(1, len(self._in_flight))
        what = self._in_flight[0].request if self._in_flight else "no request"
        return DisturbedError(f"{what} {how}")
