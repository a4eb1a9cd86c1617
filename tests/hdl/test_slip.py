# SPDX-License-Identifier: Apache-2.0
import pytest
import sliplib
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from helpers.link_bench import END, framed, seeded, send, simulate, sink, unframed
from ornstein.hdl.link.slip import Deframer, Framer, Item, Outgoing
from ornstein.hdl.protocol import ESC, ESC_END, ESC_ESC

STALLS = pytest.mark.parametrize("stall", [0.0, 0.5])
AWKWARD = [bytes([byte]) for byte in (*END, ESC, ESC_END, ESC_ESC, 0)] + [
    END * 5,
    bytes([ESC] * 4),
    bytes([ESC, *END, ESC_END, ESC_ESC, ESC]),
    bytes(range(256)),
]


def run(dut, values, expected, *, stall, seed=1):
    """What the component gives for the values, in as many elements as expected and no more."""
    rng = seeded(seed)
    received = []

    async def bench(ctx):
        await send(ctx, dut.i, values, stall=stall, rng=rng)
        while len(received) < expected:
            await ctx.tick()
        await ctx.tick().repeat(20)

    simulate(dut, bench, background=[sink(dut.o, received, stall=stall, rng=rng)])
    return received


def items(line, expected, *, stall=0.0):
    """What a line means, as (data, end, error), where data is None if it means nothing."""
    received = map(Item.from_bits, run(Deframer(), line, expected, stall=stall))
    return [
        (None if item.end or item.error else item.data, item.end, item.error) for item in received
    ]


@STALLS
def test_framer(stall):
    values = [
        {"data": byte, "last": place == len(frame) - 1}
        for frame in AWKWARD
        for place, byte in enumerate(frame)
    ]
    line = b"".join(map(framed, AWKWARD))
    assert bytes(run(Framer(), values, len(line), stall=stall)) == line


@STALLS
def test_deframer(stall):
    expected = []
    for frame in AWKWARD:
        expected += [(None, 1, 0)] + [(byte, 0, 0) for byte in frame] + [(None, 1, 0)]
    assert items(b"".join(map(framed, AWKWARD)), len(expected), stall=stall) == expected


@pytest.mark.parametrize("byte", [0x00, ESC, 0xFF])
def test_escape_of_nothing(byte):
    assert items([1, ESC, byte, 2], 3) == [(1, 0, 0), (None, 0, 1), (2, 0, 0)]


def test_escape_before_the_end():
    assert items([1, ESC, *END, 2], 3) == [(1, 0, 0), (None, 1, 1), (2, 0, 0)]


def test_any_end_resynchronises():
    assert items(bytes([ESC, *END, *END, 5, *END]), 4) == [
        (None, 1, 1),
        (None, 1, 0),
        (5, 0, 0),
        (None, 1, 0),
    ]


class Loop(wiring.Component):
    """Framer and deframer back to back."""

    i: In(stream.Signature(Outgoing))
    o: Out(stream.Signature(Item))

    def elaborate(self, platform):
        m = Module()
        m.submodules.framer = framer = Framer()
        m.submodules.deframer = deframer = Deframer()
        connect(m, flipped(self.i), framer.i)
        connect(m, framer.o, deframer.i)
        connect(m, deframer.o, flipped(self.o))
        return m


@pytest.mark.parametrize("seed", range(3))
def test_random_frames_survive(seed):
    rng = seeded(seed)
    frames = [
        bytes(
            rng.choice([0xC0, 0xDB, 0xDC, 0xDD, rng.randrange(256)])
            for _ in range(rng.randint(1, 40))
        )
        for _ in range(20)
    ]
    values = [
        {"data": byte, "last": place == len(frame) - 1}
        for frame in frames
        for place, byte in enumerate(frame)
    ]
    received = run(Loop(), values, len(values) + 2 * len(frames), stall=0.3, seed=seed)
    line = b"".join(
        END if item.end else sliplib.encode(bytes([item.data]))
        for item in map(Item.from_bits, received)
    )
    assert unframed(line) == frames
