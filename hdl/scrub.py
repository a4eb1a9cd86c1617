# SPDX-License-Identifier: Apache-2.0
"""What a scrubber computes: the checksum of a memory, and how long a pass takes.

Pure data and integers, shared by gateware, host and tests. The memories are those of
:data:`ornstein.hdl.regmap.SCRUBBED`, of each the words that the host names.

A checksum is that of a multiple-input signature register: for each entry, its 32 bits are
multiplied by x^8 modulo the primitive polynomial of CRC-32, and the entry is added. An entry is one
element; of the factors it is the sum of those of all unit lanes, each times a power of x below x^8.
So each element counts with a power of x of its own, of up to eight unit lanes, as long as there are
fewer than the period 2^32 - 1. Then a change of any one bit changes the checksum, and so does an
exchange of two different elements. Any other change goes unnoticed in one of 2^32 cases.
"""

import functools
from dataclasses import dataclass
from operator import xor

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import SCRUBBED, Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing

CHECKSUM_BITS = 32
POLYNOMIAL = 0x04C11DB7
"""Of CRC-32, without the term x^32. It is primitive."""
STEP = 8
"""Power of x by which the checksum is multiplied for each entry."""
START = (1 << CHECKSUM_BITS) - 1
"""The register at the beginning of a memory, so that zeros count too."""

BURST = 64
"""Words that are read at most before the host's access to the bus comes next."""
QUIET = 16
"""Cycles after an access to the bus within which its last consequence can be seen, as that a job
waits."""
SETUP = 3
"""Cycles in which the registers of the next memory are chosen."""
HANDOVER = 6
"""Cycles in which the next access is decoded once the bus has its memories back."""


@dataclass(frozen=True)
class Rows:
    """How a scrubber reads a memory: row by row, each from the first verified word to the last.

    Attributes
    ----------
    rows : rows of the memory
    together : elements of a word that are read at once
    apart : by which their numbers in the word differ
    """

    rows: int
    together: int = 1
    apart: int = 1

    @classmethod
    def of(cls, config: FabricConfig, space: Space) -> "Rows":
        """A row is a lane of the memory; of the factors, that rank lane of all unit lanes."""
        if space == Space.FACTOR:
            return cls(config.rank_lanes, config.unit_lanes, config.rank_lanes)
        return cls(spaces(config)[space].lanes)

    def shift(self, place: int) -> int:
        """Returns the power of x with which the element at that place of an entry counts. It has at
        most 16 bits where there are several, so that the product fits the checksum."""
        return place % STEP


def carries() -> list[int]:
    """Returns what each bit that is shifted out of the checksum adds to it, the lowest first."""
    found = [POLYNOMIAL]
    for _ in range(STEP - 1):
        carry = found[-1] >> CHECKSUM_BITS - 1
        found.append((found[-1] << 1 & START) ^ (POLYNOMIAL if carry else 0))
    return found


_CARRIES = [
    functools.reduce(xor, (c for bit, c in enumerate(carries()) if out >> bit & 1), 0)
    for out in range(1 << STEP)
]


def next_checksum(checksum: int, entry: int) -> int:
    """Returns the checksum once the next entry of 32 bits has been added."""
    return (checksum << STEP & START) ^ _CARRIES[checksum >> CHECKSUM_BITS - STEP] ^ entry


def checksum(config: FabricConfig, space: Space, elements: np.ndarray) -> int:
    """Returns the checksum of whole words of a memory of :data:`ornstein.hdl.regmap.SCRUBBED`.

    Parameters
    ----------
    config : the fabric
    space : the memory
    elements : (n,) integers, in the order of their addresses; n is a multiple of the memory's lanes
    """
    info, rows = spaces(config)[space], Rows.of(config, space)
    words = np.asarray(elements).astype(np.int64).reshape(-1, info.lanes) & (1 << info.bits) - 1
    entries = np.zeros((len(words), rows.rows), np.int64)
    for place in range(rows.together):
        entries ^= words[:, place * rows.apart :][:, : rows.rows] << rows.shift(place)
    value = START
    for entry in entries.T.ravel():
        value = next_checksum(value, int(entry))
    return value


def latency(config: FabricConfig, space: Space) -> int:
    """Returns the cycles from an address at the bus to its element at the scrubber."""
    hop = Timing.of(config).hop
    cells = 1 if space == Space.DESCRIPTOR else 1 + 2 * hop
    chosen = 2 * hop if space == Space.FACTOR or spaces(config)[space].lanes > 1 else 0
    return 2 * hop + cells + chosen + hop


def drain(config: FabricConfig) -> int:
    """Returns the cycles from the last address of a burst until the checksum is complete: the
    longest latency, the address's register, the folded data's, and the checksum's with its
    comparison.
    """
    return max(latency(config, space) for space in (Space.FACTOR, Space.DRIVE)) + 4


def pass_cycles(config: FabricConfig, words: dict[Space, int]) -> int:
    """Returns the cycles of a pass while the bus is quiet: how much longer a job takes.

    Parameters
    ----------
    config : the fabric
    words : of each verified memory, how many
    """
    total = 0
    for space, count in words.items():
        bursts = -(-count // BURST)
        total += Rows.of(config, space).rows * (count + bursts * drain(config))
    around = 2 + SETUP + 1 + HANDOVER  # the bus is free, set up, compare, hand over
    return total + around * len(SCRUBBED) + 1
