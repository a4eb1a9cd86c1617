# SPDX-License-Identifier: Apache-2.0
"""Runs on a fabric that is reset, whose memories change, or whose last run was interrupted."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import sliplib

from helpers.link_bench import END
from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Control, Event, Space
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import job_issues
from ornstein.host.devices.control import ControlState
from ornstein.host.devices.device import DeviceError, Selection
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.link_faults import attack_link
from ornstein.sim.line_faults import FaultyLine
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def plain():
    return compile_problem(toy(), TINY, toy_inputs())


@pytest.fixture(scope="module")
def sampling():
    """It streams more samples than the ring holds."""
    stages = Stage(10, 0.02), Stage(24, 0.02, accumulate=True, thin=3)
    return compile_problem(toy(stages=stages), TINY, toy_inputs())


@pytest.fixture
def line():
    return FaultyLine(RtlTransport(TINY), np.random.default_rng(1))


@pytest.fixture
def fabric(line) -> Iterator[FabricDevice]:
    with FabricDevice(line, "rtl:tiny", timeout=0.05) as device:
        yield device


def reset_before(line: FaultyLine, number: int) -> None:
    """Resets the device before the write of that number."""
    writes = itertools.count()

    def reset():
        if next(writes) == number:
            line._transport.reset()

    line.before_write = reset


def writes_of(line: FaultyLine, action) -> int:
    count = itertools.count()
    line.before_write = lambda: next(count)
    action()
    line.before_write = lambda: None
    return next(count)


@pytest.mark.parametrize("name", ["plain", "sampling"])
def test_a_reset_at_any_moment_of_a_run_changes_no_answer(fabric, line, name, request):
    """The program is loaded again, and the jobs that were lost are repeated."""
    program = request.getfixturevalue(name)
    fabric.load(program)
    blocks = np.split(toy_inputs(10), [8])

    def run():
        return list(fabric.stream(blocks, seed=3))

    expected = run()
    total = writes_of(line, run)
    for number in range(0, total, 1 if total < 30 else 5):
        before = fabric.reloads
        reset_before(line, number)
        parts = run()
        assert fabric.reloads == before + 1, number
        for found, right in zip(parts, expected, strict=True):
            for array in ("sums", "squares", "samples"):
                np.testing.assert_array_equal(getattr(found, array), getattr(right, array))
        assert parts[-1].counters["issued"] >= 3 * job_issues(program)


def test_a_reset_between_runs_is_mended(fabric, line, plain):
    fabric.load(plain)
    expected = fabric.run(toy_inputs(), seed=3).sums
    line._transport.reset()
    np.testing.assert_array_equal(fabric.run(toy_inputs(), seed=3).sums, expected)
    assert fabric.reloads == 1
    assert fabric.verify() > 0


def test_a_reset_during_a_load_is_mended(fabric, line, plain, sampling):
    fabric.load(plain)
    expected = fabric.run(toy_inputs(), seed=3).sums
    for number in range(writes_of(line, lambda: fabric.load(plain))):
        fabric.load(sampling)
        reset_before(line, number)
        fabric.load(plain)
        line.before_write = lambda: None
        np.testing.assert_array_equal(fabric.run(toy_inputs(), seed=3).sums, expected)


def test_a_warm_run_says_that_its_states_are_lost(fabric, line, plain):
    fabric.load(plain)
    fabric.run(toy_inputs(), seed=3)
    line._transport.reset()
    with pytest.raises(
        DeviceError, match="was reset, so that there are no states for a warm start"
    ):
        fabric.run(toy_inputs(), warm=True)
    fabric.run(toy_inputs(), seed=3)
    reset_before(line, 8)
    with pytest.raises(DeviceError, match="did not do what it was told: it was reset"):
        fabric.run(toy_inputs(), warm=True)


def test_a_device_that_is_reset_again_and_again_is_an_error(fabric, line, plain):
    fabric.load(plain)
    expected = fabric.run(toy_inputs(), seed=3).sums
    count = itertools.count(1)

    def every_fifth():
        if next(count) % 5 == 0:
            line._transport.reset()

    line.before_write = every_fifth
    with pytest.raises(DeviceError, match=r"reset|holds"):
        fabric.run(toy_inputs(), seed=3)
    line.before_write = lambda: None
    np.testing.assert_array_equal(fabric.run(toy_inputs(), seed=3).sums, expected)


def test_a_program_that_differs_in_the_device_is_found_when_it_is_loaded(fabric, plain):
    """A memory that does not keep what it is given: here the write of one factor is lost."""
    write = fabric.link.write

    def losing(space, address, values):
        values = np.array(values)
        if space == Space.FACTOR:
            values[3] += 1
        write(space, address, values)

    fabric.link.write = losing
    with pytest.raises(DeviceError, match=r"in element 3 of FACTOR; load the program again"):
        fabric.load(plain)
    fabric.link.write = write
    with pytest.raises(DeviceError, match="no program is loaded"):
        fabric.run(toy_inputs())
    fabric.load(plain)


def test_the_program_is_compared_again_once_the_link_has_repaired_an_error(fabric, plain):
    """A damaged frame that passes for another one may have been written anywhere. Without a
    scrubber, no other error shows it.
    """
    fabric.load(plain)
    fabric.stop_scrubbing()
    expected = fabric.run(toy_inputs(), seed=3).sums
    fabric.link.write(Space.FACTOR, 0, [123])
    assert not np.array_equal(fabric.run(toy_inputs(), seed=3).sums, expected)
    next_job = fabric.next_job

    def repaired(*arguments):
        fabric.link.repairs += 1
        return next_job(*arguments)

    fabric.next_job = repaired
    np.testing.assert_array_equal(fabric.run(toy_inputs(), seed=3).sums, expected)
    assert fabric.reloads == 1


def test_what_an_interrupted_run_left_is_ended(fabric, sampling, plain):
    """A job that is held by a full ring, one that waits behind it, and samples nobody took."""
    fabric.load(sampling)
    expected = fabric.run(toy_inputs(), seed=3)
    layout = sampling.layout
    for jobs in (1, 2):
        for bank in range(jobs):
            fabric.write_seeds(np.array([5], np.uint64))
            fabric.start(layout.first_level, layout.levels, bank=bank)
        fabric.link.wait(Event.SAMPLES, 5.0)
        assert ControlState.read(fabric.link).busy
        found = fabric.run(toy_inputs(), seed=3)
        np.testing.assert_array_equal(found.samples, expected.samples)
        np.testing.assert_array_equal(found.sums, expected.sums)
    state = fabric.settle()
    assert not state.busy and state.taken == state.samples


def test_a_long_job_is_aborted(fabric, plain):
    """One that was started by mistake and would run for hours ends at once."""
    stages = (Stage(65_536 * 30, 0.01), Stage(20, 0.01, accumulate=True))
    long = compile_problem(toy(stages=stages), TINY, toy_inputs())
    fabric.load(long)
    fabric.write_seeds(np.array([5], np.uint64))
    fabric.start(long.layout.first_level, long.layout.levels)
    before = int(fabric.link.read(Space.CONTROL, Control.CYCLES, 1)[0])
    fabric.load(plain)
    after = int(fabric.link.read(Space.CONTROL, Control.CYCLES, 1)[0])
    assert after - before < 100_000
    expected = fabric.run(toy_inputs(), seed=3).sums
    np.testing.assert_array_equal(fabric.run(toy_inputs(), seed=3).sums, expected)


def test_samples_that_are_not_wanted_are_released(fabric, sampling):
    fabric.load(sampling)
    expected = fabric.run(toy_inputs(), seed=3)
    found = fabric.run(toy_inputs(), seed=3, selection=Selection(samples=False))
    np.testing.assert_array_equal(found.sums, expected.sums)
    assert found.samples.shape == (3, 0, 8)


class Spy(RtlTransport):
    """Notes which packets travel and in which direction, and may change one that arrives.

    ``order`` has the opcode of each request that is sent, and None for each answer. ``damage``
    counts down the answers until one is damaged.
    """

    def __init__(self):
        super().__init__(TINY)
        self.order, self.damage = [], -1
        self._rest = b""

    def write(self, data):
        for packet in data.split(END):
            if packet:
                self.order.append(sliplib.decode(packet)[1])
        super().write(data)

    def read(self, timeout):
        *packets, self._rest = (self._rest + super().read(timeout)).split(END)
        for place, packet in enumerate(packets):
            if packet:
                self.order.append(None)
                self.damage -= 1
                if self.damage == 0:
                    packets[place] = packet[:-1] + bytes([packet[-1] ^ 1])
        return b"".join(packet + END for packet in packets)

    def most_ahead(self):
        """The most requests that were sent and not answered at one time."""
        return max(np.cumsum([-1 if what is None else 1 for what in self.order]))


@pytest.fixture
def spied(plain) -> Iterator[tuple[FabricDevice, Spy]]:
    """A device with the program, whose jobs are short enough to be sent ahead."""
    spy = Spy()
    with FabricDevice(spy, "rtl:tiny", timeout=5.0) as device:
        device.load(plain)
        device.job_seconds = 0.0
        yield device, spy


def test_jobs_are_sent_ahead_of_the_answers_to_earlier_ones(spied):
    """The same requests as one after the other, with the same answers and counters."""
    device, spy = spied
    spy.order.clear()
    ahead = device.run(toy_inputs(40), seed=3)
    requests, most = [what for what in spy.order if what is not None], spy.most_ahead()
    device.job_seconds = 1e9
    spy.order.clear()
    alone = device.run(toy_inputs(40), seed=3)
    assert sorted(requests) == sorted(what for what in spy.order if what is not None)
    assert most > 16 and spy.most_ahead() < 4
    for name in ("sums", "squares", "mean", "second"):
        np.testing.assert_array_equal(getattr(ahead, name), getattr(alone, name))
    assert ahead.counters == alone.counters


def test_an_answer_that_is_damaged_at_any_place_changes_nothing(spied):
    """The jobs that were sent ahead run again; the program is compared, and not loaded again."""
    device, spy = spied
    spy.order.clear()
    expected = device.run(toy_inputs(24), seed=3)
    total, compared = spy.order.count(None), []
    verify = device.verify
    device.verify = lambda: compared.append(verify())
    for place in range(1, total + 1, 5):
        spy.damage, device.job_seconds = place, 0.0
        before, repairs = len(compared), device.link.repairs
        found = device.run(toy_inputs(24), seed=3)
        assert device.link.repairs > repairs and len(compared) == before + 1, place
        np.testing.assert_array_equal(found.sums, expected.sums)
        np.testing.assert_array_equal(found.squares, expected.squares)
    assert device.reloads == 0


def test_long_warm_and_sampling_jobs_are_not_sent_ahead(spied, sampling):
    device, spy = spied
    device.job_seconds = 1.3  # a quarter of the time-out is 1.25
    spy.order.clear()
    device.run(toy_inputs(16))
    device.job_seconds = 0.0
    device.run(toy_inputs(16), warm=True)
    device.load(sampling)
    device.job_seconds = 0.0
    spy.order.clear()
    device.run(toy_inputs(16))
    assert spy.most_ahead() < 4


def test_how_long_a_job_takes_is_measured_anew_for_each_program(spied, plain):
    device, _ = spied
    device.load(plain)
    assert device.job_seconds is None
    device.run(toy_inputs(24), seed=3)
    assert 0 < device.job_seconds < 5


def test_faults_and_resets_are_mended_or_said():
    """As ``ornstein selftest --faults`` tries many more.

    Six operations in ten are right. Sequence numbers and times differ from run to run, so there are
    so many operations that a half lies three standard errors below.
    """
    count = 240
    for campaign in attack_link(count, seed=4, resets=0.4):
        assert campaign.failures == []
    assert campaign.outcomes.total() == count and campaign.outcomes["right"] > count / 2
    assert campaign.faults > 50 and campaign.resets > 5
