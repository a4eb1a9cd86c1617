# SPDX-License-Identifier: Apache-2.0
"""Where an ECP5-85F's multipliers and block RAMs go in a grid of 8 x 16 lanes.

Place and route spreads what lies in few fixed rows badly: with these places the wires are half as
long, and only then can they all be routed. The chip has three rows of 13 blocks of four
multipliers, and four rows of 13 blocks of four block RAMs. ::

    y = 10   multipliers   unit lanes 0 to 3
    y = 22   block RAM     factors of unit lanes 0 to 3
    y = 34   multipliers   unit lanes 2 to 5
    y = 46   block RAM     factors of unit lanes 4 to 7
    y = 58   multipliers   unit lanes 6 and 7, updates
    y = 70   block RAM     rank words, states, biases and inputs
    y = 82   block RAM     sums, noise

From left to right there are three columns for each quarter of the rank lanes, with the updates and
memories of a quarter of the unit lanes. The column in the middle is for what comes once, which all
others look to. Four neighbours of the grid share a block of multipliers, as they share adders
(:mod:`ornstein.hdl.engine.sums`).
"""

from ornstein.hdl.config import FabricConfig

COLUMNS = (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114)
"""x of the blocks."""
IN_BLOCK = (0, 1, 4, 5)
"""Tiles of a block's multipliers, by which they are called too."""
QUARTERS, WIDTH = 4, 3
"""Quarters of the lanes and the columns of each."""
MIDDLE = 6
"""The column that belongs to none of them."""


def _multiplier(column: int, y: int, place: int) -> str:
    return f"X{COLUMNS[column] + IN_BLOCK[place]}/Y{y}/MULT18_{IN_BLOCK[place]}"


def _left(quarter: int) -> int:
    """A quarter's first column."""
    column = WIDTH * quarter
    return column + (column >= MIDDLE)


def _block_ram(column: int, y: int, place: int) -> str:
    return f"X{COLUMNS[column] + 2 * place}/Y{y}/EBR{place}"


def floorplan(config: FabricConfig) -> dict[str, str]:
    """Yosys patterns of the fabric's cells that are placed by hand, and their places as nextpnr
    calls them.

    A pattern stands for one cell; Amaranth makes some names unique with a number after ``$``.
    """
    places = {f"descriptor.cells_{word}.0.0": _block_ram(MIDDLE, 82, word) for word in range(4)}
    places["activation.cells_0.0.0"] = _block_ram(MIDDLE, 70, 1)
    places["lanes.interpolator.multiply.mult18x18d"] = _multiplier(MIDDLE, 58, 0)
    in_quarter = config.rank_lanes // QUARTERS
    for rank in range(config.rank_lanes):
        quarter, place = divmod(rank, in_quarter)
        left = _left(quarter)
        places[f"rank$*.cells_{rank}.0.0"] = _block_ram(left + 2 * (place // 2), 70, place)
        for unit in range(config.unit_lanes):
            # a quarter's squares of four neighbours, by pairs of unit and of rank lanes
            column, y = {
                (0, 0): (0, 10),
                (1, 0): (1, 10),
                (2, 0): (0, 34),
                (3, 0): (0, 58),
                (0, 1): (2, 10),
                (1, 1): (1, 34),
                (2, 1): (2, 34),
                (3, 1): (2, 58),
            }[unit // 2, place // 2]
            places[f"lanes.multiplier_{unit}_{rank}.mult18x18d"] = _multiplier(
                left + column, y, 2 * (unit % 2) + rank % 2
            )
    for unit in range(config.unit_lanes):
        for quarter in range(QUARTERS):
            for part in range(WIDTH):
                places[f"factor_{unit}.joined_{in_quarter * quarter}.cells.0.{part}"] = _block_ram(
                    _left(quarter) + part, (22, 46)[unit // 4], unit % 4
                )
        quarter, right = divmod(unit, 2)
        middle = _left(quarter) + 1
        outer = middle + (-1, 1)[right]
        places[f"update_{unit}.multiply.mult18x18d"] = _multiplier(middle, 58, 2 * right)
        places[f"state$*.cells_{unit}.0.0"] = _block_ram(outer, 70, 2 - right)
        places[f"drive$*.cells_{unit}.0.0"] = _block_ram(outer, 70, 3 - 3 * right)
        places[f"drive$*.cells_{unit}.0.1"] = _block_ram(middle, 70, 3 * right)
        places[f"state_late.cells_{unit}.0.0"] = _block_ram(middle, 70, 1 + right)
        places[f"noise_codes.cells_{unit}.0.0"] = _block_ram(middle, 82, 1 + right)
        for part in range(4):
            places[f"sums.cells_{unit}.0.{part}"] = _block_ram(outer, 82, part)
    return places
