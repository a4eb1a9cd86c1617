# SPDX-License-Identifier: Apache-2.0
"""Requests ahead of their answers: how many, and that nothing but the right answers is taken."""

import numpy as np
import pytest
import sliplib

from helpers.fake_device import FakeDevice, FakeTransport
from helpers.link_bench import END, framed
from ornstein.hdl import protocol
from ornstein.hdl.config import ICEBREAKER, TINY
from ornstein.hdl.protocol import MAX_READ_BYTES, Opcode, Status
from ornstein.hdl.regmap import Event, Space, identity
from ornstein.host.devices.frames import MOST_AHEAD, Request
from ornstein.host.devices.link import Link
from ornstein.host.devices.pipeline import DisturbedError, Pipeline

WORDS = 30


@pytest.fixture
def link() -> Link:
    link = Link(FakeTransport(FakeDevice(TINY)), timeout=0.05)
    link.write(Space.STATE, 0, range(WORDS))
    link.transport.most_unanswered = 0
    return link


def reads(link: Link, count: int = WORDS) -> list[Request]:
    """A read of one state each."""
    return [request for n in range(count) for request in link.reads(Space.STATE, [n], 1)]


def values(answers: list[bytes]) -> list[int]:
    return [int.from_bytes(answer, "little") for answer in answers]


def test_answers_come_in_the_order_of_the_requests(link):
    pipeline = Pipeline(link)
    pipeline.send(reads(link, 20))
    pipeline.send(reads(link, 5))
    assert values(pipeline.answers(3)) == [0, 1, 2]
    assert values(pipeline.answers(20)) == [*range(3, 20), 0, 1, 2]
    pipeline.send(reads(link, 1))
    assert values(pipeline.answers(3)) == [3, 4, 0]
    assert (link.repairs, link.strays) == (0, 0)
    np.testing.assert_array_equal(link.read(Space.STATE, 0, 3), [0, 1, 2])


@pytest.mark.parametrize("spare", [0, 512])
def test_the_window_is_used_and_kept(spare):
    """It is larger by the spare bytes that the device's identity names."""
    device = FakeDevice(ICEBREAKER)
    device.bus.memory[Space.IDENTITY, list(identity(ICEBREAKER)).index("line_spare")] = spare
    link = Link(FakeTransport(device), timeout=5.0)
    link.write(Space.STATE, 0, range(WORDS))
    pipeline, window = Pipeline(link), link.transport.window + spare
    pipeline.send(5 * reads(link))
    assert window - 20 < link.transport.most_unanswered <= window
    assert values(pipeline.answers(5 * WORDS)) == 5 * [*range(WORDS)]
    assert link.transport.most_unanswered <= window


