# SPDX-License-Identifier: Apache-2.0
"""The host's end of the link: elements of the fabric's spaces, read and written with retries."""

import contextlib
import math
import secrets
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import sliplib
from numpy.typing import ArrayLike

from ornstein.hdl import protocol
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
from ornstein.hdl.spaces import spaces
from ornstein.sim.transport import LinkError, Transport

_END = bytes([protocol.END])
_LONGEST_PACKET = 2 * (
    ANSWER_HEADER_BYTES + MAX_READ_BYTES + CRC_BYTES
)  # every byte of an answer escaped
_MOST_FLYING = 128  # half of the sequence numbers
_FIRST_WAIT = (
    16  # units; doubled until a wait takes a good part of the time-out, whatever the device's clock
)
_LONGEST_WAIT = 0xFFFF
_REASONS = {
    Status.BUSY: "a job runs; wait until it ends",
    Status.FULL: "a job waits already; wait until one ends",
    Status.ADDRESS: "the device has no such element; its build may differ from its identity",
    Status.MALFORMED: "the device did not understand; host and gateware may be of different versions",
}


class RefusedError(LinkError):
    """The device understood and refused.

    Attributes
    ----------
    status : Status
    """

    def __init__(self, asked, status: Status):
        super().__init__(f"{asked} was refused as {status.name}: {_REASONS[status]}")
        self.status = status


@dataclass(frozen=True)
class _Request:
    opcode: Opcode
    space: int
    address: int
    count: int
    data: bytes = b""
    answer_bytes: int = 0

    def __str__(self):
        if self.opcode == Opcode.WAIT:
            return f"wait for {Event(self.address).name}"
        return f"{self.opcode.name.lower()} of {self.count} elements of {Space(self.space).name} at {self.address}"

    def packet(self, sequence: int) -> bytes:
        """The request as it travels."""
        frame = protocol.request(
            sequence, self.opcode, self.space, self.address, self.count, self.data
        )
        return _END + sliplib.encode(frame) + _END


class _Batch:
    """Requests, several of them on their way. A device answers in order: an answer tells that what
    was sent before the request and is not yet answered was lost. What was lost is sent again under
    its old number.
    """

    def __init__(self, requests: list[_Request], first_sequence: int, retries: int):
        self.answers = [b""] * len(requests)
        self.refused = None  # RefusedError of the first request that was
        self.hopeless = None  # a request that was lost too often
        self._retries = retries
        self._requests = requests
        self._first_sequence = first_sequence
        self._waiting = deque(range(len(requests)))
        self._flying = {}  # sequence: (index, bytes), in the order of sending
        self._losses = [0] * len(requests)

    @property
    def unfinished(self) -> bool:
        """Whether an answer is missing; after a refusal nothing new is sent."""
        return bool(self._flying or (self._waiting and not self.refused))

    def packets(self, window: int) -> Iterator[bytes]:
        """What can be sent now, so that no more than ``window`` bytes wait behind the oldest
        request.
        """
        while self._waiting and not self.refused and len(self._flying) < _MOST_FLYING:
            index = self._waiting[0]
            sequence = (
                self._first_sequence + index
            ) % 255 + 1  # answers to damaged requests carry zero
            packet = self._requests[index].packet(sequence)
            behind_oldest = [size for _, size in self._flying.values()][1:]
            if self._flying and sum(behind_oldest) + len(packet) > window:
                return
            self._flying[sequence] = self._waiting.popleft(), len(packet)
            yield packet

    def take(self, sequence: int, status: Status, data: bytes) -> bool:
        """Whether this is an answer to one of the requests. Raises LinkError if it is one of the
        wrong length.
        """
        if (
            status == Status.CORRUPT
        ):  # most likely the oldest; if it was another, that one's silence will tell
            self._lose(1)
            return False
        if sequence not in self._flying:
            return False
        self._lose(list(self._flying).index(sequence))
        index, _ = self._flying.pop(sequence)
        request = self._requests[index]
        if status not in (Status.OK, Status.TIMEOUT):
            self.refused = self.refused or RefusedError(request, status)
        elif len(data) != request.answer_bytes:
            raise LinkError(
                f"{request} was answered with {len(data)} bytes instead of {request.answer_bytes}; "
                "the device cannot give all of it now"
            )
        self.answers[index] = data
        return True

    def lose_all(self):
        """No answer is expected any more."""
        self._lose(len(self._flying))

    def _lose(self, count: int):
        """The oldest ``count`` on their way, in front of what waits."""
        lost = list(self._flying)[:count]
        indices = [self._flying.pop(sequence)[0] for sequence in lost]
        for index in indices:
            self._losses[index] += 1
            if self._losses[index] > self._retries:
                self.hopeless = self._requests[index]
        self._waiting.extendleft(reversed(indices))


