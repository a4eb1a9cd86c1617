# SPDX-License-Identifier: Apache-2.0
"""The fabric as the link sees it: the numbers of its spaces, and the registers of the control and
identity spaces.

Pure data. An address is the number of an element in its space; lane ``lane`` of word ``word`` of a
memory is element ``word * lanes + lane``. On the link an element takes a fixed number of bytes,
the lowest first.
"""

import enum
from dataclasses import dataclass

from amaranth.lib import data

from ornstein.hdl.config import LATE_OPTIONS, FabricConfig

MAGIC = 0x4E54534F
"""``OSTN`` in the first four bytes that a device answers to a read of the identity."""

PROTOCOL_VERSION = 3

FALLBACK_SECONDS = 1.5
"""After the rate of its line was changed, a device returns to the first rate when it has received
bytes for so long without a valid request. This is longer than a host waits before it repeats a
request, so that one damaged request does not end a session.
"""


@dataclass(frozen=True)
class Line:
    """The serial line between a board's fabric and the host. A fabric with native USB has none: the
    line has no divisors then.

    Attributes
    ----------
    clock : frequency of the UART's clock in Hz
    divisors : cycles per bit that can be chosen, at most four numbers from 1 to 255; the first one
        is set at power-up
    spare : bytes of requests that the device's queue holds beside a whole one, so that the host can
        send this much further ahead
    """

    clock: int = 0
    divisors: tuple[int, ...] = ()
    spare: int = 0

    def __post_init__(self):
        if len(self.divisors) > 4 or any(not 1 <= divisor <= 255 for divisor in self.divisors):
            raise ValueError(
                f"divisors must be at most four between 1 and 255, not {self.divisors}"
            )

    @classmethod
    def at(cls, clock: int, bauds: tuple[int, ...], spare: int = 0) -> "Line":
        """Returns the line of a UART at ``clock`` Hz with the rates nearest to ``bauds``, of which
        the first is set at power-up.

        Raises ValueError if a rate differs by more than 1 %, half of what the receiver tolerates.
        """
        line = cls(clock, tuple(round(clock / baud) for baud in bauds), spare)
        for wanted, made in zip(bauds, line.bauds, strict=True):
            if abs(made - wanted) > wanted / 100:
                raise ValueError(
                    f"a clock of {clock} Hz cannot make {wanted} baud; the nearest is {made}"
                )
        return line

    @property
    def bauds(self) -> tuple[int, ...]:
        """The rate of each divisor, in bits per second."""
        return tuple(round(self.clock / divisor) for divisor in self.divisors)

    def identity(self) -> dict[str, int]:
        """Returns the line's identity registers: the clock, a byte for each divisor, the first one
        in the lowest byte, and the spare bytes.
        """
        return {
            "line_clock": self.clock,
            "line_divisors": int.from_bytes(bytes(self.divisors), "little"),
            "line_spare": self.spare,
        }

    @classmethod
    def from_identity(cls, values: dict[str, int]) -> "Line":
        """Inverse of :meth:`identity`."""
        return cls(
            values["line_clock"],
            tuple(byte for byte in values["line_divisors"].to_bytes(4, "little") if byte),
            values["line_spare"],
        )


NO_LINE = Line()
"""The line of a fabric that has no UART."""


ELEMENT_BITS = 32
"""Bits of a register, of half a seed, and of a quarter of a descriptor."""


class Space(enum.IntEnum):
    """Address spaces; :func:`ornstein.hdl.spaces.spaces` says how large each is, and when the bus
    can reach it.

    A job works in one of two banks: ``bank * BANK_OFFSET`` is added to its banked drive addresses,
    and its sums are in that bank. The host can write the inputs and read the sums of one bank while
    a job works in the other.
    """

    IDENTITY = 0  # magic, protocol version, build hash, the fields of FabricConfig, the Line
    CONTROL = 1  # the registers of Control
    FACTOR = 2  # factors of the couplings, word * lanes + unit lane * rank_lanes + rank lane
    STATE = 3  # states of the units
    DRIVE = 4  # inputs and biases of the units
    RANK = 5  # rank words: the results of PROJECT, MIX and ACTIVATE
    DESCRIPTOR = 6  # descriptors, each as four parts of 32 bits, the lowest first
    ACTIVATION = 7  # the activation table: the value in the low sixteen bits, the slope above it
    # two halves of 32 bits for each unit lane, the lower one first; a write sets the next seed, a
    # read returns the state of the generator
    SEED = 8
    NOISE = 9  # the previous noise of each unit: 0, 1 or -1, or an odd number with fine noise
    SUM = 10  # sums of the states, (bank * state_depth + word) * unit_lanes + lane
    SQUARE = 11  # sums of the squared states, at the same addresses
    SAMPLE = 12  # ring of sampled states; element n of the stream is at n modulo the size


