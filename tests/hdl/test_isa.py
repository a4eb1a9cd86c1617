# SPDX-License-Identifier: Apache-2.0
"""Descriptors: every field has its place, and what does not fit is named."""

from dataclasses import fields

import pytest

from helpers.link_bench import seeded
from ornstein.hdl.isa import DESCRIPTOR_WORDS, WORD_BITS, Level, Operation, Pass

COUNTS = ("outer", "inner", "steps", "passes")  # stored less one


def bounds(kind, name):
    """Smallest and largest value of a field."""
    width = {field: width for field, _, _, width in kind.layout()}[name]
    return (1, 1 << width) if name in COUNTS else (0, (1 << width) - 1)


def random_descriptor(kind, rng):
    return kind(
        **{
            f.name: rng.choice([*bounds(kind, f.name), rng.randint(*bounds(kind, f.name))])
            for f in fields(kind)
        }
    )


@pytest.mark.parametrize("kind", [Pass, Level])
def test_round_trip(kind):
    rng = seeded(1)
    for _ in range(500):
        descriptor = random_descriptor(kind, rng)
        words = descriptor.pack()
        assert len(words) == DESCRIPTOR_WORDS
        assert all(0 <= word < 1 << WORD_BITS for word in words)
        assert kind.unpack(words) == descriptor


@pytest.mark.parametrize("kind", [Pass, Level])
def test_fields_do_not_overlap(kind):
    seen = 0
    for name, word, low, width in kind.layout():
        place = (1 << width) - 1 << WORD_BITS * word + low
        assert not seen & place, name
        seen |= place
    assert seen < 1 << WORD_BITS * DESCRIPTOR_WORDS


@pytest.mark.parametrize(
    "kind, name", [(kind, f.name) for kind in (Pass, Level) for f in fields(kind)]
)
def test_each_field_has_its_range(kind, name):
    counts = {f.name: 1 for f in fields(kind) if f.name in COUNTS}
    low, high = bounds(kind, name)
    for value in (low, high):
        assert getattr(kind.unpack(kind(**counts | {name: value}).pack()), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(
            ValueError, match=rf"{kind.__name__}\.{name} = {value} does not fit its \d+ bits"
        ):
            kind(**counts | {name: value}).pack()


def test_a_pass_by_hand():
    step = Pass(
        Operation.EXPAND,
        wait=1,
        coupled=1,
        biased=1,
        shift=5,
        bias_shift=2,
        outer=64,
        inner=4,
        factor=256,
        source=3,
        dest=0,
        stride=1,
        bias=0xABCD,
    )
    assert step.pack() == [0b10_101_1_1_0_0_0_1_10, 63, 3, 256, 3, 0, 1, 0xABCD]


def test_a_level_by_hand():
    level = Level(
        keep=1,
        midpoint=1,
        accumulate=1,
        thin=7,
        first=2,
        passes=3,
        steps=1000,
        leak=205,
        amplitude=0x1234567,
        quartic=99,
    )
    assert level.pack() == [7 << 5 | 0b01011, 2 | 2 << 8, 999, 205, 0x4567, 0x123, 99, 0]


def test_loop_counts_reach_65536():
    assert Pass(outer=65536, inner=65536).pack()[1:3] == [0xFFFF, 0xFFFF]
    assert Level(steps=65536, passes=256).pack()[2] == 0xFFFF
