# SPDX-License-Identifier: Apache-2.0
"""The fabric's address spaces: one row each, from which everything about a memory follows.

Pure data, shared by gateware, integer model and host. To add a memory, add its number to
:class:`ornstein.hdl.regmap.Space`, its row to :func:`spaces`, and its user.
"""

import enum
import functools
from dataclasses import dataclass

from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    SEED_WIDTH,
    SLOPE_WIDTH,
    STATE_WIDTH,
    FabricConfig,
)
from ornstein.hdl.regmap import ELEMENT_BITS, Space, identity, registers


class When(enum.Enum):
    """When the bus may read or write a space."""

    NEVER = "never"  # a write has no effect, a read gives zero
    ALWAYS = "always"
    IDLE = "idle"  # only while no job runs; otherwise the fabric answers BUSY
    CONTENDED = "contended"  # always, but an access waits while the engine uses the same port


@dataclass(frozen=True, kw_only=True)
class SpaceInfo:
    """One address space of one fabric.

    Attributes
    ----------
    space : its number and name
    bits : of an element
    signed : elements are two's complement
    lanes : elements of a word, which lie side by side; a power of two
    depth : words
    read, write : when the bus may
    memory : it is a memory, not a set of registers
    """

    space: Space
    bits: int
    signed: bool = False
    lanes: int = 1
    depth: int
    read: When = When.IDLE
    write: When = When.IDLE
    memory: bool = True

    @property
    def name(self) -> str:
        return self.space.name.lower()

    @property
    def size(self) -> int:
        """Elements; element ``word * lanes + lane`` is at that address."""
        return self.lanes * self.depth

    @property
    def bytes(self) -> int:
        """Bytes in which an element travels: its bits rounded up to whole bytes."""
        return -(-self.bits // 8)

    @property
    def address_bits(self) -> int:
        """Bits of an element's address."""
        return (self.size - 1).bit_length()

    @property
    def lane_bits(self) -> int:
        """The lowest bits of an address, which select the lane."""
        return (self.lanes - 1).bit_length()


@functools.cache
def spaces(config: FabricConfig) -> dict[Space, SpaceInfo]:
    """The spaces that the fabric has, in the order of their numbers.

    Parameters
    ----------
    config : decides sizes, and which optional spaces there are
    """
    units, ranks = config.unit_lanes, config.rank_lanes
    state = {"bits": STATE_WIDTH, "signed": True, "lanes": units}
    always = {"read": When.ALWAYS, "write": When.ALWAYS, "memory": False}
    statistics = {
        "lanes": units,
        "depth": 2 * config.state_depth,  # a bank of each job that may be in work
        "read": When.CONTENDED,
        "write": When.NEVER,
    }
    rows = [
        SpaceInfo(
            space=Space.IDENTITY,
            bits=ELEMENT_BITS,
            depth=len(identity(config)),
            read=When.ALWAYS,
            write=When.NEVER,
            memory=False,
        ),
        SpaceInfo(space=Space.CONTROL, bits=ELEMENT_BITS, depth=len(registers(config)), **always),
        SpaceInfo(
            space=Space.FACTOR,
            bits=config.factor_width,
            signed=True,
            lanes=config.lanes,
            depth=config.factor_depth,
        ),
        SpaceInfo(space=Space.STATE, depth=config.state_depth, **state),
        SpaceInfo(space=Space.DRIVE, depth=config.drive_depth, write=When.CONTENDED, **state),
        SpaceInfo(
            space=Space.RANK, bits=STATE_WIDTH, signed=True, lanes=ranks, depth=config.rank_depth
        ),
        SpaceInfo(
            space=Space.DESCRIPTOR,
            bits=ELEMENT_BITS,
            lanes=config.descriptor_width // ELEMENT_BITS,
            depth=config.descriptor_depth * config.descriptor_beats,
        ),
        SpaceInfo(space=Space.ACTIVATION, bits=STATE_WIDTH + SLOPE_WIDTH, depth=ACTIVATION_ENTRIES),
        SpaceInfo(
            space=Space.SEED,
            bits=ELEMENT_BITS,
            lanes=units * SEED_WIDTH // ELEMENT_BITS,
            depth=1,
            **always,
        ),
        SpaceInfo(
            space=Space.NOISE,
            bits=config.code_width,
            signed=True,
            lanes=units,
            depth=config.state_depth,
        ),
        SpaceInfo(space=Space.SUM, bits=config.sum_width, signed=True, **statistics),
    ]
    if config.second_moment:
        rows.append(SpaceInfo(space=Space.SQUARE, bits=config.square_width, **statistics))
    if config.sample_depth:
        rows.append(
            SpaceInfo(
                space=Space.SAMPLE,
                depth=config.sample_depth,
                read=When.ALWAYS,
                write=When.NEVER,
                **state,
            )
        )
    return {row.space: row for row in rows}


def bus_width(config: FabricConfig) -> int:
    """Bits of the bus between link and fabric: the widest element in whole bytes."""
    return 8 * max(info.bytes for info in spaces(config).values())
