# SPDX-License-Identifier: Apache-2.0
"""The watch over a fabric's control registers: what it counts, and what it does not believe."""

import pickle
from dataclasses import replace

import pytest

from ornstein.hdl.regmap import SCRUBBED, ScrubRegister, Space
from ornstein.host.devices.control import (
    ControlState,
    JobWatch,
    LostError,
    ScrubState,
    UpsetError,
)
from ornstein.host.devices.device import COUNTERS

ISSUES, SAMPLED = 1000, 12
IDLE = ControlState(
    busy=False, done=250, tag=7, session=99, counters=dict.fromkeys(COUNTERS, 0), samples=5, taken=5
)


def after(jobs: int, **changes) -> ControlState:
    """The registers after so many jobs, with the tag of the last one."""
    counters = {"cycles": 1500, "issued": ISSUES, "rank_saturations": 2, "state_saturations": 0}
    counted = {name: value * jobs % 2**32 for name, value in counters.items()}
    state = replace(
        IDLE,
        done=(IDLE.done + jobs) % 256,
        tag=IDLE.tag + jobs,
        counters=counted,
        samples=(IDLE.samples + SAMPLED * jobs) % 2**32,
    )
    return replace(state, **changes)


def started(jobs: int, sampled: int = SAMPLED, issues: int = ISSUES) -> JobWatch:
    watch = JobWatch(IDLE, 99, issues, sampled)
    for job in range(jobs):
        watch.start(IDLE.tag + 1 + job)
    return watch


def test_jobs_that_did_what_they_must():
    watch = JobWatch(IDLE, 99, ISSUES, SAMPLED)
    for job in range(1, 9):  # the count of finished jobs wraps on the way
        watch.start(IDLE.tag + job)
        watch.finish(after(job))
        assert watch.taken() == 5 + SAMPLED * job
    assert watch.counters == {
        "cycles": 12_000,
        "issued": 8000,
        "rank_saturations": 16,
        "state_saturations": 0,
    }


@pytest.mark.parametrize("ahead", [0.0, 0.4, 1.0])
def test_the_next_job_may_be_under_way(ahead):
    watch = started(2)
    counters = {**after(1).counters, "issued": int(ISSUES * (1 + ahead))}
    watch.finish(after(1, busy=ahead < 1, tag=IDLE.tag + 2, counters=counters))
    watch.finish(after(2))
    assert watch.counters["issued"] == 2 * ISSUES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"session": 0}, "it was reset"),
        ({"session": 98}, "loaded by something else"),
        ({"tag": 9}, "something else has started a job"),
        ({"done": 250}, "has finished 255 jobs more"),
        ({"done": 252}, "has finished 1 jobs more"),
        ({"busy": True}, "works on a job that nobody started"),
        ({"counters": dict.fromkeys(COUNTERS, 3)}, "in 3 cycles where the program needs 1000"),
        ({"samples": 16}, "it sent 11 sampled words instead of 12"),
    ],
)
def test_registers_that_do_not_fit_are_not_believed(changes, message):
    with pytest.raises(LostError, match=message):
        started(1).finish(after(1, **changes))


def test_counters_go_on_beyond_their_registers():
    """Read often enough, they count through 2**32; cycles cannot be fewer than issues."""
    issues = 3 * 2**30
    watch = started(1, issues=2 * issues)
    for part in (1, 2):
        counters = dict.fromkeys(COUNTERS, part * issues % 2**32)
        watch.note(after(1, counters=counters))
    assert watch.counters == dict.fromkeys(COUNTERS, 2 * issues)
    stalled = started(1, issues=2**32)
    # between two looks the lanes multiplied 2**32 - 5 times, and the cycles wrapped
    stalled.note(after(1, counters={**after(0).counters, "issued": 2**32 - 5, "cycles": 20}))
    assert stalled.counters["cycles"] == 2**32 + 20


EVERY_MEMORY = (1 << len(SCRUBBED)) - 1


def scrubbed(jobs: int, passes: int, **changes) -> ControlState:
    """As :func:`after`, with what a scrubber says that has ended so many passes."""
    scrub = ScrubState(EVERY_MEMORY, 0, (2**24 - 2 + passes) % 2**24)
    return after(jobs, scrub=replace(scrub, **changes))


def watch_of_scrubbed() -> JobWatch:
    watch = JobWatch(scrubbed(0, 0), 99, ISSUES, SAMPLED, verified=EVERY_MEMORY)
    watch.start(IDLE.tag + 1)
    return watch


def test_each_job_is_verified_by_a_pass():
    """The count of passes wraps on the way; passes between the jobs count, too."""
    watch = watch_of_scrubbed()
    watch.finish(scrubbed(1, 1))
    watch.start(IDLE.tag + 2)
    watch.finish(scrubbed(2, 5))
    idle = watch_of_scrubbed()
    with pytest.raises(LostError, match="did not verify its memories behind the job"):
        idle.finish(scrubbed(1, 0))


def test_a_wrong_checksum_names_its_memories():
    mismatch = sum(1 << SCRUBBED.index(space) for space in (Space.FACTOR, Space.DESCRIPTOR))
    with pytest.raises(UpsetError, match="a wrong checksum of FACTOR and of DESCRIPTOR") as caught:
        watch_of_scrubbed().finish(scrubbed(1, 1, mismatch=mismatch))
    assert caught.value.memories == ("FACTOR", "DESCRIPTOR")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_scrubber_that_was_switched_off_is_noticed():
    with pytest.raises(LostError, match="verifies other memories than it was told"):
        watch_of_scrubbed().finish(scrubbed(1, 1, memories=0))


def test_a_job_that_does_too_much_is_noticed_while_it_runs():
    """It might never end: a bit of its schedule may have changed."""
    counters = {**after(0).counters, "issued": ISSUES + 1}
    with pytest.raises(LostError, match="in 1001 cycles where the program needs 1000"):
        started(1).note(after(1, done=IDLE.done, busy=True, counters=counters))
    with pytest.raises(LostError, match="it sent 13 sampled words instead of 12"):
        started(1).note(after(1, done=IDLE.done, busy=True, samples=IDLE.samples + 13))


def test_the_register_unpacks():
    register = ScrubRegister.const({"memories": 7, "mismatch": 8, "passes": 5})
    state = ScrubState.of(register.as_bits())
    assert (state.memories, state.mismatch, state.passes) == (7, 8, 5)
    assert str(state.upset()).endswith("a wrong checksum of ACTIVATION")
