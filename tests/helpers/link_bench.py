# SPDX-License-Identifier: Apache-2.0
"""Benches of the link's tests: streams with random stalls, a bus with random delays, and a watchdog
in every run.
"""

import random

import sliplib
from amaranth.hdl import Value
from amaranth.sim import Simulator

from ornstein.hdl import protocol
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces

PERIOD = 1e-6


def simulate(dut, *benches, background=(), deadline=100_000):
    """Runs until all benches end; fails after ``deadline`` cycles."""

    async def watchdog(ctx):
        await ctx.delay(deadline * PERIOD)
        raise AssertionError(f"no end after {deadline} cycles")

    simulator = Simulator(dut)
    simulator.add_clock(PERIOD)
    for bench in benches:
        simulator.add_testbench(bench)
    for bench in (*background, watchdog):
        simulator.add_testbench(bench, background=True)
    simulator.run()


def seeded(seed: int) -> random.Random:
    """A generator whose seed a failing test shows."""
    print(f"seed {seed}")
    return random.Random(seed)


async def send(ctx, port, values, *, stall=0.0, rng=None):
    """Offers the values on a stream, each after a random pause."""
    for value in values:
        while stall and rng.random() < stall:
            await ctx.tick()
        ctx.set(port.payload, value)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


def sink(port, received, *, stall=0.0, rng=None):
    """A background bench that takes from a stream and checks its rules: valid does not look at
    ready, and what was offered stays.
    """

    async def bench(ctx):
        held = None
        payload = Value.cast(port.payload)
        while True:
            ctx.set(port.ready, 0)
            unready = ctx.get(port.valid)
            ready = not stall or rng.random() >= stall
            ctx.set(port.ready, ready)
            _, _, valid, value = await ctx.tick().sample(port.valid, payload)
            assert valid == unready, "valid depends on ready"
            assert held is None or (valid and value == held), "an offer was withdrawn or changed"
            held = None
            if valid and ready:
                received.append(value)
            elif valid:
                held = value

    return bench


class BusModel:
    """A fabric made of dictionaries. ``refusals`` maps (space, address) to the status that an
    access ends in.
    """

    def __init__(self, config, *, rng=None, delay=0):
        self.config = config
        self.memory = {}
        self.refusals = {}
        self.log = []  # (space, address, written value or None) of every transaction
        self.rng = rng
        self.delay = delay

    def bench(self, bus):
        """A background bench that answers the bus."""

        async def bench(ctx):
            while True:
                ctx.set(bus.done, 0)
                if ctx.get(bus.request):
                    request = self._request(ctx, bus)
                    for _ in range(self.rng.randint(0, self.delay) if self.delay else 0):
                        await ctx.tick()
                        assert self._request(ctx, bus) == request, (
                            "the request changed before it was done"
                        )
                    status, value = self.access(*request)
                    ctx.set(bus.done, 1)
                    ctx.set(bus.status, status)
                    ctx.set(bus.rdata, value)
                await ctx.tick()

        return bench

    def access(self, valid, space, address, write, data):
        """Status of one transaction, and the value that a read gives."""
        assert valid
        mask = (1 << spaces(self.config)[Space(space)].bits) - 1
        self.log.append((space, address, data & mask if write else None))
        if (space, address) in self.refusals:
            return self.refusals[space, address], 0
        if address >= spaces(self.config)[Space(space)].size:
            return Status.ADDRESS, 0
        if write:
            self.memory[space, address] = data & mask
        return Status.OK, self.memory.get((space, address), 0)

    @staticmethod
    def _request(ctx, bus):
        return tuple(
            ctx.get(signal)
            for signal in (bus.request, bus.space, bus.address, bus.write, bus.wdata)
        )


END = bytes([protocol.END])


def framed(frame: bytes) -> bytes:
    """A frame as it travels."""
    return END + sliplib.encode(frame) + END


def unframed(line: bytes) -> list[bytes]:
    """The frames on a line, which must hold whole frames only."""
    assert line == b"" or line.endswith(END)
    return [sliplib.decode(packet) for packet in line.split(END) if packet]


def answers(line: bytes) -> list[tuple[int, int, bytes]]:
    """Sequence, status and data of the answers on a line."""
    frames = unframed(line)
    assert all(protocol.crc(frame) == 0 for frame in frames)
    return [
        (frame[0], frame[1], frame[protocol.ANSWER_HEADER_BYTES : -protocol.CRC_BYTES])
        for frame in frames
    ]


def bits(byte):
    """A byte on the line: start, data, stop."""
    return [0, *(byte >> n & 1 for n in range(8)), 1]
