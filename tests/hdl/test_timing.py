# SPDX-License-Identifier: Apache-2.0
"""The pipeline's cycle counts: by hand for two fabrics, and their margins for many."""

from dataclasses import replace
from itertools import product

import pytest

from ornstein.hdl.config import ICEBREAKER, PRESETS, TINY, ULX3S, WIDE
from ornstein.hdl.timing import Timing


def test_one_unit_lane_by_hand():
    """Memories answer in the next cycle, multipliers two later, eight rank lanes add in three."""
    timing = Timing.of(ICEBREAKER)
    assert (timing.hop, timing.read, timing.spread, timing.products) == (0, 1, 0, 3)
    assert (timing.rank, timing.unit) == (4, 7)
    assert (timing.lookup, timing.activation) == (3, 5)
    assert (timing.draw, timing.update) == (1, 6)
    assert timing.rank_hazard == timing.activation + 1


def test_several_unit_lanes_by_hand():
    """A memory is one hop away and its word one back; factors wait two cycles for the others."""
    timing = Timing.of(ULX3S)
    assert (timing.hop, timing.read, timing.spread, timing.products) == (1, 3, 2, 7)
    assert (timing.rank_total, timing.rank, timing.unit) == (7 + 3 + 1, 7 + 3 + 3, 7 + 4 + 1)
    assert (timing.lookup, timing.activation) == (3 + 2 + 3, 11)
    assert (timing.draw, timing.update) == (3, 8)


def test_the_quartic_term_is_two_more_products():
    without = Timing.of(replace(TINY, quartic=False))
    assert Timing.of(TINY).update == without.update + 2


@pytest.mark.parametrize("ranks, units", list(product([1, 2, 16, 256], [1, 2, 16])))
def test_margins_hold_for_every_fabric(ranks, units):
    """Timing.of asserts them; a deeper pipeline has at least as much in flight."""
    timing = Timing.of(replace(WIDE, rank_lanes=ranks, unit_lanes=units))
    assert timing.samples_in_flight < timing.sample_margin
    assert timing.drain > timing.unit_hazard


@pytest.mark.parametrize("field", ["sample_margin", "drain", "unit_hazard", "rank_hazard"])
@pytest.mark.parametrize("name", PRESETS)
def test_a_margin_that_is_too_small_is_refused(name, field):
    timing = Timing.of(PRESETS[name])
    with pytest.raises(AssertionError, match=r"would|too early"):
        replace(timing, **{field: timing.rank})