class Control(enum.IntEnum):
    """Registers of :attr:`Space.CONTROL`, 32 bits each. R: can be read, W: can be written."""

    START = 0  # W: StartRegister; refused with FULL while another job waits
    STATUS = 1  # RW: StatusRegister; a write sets its field ``session`` alone
    BANK_OFFSET = 2  # RW: words that are added to banked drive addresses of jobs in bank 1
    CYCLES = 3  # R: cycles in which a job ran
    ISSUED = 4  # R: cycles in which the lanes multiplied
    RANK_SATURATIONS = 5  # R: rank words in which a lane saturated
    STATE_SATURATIONS = 6  # R: vector words in which a unit saturated
    CLEAR = 7  # W: any value sets the four counters above to zero
    SAMPLES = 8  # R: vector words that have entered the sample ring, modulo 2**32
    # RW: vector words that the host has read; a job waits until there is room in the ring
    TAKEN = 9
    RATE = 10  # W: number of the line's divisor, from zero; set once this request is answered
    ABORT = 11  # W: any value drops the job that waits, and ends the one that runs
    # The rest is only there in fabrics with a scrubber. RW: ScrubRegister; a write sets its field
    # ``memories`` alone, clears ``mismatch``, and begins a pass anew
    SCRUB = 12
    FACTOR_WORDS = 13  # W: WordsRegister of FACTOR: the words that are verified
    DRIVE_WORDS = 14  # W: the same of DRIVE
    DESCRIPTOR_WORDS = 15  # W: the same of DESCRIPTOR
    ACTIVATION_WORDS = 16  # W: the same of ACTIVATION
    FACTOR_CHECKSUM = 17  # W: the checksum that FACTOR must have; R: the one it had last
    DRIVE_CHECKSUM = 18  # RW: the same of DRIVE
    DESCRIPTOR_CHECKSUM = 19  # RW: the same of DESCRIPTOR
    ACTIVATION_CHECKSUM = 20  # RW: the same of ACTIVATION


def registers(config: FabricConfig) -> tuple[Control, ...]:
    """The control registers of that fabric, in the order of their addresses."""
    return tuple(name for name in Control if config.scrub or name < Control.SCRUB)


SCRUBBED = (Space.FACTOR, Space.DRIVE, Space.DESCRIPTOR, Space.ACTIVATION)
"""The memories that a scrubber verifies, in the order of their bits and registers."""


def words_register(space: Space) -> Control:
    """The register that holds the verified words of a memory of :data:`SCRUBBED`."""
    return Control(Control.FACTOR_WORDS + SCRUBBED.index(space))


def checksum_register(space: Space) -> Control:
    """The register of the checksum of a memory of :data:`SCRUBBED`."""
    return Control(Control.FACTOR_CHECKSUM + SCRUBBED.index(space))


COUNTERS = (
    Control.CYCLES,
    Control.ISSUED,
    Control.RANK_SATURATIONS,
    Control.STATE_SATURATIONS,
)
"""Registers that count; :attr:`Control.CLEAR` sets them to zero."""


class StartRegister(data.Struct):
    """Fields of :attr:`Control.START`: a job.

    Members
    -------
    first : number of the first level's descriptor
    levels : number of levels
    reseed : load the seeds before the first step
    bank : bank of the inputs and sums
    tag : a start with the tag of the last accepted job is acknowledged and ignored, so that the
        host can repeat a start whose answer it has missed
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
    tag : tag of the last accepted job
    session : what the host last wrote; zero after a reset, so that a host that writes another value
        sees whether the device is still the one that it loaded
    """

    running: 1
    pending: 1
    reserved: 6
    done: 8
    tag: 8
    session: 8


class ScrubRegister(data.Struct):
    """Fields of :attr:`Control.SCRUB`; a bit a memory in the order of :data:`SCRUBBED`.

    Members
    -------
    memories : those that are verified; none after a reset
    mismatch : those whose checksum differed since the register was last written
    passes : over all of these memories that have ended, modulo 2**24
    """

    memories: 4
    mismatch: 4
    passes: 24


class WordsRegister(data.Struct):
    """Fields of the registers from :attr:`Control.FACTOR_WORDS` to ``ACTIVATION_WORDS``.

    Members
    -------
    first, last : of the words that the scrubber verifies
    """

    first: 16
    last: 16


class Event(enum.IntFlag):
    """Conditions that the WAIT command can wait for; any one of the mask ends the wait."""

    IDLE = 1  # no job runs or waits
    ROOM = 2  # no job waits: another can be started
    SAMPLES = 4  # the sample stream is at least half full


EVENTS = data.StructLayout({event.name.lower(): 1 for event in Event})
"""The events as fields of a signal; their bits are those of :class:`Event`."""


def identity(config: FabricConfig, line: Line = NO_LINE) -> dict[str, int]:
    """Returns the identity registers in the order of their addresses.

    Those of ``LATE_OPTIONS`` and the spare bytes of the line come last: gateware that is older than
    these fields answers zero there.
    """
    head = {"magic": MAGIC, "protocol": PROTOCOL_VERSION, "build_hash": config.build_hash}
    fields, of_line = config.identity(), line.identity()
    last = {name: fields.pop(name) for name in LATE_OPTIONS}
    last["line_spare"] = of_line.pop("line_spare")
    return head | fields | of_line | last
