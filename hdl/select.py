"""Choosing among values by an index: trees of two-way choices, which map to fewer LUTs than a decoded index."""

from amaranth.hdl import Mux


def select(index, values: list):
    """``values[index]``; undefined where there is no such value."""
    if len(values) == 1:
        return values[0]
    pairs = [Mux(index[0], values[place + 1], values[place]) if place + 1 < len(values) else values[place]
             for place in range(0, len(values), 2)]
    return select(index[1:], pairs)


def shift_right(value, index, shifts: tuple[int, ...]):
    """``value >> shifts[index]`` of ascending ``shifts``; undefined where there is no such shift.

    Evenly spaced shifts take one two-way choice per bit of the index.
    """
    step = shifts[1] - shifts[0] if len(shifts) > 1 else 1
    if shifts != tuple(range(shifts[0], shifts[-1] + 1, step)):
        return select(index, [value >> shift for shift in shifts])
    value = value.shift_right(shifts[0])
    for bit in range((len(shifts) - 1).bit_length()):
        value = Mux(index[bit], value.shift_right(step << bit), value)
    return value


def clip(value, width: int):
    """(value saturated to ``signed(width)``, whether that changed it) of a signed value."""
    over = (value[width - 1:].any() & ~value[-1]) | (~value[width - 1:].all() & value[-1])
    limit = (value[-1].replicate(width) ^ (1 << width - 1) - 1).as_signed()
    return Mux(over, limit, value[:width].as_signed()), over
