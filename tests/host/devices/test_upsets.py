# SPDX-License-Identifier: Apache-2.0
"""Bits that change in the memories of a device with a scrubber: each is reported with its memory,
and no answer depends on it.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from ornstein.hdl.config import TINY
from ornstein.hdl.isa import Level
from ornstein.hdl.regmap import SCRUBBED, Control, Space, checksum_register
from ornstein.hdl.scrub import checksum, pass_cycles
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.program import Program
from ornstein.host.devices.control import ControlState
from ornstein.host.devices.device import DeviceError
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.imperfect import ImperfectDevice
from ornstein.host.devices.imperfections import Chip
from ornstein.host.devices.link_faults import programs
from ornstein.host.devices.scrubbing import verification_cycles, verified_images
from ornstein.host.devices.upset_faults import attack_memories, with_constants
from ornstein.sim.line_faults import FaultyLine
from ornstein.sim.rtl import RtlTransport

EVERY_MEMORY = pytest.mark.parametrize("space", SCRUBBED, ids=lambda space: space.name.lower())


@pytest.fixture(scope="module")
def case() -> tuple[Program, np.ndarray]:
    """A program that every scrubbed memory holds a part of, and inputs."""
    return with_constants(programs()[0][0], np.random.default_rng(1))


@pytest.fixture
def line() -> FaultyLine:
    return FaultyLine(RtlTransport(TINY, upsets=True), np.random.default_rng(1))


@pytest.fixture
def fabric(line, case) -> Iterator[FabricDevice]:
    with FabricDevice(line, "rtl:tiny", timeout=0.05, look=0.02) as device:
        device.load(case[0])
        yield device


def change(line: FaultyLine, program: Program, space: Space, cycles: int = 0) -> None:
    """Changes a bit of the program in that memory after so many cycles."""
    image = next(image for image in verified_images(program) if image.space == space)
    lanes = spaces(TINY)[space].lanes
    line._transport.upset(space, (image.start + len(image.elements)) // lanes - 1, 1, cycles)


@EVERY_MEMORY
def test_a_change_during_a_run_is_mended_and_named(fabric, line, case, space):
    program, inputs = case
    expected = fabric.run(inputs, seed=3).sums
    change(line, program, space, cycles=3000)
    np.testing.assert_array_equal(fabric.run(inputs, seed=3).sums, expected)
    assert fabric.upsets == {space.name: 1} and fabric.reloads == 1
    fabric.verify()
    np.testing.assert_array_equal(fabric.run(inputs, seed=3).sums, expected)
    assert fabric.reloads == 1


def test_a_change_between_two_runs_is_found_before_the_second(fabric, line, case):
    program, inputs = case
    expected = fabric.run(inputs, seed=3).sums
    change(line, program, Space.FACTOR)
    while not ControlState.read(fabric.link).scrub.mismatch:
        pass  # the clock runs while the host reads
    np.testing.assert_array_equal(fabric.run(inputs, seed=3).sums, expected)
    assert fabric.upsets == {"FACTOR": 1}


def test_an_imperfect_chip_tells_the_changes_of_its_device(fabric, line, case):
    program, inputs = case
    with ImperfectDevice(fabric, Chip(), "chip") as chip:
        chip.load(program)
        change(line, program, Space.FACTOR)
        chip.run(inputs)
        assert chip.upsets == {"FACTOR": 1} and chip.reloads == 1


def test_a_job_that_would_not_end_is_ended(fabric, line, case):
    """The highest bit of a level's steps changes: 32,768 more of them."""
    program, inputs = case
    expected = fabric.run(inputs, seed=3).sums
    (word, low), *_ = (place for name, *place, _ in Level.layout() if name == "steps")
    level = program.layout.first_level + program.layout.levels - 1
    line._transport.upset(Space.DESCRIPTOR, 4 * level + word // 2, 16 * (word % 2) + low + 15)
    np.testing.assert_array_equal(fabric.run(inputs, seed=3).sums, expected)
    assert fabric.upsets == {"DESCRIPTOR": 1}


def test_a_warm_run_says_that_it_cannot_be_repeated(fabric, line, case):
    program, inputs = case
    fabric.run(inputs, seed=3)
    change(line, program, Space.ACTIVATION, cycles=3000)
    with pytest.raises(DeviceError, match="wrong checksum of ACTIVATION; run without a warm start"):
        fabric.run(inputs, warm=True)
    fabric.run(inputs, seed=3)


def test_a_memory_that_changes_again_and_again_is_an_error(fabric, line, case):
    program, inputs = case
    waits = fabric.link.wait

    def changing(*arguments, **options):
        change(line, program, Space.FACTOR)
        return waits(*arguments, **options)

    fabric.link.wait = changing
    with pytest.raises(DeviceError, match="found a wrong checksum of FACTOR; check its supply"):
        fabric.run(inputs)
    fabric.link.wait = waits
    fabric.run(inputs)


def test_the_scrubber_computes_what_the_host_expects(fabric, case):
    for _ in range(3):
        fabric.run(case[1])
    state = ControlState.read(fabric.link).scrub
    assert state.memories == fabric.scrubbed == 0b1111 and not state.mismatch and state.passes
    for image in verified_images(case[0]):
        found = fabric.link.read(Space.CONTROL, checksum_register(image.space), 1)
        assert found == checksum(TINY, image.space, image.elements)


def test_a_failed_load_and_a_selftest_leave_it_off(fabric):
    fabric.stop_scrubbing()
    fabric.link.write(Space.FACTOR, 0, [1, 2, 3])
    for _ in range(20):
        state = ControlState.read(fabric.link).scrub
        assert (state.memories, state.mismatch) == (0, 0)
    assert fabric.link.read(Space.CONTROL, Control.SCRUB, 1)[0] >> 8 == state.passes


def test_a_job_takes_a_pass_over_its_program_longer(case):
    program, _ = case
    words = {
        Space.FACTOR: len(program.factor),
        Space.DRIVE: len(program.constants),
        Space.DESCRIPTOR: 4 * len(program.descriptors),
        Space.ACTIVATION: 256,
    }
    assert verification_cycles(program) == pass_cycles(TINY, words)


def test_a_campaign_reports_every_change_and_gives_no_wrong_answer():
    """``ornstein selftest --upsets 16``; docs/reliability.md has the figures of a long one."""
    for campaign in attack_memories(16, seed=2):
        assert campaign.failures == []
    assert campaign.upsets == {space.name: 4 for space in SCRUBBED}
    assert set(campaign.outcomes) == {"right"}
    assert campaign.in_time > 8
