# SPDX-License-Identifier: Apache-2.0
"""The host's end of the link: reads and writes elements of a fabric's spaces, with retries."""

import contextlib
import functools
import math
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from ornstein.hdl.config import PRESETS, REFERENCE, ConfigError, FabricConfig
from ornstein.hdl.protocol import (
    ANSWER_HEADER_BYTES,
    CRC_BYTES,
    MAX_READ_BYTES,
    MAX_WRITE_BYTES,
    Opcode,
    Status,
)
from ornstein.hdl.regmap import (
    FALLBACK_SECONDS,
    MAGIC,
    PROTOCOL_VERSION,
    Control,
    Event,
    Line,
    Space,
    identity,
)
from ornstein.hdl.spaces import SpaceInfo, spaces
from ornstein.host.devices.frames import END, MOST_AHEAD, SEQUENCES, Request, parsed
from ornstein.sim.transport import LinkError, Transport

_LONGEST_PACKET = 2 * (ANSWER_HEADER_BYTES + MAX_READ_BYTES + CRC_BYTES)
"""Bytes of the longest answer if every byte of it is escaped."""
_FIRST_WAIT_UNITS = 16
"""Length of the first WAIT command. It is doubled until a wait takes a good part of the time-out,
whatever the device's clock is.
"""
LONGEST_WAIT_UNITS = 0xFFFF
_INTEGER_SIZES = (1, 2, 4, 8)
"""Sizes in bytes of NumPy's integers."""
_REASONS = {
    Status.BUSY: "a job runs; wait until it ends",
    Status.FULL: "a job waits already; wait until one ends",
    Status.ADDRESS: "the device has no such element; its build may differ from its identity",
    Status.MALFORMED: (
        "the device did not understand; host and gateware may be of different versions"
    ),
}


class NoAnswerError(LinkError):
    """A request was repeated as often as allowed, and no valid answer to it came."""


class RefusedError(LinkError):
    """The device understood a request and refused it.

    Attributes
    ----------
    status : Status, the reason
    """

    def __init__(self, request: object, status: Status):
        super().__init__(request, status)  # pickle makes it again from these
        self.request, self.status = request, status

    def __str__(self) -> str:
        return f"{self.request} was refused as {self.status.name}: {_REASONS[self.status]}"


class _Batch:
    """Requests that are exchanged together, several of them in flight at a time.

    A device answers in the order of the requests. An answer therefore shows that all requests which
    were sent before its own and are still unanswered are lost. Lost requests are sent again under
    their old sequence numbers, and so are those that came to the device as something else: it
    answers that it does not understand, or with another number of bytes.

    Attributes
    ----------
    answers : data of each request's answer
    refused : RefusedError of the first request that was refused
    failed : why it failed, once a request was lost or misunderstood more often than it may be
        repeated
    """

    def __init__(self, requests: list[Request], first_sequence: int, retries: int):
        self.answers = [b""] * len(requests)
        self.refused: RefusedError | None = None
        self.failed: LinkError | Request | None = None
        self._retries = retries
        self._requests = requests
        self._first_sequence = first_sequence
        self._waiting = deque(range(len(requests)))
        # (index, bytes of the packet) by sequence number, in the order of sending
        self._in_flight: dict[int, tuple[int, int]] = {}
        self._loss_counts = [0] * len(requests)
        self._newly_lost = 0

    @property
    def unfinished(self) -> bool:
        """Whether an answer is missing. After a refusal no more requests are sent."""
        return bool(self._in_flight or (self._waiting and not self.refused))

    def packets(self, window: int) -> Iterator[tuple[int, bytes]]:
        """Yields the packets that can be sent now, with their sequence numbers.

        No more than ``window`` bytes may be in flight behind the oldest request.
        """
        while self._waiting and not self.refused:
            index = self._waiting[0]
            oldest = min((sent for sent, _ in self._in_flight.values()), default=index)
            if index - min(oldest, index) >= MOST_AHEAD:
                return
            sequence = (self._first_sequence + index) % SEQUENCES + 1
            packet = self._requests[index].packet(sequence)
            behind_oldest = [size for _, size in self._in_flight.values()][1:]
            if self._in_flight and sum(behind_oldest) + len(packet) > window:
                return
            self._in_flight[sequence] = self._waiting.popleft(), len(packet)
            yield sequence, packet

    def asks(self, sequence: int) -> bool:
        """Whether one of the requests has this number, answered or not."""
        return (sequence - 1 - self._first_sequence) % SEQUENCES < len(self._requests)

    def take(self, sequence: int, status: Status, data: bytes) -> bool:
        """Takes an answer; returns whether it answers one of the requests in flight."""
        if status == Status.CORRUPT:
            # Most likely the oldest request was damaged. If it was a later one, the oldest is
            # repeated in vain and the damaged one is repeated after the time-out.
            self._lose(1)
            return False
        if sequence not in self._in_flight:
            return False
        self._lose(list(self._in_flight).index(sequence))
        index, _ = self._in_flight[sequence]
        request = self._requests[index]
        whole = status in (Status.OK, Status.TIMEOUT)
        if status == Status.MALFORMED or (whole and len(data) != request.answer_bytes):
            self._lose(1)
            if self.failed is request:
                self.failed = (
                    RefusedError(request, status)
                    if not whole
                    else LinkError(
                        f"{request} was answered with {len(data)} bytes instead of "
                        f"{request.answer_bytes}; the device cannot give all of it now"
                    )
                )
            return True
        self._in_flight.pop(sequence)
        if not whole:
            self.refused = self.refused or RefusedError(request, status)
        self.answers[index] = data
        return True

    def newly_lost(self) -> int:
        """Returns the number of requests that were counted as lost since the last call."""
        lost, self._newly_lost = self._newly_lost, 0
        return lost

    def lose_all(self) -> None:
        """Counts all requests in flight as lost."""
        self._lose(len(self._in_flight))

    def _lose(self, count: int) -> None:
        """Puts the oldest ``count`` requests in flight back in front of those that wait."""
        lost = list(self._in_flight)[:count]
        self._newly_lost += len(lost)
        indices = [self._in_flight.pop(sequence)[0] for sequence in lost]
        for index in indices:
            self._loss_counts[index] += 1
            if self._loss_counts[index] > self._retries:
                self.failed = self._requests[index]
        self._waiting.extendleft(reversed(indices))


