# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0
"""The sequencer with a descriptor memory made of a list: what it issues, in what order, and in
which cycles.
"""

from dataclasses import dataclass, replace

import pytest

from helpers.link_bench import seeded, simulate
from ornstein.hdl.config import TINY
from ornstein.hdl.engine.sequencer import Sequencer
from ornstein.hdl.isa import WORD_BITS, Level, Operation, Pass
from ornstein.hdl.timing import Timing

DRAIN = Timing.of(TINY).drain
WIDTHS = {width: replace(TINY, descriptor_width=width) for width in (32, 64, 128)}
"""Fabrics that differ in how fast a descriptor is fetched."""

PROJECT, MIX, EXPAND, ACTIVATE = Operation


@dataclass(frozen=True)
class Issue:
    """One micro-operation with the fields that its operation gives a meaning to; the others are
    None.
    """

    operation: int
    first: int
    last: int
    dest: int
    shift: int | None = None
    factor: int | None = None
    source: int | None = None
    from_drive: int | None = None
    lane: int | None = None
    to_drive: int | None = None
    coupled: int | None = None
    biased: int | None = None
    bias_shift: int | None = None
    bias: int | None = None
    clear: int | None = None
    sample: int | None = None


def a_pass(operation=PROJECT, **changes):
    """A pass of one issue, unless told otherwise."""
    return Pass(**{"operation": operation, "outer": 1, "inner": 1} | changes)


MEANT = {
    PROJECT: {"shift", "factor", "source", "from_drive"},
    MIX: {"shift", "factor", "source"},
    EXPAND: {
        "shift",
        "factor",
        "source",
        "to_drive",
        "coupled",
        "biased",
        "bias_shift",
        "bias",
        "clear",
        "sample",
    },
    ACTIVATE: {"source", "lane"},
}
ALWAYS = {"operation", "first", "last", "dest"}


def expected(levels, memory, *, bank=0, bank_offset=0):
    """The issues of a job, by the loops of the isa's docstring."""
    for level in levels:
        for step in range(level.steps):
            clear = int(step == 0 and level.clear)
            sample = int(level.thin > 0 and (step + 1) % level.thin == 0)
            for p in memory[level.first : level.first + level.passes]:
                moved = bank_offset if p.banked and bank else 0
                for o in range(p.outer):
                    for i in range(p.inner):
                        source, factor = {
                            PROJECT: (
                                p.source + i + (moved if p.from_drive else 0),
                                p.factor + o + i * p.stride,
                            ),
                            MIX: (p.source + o + i * p.stride, p.factor + o * p.inner + i),
                            EXPAND: (p.source + i, p.factor + o * p.inner + i),
                            ACTIVATE: (p.source + o, None),
                        }[p.operation]
                        all_fields = {
                            "operation": p.operation,
                            "first": int(i == 0),
                            "last": int(i == p.inner - 1),
                            "dest": p.dest + o,
                            "shift": p.shift,
                            "factor": factor,
                            "source": source,
                            "from_drive": p.from_drive,
                            "lane": i,
                            "to_drive": p.to_drive,
                            "coupled": p.coupled,
                            "biased": p.biased,
                            "bias_shift": p.bias_shift,
                            "bias": p.bias + o + moved,
                            "clear": clear,
                            "sample": sample,
                        }
                        yield Issue(
                            **{
                                name: value
                                for name, value in all_fields.items()
                                if name in ALWAYS | MEANT[p.operation]
                            }
                        )


def run(
    levels,
    passes,
    *,
    first=0,
    bank=0,
    bank_offset=0,
    stall=None,
    abort=None,
    jobs=1,
    config=TINY,
    deadline=50_000,
):
    """Runs jobs; the levels stand at ``first``, the passes after them. ``stall(cycle)`` drives
    ``hold``, and from cycle ``abort`` on the first job is to end early.

    Returns [(cycle, Issue)], the cycles of ``finished``, and what :func:`expected` says of one job.
    """
    dut = Sequencer(config)
    start = first + len(levels)
    levels = [replace(level, first=level.first + start) for level in levels]
    memory = [a_pass()] * first + levels + list(passes)
    beats, width = config.descriptor_beats, config.descriptor_width
    numbers = [
        sum(word << WORD_BITS * n for n, word in enumerate(descriptor.pack()))
        for descriptor in memory
    ]
    words = [
        number >> width * beat & (1 << width) - 1 for number in numbers for beat in range(beats)
    ]
    issues, finishes = [], []

    async def descriptors(ctx):
        addresses = [0] * Timing.of(config).hop
        while True:
            addresses.append(ctx.get(dut.descriptor_address))
            await ctx.tick()
            address = addresses.pop(0)
            ctx.set(dut.descriptor_data, words[address] if address < len(words) else 0)

    async def bench(ctx):
        ctx.set(dut.first, first)
        ctx.set(dut.levels, len(levels))
        ctx.set(dut.bank, bank)
        ctx.set(dut.bank_offset, bank_offset)
        cycle, begun, holding = 0, 0, False
        while len(finishes) < jobs:
            if not ctx.get(dut.running) and begun == len(finishes):
                ctx.set(dut.start, 1)
                begun += 1
            holding = bool(stall and stall(cycle))
            ctx.set(dut.hold, holding)
            aborting = abort is not None and cycle >= abort and not finishes
            ctx.set(dut.abort, aborting)
            if ctx.get(dut.issue):
                assert aborting or not holding
                assert ctx.get(dut.running)
                operation = Operation(ctx.get(dut.micro.operation))
                taken = {
                    name: ctx.get(getattr(dut if name in ("factor", "source") else dut.micro, name))
                    for name in ALWAYS | MEANT[operation]
                }
                issues.append((cycle, Issue(**taken)))
            if ctx.get(dut.finished):
                finishes.append(cycle)
            await ctx.tick()
            ctx.set(dut.start, 0)
            cycle += 1
        assert not ctx.get(dut.running)

    simulate(dut, bench, background=[descriptors], deadline=deadline)
    return issues, finishes, list(expected(levels, memory, bank=bank, bank_offset=bank_offset))


