# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""Saturating arithmetic and the checksum equal their specifications for all inputs, at small
widths.

Arithmetic has no memory of its own, so that a proof of one cycle is complete.
"""

import pytest
from amaranth.hdl import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from helpers.formal import PROVED, REFUTED, always, examined
from ornstein.hdl import arithmetic
from ornstein.hdl.link.checksum import Checksum

WIDTH, NARROW = 9, 5


class Saturation(wiring.Component):
    """Shifts by tables of constants, and the limits of a narrower signed number."""

    value: In(signed(WIDTH))
    index: In(2)

    def __init__(self, limit: int):
        self.limit = limit
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        low, high = -(1 << NARROW - 1), self.limit
        for shifts in ((0, 1, 2, 3), (0, 2, 4, 6), (1, 2, 4, 7), (3, 3, 3, 3)):
            exact = Signal(signed(WIDTH))
            with m.Switch(self.index):
                for place, shift in enumerate(shifts):
                    with m.Case(place):
                        m.d.comb += exact.eq(self.value >> shift)
            ascending = shifts if len(set(shifts)) > 1 else shifts[:1]
            index = self.index if len(ascending) > 1 else self.index[:0]
            shifted = arithmetic.shift_right(self.value, index, ascending)
            over = arithmetic.overflow(self.value, index, ascending, NARROW)
            found = arithmetic.saturated(shifted[:NARROW], over, self.value[-1])
            expected = Mux(exact > high, high, Mux(exact < low, low, exact))
            always(m, shifted == exact)
            always(m, over == ((exact > high) | (exact < low)))
            always(m, found == expected)
        return m


@pytest.mark.parametrize("limit, outcome", [(15, PROVED), (14, REFUTED)])
def test_saturation(tmp_path, limit, outcome):
    """Another limit than that of the width is refuted."""
    assert examined(Saturation(limit), tmp_path, depth=1, induction=False) == outcome


class Digits(wiring.Component):
    """Comparison with constants, multiplexer trees, and products from radix-four digits."""

    value: In(unsigned(7))
    factor: In(signed(6))
    index: In(2)

    def elaborate(self, platform):
        m = Module()
        for limit in (1, 3, 16, 77, 96, 127):
            always(m, arithmetic.below(self.value, limit) == (self.value < limit))
        parts = [self.value[place : place + 4] for place in range(3)]
        for place, part in enumerate(parts):
            always(m, (self.index != place) | (arithmetic.select(self.index, parts) == part))
        digits = 3  # hold up to two thirds of 64
        small = self.value[:5]
        codes = arithmetic.radix_four(small, digits)
        terms = [
            arithmetic.multiple(self.factor, code).as_signed() << 2 * place
            for place, code in enumerate(codes)
        ]
        lacking = arithmetic.borrows(codes)
        always(m, (sum(terms) + lacking) == self.factor * small)
        return m


def test_comparisons_and_digits(tmp_path):
    assert examined(Digits(), tmp_path, depth=1, induction=False) == PROVED


class Bitwise(wiring.Component):
    """The checksum beside the shift register of its definition, one bit after the other."""

    start: In(1)
    valid: In(1)
    data: In(8)

    def __init__(self, polynomial: int):
        self.polynomial = polynomial
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.checksum = checksum = Checksum()
        m.d.comb += [
            checksum.start.eq(self.start),
            checksum.valid.eq(self.valid),
            checksum.data.eq(self.data),
        ]
        crc, begun = Signal(16), Signal()
        following = crc
        for bit in reversed(range(8)):
            feedback = following[15] ^ self.data[bit]
            following = (Cat(0, following[:15])) ^ Mux(feedback, self.polynomial, 0)
        with m.If(self.start):
            m.d.sync += [crc.eq(0xFFFF), begun.eq(1)]
        with m.Elif(self.valid):
            m.d.sync += crc.eq(following)
        always(m, ~begun | (checksum.high == crc[8:]))
        always(m, ~begun | (checksum.right == (crc == 0)))
        return m


@pytest.mark.parametrize("polynomial, outcome", [(0x1021, PROVED), (0x1023, REFUTED)])
def test_checksum(tmp_path, polynomial, outcome):
    """For six cycles after power-up, so for sequences of up to five bytes with pauses anywhere."""
    found = examined(Bitwise(polynomial), tmp_path, depth=6, induction=False)
    assert found == outcome
