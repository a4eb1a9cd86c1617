# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from helpers.link_bench import bits, seeded, send, simulate, sink
from ornstein.hdl.link.queue import Queue
from ornstein.hdl.link.uart import Receiver, Transmitter, Uart
from ornstein.hdl.protocol import MAX_REQUEST

DIVISORS = pytest.mark.parametrize("divisor", [4, 5, 7, 16])


async def drive(ctx, rx, levels, bit_cycles):
    """Puts levels on a line for ``bit_cycles`` each, which need not be whole."""
    elapsed = 0
    for place, level in enumerate(levels, 1):
        ctx.set(rx, level)
        cycles = round(place * bit_cycles) - elapsed
        await ctx.tick().repeat(cycles)
        elapsed += cycles


def receive(divisor, levels, *, bit_cycles=None, before=0, ready=True):
    """Bytes that a receiver takes from the levels, and how often each error was flagged."""
    dut = Receiver(divisor)
    received, flags = [], {"overflow": 0, "framing": 0}

    async def bench(ctx):
        await ctx.tick().repeat(1 + before)
        await drive(ctx, dut.rx, levels, bit_cycles or divisor)
        ctx.set(dut.rx, 1)
        await ctx.tick().repeat(3 * divisor)

    async def monitor(ctx):
        while True:
            flags["overflow"] += ctx.get(dut.overflow)
            flags["framing"] += ctx.get(dut.framing)
            await ctx.tick()

    simulate(dut, bench, background=[monitor, *([sink(dut.o, received)] if ready else [])])
    return received, flags


@DIVISORS
@pytest.mark.parametrize("drift", [-0.02, 0, 0.02])
def test_receiver(divisor, drift):
    data = [0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, *range(3, 60, 7)]
    levels = [level for byte in data for level in bits(byte)]
    for before in range(3):
        received, flags = receive(divisor, levels, bit_cycles=divisor * (1 + drift), before=before)
        assert received == data
        assert flags == {"overflow": 0, "framing": 0}


def test_a_glitch_is_no_start_bit():
    assert receive(16, [0, *[1] * 40], bit_cycles=4) == ([], {"overflow": 0, "framing": 0})


def test_missing_stop_bit():
    levels = bits(0x12)[:-1] + [0] + [0] * 25 + [1, 1] + bits(0x34)
    assert receive(8, levels) == ([0x34], {"overflow": 0, "framing": 1})


def test_overflow():
    levels = bits(0x12) + bits(0x34) + bits(0x56)
    assert receive(8, levels, ready=False)[1] == {"overflow": 2, "framing": 0}


@DIVISORS
def test_transmitter(divisor):
    dut = Transmitter(divisor)
    data = [0x00, 0xFF, 0x55, 0xC3]
    line = []

    async def bench(ctx):
        await ctx.tick().repeat(3)
        await send(ctx, dut.i, data)
        await ctx.tick().repeat(11 * divisor)

    async def monitor(ctx):
        while True:
            line.append(ctx.get(dut.tx))
            await ctx.tick()

    simulate(dut, bench, background=[monitor])
    start = line.index(0)
    expected = [level for byte in data for level in bits(byte) for _ in range(divisor)]
    assert line[start : start + len(expected)] == expected
    assert all(line[:start] + line[start + len(expected) :])


class Loop(wiring.Component):
    """A UART whose line ends at itself."""

    def __init__(self, *divisors):
        self._uart = Uart(*divisors)
        super().__init__(
            {
                "i": In(self._uart.i.signature.flip()),
                "o": Out(self._uart.o.signature),
                "rate": In(self._uart.rate.shape()),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = uart = self._uart
        m.d.comb += [uart.rx.eq(uart.tx), uart.rate.eq(self.rate), self.idle.eq(uart.idle)]
        wiring.connect(m, wiring.flipped(self.i), uart.i)
        wiring.connect(m, uart.o, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("stall", [0.0, 0.9])
def test_loop(stall):
    rng = seeded(3)
    dut = Loop(4)
    data = [rng.randrange(256) for _ in range(300)]
    received = []

    async def bench(ctx):
        await send(ctx, dut.i, data, stall=stall, rng=rng)
        while len(received) < len(data):
            await ctx.tick()

    simulate(dut, bench, background=[sink(dut.o, received, stall=stall, rng=rng)])
    assert received == data


@pytest.mark.parametrize("rate", [0, 1, 2])
def test_loop_at_every_rate(rate):
    dut = Loop(9, 4, 5)
    received = []

    async def bench(ctx):
        ctx.set(dut.rate, rate)
        cycles = 0
        for byte in (0x55, 0xC3):
            await send(ctx, dut.i, [byte])
            while not ctx.get(dut.idle):
                cycles += 1
                await ctx.tick()
        assert cycles == 2 * (
            10 * (9, 4, 5)[rate] - 1
        )  # all bits of both but the cycle that takes the next byte
        await ctx.tick().repeat(30)
        assert received == [0x55, 0xC3]

    simulate(dut, bench, background=[sink(dut.o, received)])


@pytest.mark.parametrize("spare", [0, 512])
def test_queue_of_a_request(spare):
    """Without a reader a whole request, and the spare bytes, wait in the queue; what comes after is
    lost and flagged.
    """
    dut = Uart(4, spare=spare)
    received, overflows = [], []
    data = [n % 251 for n in range(MAX_REQUEST + spare + 5)]

    async def bench(ctx):
        await drive(ctx, dut.rx, [level for byte in data for level in bits(byte)], 4)
        await ctx.tick().repeat(20)
        ctx.set(dut.o.ready, 1)
        while ctx.get(dut.o.valid):
            received.append(ctx.get(dut.o.payload))
            await ctx.tick()
        await ctx.tick().repeat(5)
        assert not ctx.get(dut.o.valid)

    async def monitor(ctx):
        while True:
            overflows.append(ctx.get(dut.overflow))
            await ctx.tick()

    simulate(dut, bench, background=[monitor])
    held = MAX_REQUEST + spare + 2  # with the queue's and the receiver's registers
    assert received == data[:held]
    assert sum(overflows) == len(data) - held


@pytest.mark.parametrize("component", [Receiver, Transmitter, Uart])
def test_wrong_divisor(component):
    with pytest.raises(ValueError, match="divisor must be at least 4 cycles per bit, not 3"):
        component(3)


@pytest.mark.parametrize(
    ("depth", "stalls"), [(1, (0, 0)), (4, (0.5, 0.2)), (4, (0.2, 0.5)), (8, (0, 0.7))]
)
def test_queue(depth, stalls):
    rng = seeded(7)
    dut = Queue(8, depth)
    data = [rng.randrange(256) for _ in range(200)]
    received = []

    async def bench(ctx):
        await send(ctx, dut.i, data, stall=stalls[0], rng=rng)
        while len(received) < len(data):
            await ctx.tick()

    simulate(dut, bench, background=[sink(dut.o, received, stall=stalls[1], rng=rng)])
    assert received == data


@pytest.mark.parametrize("depth", [0, 3])
def test_wrong_depth(depth):
    with pytest.raises(ValueError, match=f"depth must be a power of two, not {depth}"):
        Queue(8, depth)
