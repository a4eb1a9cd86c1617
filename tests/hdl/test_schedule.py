# SPDX-License-Identifier: Apache-2.0
"""Waits: set where a pass needs what is still in the pipeline, and nowhere else."""

from dataclasses import replace

import pytest

from ornstein.hdl.config import TINY, WIDE
from ornstein.hdl.isa import Operation, Pass
from ornstein.hdl.schedule import check_pass, place_waits, reads, writes
from ornstein.hdl.timing import Timing

TIMING = Timing.of(TINY)
RANK, UNIT = TIMING.rank_hazard, TIMING.unit_hazard


def project(**changes):
    return Pass(**{"operation": Operation.PROJECT, "outer": 1, "inner": 4, "stride": 1} | changes)


def mix(**changes):
    return Pass(**{"operation": Operation.MIX, "outer": 2, "inner": 2, "stride": 2} | changes)


def expand(**changes):
    return Pass(**{"operation": Operation.EXPAND, "outer": 4, "inner": 2, "coupled": 1} | changes)


def activate(**changes):
    return Pass(**{"operation": Operation.ACTIVATE, "outer": 2, "inner": 2} | changes)


def waits(*passes, repeated=False, config=TINY, **options):
    return [step.wait for step in place_waits(config, list(passes), repeated=repeated, **options)]


# ---- what a pass touches -------------------------------------------------------------------------


def test_regions():
    assert reads(project(source=10, inner=4), 0) == [("state", 10, 14)]
    assert reads(project(source=10, inner=4, from_drive=1), 0) == [("drive", 10, 14)]
    # rank words source + o + t * stride
    assert reads(mix(source=10, outer=2, inner=3, stride=4), 0) == [("rank", 10, 20)]
    assert reads(activate(source=3, outer=2), 0) == [("rank", 3, 5)]
    assert reads(expand(source=3, dest=8, bias=40, biased=1), 0) == [
        ("state", 8, 12),
        ("drive", 40, 44),
        ("rank", 3, 5),
    ]
    # rank words source + j * (1 + stride)
    assert reads(expand(source=3, inner=3, stride=2), 0)[1] == ("rank", 3, 10)
    assert reads(expand(dest=8, coupled=0), 0) == [("state", 8, 12)]


def test_a_banked_pass_may_read_either_bank():
    assert reads(project(source=10, from_drive=1, banked=1), 16) == [
        ("drive", 10, 14),
        ("drive", 26, 30),
    ]
    assert reads(project(source=10, banked=1), 16) == [("state", 10, 14)]


def test_results():
    assert writes(project(dest=5, outer=3)) == ("rank", 5, 8)
    assert writes(mix(dest=5, outer=3)) == ("rank", 5, 8)
    assert writes(activate(dest=5, outer=3)) == ("rank", 5, 8)
    assert writes(expand(dest=5)) == ("state", 5, 9)
    assert writes(expand(dest=5, to_drive=1)) == ("drive", 5, 9)


# ---- dependences ---------------------------------------------------------------------------------


def test_independent_passes_do_not_wait():
    assert (
        waits(project(dest=0), project(dest=1), expand(source=4, dest=8), mix(source=8, dest=12))
        == [0] * 4
    )


def test_the_first_pass_does_not_wait_unless_the_list_is_repeated():
    chain = project(source=0), expand(source=0, dest=0)
    assert waits(*chain) == [0, 1]
    assert waits(*chain, repeated=True) == [1, 1]


@pytest.mark.parametrize(
    "first, second",
    [
        (project(dest=3), mix(source=3, dest=8)),
        (project(dest=3), expand(source=2)),
        (mix(source=10, dest=3), expand(source=3)),
        (mix(dest=4), mix(source=1, dest=8, stride=3)),
        (activate(dest=3), mix(source=3, dest=8)),
        (activate(dest=3), expand(source=3)),
        (project(dest=3), activate(source=3, dest=8)),
        (expand(dest=0), project(source=3)),
        (expand(dest=0), expand(dest=3, coupled=0)),
        (expand(dest=0, to_drive=1), project(source=3, from_drive=1)),
        (expand(dest=20, to_drive=1), expand(dest=0, bias=23, biased=1)),
    ],
    ids=lambda step: Operation(step.operation).name,
)
def test_needing_the_last_result_waits(first, second):
    assert waits(first, second) == [0, 1]
    # and one word beside it, or in another memory, does not, except for the three hazards below
    apart = project(source=50, dest=30, inner=TIMING.lookup)
    assert waits(first, apart, expand(dest=40, source=24))[2] == 0
    assert waits(first, expand(dest=40, source=24)) == [
        0,
        int(first.operation == Operation.ACTIVATE),
    ]


def test_state_and_drive_are_different_memories():
    assert waits(expand(dest=0), expand(dest=40, bias=0, biased=1)) == [0, 0]
    assert waits(expand(dest=0, to_drive=1), project(source=0)) == [0, 0]


def test_flags_decide_what_counts_as_read():
    assert waits(expand(dest=20, to_drive=1), expand(dest=0, bias=20, biased=0)) == [0, 0]
    assert waits(project(dest=0), expand(source=0, coupled=0)) == [0, 0]


def test_an_activation_would_overtake_sums_on_their_way_to_the_rank_memory():
    assert waits(project(dest=9), activate(source=0, dest=2)) == [0, 1]
    assert waits(expand(dest=9), activate(source=0, dest=2)) == [0, 0]


