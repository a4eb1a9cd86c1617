"""The fabric as the link sees it: spaces of elements, and the registers of the control and identity spaces.

Pure data. An address counts elements; an element of a lane memory is ``word * lanes + lane``. Every element
travels as a fixed number of bytes, little-endian.
"""

import enum

from ornstein.hdl.config import ACTIVATION_ENTRIES, SEED_WIDTH, SLOPE_WIDTH, STATE_WIDTH, FabricConfig

MAGIC = 0x4E54534F
"""``OSTN`` in the first four bytes that a device answers to a read of the identity."""

PROTOCOL_VERSION = 1


class Space(enum.IntEnum):
    """Address spaces. Those marked *idle* can be reached only while no job runs; a device then answers BUSY.

    A job names its bank: its banked drive addresses move by ``bank * BANK_OFFSET`` and its sums stand in that bank, so
that the host fills and empties one bank while a job works in the other.
    """

    IDENTITY = 0      # read: magic, protocol version, build hash, the fields of FabricConfig
    CONTROL = 1       # registers below
    FACTOR = 2        # idle
    STATE = 3         # idle
    DRIVE = 4         # inputs and biases; writable at any time, readable when idle
    RANK = 5          # idle
    DESCRIPTOR = 6    # idle; 32-bit halves of descriptor words, four to a descriptor
    ACTIVATION = 7    # idle; value in the low sixteen bits, slope above it
    SEED = 8          # 32-bit halves, low first, per unit lane; writes set the next seed, reads give the generator
    NOISE = 9         # idle; the previous noise of each unit, two bits: 0, 1 or 3 for minus one
    SUM = 10          # read: sums of the states, (bank * state_depth + word) * unit_lanes + lane
    SQUARE = 11       # read: sums of squared states, addressed alike
    SAMPLE = 12       # read: ring of sampled states; element n of the stream is at n modulo the size


class Control(enum.IntEnum):
    """Registers of :attr:`Space.CONTROL`, 32 bits each. R read, W write."""

    START = 0             # W: job; fields JOB_*; refused with FULL while another job waits
    STATUS = 1            # R: fields STATUS_*
    BANK_OFFSET = 2       # RW: words by which banked drive addresses move in every second job
    CYCLES = 3            # R: cycles in which a job ran
    ISSUED = 4            # R: cycles in which the lanes multiplied
    RANK_SATURATIONS = 5  # R: rank words in which a lane saturated
    STATE_SATURATIONS = 6 # R: vector words in which a unit saturated
    CLEAR = 7             # W: any value zeroes the four counters above
    SAMPLES = 8           # R: vector words that have entered the sample ring, modulo 2**32
    TAKEN = 9             # RW: vector words that the host has taken out; a job stalls rather than overrun the ring


# fields of Control.START: (low bit, width)
JOB_FIRST = (0, 8)        # descriptor index of the first level
JOB_LEVELS = (8, 8)       # number of levels
JOB_RESEED = (16, 1)      # load the seeds before the first step
JOB_BANK = (17, 1)        # bank of inputs and sums
JOB_TAG = (24, 8)         # a start whose tag equals the last accepted one is acknowledged and ignored: retries are safe

# fields of Control.STATUS
STATUS_RUNNING = (0, 1)
STATUS_PENDING = (1, 1)
STATUS_DONE = (8, 8)      # jobs finished, modulo 256
STATUS_TAG = (16, 8)      # tag of the last accepted job


class Event(enum.IntFlag):
    """Conditions that the WAIT command can wait for; any one of the mask ends the wait."""

    IDLE = 1      # no job runs or waits
    ROOM = 2      # no job waits: another can be started
    SAMPLES = 4   # the sample stream is at least half full


def field(value: int, place: tuple[int, int]) -> int:
    """The field at (low bit, width) of a register value."""
    low, width = place
    return value >> low & (1 << width) - 1


def element_bits(config: FabricConfig, space: Space) -> int:
    """Bits of an element of that space."""
    return {
        Space.FACTOR: config.factor_width,
        Space.STATE: STATE_WIDTH,
        Space.DRIVE: STATE_WIDTH,
        Space.RANK: STATE_WIDTH,
        Space.ACTIVATION: STATE_WIDTH + SLOPE_WIDTH,
        Space.NOISE: 2,
        Space.SUM: config.sum_width,
        Space.SQUARE: config.square_width,
        Space.SAMPLE: STATE_WIDTH,
    }.get(space, 32)


def element_bytes(config: FabricConfig, space: Space) -> int:
    """Bytes in which an element travels: its bits rounded up to whole bytes."""
    return -(-element_bits(config, space) // 8)


def signed(space: Space) -> bool:
    """Whether an element is two's complement."""
    return space in (Space.FACTOR, Space.STATE, Space.DRIVE, Space.RANK, Space.NOISE, Space.SUM,
                     Space.SAMPLE)


def space_size(config: FabricConfig, space: Space) -> int:
    """Elements of that space; 0 where the build leaves it out."""
    return {
        Space.IDENTITY: len(identity(config)),
        Space.CONTROL: len(Control),
        Space.FACTOR: config.factor_depth * config.lanes,
        Space.STATE: config.state_depth * config.unit_lanes,
        Space.DRIVE: config.drive_depth * config.unit_lanes,
        Space.RANK: config.rank_depth * config.rank_lanes,
        Space.DESCRIPTOR: config.descriptor_depth * 4,
        Space.ACTIVATION: ACTIVATION_ENTRIES,
        Space.SEED: config.unit_lanes * SEED_WIDTH // 32,
        Space.NOISE: config.state_depth * config.unit_lanes,
        Space.SUM: 2 * config.state_depth * config.unit_lanes,
        Space.SQUARE: 2 * config.state_depth * config.unit_lanes * config.second_moment,
        Space.SAMPLE: config.sample_depth * config.unit_lanes,
    }[space]


def identity(config: FabricConfig) -> dict[str, int]:
    """The identity registers, in address order."""
    return {"magic": MAGIC, "protocol": PROTOCOL_VERSION, "build_hash": config.build_hash} | config.identity()


def bus_width(config: FabricConfig) -> int:
    """Bits of the bus between link and fabric: the widest element in whole bytes."""
    return 8 * max(element_bytes(config, space) for space in Space if space_size(config, space))
