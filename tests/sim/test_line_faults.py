# SPDX-License-Identifier: Apache-2.0
"""The failing line: each fault does to the bytes what its name says, and none comes unasked."""

import numpy as np
import pytest

from helpers.echo import Echo
from ornstein.hdl.protocol import END
from ornstein.sim.line_faults import FaultyLine, LineFault

DATA = bytes(range(100))


def carried(fault: LineFault, seed: int) -> bytes:
    """What arrives of some bytes of which one, on average, meets the fault."""
    echo = Echo()
    line = FaultyLine(echo, np.random.default_rng(seed))
    line.kinds, line.rate = (fault,), 1 / len(DATA)
    line.write(DATA)
    line.write(DATA)
    assert line.injected <= 10
    return echo.waiting


def test_a_sound_line_changes_nothing():
    line = FaultyLine(Echo(), np.random.default_rng(1))
    for _ in range(20):
        line.write(DATA)
        assert line.read(0.0) == DATA
    assert line.injected == 0


@pytest.mark.parametrize(
    ("fault", "lengths"),
    [
        (LineFault.FLIP, {200}),
        (LineFault.DROP, range(190, 200)),
        (LineFault.DOUBLE, range(201, 210)),
        (LineFault.DELAY, range(190, 201)),
        (LineFault.SWAP, {200}),
        (LineFault.GARBAGE, range(201, 1000)),
        (LineFault.CUT, range(200)),
        (LineFault.AGAIN, range(201, 1300)),
        (LineFault.BABBLE, range(201, 30_000)),
    ],
)
def test_faults_do_what_they_say(fault, lengths):
    changed = [found for found in (carried(fault, seed) for seed in range(20)) if found != 2 * DATA]
    assert len(changed) > 8
    assert sum(len(found) in lengths for found in changed) >= len(changed) / 2
    if fault == LineFault.SWAP:
        assert all(sorted(found) == sorted(2 * DATA) for found in changed)


def frames(text: bytes) -> bytes:
    """A frame for each letter."""
    return b"".join(bytes([END, letter, END]) for letter in text)


def met(fault: LineFault, sent: bytes) -> tuple[set[bytes], set[bytes]]:
    """What can arrive of frames of which one meets the fault, and of one written behind them; and
    what the sender gets to read."""
    arrived, returned = set(), set()
    for seed in range(60):
        echo = Echo()
        line = FaultyLine(echo, np.random.default_rng(seed))
        line.kinds, line.rate = (fault,), 1 / len(frames(sent))
        line.write(frames(sent))
        if line.injected == 1:
            line.heal()
            line.write(frames(b"z"))
            arrived.add(echo.waiting.replace(bytes([END]), b""))
            echo.waiting = frames(b"y")
            returned.add(line.read(0.0).replace(bytes([END]), b""))
    return arrived, returned


def test_faults_of_whole_frames():
    """A doubled frame; one that comes behind one, two, three later ones, the last of which was
    written later; and one that the sender gets to see."""
    assert met(LineFault.TWICE, b"abc") == ({b"aabcz", b"abbcz", b"abccz"}, {b"y"})
    assert met(LineFault.OVERTAKEN, b"abc") == (
        {b"bacz", b"bcaz", b"bcza", b"acbz", b"aczb", b"abzc"},
        {b"y"},
    )
    assert met(LineFault.REFLECTED, b"abc") == ({b"abcz"}, {b"ya", b"yb", b"yc"})


def test_a_frame_that_the_piece_does_not_hold_whole():
    """As much of it as there is."""
    echo = Echo()
    line = FaultyLine(echo, np.random.default_rng(1))
    line.kinds, line.rate = (LineFault.TWICE,), 1.0
    line.write(b"a")
    assert echo.waiting == b"aa"


def test_silence_holds_answers_back_and_loses_none():
    echo = Echo()
    line = FaultyLine(echo, np.random.default_rng(2))
    echo.waiting = DATA
    line.kinds, line.rate = (LineFault.SILENCE,), 0.1
    assert line.read(0.0) == b""
    line.rate = 0.0
    reads = 0
    while not (found := line.read(0.0)):
        reads += 1
        assert reads < 200
    assert found == DATA


def test_a_reset_can_be_put_before_a_write():
    line = FaultyLine(Echo(), np.random.default_rng(3))
    told = []
    line.before_write = lambda: told.append(1)
    line.write(DATA)
    line.close()
    assert told == [1] and line._transport.closed
