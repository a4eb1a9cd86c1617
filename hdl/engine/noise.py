# SPDX-License-Identifier: Apache-2.0
"""Noise: a leap-forward LFSR and a three-point variable. Each comes with its integer model.

The generator is the 64-bit Fibonacci LFSR of x^64 + x^63 + x^61 + x^60 + 1 (maximal length; the
taps are those of Xilinx XAPP052), advanced by 82 steps a draw. 82 shares no factor with 2^64 - 1,
so the period stays 2^64 - 1. An LFSR that moves by fewer bits than a draw uses makes draws
dependent; at 82 steps the sixteen bits that a draw uses are, over a random state, exactly
independent of those of every one of the next 4,096 draws, and any four consecutive draws are
jointly independent (``tests/test_noise.py`` proves both by rank over GF(2)).

The three-point variable is +1, 0 or -1 with probabilities 1/6, 2/3, 1/6: scaled by sqrt(3) it has
the mean, variance, skewness and kurtosis of a normal variable, and it needs no multiplier.

The fine variable, an option of the build and of the level, fills the gaps between these values: the
upper 13 bits of a draw make a three-point variable T, the lower three a number u from 0 to 7, and
its value is 16 T + 2 u - 7, one of 24 odd numbers from -23 to 23. The probability of T is chosen so
that its kurtosis is that of a normal variable too.
"""

from functools import reduce
from operator import xor

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.arithmetic import below
from ornstein.hdl.config import FINE_CODE_WIDTH, GUARD_BITS, SEED_WIDTH

TAPS = (64, 63, 61, 60)
LEAP = 82
DRAW_BITS = 16
THRESHOLD = 10923
"""round(2^16 / 6): a draw below it is +1, its mirror image -1, so the mean is exactly zero."""
DITHER_LOW = 32
"""Lowest state bit used for stochastic rounding."""

VARIANCE = 2 * THRESHOLD / (1 << DRAW_BITS)
"""Exact variance of the three-point variable, 1/3 up to 2^-16."""

FINE_BITS = 3
"""Low bits of a draw that the fine variable spreads evenly between two values of T."""
FINE_GAP = 2 << FINE_BITS
"""Distance of two values of T, 16."""
FINE_THRESHOLD = 1330
"""The upper bits of a draw below it are +1, their mirror image -1: of 2^13, so that the kurtosis is
3 up to 5e-4."""
FINE_TOP = FINE_GAP + (1 << FINE_BITS) - 1
"""Largest fine value, 23."""

FINE_VARIANCE = (
    FINE_GAP**2 * 2 * FINE_THRESHOLD / (1 << DRAW_BITS - FINE_BITS) + (4**FINE_BITS - 1) / 3
)
"""Exact variance of the fine variable, 104.125."""

_MASK = (1 << SEED_WIDTH) - 1
_HALF = LEAP // 2


def fed_back(state):
    """The 41 bits that enter next, lowest first; what stands above them is to be dropped. For
    integers and gateware.

    They can be had at once because up to 60 new bits depend on present bits alone.
    """
    taps = [state >> tap - _HALF for tap in TAPS]
    return reduce(xor, taps)


def advance(state):
    """The state after one draw, two leaps of 41. For integers and gateware."""
    for _ in range(2):
        state = (state << _HALF & _MASK) | fed_back(state) & (1 << _HALF) - 1
    return state


def code(state: int) -> int:
    """The three-point variable of a state: -1, 0 or 1."""
    draw = state & (1 << DRAW_BITS) - 1
    return int(draw < THRESHOLD) - int(draw >= (1 << DRAW_BITS) - THRESHOLD)


def fine_code(state: int) -> int:
    """The fine variable of a state: an odd number from -23 to 23."""
    draw = state & (1 << DRAW_BITS) - 1
    upper, lower = draw >> FINE_BITS, draw & (1 << FINE_BITS) - 1
    mirror = (1 << DRAW_BITS - FINE_BITS) - FINE_THRESHOLD
    coarse = int(upper < FINE_THRESHOLD) - int(upper >= mirror)
    return FINE_GAP * coarse + 2 * lower + 1 - (1 << FINE_BITS)


def dither(state: int) -> int:
    """The uniform GUARD_BITS-bit number that stochastic rounding adds."""
    return state >> DITHER_LOW & (1 << GUARD_BITS) - 1


class NoiseSource(wiring.Component):
    """One unit lane's generator.

    Parameters
    ----------
    fine : build the fine variable beside the three-point one

    Members
    -------
    seed : unsigned(64), in; the state to load. Zero, the LFSR's fixed point, is replaced by one.
    load : in; take the seed at the next edge
    advance : in; move to the next draw at the next edge
    state : unsigned(64), out; the present state
    code : signed(2), or signed(6) with ``fine``, out; the draw of the cycle before, one LUT behind
        a register
    dither : unsigned(GUARD_BITS), out; of the present draw, combinational from the state
    fine : in, only with ``fine``; the code is the fine variable
    """

    def __init__(self, *, fine: bool = False):
        self._fine = fine
        super().__init__(
            {
                "seed": In(SEED_WIDTH),
                "load": In(1),
                "advance": In(1),
                "state": Out(SEED_WIDTH, init=1),
                "code": Out(signed(FINE_CODE_WIDTH if fine else 2)),
                "dither": Out(GUARD_BITS),
            }
            | ({"fine": In(1)} if fine else {})
        )

    def elaborate(self, platform):
        m = Module()
        # as in `advance`: on whole words, which costs a simulator a few operations, not a few for
        # every bit
        following = self.state
        for leap in range(2):
            entering = Signal(_HALF, name=f"entering_{leap}")
            m.d.comb += entering.eq(fed_back(following))
            following = Cat(entering, following)[:SEED_WIDTH]
        with m.If(self.load):
            m.d.sync += self.state.eq(Mux(self.seed == 0, 1, self.seed))
        with m.Elif(self.advance):
            m.d.sync += self.state.eq(following)
        draw = self.state[:DRAW_BITS]
        up, down = Signal(), Signal()
        m.d.sync += [
            up.eq(below(draw, THRESHOLD)),
            down.eq(below(~draw, THRESHOLD)),
        ]  # draw >= 2^DRAW_BITS - THRESHOLD
        three_point = Cat(up | down, down).as_signed()
        if self._fine:
            m.d.comb += self.code.eq(Mux(self.fine, self._fine_code(m, draw), three_point))
        else:
            m.d.comb += self.code.eq(three_point)
        m.d.comb += self.dither.eq(self.state[DITHER_LOW:])
        return m

    def _fine_code(self, m: Module, draw):
        """The fine variable of the draw of the cycle before."""
        upper, lower = draw[FINE_BITS:], Signal(FINE_BITS, name="fine_lower")
        up, down = Signal(name="fine_up"), Signal(name="fine_down")
        m.d.sync += [
            up.eq(below(upper, FINE_THRESHOLD)),
            down.eq(below(~upper, FINE_THRESHOLD)),
            lower.eq(draw[:FINE_BITS]),
        ]
        coarse = Cat(up | down, down).as_signed()
        # 2 u - 7 in two's complement: u doubled, plus one, with its highest bit inverted
        between = Cat(C(1, 1), lower[:-1], ~lower[-1]).as_signed()
        return FINE_GAP * coarse + between
