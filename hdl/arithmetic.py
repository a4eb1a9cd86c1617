"""Arithmetic written so that it takes few four-input LUTs; what it computes is plain integer arithmetic."""

from amaranth.hdl import C, Cat, Module, Mux, Signal


def select(index, values: list):
    """``values[index]``; undefined where there is no such value. A tree of two-way choices: no index is decoded."""
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
    """``low``, or its largest or lowest value if the number that it is the low part of did not fit."""
    return Mux(over, (negative.replicate(len(low)) ^ (1 << len(low) - 1) - 1), low).as_signed()


def radix_four(value) -> list:
    """Digit codes of an unsigned value, lowest first: 0, 1 and 2 mean themselves, 3 means -1.

    The top digit must not need 3: a value of so many bits is at most a power of two with an even number of zeros, or
    has a zero on top.
    """
    codes, carry = [], 0
    for place in range(0, len(value), 2):
        digit = value[place:place + 2] + carry
        codes.append(digit[:2])
        carry = digit[2] | digit[:2].all() if len(digit) > 2 else digit[:2].all()
    return codes


def signed_radix_four(value) -> list:
    """Digit codes of a signed value of an even width: those of :func:`radix_four`, but the top digit, -2 to 2, is
    itself in three bits."""
    codes = radix_four(Cat(value[:-2], C(0, 2)))
    return [*codes[:-1], (value[-2:].as_signed() + codes[-1])[:3]]


def borrows(codes: list):
    """What :func:`multiple` leaves out, summed over all digits of a number: one for each negative one, in its place."""
    return Cat(*(Cat(code[2] if len(code) > 2 else code.all(), C(0, 1)) for code in codes))


def multiple(value, code):
    """The signed value times a digit of :func:`radix_four`; one less where the digit is negative.

    One LUT a bit; two where the digit is the top one of :func:`signed_radix_four`.
    """
    if len(code) > 2:
        width = len(value) + 1
        magnitude = Mux(code[0], value, Mux(code[1], value << 1, 0))
        return (magnitude[:width] ^ code[2].replicate(width)).as_signed()
    return select(code, [0, value, value << 1, ~value])


def add_up(m: Module, terms: list, name: str):
    """The sum of terms, one carry chain for each addition (Yosys would make adders of three terms from LUTs)."""
    total = terms[0]
    for index, term in enumerate(terms[1:]):
        pair = total + term
        total = Signal(pair.shape(), name=f"{name}_{index}", attrs={"keep": 1})
        m.d.comb += total.eq(pair)
    return total
