# SPDX-License-Identifier: Apache-2.0
"""Plain integer arithmetic, written so that it maps to few four-input lookup tables."""

from amaranth.hdl import C, Cat, Module, Mux, Signal


def select(index, values: list):
    """``values[index]``, as a tree of two-input multiplexers; the index is not decoded.

    The result is undefined for an index beyond the last value.
    """
    if len(values) == 1:
        return values[0]
    pairs = [
        Mux(index[0], values[even + 1], values[even]) if even + 1 < len(values) else values[even]
        for even in range(0, len(values), 2)
    ]
    return select(index[1:], pairs)


def below(value, limit: int):
    """``value < limit`` for an unsigned value and a positive constant.

    Halves of the value are compared down to four bits. This takes fewer lookup tables than a carry
    chain, and its depth is logarithmic in the width.
    """
    if len(value) <= 4:
        return value < limit
    half = 4 * -(-len(value) // 8)
    low, high = limit & (1 << half) - 1, limit >> half
    return below(value[half:], high) | ((value[half:] == high) & below(value[:half], low))


def shift_right(value, index, shifts: tuple[int, ...]):
    """``value >> shifts[index]`` for ascending ``shifts``.

    Evenly spaced shifts take one two-input multiplexer for each bit of the index. The result is
    undefined for an index beyond the last shift.
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
    """The saturated form of a number of which ``low`` holds the lowest bits.

    That is ``low`` itself, or its largest or its lowest value if the number does not fit: ``over``
    says so, and ``negative`` is the number's sign.
    """
    return Mux(over, (negative.replicate(len(low)) ^ (1 << len(low) - 1) - 1), low).as_signed()


def radix_four(value, digits: int) -> list:
    """The radix-four digits of a value, lowest first, as two-bit codes.

    A digit is its code minus one, so digits go from -1 to 2. The value must be at most two thirds
    of ``4 ** digits``, and at least minus one third of it. One is added to every pair of bits: a
    pair then carries exactly where a digit above two must borrow four from the next one.
    """
    raised = (value + sum(1 << 2 * digit for digit in range(digits)))[: 2 * digits]
    return [raised[2 * digit : 2 * digit + 2] for digit in range(digits)]


def borrows(codes: list):
    """What the results of :func:`multiple` lack, summed over all digits of a number.

    A digit of -1 lacks one, at the weight of the digit.
    """
    return Cat(*(Cat(code == 0, C(0, 1)) for code in codes))


def multiple(value, code):
    """The signed value times a digit of :func:`radix_four`, one less where the digit is -1.

    It takes one lookup table for each bit.
    """
    return select(code, [~value, 0, value, value << 1])


def add_up(m: Module, terms: list, name: str):
    """The sum of terms, with one carry chain for each addition.

    The partial sums are kept, because Yosys would merge two additions into an adder of three terms
    made of lookup tables.
    """
    total = terms[0]
    for index, term in enumerate(terms[1:]):
        pair = total + term
        total = Signal(pair.shape(), name=f"{name}_{index}", attrs={"keep": 1})
        m.d.comb += total.eq(pair)
    return total