class Link:
    """The host's end of :mod:`ornstein.hdl.protocol`, over a transport to a device.

    Several requests are in flight at a time, as many bytes as the window allows. A request that is
    damaged or not answered is sent again under the same sequence number, up to ``retries`` times.
    Every request may be repeated without harm; the first answer counts. No call lasts longer than
    ``timeout * (retries + 1)`` seconds without a valid answer.

    Parameters
    ----------
    transport : Transport
    timeout : seconds without a valid answer after which requests are sent again
    retries : how often a request is sent again

    Attributes
    ----------
    line : Line of the device; None before :meth:`identify`
    made : number of requests so far, from a random start; the sequence number of the next one is
        ``made % SEQUENCES + 1``
    repairs : requests that were sent again so far, because they or their answers were damaged
    strays : answers so far to requests of earlier exchanges that were answered before, as often as
        they were sent: the device may have executed something old again

    Raises
    ------
    NoAnswerError
        The device stays silent, or its bytes are no valid answers.
    LinkError
        The device is not the expected one, or the transport fails.
    RefusedError
        The device refuses a request.
    """

    def __init__(self, transport: Transport, *, timeout: float = 1.0, retries: int = 3):
        self.transport = transport
        self.timeout = timeout
        self._retries = retries
        self._config: FabricConfig | None = None
        self._spaces: dict[Space, SpaceInfo] = {}
        self.line: Line | None = None
        self.repairs = self.strays = 0
        self._baud_changed = False
        # a random start makes it unlikely that late answers to an earlier session fit
        self.made = secrets.randbelow(SEQUENCES)
        # numbers of the packets that can still be answered, in the order of sending
        self._unanswered: deque[int] = deque(maxlen=SEQUENCES)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the transport; a device whose rate was changed first gets its old rate back."""
        if self._baud_changed:
            with contextlib.suppress(LinkError), self._retry_policy(min(self.timeout, 0.5), 0):
                self.write(Space.CONTROL, Control.RATE, [0])
            self._baud_changed = False
        self.transport.close()

    def identify(self) -> FabricConfig:
        """Reads the identity of the device and returns its fabric.

        Raises LinkError, which names the field, if the host does not know such a fabric.
        """
        fields = list(identity(REFERENCE))
        head = fields.index("build_hash") + 1
        values = dict(zip(fields[:head], self._registers(0, head), strict=True))
        if values["magic"] != MAGIC:
            raise LinkError(
                f"magic is {values['magic']:#010x}, not {MAGIC:#010x}: this is no Ornstein device; "
                "check the port"
            )
        if values["protocol"] != PROTOCOL_VERSION:
            raise LinkError(
                f"protocol is version {values['protocol']}, this host speaks {PROTOCOL_VERSION}; "
                "build and flash the gateware of this release"
            )
        values |= zip(fields[head:], self._registers(head, len(fields) - head), strict=True)
        try:
            config = FabricConfig.from_identity("device", values)
        except ConfigError as error:
            raise LinkError(f"the device describes a fabric that cannot be: {error}") from error
        if config.build_hash != values["build_hash"]:
            raise LinkError(
                f"build_hash is {values['build_hash']:#010x}, the identity's other fields give "
                f"{config.build_hash:#010x}; build and flash the gateware of this release"
            )
        self.line = Line.from_identity(values)
        names = [
            preset.name for preset in PRESETS.values() if preset.build_hash == config.build_hash
        ]
        self._config = replace(config, name=names[0]) if names else config
        self._spaces = spaces(config)
        return self._config

    @property
    def config(self) -> FabricConfig:
        """The fabric at the other end, which is asked for its identity on first use."""
        return self.identify() if self._config is None else self._config

    @property
    def holds_a_packet(self) -> bool:
        """Whether the device is a USB device itself, as its identity says, which names no rates
        then. It takes one packet ahead. The others are refused and sent again, and each time takes
        as long as a packet of answers.
        """
        return self.transport.through_usb and self.line is not None and not self.line.divisors

    @property
    def window(self) -> int:
        """Bytes that may be in flight besides the request that the device works on: the size of
        its queue, as far as its identity has told it.
        """
        return self.transport.window + (self.line.spare if self.line else 0)

    @property
    def baud(self) -> int | None:
        """Bits per second of the line; None where it has no rate."""
        return self.transport.baud

    def negotiate_baud(self) -> int | None:
        """Changes a negotiable line to the fastest rate at which the device identifies itself.

        Returns the rate then in force, None where the line has none. Each rate that fails costs
        some seconds, after which both ends are back at the first rate. Raises LinkError if the
        device does not answer at its first rate either.
        """
        if self._config is None:
            self.identify()
        if self.transport.negotiable and self.line is not None:
            rates = zip(self.line.bauds, range(len(self.line.bauds)), strict=True)
            for baud, index in sorted(rates, reverse=True):
                present = self.transport.baud or 0  # a rate that failed has changed it
                if baud <= present or self._try_baud(self.line.bauds, index):
                    break
        return self.transport.baud

    def _try_baud(self, bauds: tuple[int, ...], index: int) -> bool:
        """Returns whether the device identifies itself at that rate; if not, it is back at the
        first one.
        """
        self.write(Space.CONTROL, Control.RATE, [index])
        self._baud_changed = True
        try:
            self.transport.set_baud(bauds[index])
            with self._retry_policy(self.timeout, 1):
                self.identify()
            return True
        except LinkError:
            self.transport.set_baud(bauds[0])
        self._received = b""
        # the device does not understand this rate until it has fallen back to it
        with self._retry_policy(self.timeout, math.ceil(2 * FALLBACK_SECONDS / self.timeout)):
            self.identify()
        self._baud_changed = False
        return False

    @contextlib.contextmanager
    def _retry_policy(self, timeout: float, retries: int) -> Iterator[None]:
        """Replaces the time-out and the number of retries within the context."""
        kept = self.timeout, self._retries
        self.timeout, self._retries = timeout, retries
        try:
            yield
        finally:
            self.timeout, self._retries = kept

    def read(self, space: Space, address: int, count: int) -> np.ndarray:
        """Returns ``count`` elements (count,) int64 from ``address`` on.

        Raises ValueError if the space does not hold them.
        """
        return self.read_ranges(space, [address], count)[0]

    def read_ranges(self, space: Space, addresses: Iterable[int], count: int) -> np.ndarray:
        """Returns elements (ranges, count) int64: for each address, ``count`` elements from there.

        The requests of all ranges travel together. Raises ValueError if the space does not hold
        all of them.
        """
        requests = self.reads(space, addresses, count)
        return self.unpacked(space, b"".join(self._exchange(requests))).reshape(-1, count)

    def reads(self, space: Space, addresses: Iterable[int], count: int) -> list[Request]:
        """Returns the requests of :meth:`read_ranges`; raises what it raises."""
        starts = [int(address) for address in addresses]
        for start in starts:
            self._check_range(space, start, count)
        size = self._infos()[space].bytes
        return [request for start in starts for request in _reads(space, start, count, size)]

    def unpacked(self, space: Space, data: bytes) -> np.ndarray:
        """Returns elements (n,) int64 of a space from the bytes in which they were read."""
        info = self._infos()[space]
        return _unpacked(data, info.bits, info.signed)

    def write(self, space: Space, address: int, values: ArrayLike) -> None:
        """Writes integers (n,) to the elements from ``address`` on.

        Raises ValueError if the space has no such elements, or an element cannot hold its value.
        """
        self.write_together([(space, address, values)])

    def write_together(self, parts: Iterable[tuple[Space, int, ArrayLike]]) -> None:
        """Writes integers to several places; see :meth:`write`. All requests travel together, and
        one that is lost is executed behind the others.
        """
        requests = [self.writes(space, address, values) for space, address, values in parts]
        self._exchange([request for part in requests for request in part])

    def writes(self, space: Space, address: int, values: ArrayLike) -> list[Request]:
        """Returns the requests of :meth:`write`; raises what it raises."""
        values = np.atleast_1d(np.asarray(values))
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise ValueError(
                f"values for {space.name} must be a row of integers, not {values.ndim}-dimensional "
                f"{values.dtype}"
            )
        self._check_range(space, address, len(values))
        info = self._infos()[space]
        if info.signed:
            low, high = -(1 << info.bits - 1), (1 << info.bits - 1) - 1
        else:
            low, high = 0, (1 << info.bits) - 1
        least, most = _held(values.dtype)
        if least < low or most > high:  # the type alone does not keep the values in range
            wrong = np.flatnonzero((values < low) | (values > high))
            if wrong.size:
                raise ValueError(
                    f"values for {space.name} must be between {low} and {high}; element "
                    f"{address + wrong[0]} is {values[wrong[0]]}"
                )
        size = info.bytes
        data = _packed(values, size)
        # requests are much smaller than the window, so that several can be in flight
        step = max(1, min(MAX_WRITE_BYTES, self.transport.window // 2) // size)
        return [
            Request(
                Opcode.WRITE,
                space,
                address + first,
                min(step, len(values) - first),
                data[first * size : (first + step) * size],
            )
            for first in range(0, len(values), step)
        ]

    def register_write(self, register: Control, value: int) -> Request:
        """Returns the request that writes an unsigned number to a control register."""
        data = value.to_bytes(self._infos()[Space.CONTROL].bytes, "little")
        return Request(Opcode.WRITE, Space.CONTROL, register, 1, data)

    def wait(
        self, events: Event, timeout: float, meanwhile: Callable[[], None] | None = None
    ) -> Event:
        """Waits until one of ``events`` holds; returns all events that hold then.

        ``meanwhile`` is called now and then. Raises LinkError after ``timeout`` seconds.
        """
        deadline = self.transport.now() + timeout
        units = _FIRST_WAIT_UNITS
        while True:
            began = self.transport.now()
            (answer,) = self._exchange([Request(Opcode.WAIT, 0, events, units, answer_bytes=1)])
            holding = Event(answer[0])
            now = self.transport.now()
            if holding & events:
                return holding
            if now >= deadline:
                raise LinkError(
                    f"no {events.name} within {timeout:g} s, the device reports "
                    f"{holding.name or 'nothing'}; allow more time or restart the device"
                )
            if meanwhile is not None:
                meanwhile()
            if now - began < self.timeout / 8:
                units = min(2 * units, LONGEST_WAIT_UNITS)

    def _registers(self, address: int, count: int) -> list[int]:
        """Reads identity registers, whose size does not depend on the build."""
        size = spaces(REFERENCE)[Space.IDENTITY].bytes
        data = b"".join(self._exchange(_reads(Space.IDENTITY, address, count, size)))
        return [int.from_bytes(data[n : n + size], "little") for n in range(0, len(data), size)]

    def _infos(self) -> dict[Space, SpaceInfo]:
        """Returns the spaces of the fabric."""
        if self._config is None:
            self.identify()
        return self._spaces

    def _check_range(self, space: Space, address: int, count: int) -> None:
        """Raises ValueError unless the space holds ``count`` elements from ``address`` on."""
        info = self._infos().get(space)
        size = info.size if info else 0
        if address < 0 or count < 1 or address + count > size:
            raise ValueError(
                f"{space.name} has {size} elements; {count} from {address} on are not among them"
            )

    def _exchange(self, requests: list[Request]) -> list[bytes]:
        """Sends requests until all are answered; returns the data of the answers."""
        batch = _Batch(requests, self.made, self._retries)
        self.made += len(requests)
        unexplained = 0  # bytes received since the last valid answer
        deadline = self.transport.now() + self.timeout
        while batch.unfinished:
            for sequence, packet in batch.packets(self.window):
                self.expect(sequence)
                self.transport.write(packet)
            data = self.transport.read(max(0.0, deadline - self.transport.now()))
            unexplained += len(data)
            for answer in self._answers(data):
                sequence, status, _ = answer
                if not self.explain(sequence) and status != Status.CORRUPT:
                    self.strays += not batch.asks(sequence)
                if batch.take(*answer):
                    unexplained = 0
                    deadline = self.transport.now() + self.timeout
            if self.transport.now() >= deadline:
                batch.lose_all()
                deadline = self.transport.now() + self.timeout
            self.repairs += batch.newly_lost()
            if isinstance(batch.failed, LinkError):
                raise batch.failed
            if batch.failed:
                raise NoAnswerError(f"{batch.failed} failed: {self._diagnosis(unexplained)}")
        if batch.refused:
            raise batch.refused
        return batch.answers

    def expect(self, sequence: int) -> None:
        """Notes that a packet with this number is sent, which may be answered now or later."""
        self._unanswered.append(sequence)

    def explain(self, sequence: int) -> bool:
        """Returns whether a packet that was sent explains an answer with this number.

        A request that was sent again may be answered twice. A device answers in order, so that what
        was sent before a packet that is answered now will not be answered any more.
        """
        if sequence not in self._unanswered:
            return False
        while self._unanswered.popleft() != sequence:
            pass
        return True

    def _answers(self, data: bytes) -> Iterator[tuple[int, Status, bytes]]:
        """Yields sequence number, status and data of the valid answers that end in these bytes.

        Everything else is dropped.
        """
        for packet in self.packets(data):
            if (answer := parsed(packet)) is not None:
                yield answer

    def packets(self, data: bytes) -> list[bytes]:
        """Returns the packets that end in these bytes, without END and without empty ones."""
        *packets, self._received = (self._received + data).split(END)
        if len(self._received) > _LONGEST_PACKET:
            self._received = b""
        return [packet for packet in packets if packet]

    def _diagnosis(self, unexplained: int) -> str:
        """Returns what to look at after that many bytes without a valid answer."""
        tries = f"{self._retries + 1} attempts of {self.timeout:g} s"
        if unexplained:
            return (
                f"{unexplained} bytes but no valid answer in {tries}; check the baud rate and that "
                "this is the right port"
            )
        return f"the device is silent ({tries}); check that it is powered, flashed and on this port"


def _reads(space: Space, address: int, count: int, size: int) -> list[Request]:
    """Returns the requests that read ``count`` elements of ``size`` bytes each."""
    step = MAX_READ_BYTES // size
    return [
        Request(
            Opcode.READ,
            space,
            address + first,
            min(step, count - first),
            answer_bytes=min(step, count - first) * size,
        )
        for first in range(0, count, step)
    ]


@functools.cache
def _held(dtype: np.dtype) -> tuple[int, int]:
    """Returns the least and the greatest integer of a type."""
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _packed(values: np.ndarray, size: int) -> bytes:
    """Returns integers as little-endian numbers of ``size`` bytes each."""
    if size in _INTEGER_SIZES:
        return values.astype(f"<i{size}").tobytes()
    return values.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :size].tobytes()


def _unpacked(data: bytes, bits: int, is_signed: bool) -> np.ndarray:
    """Returns integers (n,) int64 from little-endian numbers of ``bits`` bits in whole bytes."""
    size = -(-bits // 8)
    if bits == 8 * size and size in _INTEGER_SIZES:
        return np.frombuffer(data, f"<{'i' if is_signed else 'u'}{size}").astype(np.int64)
    raw = np.zeros((len(data) // size, 8), np.uint8)
    raw[:, :size] = np.frombuffer(data, np.uint8).reshape(-1, size)
    spare = 64 - bits  # bits above the number, which carry nothing
    shifted = raw.view("<u8")[:, 0] << np.uint64(spare)
    if is_signed:
        return shifted.astype(np.int64) >> spare
    return (shifted >> np.uint64(spare)).astype(np.int64)