def test_no_more_answers_are_awaited_than_a_port_keeps():
    transport = FakeTransport(FakeDevice(ICEBREAKER))
    link = Link(transport)
    transport.window = 1 << 16
    pipeline = Pipeline(link)
    pipeline.send(link.reads(Space.FACTOR, [0], 8 * MAX_READ_BYTES // 2))
    assert len(transport._requests) == 4
    assert len(pipeline.answers(8)) == 8


def test_a_device_that_holds_a_packet_is_sent_no_more_while_it_answers_at_length():
    transport = FakeTransport(FakeDevice(ICEBREAKER))
    link = Link(transport)
    long, short = link.reads(Space.FACTOR, [0], 256), link.reads(Space.STATE, [0], 1)
    for through_usb, expected in (False, 21), (True, 6):
        transport.through_usb = through_usb
        pipeline = Pipeline(link)
        pipeline.send(long + 20 * short)
        assert len(transport._requests) == expected
        assert len(pipeline.answers(21)) == 21


def test_no_number_is_used_again_while_its_request_can_be_answered(link):
    link.transport.window = 1 << 16
    pipeline = Pipeline(link)
    pipeline.send(reads(link, WORDS) * 9)
    assert len(link.transport._requests) == MOST_AHEAD
    assert values(pipeline.answers(9 * WORDS)) == 9 * [*range(WORDS)]


def disturbed(link: Link, message: str) -> None:
    """Ten answers must not all be taken."""
    pipeline = Pipeline(link)
    pipeline.send(reads(link, 10))
    with pytest.raises(DisturbedError, match=message):
        pipeline.answers(10)


class Nth:
    """Changes one of the frames that pass, and no other."""

    def __init__(self, number, change):
        self.left, self._change = number, change

    def __call__(self, frame):
        self.left -= 1
        return self._change(frame) if self.left == -1 else framed(frame)


def flipped(frame):
    return framed(bytes([frame[0], frame[1] ^ 1, *frame[2:]]))


@pytest.mark.parametrize(
    "change, message",
    [
        (flipped, "read of 1 elements of STATE at 4 is answered by bytes that are no answer"),
        (lambda frame: framed(frame)[:-3] + END, "no answer"),
        (lambda frame: END + b"login: " + framed(frame), "no answer"),
        (lambda frame: b"", "read of 1 elements of STATE at 4 is not answered"),
        (lambda frame: framed(frame) * 2, "STATE at 5 is not answered before a later one"),
        (lambda frame: framed(protocol.answer(frame[0], 0, b"\1")), "wrong number of bytes"),
        (lambda frame: framed(protocol.answer(0, Status.CORRUPT)), "not answered before"),
    ],
)
def test_an_answer_that_is_wrong_ends_it(link, change, message):
    """Nothing behind it is taken, and what is in flight counts as lost."""
    link.transport._on_answer = Nth(4, change)
    disturbed(link, message)
    assert 5 <= link.repairs <= 6
    np.testing.assert_array_equal(link.read(Space.STATE, 0, 3), [0, 1, 2])


def twice(frame):
    return framed(frame) * 2


@pytest.mark.parametrize("change", [flipped, lambda frame: b"", twice])
def test_a_request_that_is_not_executed_once_ends_it(link, change):
    """That it was executed twice shows in an answer too many."""
    link.transport._on_request = Nth(4, change)
    disturbed(link, "STATE at [45] is not answered")
    assert link.strays == (change is twice)


def test_the_last_answer_that_is_lost_ends_it(link):
    link.transport._on_answer = Nth(9, lambda frame: b"")
    disturbed(link, "read of 1 elements of STATE at 9 is not answered$")
    assert link.repairs == 1


def test_an_old_request_that_is_executed_again_is_counted(link):
    old = framed(protocol.answer((link.made - MOST_AHEAD) % 255 + 1, Status.OK))
    link.transport._on_answer = Nth(4, lambda frame: old + framed(frame))
    disturbed(link, "not answered before")
    assert link.strays == 1


def test_a_refusal_ends_it_and_is_no_fault_of_the_line(link):
    link.transport.device.bus.refusals = {(Space.STATE, 4): Status.BUSY}
    disturbed(link, "STATE at 4 is answered by BUSY")
    assert (link.repairs, link.strays) == (0, 0)


def test_a_wait_in_vain_ends_it(link):
    pipeline = Pipeline(link)
    pipeline.send([Request(Opcode.WAIT, 0, Event.IDLE, 16, answer_bytes=1)])
    with pytest.raises(DisturbedError, match="wait for IDLE is answered by TIMEOUT"):
        pipeline.answers(1)


def test_packets_hold_the_frames_of_the_protocol():
    request = Request(Opcode.WRITE, Space.DRIVE, 0x123456, 2, b"\xc0\xdb\0\1")
    packet = request.packet(77)
    assert packet[:1] == packet[-1:] == END and packet.count(END) == 2
    frame = protocol.request(77, Opcode.WRITE, Space.DRIVE, 0x123456, 2, b"\xc0\xdb\0\1")
    assert sliplib.decode(packet[1:-1]) == frame
