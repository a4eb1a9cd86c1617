# SPDX-License-Identifier: Apache-2.0
"""Frames of any kind before the simulated gateware: each answer is the one that an independent
decoder foretells, and a device that answers or keeps anything else is found.
"""

import numpy as np
import pytest

from ornstein.hdl import protocol
from ornstein.hdl.config import TINY
from ornstein.hdl.protocol import Status
from ornstein.host.devices.frame_faults import BATCH, Decoder, attack_frames, unescaped
from ornstein.sim.rtl import RtlTransport


class Changed(RtlTransport):
    """The simulated gateware; ``requests`` and ``answers`` change what passes."""

    def __init__(self, requests=bytes, answers=bytes):
        super().__init__(TINY)
        self.requests, self.answers = requests, answers

    def write(self, data):
        super().write(self.requests(data))

    def read(self, timeout):
        return self.answers(super().read(min(timeout, 0.05)))


def test_every_frame_is_answered_as_foretold():
    *_, campaign = attack_frames(4000, seed=2)
    assert campaign.failures == []
    assert campaign.frames == 4000 + 10  # the last are reads, one of each memory
    assert set(campaign.answers) == {"OK", "ADDRESS", "MALFORMED", "CORRUPT", "TIMEOUT"}
    assert min(campaign.answers.values()) > 10 and campaign.silent > 0
    assert str(campaign).endswith("0 batches answered wrongly")


def without_first(data):
    return data[1:]


def with_a_bit_changed(data):
    return data[:20] + bytes([data[20] ^ 4]) + data[21:] if len(data) > 20 else data


@pytest.mark.parametrize("change", [without_first, with_a_bit_changed, lambda data: data + data])
def test_an_answer_that_differs_is_found(change):
    *_, campaign = attack_frames(BATCH, seed=2, transport=Changed(answers=change))
    assert len(campaign.failures) == 1 and campaign.failures[0].startswith("batch 0, ")


def test_an_answer_too_many_is_found():
    line, seen = Changed(), []

    def with_another_at_the_end(data):
        seen.append(data)
        return data or b"\xc0\x01\x00"

    line.answers = with_another_at_the_end
    *_, campaign = attack_frames(20, seed=2, transport=line)
    assert seen[-1] == b"" and "3 bytes more than the answers: c00100" in campaign.failures[0]


def test_a_device_that_takes_another_write_is_found():
    """A sound write comes before the frames; the reads of all memories behind them show it."""
    hidden = protocol.request(1, protocol.Opcode.WRITE, 2, 400, 1, b"\x11\x02")
    assert not {protocol.END, protocol.ESC} & set(hidden)
    first = True

    def added(data):
        nonlocal first
        found = hidden + bytes([protocol.END]) + data if first else data
        first = False
        return found

    def one_answer_less(data):
        return data.removeprefix(bytes.fromhex("c00100") + protocol.answer(1, 0)[2:] + b"\xc0")

    line = Changed(requests=added, answers=one_answer_less)
    *_, campaign = attack_frames(20, seed=2, transport=line)
    (failure,) = campaign.failures
    assert "1102" in failure


def test_what_the_decoder_says_of_frames():
    """By hand, from the text of the protocol."""
    decoder, end = Decoder(TINY), bytes([protocol.END])

    def answer(*request):
        return decoder.answer(protocol.request(*request) + end)

    assert answer(1, 2, 3, 5, 1, b"\x01\x80") == protocol.answer(1, Status.OK)
    assert answer(2, 1, 3, 5, 1) == protocol.answer(2, Status.OK, b"\x01\x80")
    assert answer(3, 1, 3, 5, 0) == protocol.answer(3, Status.MALFORMED)
    assert answer(4, 1, 200, 5, 1) == protocol.answer(4, Status.ADDRESS)
    assert answer(5, 3, 0, 1, 9) == protocol.answer(5, Status.OK, b"\x03")
    assert answer(6, 3, 0, 4, 1) == protocol.answer(6, Status.TIMEOUT, b"\x03")
    assert decoder.answer(b"login:" + end) == protocol.answer(0, Status.CORRUPT)
    assert decoder.answer(end) is None
    assert unescaped(b"\xdb\xdc\xdb\xdd" + end) == b"\xc0\xdb"
    assert unescaped(b"a\xdbb" + end) is None


def test_frames_come_from_the_seed():
    first, again = (list(attack_frames(BATCH, seed=5))[-1].answers for _ in range(2))
    assert first == again != list(attack_frames(BATCH, seed=6))[-1].answers
    assert np.sum(list(first.values())) > BATCH - 10
