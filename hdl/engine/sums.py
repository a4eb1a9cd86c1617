# SPDX-License-Identifier: Apache-2.0
"""Sums of a grid of products along either of its sides, in one tree of adders."""

from amaranth.hdl import Module, Mux, Signal

from ornstein.hdl import targets
from ornstein.hdl.hops import kept_register


def tree(m: Module, terms: list, name: str, counted=1):
    """The sum of a power of two of terms, one level a cycle; it grows a bit a level and loses none.
    It is zero unless ``counted``, which is asked in the cycle of the last level."""
    if len(terms) == 1:
        return Mux(counted, terms[0], 0)
    level = 0
    while len(terms) > 1:
        pairs = [first + second for first, second in zip(terms[::2], terms[1::2], strict=True)]
        if len(pairs) == 1:
            pairs = [Mux(counted, pairs[0], 0)]
        terms = [_kept(m, pair, f"{name}_{level}_{place}") for place, pair in enumerate(pairs)]
        level += 1
    return terms[0]


def both_ways(
    m: Module, products: list, ranks: int, across_units, counted: list, platform
) -> tuple[list, list]:
    """(sums across unit lanes, one for each rank lane; sums across rank lanes, one for each unit
    lane).

    Four neighbours ``a b / c d`` of a grid become two sums, either those of its columns, ``a + c``
    and ``b + d``, or of its rows, ``a + b`` and ``d + c``: half the adders and fewer wires than two
    trees. The sums of such squares are added in fours likewise until one side of the grid is left,
    and along that in plain trees.

    Parameters
    ----------
    products : signed, that of unit lane ``u`` and rank lane ``r`` at ``u * ranks + r``; powers of
        two of lanes
    across_units : which of the sums is meant, a cycle before the products
    counted : one for each unit lane, whether its sum is not to be zero; in the cycle before the
        sum, or with it if it is of one product

    The sums come as many cycles after the products as the logarithm of the number of terms; they
    lose no bit.
    """
    target = targets.of(platform)
    height, width = len(products) // ranks, ranks
    squares = {
        (unit, rank): [products[unit * ranks + rank]]
        for unit in range(height)
        for rank in range(width)
    }
    level = 0
    while height > 1 and width > 1:
        height, width, level = height // 2, width // 2, level + 1
        added = {}
        for row in range(height):
            for column in range(width):
                own = kept_register(m, across_units, f"across_units_{level}_{row}_{column}")
                a, b, c, d = (
                    squares[2 * row + down, 2 * column + right]
                    for down in range(2)
                    for right in range(2)
                )
                sums = [*zip(a, c, b, strict=True), *zip(d, b, c, strict=True)]
                added[row, column] = [
                    _kept(
                        m,
                        target.add_either(m, term, one, other, own),
                        f"sum_{level}_{row}_{column}_{place}",
                    )
                    for place, (term, one, other) in enumerate(sums)
                ]
        squares, across_units = added, kept_register(m, across_units, f"across_units_{level}")
    own = len(squares[0, 0])  # the sums of a square: of its columns or of its rows
    of_ranks = [
        tree(m, [squares[row, rank // own][rank % own] for row in range(height)], f"rank_{rank}")
        for rank in range(ranks)
    ]
    if width == 1 < ranks:  # the last level was the other sums' too
        counted = [kept_register(m, each, f"counted_{unit}") for unit, each in enumerate(counted)]
    of_units = [
        tree(
            m,
            [squares[unit // own, column][unit % own] for column in range(width)],
            f"unit_{unit}",
            each,
        )
        for unit, each in enumerate(counted)
    ]
    return of_ranks, of_units


def _kept(m: Module, value, name: str) -> Signal:
    """A value in a register."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