def test_an_activation_ends_on_a_lane_that_others_need():
    for between in range(1, TIMING.lookup + 1):
        passes = (
            activate(),
            activate(source=8, dest=8, outer=1, inner=between),
            project(source=50, dest=20),
        )
        assert waits(*passes) == [0, 0, 1], (
            "activations follow each other, other operations must keep away"
        )
    for between in range(1, TIMING.lookup + 1):
        passes = (
            activate(),
            mix(source=30, dest=50, outer=1, inner=between),
            project(source=50, dest=20),
        )
        assert waits(*passes) == [0, 1, 0], "a wait is enough for all that follow"


def test_reading_inputs_would_collide_with_reading_biases():
    assert waits(expand(dest=0, source=8), project(source=50, from_drive=1)) == [0, 1]
    assert waits(expand(dest=0, source=8), project(source=50)) == [0, 0]


@pytest.mark.parametrize(
    "producer, latency, slack, consumer",
    [
        (project(dest=0), RANK, 0, expand(source=0)),
        (project(dest=1), RANK, 1, mix(source=0, inner=2, stride=1, dest=20)),
        (project(dest=3), RANK, 3, expand(source=0, inner=4, dest=8)),
        (project(dest=3), RANK, 1, expand(source=0, inner=2, stride=2, dest=8)),
        (project(outer=2, inner=3), RANK, 1, expand(source=0)),
        (expand(dest=0, source=8, inner=2), UNIT, 3, project(source=0, dest=4)),
        (expand(dest=0, source=8, inner=1), UNIT, 3, project(source=0, dest=4)),
        (expand(dest=0, source=8, inner=3), UNIT, 9, expand(dest=0, source=8, inner=3)),
    ],
)
def test_enough_work_between_makes_the_wait_needless(producer, latency, slack, consumer):
    """``latency`` issues must lie between the last for a word and the first that reads it. Of these
    ``slack`` belong to the producer, after the word, and to the consumer, before it.
    """
    for between in range(1, latency + 2):
        filler = project(source=40, dest=30, inner=between)
        needed = int(between + 1 + slack < latency)
        assert waits(producer, filler, consumer) == [0, 0, needed], between


def test_a_wait_settles_everything_before_it():
    # the second pass waits for the first; the third needs the first too, which is through by then
    assert waits(project(dest=0), expand(source=0, dest=0), mix(source=0, dest=8)) == [0, 1, 0]


def test_the_last_pass_of_a_step_reaches_into_the_next():
    short = [project(source=0, dest=0), expand(source=8, dest=0)]
    assert waits(*short, repeated=True) == [1, 0]
    long_enough = [
        project(source=0, dest=0),
        expand(source=8, dest=0),
        project(source=40, dest=4, inner=UNIT),
    ]
    assert waits(*long_enough, repeated=True) == [0, 0, 0]


def test_waits_of_the_input_are_replaced():
    assert waits(replace(project(dest=0), wait=1), replace(project(dest=1), wait=1)) == [0, 0]


def test_nothing_but_the_waits_changes():
    passes = [project(dest=0, shift=2, banked=1), expand(source=0, dest=0, biased=1, bias=3)]
    placed = place_waits(TINY, passes)
    assert [replace(step, wait=0) for step in placed] == passes


def test_more_lanes_take_longer():
    assert Timing.of(WIDE).rank_hazard > RANK and Timing.of(WIDE).unit_hazard > UNIT
    filler = project(source=40, dest=20, inner=RANK - 1)
    assert waits(project(dest=0), filler, expand(source=0)) == [0, 0, 0]
    assert waits(project(dest=0), filler, expand(source=0), config=WIDE) == [0, 0, 1]


def test_other_bank_counts_as_read():
    write = expand(dest=26, to_drive=1, source=8)
    assert waits(write, expand(dest=40, bias=10, biased=1, banked=1), bank_offset=16) == [0, 1]
    assert waits(write, expand(dest=40, bias=10, biased=1), bank_offset=16) == [0, 0]


# ---- passes that overlap themselves --------------------------------------------------------------


@pytest.mark.parametrize(
    "step, message",
    [
        (
            mix(source=4, dest=5, stride=2),
            r"MIX reads rank words 4 to 7 and writes 5 to 6: they must not overlap",
        ),
        (mix(source=4, dest=4, outer=2, inner=1), r"MIX reads rank words 4 to 5 and writes 4 to 5"),
        (activate(source=4, dest=5), r"ACTIVATE reads rank words 4 to 5 and writes 5 to 6"),
        (
            expand(dest=8, to_drive=1, biased=1, bias=10),
            r"EXPAND reads drive words 10 to 13 and writes 8 to 11",
        ),
    ],
)
def test_overlap_is_refused(step, message):
    with pytest.raises(ValueError, match=message):
        check_pass(step)
    with pytest.raises(ValueError, match=message):
        place_waits(TINY, [step])


def test_overlap_in_the_other_bank_is_refused():
    step = expand(dest=24, to_drive=1, biased=1, bias=6, banked=1)
    check_pass(step, bank_offset=0)
    with pytest.raises(ValueError, match="EXPAND reads drive words 22 to 25 and writes 24 to 27"):
        check_pass(step, bank_offset=16)


def test_loops_longer_than_any_memory_are_refused():
    longest = TINY.longest_loop
    assert longest == TINY.drive_depth
    place_waits(TINY, [project(from_drive=1, inner=longest)])
    message = f"PROJECT loops over {longest + 1} words, but fabric 'tiny' counts to {longest}"
    with pytest.raises(ValueError, match=message):
        place_waits(TINY, [project(from_drive=1, inner=longest + 1)])


def test_word_for_word_in_place_is_allowed():
    check_pass(activate(source=4, dest=4))
    check_pass(expand(dest=8))
    check_pass(expand(dest=8, to_drive=1, biased=1, bias=8))
