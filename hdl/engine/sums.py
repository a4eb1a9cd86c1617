# SPDX-License-Identifier: Apache-2.0
"""Sums of a matrix of products along its rows or its columns, in one tree of adders."""

from amaranth.hdl import Module, Mux, Signal

from ornstein.hdl.hops import kept_register
from ornstein.hdl.targets.generic import GenericTarget


def tree(m: Module, terms: list, name: str, counted=1):
    """The sum of the terms, whose number must be a power of two, with one level of adders a cycle.

    Every level is one bit wider than the one before, so the sum never overflows. The sum is zero
    unless ``counted`` holds in the cycle of the last level.
    """
    if len(terms) == 1:
        return Mux(counted, terms[0], 0)
    level = 0
    while len(terms) > 1:
        pairs = [first + second for first, second in zip(terms[::2], terms[1::2], strict=True)]
        if len(pairs) == 1:
            pairs = [Mux(counted, pairs[0], 0)]
        terms = [
            _registered(m, pair, f"{name}_{level}_{place}") for place, pair in enumerate(pairs)
        ]
        level += 1
    return terms[0]


def both_ways(
    m: Module, products: list, ranks: int, across_units, counted: list, target: GenericTarget
) -> tuple[list, list]:
    """(sums across unit lanes, one for each rank lane; sums across rank lanes, one for each unit
    lane). In a cycle only one of the two is meaningful.

    Four neighbours ``a b / c d`` of the matrix become two sums: either those of its columns,
    ``a + c`` and ``b + d``, or those of its rows, ``a + b`` and ``d + c``. This takes half the
    adders of two separate trees, and fewer wires. The sums of four such squares are added in the
    same way, until one side of the matrix has length one; the rest are plain trees.

    Latency from the products: the logarithm of the number of terms. The sums never overflow.

    Parameters
    ----------
    products : signed; the product of unit lane ``u`` and rank lane ``r`` has the index
        ``u * ranks + r``. Both numbers of lanes are powers of two.
    ranks : number of rank lanes
    across_units : which sums are wanted, one cycle before the products
    counted : for each unit lane, whether its sum counts or is to be zero; one cycle before the sum,
        or in its cycle if it is a single product
    target : the target that adds
    """
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
                choice = kept_register(m, across_units, f"across_units_{level}_{row}_{column}")
                a, b, c, d = (
                    squares[2 * row + down, 2 * column + right]
                    for down in range(2)
                    for right in range(2)
                )
                sums = [*zip(a, c, b, strict=True), *zip(d, b, c, strict=True)]
                added[row, column] = [
                    _registered(
                        m,
                        target.add_either(m, term, one, other, choice),
                        f"sum_{level}_{row}_{column}_{place}",
                    )
                    for place, (term, one, other) in enumerate(sums)
                ]
        squares, across_units = added, kept_register(m, across_units, f"across_units_{level}")
    side = len(squares[0, 0])  # number of columns, or rows, that a square has a sum of
    of_ranks = [
        tree(m, [squares[row, rank // side][rank % side] for row in range(height)], f"rank_{rank}")
        for rank in range(ranks)
    ]
    if width == 1 < ranks:  # the last level has been shared by both kinds of sums
        counted = [kept_register(m, each, f"counted_{unit}") for unit, each in enumerate(counted)]
    of_units = [
        tree(
            m,
            [squares[unit // side, column][unit % side] for column in range(width)],
            f"unit_{unit}",
            each,
        )
        for unit, each in enumerate(counted)
    ]
    return of_ranks, of_units


def _registered(m: Module, value, name: str) -> Signal:
    """The value one cycle later, in a register without reset."""
    register = Signal(value.shape(), name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