def random_pass(rng, **changes):
    operation = rng.choice(list(Operation))
    return Pass(
        **{
            "operation": operation,
            "wait": rng.getrandbits(1),
            "to_drive": rng.getrandbits(1),
            "from_drive": int(operation == PROJECT and rng.random() < 0.5),
            "banked": rng.getrandbits(1),
            "coupled": rng.getrandbits(1),
            "biased": rng.getrandbits(1),
            "shift": rng.randrange(8),
            "bias_shift": rng.randrange(4),
            "outer": rng.randint(1, 4),
            "inner": rng.randint(1, TINY.rank_lanes if operation == ACTIVATE else 5),
            "factor": rng.randrange(100),
            "source": rng.randrange(8),
            "dest": rng.randrange(20),
            "stride": rng.randrange(5),
            "bias": rng.randrange(60),
        }
        | changes
    )


def random_levels(rng, count, passes):
    """Levels whose lists of passes start anywhere and may be shared."""
    levels = []
    for _ in range(count):
        first = rng.randrange(passes)
        levels.append(
            Level(
                first=first,
                passes=rng.randint(1, passes - first),
                steps=rng.randint(1, 5),
                clear=rng.getrandbits(1),
                thin=rng.randrange(4),
            )
        )
    return levels


@pytest.mark.parametrize("stall", [0.0, 0.3], ids=["free", "held"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(4))
def test_random_jobs_issue_what_the_loops_say(seed, width, stall):
    rng = seeded(seed)
    passes = [random_pass(rng) for _ in range(rng.randint(1, 6))]
    levels = random_levels(rng, rng.randint(1, 4), len(passes))
    issues, _, wanted = run(
        levels,
        passes,
        first=rng.randrange(5),
        bank=rng.getrandbits(1),
        bank_offset=rng.randrange(32),
        stall=lambda cycle: rng.random() < stall,
        config=WIDTHS[width],
    )
    assert [issue for _, issue in issues] == wanted


def test_a_second_job_starts_afresh():
    rng = seeded(7)
    passes = [random_pass(rng) for _ in range(3)]
    levels = random_levels(rng, 2, 3)
    issues, finishes, wanted = run(levels, passes, jobs=2)
    assert [issue for _, issue in issues] == wanted * 2
    assert sum(cycle < finishes[0] for cycle, _ in issues) == len(wanted)


# ---- cycles --------------------------------------------------------------------------------------


def lengths_and_gaps(cycles, *lengths):
    """Idle cycles between passes of those lengths; inside a pass there are none."""
    gaps, at = [], 0
    for length in lengths:
        pass_cycles = cycles[at : at + length]
        assert pass_cycles == list(range(pass_cycles[0], pass_cycles[0] + length))
        if at:
            gaps.append(pass_cycles[0] - cycles[at - 1] - 1)
        at += length
    assert at == len(cycles)
    return gaps


@pytest.mark.parametrize("width, fetch", [(32, 6), (64, 4), (128, 3)])
@pytest.mark.parametrize("length", range(1, 10))
def test_passes_follow_without_a_gap_once_they_outlast_the_fetch(length, width, fetch):
    passes = [a_pass(PROJECT, inner=length)] * 3
    issues, _, _ = run([Level(passes=3, steps=2)], passes, config=WIDTHS[width])
    gaps = lengths_and_gaps([cycle for cycle, _ in issues], *[length] * 6)
    assert fetch == Timing.of(WIDTHS[width]).fetch
    assert gaps == [max(0, fetch - length)] * 5, "from step to step too"


def test_nested_loops_have_no_gaps():
    issues, _, _ = run(
        [Level(passes=2, steps=3)],
        [a_pass(MIX, outer=3, inner=2), a_pass(EXPAND, outer=2, inner=4)],
    )
    assert lengths_and_gaps([cycle for cycle, _ in issues], *[6, 8] * 3) == [0] * 5


@pytest.mark.parametrize("length", [1, 6, 20])
def test_a_waiting_pass_starts_when_the_pipeline_has_drained(length):
    passes = [a_pass(PROJECT, inner=length), a_pass(EXPAND, wait=1, inner=8)]
    issues, _, _ = run([Level(passes=2, steps=1)], passes)
    (gap,) = lengths_and_gaps([cycle for cycle, _ in issues], length, 8)
    assert DRAIN <= gap <= DRAIN + 2


def test_the_first_pass_of_a_level_finds_an_empty_pipeline():
    """A level is constant while its micro-operations are in flight, so that levels change only when
    all is through.
    """
    step = a_pass(EXPAND, inner=8)
    issues, finishes, _ = run([Level(passes=1, steps=1), Level(passes=1, steps=1)], [step])
    cycles = [cycle for cycle, _ in issues]
    (gap,) = lengths_and_gaps(cycles, 8, 8)
    assert gap >= DRAIN
    assert finishes[0] - cycles[-1] > DRAIN, "a job ends when everything is written"


def test_hold_stops_issue_at_once_and_loses_nothing():
    passes = [a_pass(EXPAND, inner=4, outer=3)]
    free, _, wanted = run([Level(passes=1, steps=2)], passes)
    begin = free[0][0] + 2
    held, _, _ = run(
        [Level(passes=1, steps=2)], passes, stall=lambda cycle: begin <= cycle < begin + 50
    )
    assert [issue for _, issue in held] == wanted
    assert [cycle for cycle, _ in held] == [
        cycle + (50 if cycle >= begin else 0) for cycle, _ in free
    ]


@pytest.mark.parametrize("config", WIDTHS.values(), ids=str)
def test_an_abort_ends_a_job_whenever_it_comes_and_the_next_job_is_whole(config):
    """No more than two passes follow, each is issued to its end, and the pipeline drains."""
    passes = [a_pass(EXPAND, outer=3, inner=2), a_pass(PROJECT, outer=2, inner=3, wait=1)]
    levels = [Level(passes=2, steps=2), Level(passes=2, steps=3)]
    whole, ends, wanted = run(levels, passes, config=config)
    for cycle in range(0, ends[0], 3):
        issues, finishes, _ = run(levels, passes, config=config, abort=cycle, jobs=2)
        first = [issue for at, issue in issues if at < finishes[0]]
        before = sum(at < cycle for at, _ in whole)
        assert first == wanted[: len(first)] and len(first) % 6 == 0
        assert len(first) <= before + 3 * 6
        assert [issue for at, issue in issues if at > finishes[0]] == wanted
        if first:
            assert finishes[0] - max(at for at, _ in issues[: len(first)]) > DRAIN


def test_an_abort_ends_a_job_that_a_full_sample_ring_holds():
    passes = [a_pass(EXPAND, outer=4)]
    issues, finishes, wanted = run(
        [Level(passes=1, steps=50)], passes, stall=lambda cycle: 20 < cycle < 200, abort=100
    )
    assert finishes[0] < 200 and 4 <= len(issues) < len(wanted)


# ---- flags of a step -----------------------------------------------------------------------------


def flags(level):
    """(clear, sample) of each step of a level with one pass of one issue."""
    issues, _, _ = run([level], [a_pass(EXPAND)])
    return [(issue.clear, issue.sample) for _, issue in issues]


def test_steps():
    assert len(flags(Level(passes=1, steps=37))) == 37


def test_clear_marks_the_first_step_only():
    assert flags(Level(passes=1, steps=3, clear=1)) == [(1, 0), (0, 0), (0, 0)]
    assert flags(Level(passes=1, steps=3)) == [(0, 0)] * 3


def test_thin_marks_every_nth_step_from_the_nth():
    assert [sample for _, sample in flags(Level(passes=1, steps=7, thin=3))] == [
        0,
        0,
        1,
        0,
        0,
        1,
        0,
    ]
    assert [sample for _, sample in flags(Level(passes=1, steps=3, thin=1))] == [1, 1, 1]
    assert [sample for _, sample in flags(Level(passes=1, steps=3, thin=4))] == [0, 0, 0]
    assert [sample for _, sample in flags(Level(passes=1, steps=3))] == [0, 0, 0]


def test_thin_counts_from_the_start_of_each_level():
    issues, _, _ = run(
        [Level(passes=1, steps=3, thin=2), Level(passes=1, steps=2, thin=2)], [a_pass(EXPAND)]
    )
    assert [issue.sample for _, issue in issues] == [0, 1, 0, 0, 1]


def test_the_other_bank_moves_banked_drive_words_only():
    passes = [
        a_pass(PROJECT, from_drive=1, banked=1, source=5),
        a_pass(PROJECT, from_drive=1, source=5),
        a_pass(PROJECT, banked=1, source=5),
        a_pass(EXPAND, biased=1, banked=1, bias=7, source=3),
        a_pass(EXPAND, biased=1, bias=7, source=3),
    ]
    for bank in (0, 1):
        issues, _, _ = run([Level(passes=5, steps=1)], passes, bank=bank, bank_offset=16)
        assert [issue.source for _, issue in issues] == [5 + 16 * bank, 5, 5, 3, 3]
        assert [issue.bias for _, issue in issues[3:]] == [7 + 16 * bank, 7]
