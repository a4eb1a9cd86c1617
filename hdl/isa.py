# SPDX-License-Identifier: Apache-2.0
"""Descriptors: what the sequencer executes. A *level* repeats a list of *passes*; both are eight
16-bit words.

Pure data, shared by gateware (:mod:`ornstein.hdl.engine.sequencer`), integer model and compiler.
A pass runs two nested loops, ``outer`` around ``inner``, one micro-operation of all lanes a cycle:

=========  ========================  ============================================================
operation  outer, inner loop         effect
=========  ========================  ============================================================
PROJECT    rank words, vector words  rank[dest+o] = sum_i f[factor+o+i*stride] * vec[source+i]
MIX        rank words, terms         rank[dest+o]=sum_t f[factor+o*inner+t]*rank[source+o+t*stride]
EXPAND     vector words, rank words  vec[dest+o]=update(sum_j f[factor+o*inner+j] . rank[source+j])
ACTIVATE   rank words, lanes         rank[dest+o][i] = table(rank[source+o][i])
=========  ========================  ============================================================

``f`` is the factor memory, ``vec`` state or drive memory, ``o``, ``i``, ``t`` and ``j`` count the
loops. PROJECT and MIX round to nearest at ``project_shifts[shift]`` and saturate to 16 bits. The
update of EXPAND is described in :mod:`ornstein.hdl.engine.update`. ACTIVATE interpolates: the top
eight bits of the argument, as an unsigned number, select an entry, and its low eight bits f give
``value + (slope * f + 128 >> 8)``. The sum wraps; a table whose entries meet cannot overflow it.

MIX multiplies in the first unit lane. On a fabric that is built with ``mix_window``, the second and
third unit lanes multiply the words that the same pass has read one and two cycles before, zero
where there are none, and the products are added. With an inner loop of one cycle, words of two
modules that lie in turn are mixed in as many cycles as there are words, and one more: a word is
mixed for the first module when the second one's is read, and for the second in the cycle after.
"""

import enum
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Self

DESCRIPTOR_WORDS = 8
WORD_BITS = 16


class Operation(enum.IntEnum):
    """What a pass does (module docstring)."""

    PROJECT = 0
    MIX = 1
    EXPAND = 2
    ACTIVATE = 3


def _bits(word: int, low: int, width: int):
    return field(default=0, metadata={"word": word, "low": low, "width": width})


@dataclass(frozen=True)
class Descriptor:
    """A descriptor packs its fields into eight 16-bit words; each field names its word, lowest bit
    and width.
    """

    def pack(self) -> list[int]:
        """Eight 16-bit words. Raises ValueError naming the field that does not fit."""
        words = [0] * DESCRIPTOR_WORDS
        for name, word, low, width in self.layout():
            value = int(getattr(self, name)) - self.stored_less_one(name)
            if not 0 <= value < 1 << width:
                raise ValueError(
                    f"{type(self).__name__}.{name} = {getattr(self, name)} does not fit its "
                    f"{width} bits"
                )
            for part in range((low + width + WORD_BITS - 1) // WORD_BITS):
                words[word + part] |= (value << low >> part * WORD_BITS) & (1 << WORD_BITS) - 1
        return words

    @classmethod
    def unpack(cls, words) -> Self:
        """Inverse of :meth:`pack`."""
        number = sum(int(word) << WORD_BITS * index for index, word in enumerate(words))
        return cls(
            **{
                name: (number >> WORD_BITS * word + low & (1 << width) - 1)
                + cls.stored_less_one(name)
                for name, word, low, width in cls.layout()
            }
        )

    @classmethod
    @cache
    def layout(cls):
        """(name, word, low bit, width) of every field."""
        return tuple(
            (f.name, f.metadata["word"], f.metadata["low"], f.metadata["width"])
            for f in fields(cls)
        )

    @staticmethod
    def stored_less_one(name: str) -> int:
        """Loop counts are stored less one, so that 16 bits reach 65,536."""
        return int(name in ("outer", "inner", "steps", "passes"))


@dataclass(frozen=True)
class Pass(Descriptor):
    """One pass of the engine.

    Attributes
    ----------
    operation : Operation
    wait : start only when everything issued before has left the pipeline
    from_drive : PROJECT reads the drive memory, not the state
    to_drive : EXPAND writes the drive memory, not the state; no noise is drawn, nothing is
        accumulated
    banked : the drive address that this pass reads is moved by ``bank * BANK_OFFSET`` of the job
    coupled : EXPAND adds the factor products; without it they count as zero
    biased : EXPAND adds the drive word; without it it counts as zero
    shift : index into ``project_shifts`` (PROJECT, MIX) or ``expand_shifts`` (EXPAND)
    bias_shift : index into ``bias_shifts``
    outer, inner : loop counts, 1 to 65,536, but at most the fabric's ``longest_loop``
    factor, source, dest, bias : word addresses
    stride : words between consecutive ``inner`` reads, of the factors in PROJECT and of the rank
        words in MIX; rank words that are left out between two reads of EXPAND, which the fabric
        must be built with ``mix_window`` for
    """

    operation: int = _bits(0, 0, 2)
    wait: int = _bits(0, 2, 1)
    from_drive: int = _bits(0, 3, 1)
    to_drive: int = _bits(0, 4, 1)
    banked: int = _bits(0, 5, 1)
    coupled: int = _bits(0, 6, 1)
    biased: int = _bits(0, 7, 1)
    shift: int = _bits(0, 8, 3)
    bias_shift: int = _bits(0, 11, 2)
    outer: int = _bits(1, 0, 16)
    inner: int = _bits(2, 0, 16)
    factor: int = _bits(3, 0, 16)
    source: int = _bits(4, 0, 16)
    dest: int = _bits(5, 0, 16)
    stride: int = _bits(6, 0, 16)
    bias: int = _bits(7, 0, 16)


@dataclass(frozen=True)
class Level(Descriptor):
    """A level of the schedule: ``steps`` repetitions of ``passes`` consecutive passes at one
    temperature.

    Attributes
    ----------
    keep : the update keeps (1 - leak) of the state; without it the state is overwritten
    midpoint : Leimkuhler-Matthews noise (R_n + R_n+1), the amplitude holding the half; without it
        Euler-Maruyama
    dither : round stochastically instead of to nearest
    accumulate : add every new state to the sums
    clear : the first step of this level starts the sums afresh
    thin : send every ``thin``-th state to the sample stream; 0 sends none
    first, passes : the passes' place in the descriptor memory
    steps : 1 to 65,536
    amplitude : noise amplitude in guard LSBs (state LSB / 2**12)
    leak : 2 J2 dt in units of 2**-leak_bits
    fine : draw noise of 24 values instead of three; the fabric must be built with ``fine_noise``
    quartic : 4 J4 dt z^2 in guard LSBs is (z^2 >> 15) * quartic >> 12
    """

    keep: int = _bits(0, 0, 1)
    midpoint: int = _bits(0, 1, 1)
    dither: int = _bits(0, 2, 1)
    accumulate: int = _bits(0, 3, 1)
    clear: int = _bits(0, 4, 1)
    thin: int = _bits(0, 5, 11)
    first: int = _bits(1, 0, 8)
    passes: int = _bits(1, 8, 8)
    steps: int = _bits(2, 0, 16)
    leak: int = _bits(3, 0, 12)
    fine: int = _bits(3, 12, 1)
    amplitude: int = _bits(4, 0, 28)
    quartic: int = _bits(6, 0, 16)
