# SPDX-License-Identifier: Apache-2.0
"""The fabric as the link sees it: numbers of spaces, and the registers of the control and identity
spaces.

Pure data. An address counts elements; an element of a lane memory is ``word * lanes + lane``. Every
element travels as a fixed number of bytes, little-endian.
"""

import enum
from dataclasses import dataclass

from amaranth.lib import data

from ornstein.hdl.config import FabricConfig

MAGIC = 0x4E54534F
"""``OSTN`` in the first four bytes that a device answers to a read of the identity."""

PROTOCOL_VERSION = 2

FALLBACK_SECONDS = 1.5
"""A device whose line was switched, and that hears what makes no valid request for so long, returns
to its first rate. Longer than a host waits before it repeats a request, so that one damaged request
does not end a session.
"""


@dataclass(frozen=True)
class Line:
    """The serial line that a board's fabric is reached through; without divisors it has none, as
    over native USB.

    Attributes
    ----------
    clock : of the UART, in Hz
    divisors : cycles per bit that can be chosen, at most four of at most 255; the first one holds
        at power-up
    """

    clock: int = 0
    divisors: tuple[int, ...] = ()

    def __post_init__(self):
        if len(self.divisors) > 4 or any(not 1 <= divisor <= 255 for divisor in self.divisors):
            raise ValueError(
                f"divisors must be at most four between 1 and 255, not {self.divisors}"
            )

    @classmethod
    def at(cls, clock: int, bauds: tuple[int, ...]) -> "Line":
        """The line of a UART at ``clock`` Hz whose rates, the first at power-up, come closest to
        ``bauds``.

        Raises ValueError if one is off by more than 1 %, half of what the receiver bears.
        """
        line = cls(clock, tuple(round(clock / baud) for baud in bauds))
        for wanted, made in zip(bauds, line.bauds, strict=True):
            if abs(made - wanted) > wanted / 100:
                raise ValueError(
                    f"a clock of {clock} Hz cannot make {wanted} baud; the nearest is {made}"
                )
        return line

    @property
    def bauds(self) -> tuple[int, ...]:
        """Bits per second of each divisor."""
        return tuple(round(self.clock / divisor) for divisor in self.divisors)

    def identity(self) -> dict[str, int]:
        """The line's identity registers: the clock, and a byte for each divisor, the first one
        lowest.
        """
        return {
            "line_clock": self.clock,
            "line_divisors": int.from_bytes(bytes(self.divisors), "little"),
        }

    @classmethod
    def from_identity(cls, values: dict[str, int]) -> "Line":
        """Inverse of :meth:`identity`."""
        return cls(
            values["line_clock"],
            tuple(byte for byte in values["line_divisors"].to_bytes(4, "little") if byte),
        )


NO_LINE = Line()
"""What the identity says where bytes come another way."""


ELEMENT_BITS = 32
"""Bits of a register, of a half of a seed and of a part of a descriptor."""


class Space(enum.IntEnum):
    """Address spaces; :func:`ornstein.hdl.spaces.spaces` says how large each is, and when the bus
    can reach it.

    A job names its bank: its banked drive addresses move by ``bank * BANK_OFFSET`` and its sums
    stand in that bank, so that the host fills and empties one bank while a job works in the other.
    """

    IDENTITY = 0  # magic, protocol version, build hash, the fields of FabricConfig, the Line
    CONTROL = 1  # registers below
    FACTOR = 2
    STATE = 3
    DRIVE = 4  # inputs and biases
    RANK = 5
    DESCRIPTOR = 6  # 32-bit halves of descriptor words, four to a descriptor
    ACTIVATION = 7  # value in the low sixteen bits, slope above it
    # 32-bit halves, low first, per unit lane; writes set the next seed, reads give the generator
    SEED = 8
    NOISE = 9  # the previous noise of each unit, two bits: 0, 1 or 3 for minus one
    SUM = 10  # sums of the states, (bank * state_depth + word) * unit_lanes + lane
    SQUARE = 11  # sums of squared states, addressed alike
    SAMPLE = 12  # ring of sampled states; element n of the stream is at n modulo the size


class Control(enum.IntEnum):
    """Registers of :attr:`Space.CONTROL`, 32 bits each. R read, W write."""

    START = 0  # W: StartRegister; refused with FULL while another job waits
    STATUS = 1  # R: StatusRegister
    BANK_OFFSET = 2  # RW: words by which banked drive addresses move in every second job
    CYCLES = 3  # R: cycles in which a job ran
    ISSUED = 4  # R: cycles in which the lanes multiplied
    RANK_SATURATIONS = 5  # R: rank words in which a lane saturated
    STATE_SATURATIONS = 6  # R: vector words in which a unit saturated
    CLEAR = 7  # W: any value zeroes the four counters above
    SAMPLES = 8  # R: vector words that have entered the sample ring, modulo 2**32
    TAKEN = (
        9  # RW: vector words that the host has taken out; a job stalls rather than overrun the ring
    )
    RATE = 10  # W: the line's divisor, counted from zero; holds once this request is answered


COUNTERS = (
    Control.CYCLES,
    Control.ISSUED,
    Control.RANK_SATURATIONS,
    Control.STATE_SATURATIONS,
)
"""Registers that count; :attr:`Control.CLEAR` zeroes them."""


class StartRegister(data.Struct):
    """Fields of :attr:`Control.START`: a job.

    Members
    -------
    first : descriptor index of the first level
    levels : number of levels
    reseed : load the seeds before the first step
    bank : of inputs and sums
    tag : a start whose tag equals the last accepted one is acknowledged and ignored, so that it can
        be repeated without harm
    """

    first: 8
    levels: 8
    reseed: 1
    bank: 1
    reserved: 6
    tag: 8


class StatusRegister(data.Struct):
    """Fields of :attr:`Control.STATUS`.

    Members
    -------
    running : a job runs
    pending : a job waits
    done : jobs finished, modulo 256
    tag : of the last accepted job
    """

    running: 1
    pending: 1
    reserved: 6
    done: 8
    tag: 8


class Event(enum.IntFlag):
    """Conditions that the WAIT command can wait for; any one of the mask ends the wait."""

    IDLE = 1  # no job runs or waits
    ROOM = 2  # no job waits: another can be started
    SAMPLES = 4  # the sample stream is at least half full


EVENTS = data.StructLayout({event.name.lower(): 1 for event in Event})
"""The events as the gateware makes them; their bits are those of :class:`Event`."""


def identity(config: FabricConfig, line: Line = NO_LINE) -> dict[str, int]:
    """The identity registers, in address order."""
    head = {"magic": MAGIC, "protocol": PROTOCOL_VERSION, "build_hash": config.build_hash}
    return head | config.identity() | line.identity()
