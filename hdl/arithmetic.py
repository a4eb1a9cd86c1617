# SPDX-License-Identifier: Apache-2.0
"""Arithmetic written so that it takes few four-input LUTs; what it computes is plain integer
arithmetic.
"""

from amaranth.hdl import C, Cat, Module, Mux, Signal


def select(index, values: list):
    """``values[index]``; undefined where there is no such value. A tree of two-way choices: no
    index is decoded.
    """
    if len(values) == 1:
        return values[0]
    pairs = [
        Mux(index[0], values[place + 1], values[place])
        if place + 1 < len(values)
        else values[place]
        for place in range(0, len(values), 2)
    ]
    return select(index[1:], pairs)


def below(value, limit: int):
    """``value < limit`` of an unsigned value and a positive constant, by halves down to four bits:
    fewer LUTs than a carry chain, and not deep."""
    if len(value) <= 4:
        return value < limit
    half = 4 * -(-len(value) // 8)
    low, high = limit & (1 << half) - 1, limit >> half
    return below(value[half:], high) | ((value[half:] == high) & below(value[:half], low))


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


def overflow(value, index, shifts: tuple[int, ...], width: int):
    """Whether the signed ``value >> shifts[index]`` is too large for ``signed(width)``."""
    answers, over, checked = [], 0, len(value) - 1
    for shift in reversed(shifts):
        bottom = min(shift + width - 1, checked)
        over = over | (value[bottom:checked] ^ value[-1].replicate(checked - bottom)).any()
        answers.insert(0, over)
        checked = bottom
    return select(index, answers)


def saturated(low, over, negative):
    """``low``, or its largest or lowest value if the number that it is the low part of
    did not fit.
    """
    return Mux(over, (negative.replicate(len(low)) ^ (1 << len(low) - 1) - 1), low).as_signed()


def radix_four(value, digits: int) -> list:
    """Codes of so many digits of a value, lowest first; a digit is its code less one, from -1 to 2.

    The value must be at most two thirds of ``4 ** digits``, and at least minus one third of it. A
    digit above two borrows four from the next, which is just where a pair of bits carries when
    every pair is raised by one.
    """
    raised = (value + sum(1 << 2 * place for place in range(digits)))[: 2 * digits]
    return [raised[2 * place : 2 * place + 2] for place in range(digits)]


def borrows(codes: list):
    """What :func:`multiple` leaves out, summed over all digits of a number: one for each -1, in its
    place.
    """
    return Cat(*(Cat(code == 0, C(0, 1)) for code in codes))


def multiple(value, code):
    """The signed value times a digit of :func:`radix_four`; one less where the digit is -1. One LUT
    a bit.
    """
    return select(code, [~value, 0, value, value << 1])


def add_up(m: Module, terms: list, name: str):
    """The sum of terms, one carry chain for each addition (Yosys would make adders of three terms
    from LUTs).
    """
    total = terms[0]
    for index, term in enumerate(terms[1:]):
        pair = total + term
        total = Signal(pair.shape(), name=f"{name}_{index}", attrs={"keep": 1})
        m.d.comb += total.eq(pair)
    return total