class Link:
    """A device that speaks :mod:`ornstein.hdl.protocol` over a transport.

    Requests travel several at a time, as many bytes as the transport's window allows. One that is
    damaged or goes unanswered is sent again under the same sequence number, up to ``retries``
    times; all requests may be repeated without harm, and the first answer counts. No call outlasts
    ``timeout * (retries + 1)`` seconds without an answer.

    Parameters
    ----------
    transport : Transport
    timeout : seconds without any valid answer after which requests are sent again
    retries : how often a request is sent again

    Attributes
    ----------
    line : Line of the device, None before :meth:`identify`

    Raises
    ------
    LinkError
        The device stays silent, babbles, or is not the one that was expected.
    RefusedError
        The device refuses a request.
    """

    def __init__(self, transport: Transport, *, timeout: float = 1.0, retries: int = 3):
        self._transport = transport
        self._timeout = timeout
        self._retries = retries
        self._config = None
        self.line: Line | None = None
        self._hastened = False
        self._sequence = secrets.randbelow(
            255
        )  # late answers to an earlier session are then unlikely to fit
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        """Closes the transport; a line whose rate was changed gets its first rate back before."""
        if self._hastened:
            with contextlib.suppress(LinkError), self._patience(min(self._timeout, 0.5), 0):
                self.write(Space.CONTROL, Control.RATE, [0])
            self._hastened = False
        self._transport.close()

    def identify(self) -> FabricConfig:
        """The fabric at the other end. Raises LinkError naming the field if it is none that this
        host knows.
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
        return self._config

    @property
    def baud(self) -> int | None:
        """Bits per second of the line; None where it has no rate."""
        return self._transport.baud

    def hasten(self) -> int | None:
        """Moves a negotiable line to the fastest rate at which both ends understand each other; the
        rate then in force.

        A rate at which the device does not identify itself costs some seconds, after which both are
        back at its first one. Raises LinkError if even that cannot be had again.
        """
        if self._config is None:
            self.identify()
        if self._transport.negotiable:
            for baud, index in sorted(
                zip(self.line.bauds, range(len(self.line.bauds)), strict=True), reverse=True
            ):
                if baud <= self._transport.baud or self._switched(index):
                    break
        return self._transport.baud

    def _switched(self, index: int) -> bool:
        """Whether the device identifies itself at that one of its rates; otherwise it is back at
        its first.
        """
        bauds = self.line.bauds
        self.write(Space.CONTROL, Control.RATE, [index])
        self._hastened = True
        try:
            self._transport.set_baud(bauds[index])
            with self._patience(self._timeout, 1):
                self.identify()
            return True
        except LinkError:
            self._transport.set_baud(bauds[0])
        self._received = b""
        # what the device hears now makes no sense to it until it has fallen back
        with self._patience(self._timeout, math.ceil(2 * FALLBACK_SECONDS / self._timeout)):
            self.identify()
        self._hastened = False
        return False

    @contextlib.contextmanager
    def _patience(self, timeout: float, retries: int) -> Iterator[None]:
        """Other time-out and retries for a while."""
        kept = self._timeout, self._retries
        self._timeout, self._retries = timeout, retries
        try:
            yield
        finally:
            self._timeout, self._retries = kept

    def read(self, space: Space, address: int, count: int) -> np.ndarray:
        """``count`` elements from ``address`` on, as int64. Raises ValueError if the space does not
        hold them.
        """
        self._check_place(space, address, count)
        size = spaces(self._config)[space].bytes
        data = b"".join(self._exchange(_reads(space, address, count, size)))
        raw = np.zeros((count, 8), np.uint8)
        raw[:, :size] = np.frombuffer(data, np.uint8).reshape(count, size)
        spare = 64 - spaces(self._config)[space].bits
        shifted = raw.view("<u8")[:, 0] << np.uint64(spare)
        return (
            shifted.astype(np.int64) >> spare
            if spaces(self._config)[space].signed
            else (shifted >> np.uint64(spare)).astype(np.int64)
        )

    def write(self, space: Space, address: int, values: ArrayLike):
        """Writes integers from ``address`` on. Raises ValueError if the space or an element does
        not hold them.
        """
        values = np.atleast_1d(np.asarray(values))
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise ValueError(
                f"values for {space.name} must be a row of integers, not {values.ndim}-dimensional "
                f"{values.dtype}"
            )
        self._check_place(space, address, len(values))
        bits = spaces(self._config)[space].bits
        low, high = (
            (-(1 << bits - 1), (1 << bits - 1) - 1)
            if spaces(self._config)[space].signed
            else (0, (1 << bits) - 1)
        )
        wrong = np.flatnonzero((values < low) | (values > high))
        if wrong.size:
            raise ValueError(
                f"values for {space.name} must be between {low} and {high}; element "
                f"{address + wrong[0]} is {values[wrong[0]]}"
            )
        size = spaces(self._config)[space].bytes
        data = values.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :size].tobytes()
        # requests much smaller than the window, so that several are under way
        step = max(1, min(MAX_WRITE_BYTES, self._transport.window // 2) // size)
        self._exchange(
            [
                _Request(
                    Opcode.WRITE,
                    space,
                    address + first,
                    min(step, len(values) - first),
                    data[first * size : (first + step) * size],
                )
                for first in range(0, len(values), step)
            ]
        )

    def wait(self, events: Event, timeout: float) -> Event:
        """The events that hold as soon as one of ``events`` does. Raises LinkError after
        ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        units = _FIRST_WAIT
        while True:
            began = time.monotonic()
            (answer,) = self._exchange([_Request(Opcode.WAIT, 0, events, units, answer_bytes=1)])
            holding = Event(answer[0])
            now = time.monotonic()
            if holding & events:
                return holding
            if now >= deadline:
                raise LinkError(
                    f"no {events.name} within {timeout:g} s, the device reports "
                    f"{holding.name or 'nothing'}; allow more time or restart the device"
                )
            if now - began < self._timeout / 8:
                units = min(2 * units, _LONGEST_WAIT)

    def _registers(self, address: int, count: int) -> list[int]:
        """Identity registers, whose size does not depend on the build."""
        size = spaces(REFERENCE)[Space.IDENTITY].bytes
        data = b"".join(self._exchange(_reads(Space.IDENTITY, address, count, size)))
        return [int.from_bytes(data[n : n + size], "little") for n in range(0, len(data), size)]

    def _check_place(self, space: Space, address: int, count: int):
        if self._config is None:
            self.identify()
        info = spaces(self._config).get(space)
        size = info.size if info else 0
        if address < 0 or count < 1 or address + count > size:
            raise ValueError(
                f"{space.name} has {size} elements; {count} from {address} on are not among them"
            )

    def _exchange(self, requests: list[_Request]) -> list[bytes]:
        """The data of the answers."""
        batch = _Batch(requests, self._sequence, self._retries)
        self._sequence += len(requests)
        heard = 0  # bytes since the last valid answer
        deadline = time.monotonic() + self._timeout
        while batch.unfinished:
            for packet in batch.packets(self._transport.window):
                self._transport.write(packet)
            data = self._transport.read(max(0.0, deadline - time.monotonic()))
            heard += len(data)
            for answer in self._frames(data):
                if batch.take(*answer):
                    heard = 0
                    deadline = time.monotonic() + self._timeout
            if time.monotonic() >= deadline:
                batch.lose_all()
                deadline = time.monotonic() + self._timeout
            if batch.hopeless:
                raise LinkError(f"{batch.hopeless} failed: {self._diagnosis(heard)}")
        if batch.refused:
            raise batch.refused
        return batch.answers

    def _frames(self, data: bytes):
        """Sequence, status and data of the valid answers that end in these bytes; all else is
        dropped.
        """
        *packets, self._received = (self._received + data).split(_END)
        if len(self._received) > _LONGEST_PACKET:
            self._received = b""
        for packet in packets:
            if not sliplib.is_valid(packet):
                continue
            frame = sliplib.decode(packet)
            if (
                len(frame) < ANSWER_HEADER_BYTES + CRC_BYTES
                or protocol.crc(frame)
                or frame[1] not in set(Status)
            ):
                continue
            yield frame[0], Status(frame[1]), frame[ANSWER_HEADER_BYTES:-CRC_BYTES]

    def _diagnosis(self, heard: int) -> str:
        tries = f"{self._retries + 1} attempts of {self._timeout:g} s"
        if heard:
            return f"{heard} bytes but no valid answer in {tries}; check the baud rate and that this is the right port"
        return f"the device is silent ({tries}); check that it is powered, flashed and on this port"


def _reads(space: Space, address: int, count: int, size: int) -> list[_Request]:
    """Requests that read elements of ``size`` bytes."""
    step = MAX_READ_BYTES // size
    return [
        _Request(
            Opcode.READ,
            space,
            address + first,
            min(step, count - first),
            answer_bytes=min(step, count - first) * size,
        )
        for first in range(0, count, step)
    ]
