# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0

import itertools

import pytest

from helpers.link_bench import END, BusModel, answers, framed, seeded, send, simulate, sink
from ornstein.hdl import protocol
from ornstein.hdl.config import ICEBREAKER, TINY
from ornstein.hdl.link.bridge import Bridge
from ornstein.hdl.protocol import MAX_REQUEST, MAX_WRITE_BYTES, WAIT_UNIT, Opcode, Status
from ornstein.hdl.regmap import Event, Space
from ornstein.hdl.spaces import spaces

TIMEOUT = 2048
STALLS = pytest.mark.parametrize("stall", [0.0, 0.4])


class Bench:
    """A bridge between a line and a bus model."""

    def __init__(self, config=TINY, *, seed=1, stall=0.0, delay=0):
        self.rng = seeded(seed)
        self.config = config
        self.stall = stall
        self.dut = Bridge(config, timeout=TIMEOUT)
        self.bus = BusModel(config, rng=self.rng, delay=delay)
        self.line = bytearray()

    def run(self, script, *, expect, deadline=200_000):
        """Runs the coroutine function ``script`` until ``expect`` answers came; returns them."""

        async def bench(ctx):
            await script(ctx)
            while sum(map(bool, bytes(self.line).split(END))) < expect or not self.line.endswith(
                END
            ):
                await ctx.tick()
            await ctx.tick().repeat(50)

        simulate(
            self.dut,
            bench,
            deadline=deadline,
            background=[
                sink(self.dut.o, self.line, stall=self.stall, rng=self.rng),
                self.bus.bench(self.dut.bus),
            ],
        )
        return answers(bytes(self.line))

    async def send(self, ctx, data):
        await send(ctx, self.dut.i, data, stall=self.stall, rng=self.rng)

    def exchange(self, line, *, expect, **options):
        """Answers to bytes on the line."""
        return self.run(lambda ctx: self.send(ctx, line), expect=expect, **options)


def read(space, address, count, *, sequence=7):
    return protocol.request(sequence, Opcode.READ, space, address, count)


def write(space, address, values, *, sequence=7, config=TINY):
    size = spaces(config)[Space(space)].bytes
    return protocol.request(
        sequence,
        Opcode.WRITE,
        space,
        address,
        len(values),
        b"".join(value.to_bytes(size, "little") for value in values),
    )


def wait(events, units, *, sequence=7):
    return protocol.request(sequence, Opcode.WAIT, 0, events, units)


@STALLS
@pytest.mark.parametrize("config", [TINY, ICEBREAKER], ids=lambda config: config.name)
def test_every_space_returns_what_was_written(config, stall):
    bench = Bench(config, stall=stall, delay=3)
    line, expected = b"", []
    for number, space in enumerate(spaces(config)):
        size = min(spaces(config)[space].size, 9)
        values = [bench.rng.getrandbits(spaces(config)[space].bits) for _ in range(size)]
        line += framed(
            write(
                space, spaces(config)[space].size - size, values, sequence=2 * number, config=config
            )
        )
        line += framed(
            read(space, spaces(config)[space].size - size, size, sequence=2 * number + 1)
        )
        data = b"".join(value.to_bytes(spaces(config)[space].bytes, "little") for value in values)
        expected += [(2 * number, Status.OK, b""), (2 * number + 1, Status.OK, data)]
    assert bench.exchange(line, expect=len(expected)) == expected


def test_bytes_that_need_escapes_pass_both_ways():
    bench = Bench()
    words = [
        protocol.END << 8 | protocol.ESC,
        protocol.ESC_END << 8 | protocol.ESC,
        protocol.ESC_ESC,
        0xC0C0,
    ]
    line = framed(write(Space.STATE, 0, words, sequence=protocol.END)) + framed(
        read(Space.STATE, 0, 4, sequence=0xDB)
    )
    data = b"".join(word.to_bytes(2, "little") for word in words)
    assert bench.exchange(line, expect=2) == [
        (protocol.END, Status.OK, b""),
        (protocol.ESC, Status.OK, data),
    ]


def test_longest_requests_and_answers():
    bench = Bench()
    count = MAX_WRITE_BYTES // 4
    values = [bench.rng.getrandbits(32) for _ in range(count)]
    bench.bus.memory |= {(Space.SQUARE, n): n << 40 | n for n in range(TINY.state_depth * 2)}
    frame = write(Space.DESCRIPTOR, 0, values)
    assert MAX_REQUEST - 4 < len(frame) <= MAX_REQUEST
    written, squares = bench.exchange(
        framed(frame) + framed(read(Space.SQUARE, 0, 2 * TINY.state_depth)), expect=2
    )
    assert written[1] == squares[1] == Status.OK
    assert squares[2] == b"".join(
        (n << 40 | n).to_bytes(6, "little") for n in range(2 * TINY.state_depth)
    )
    assert [bench.bus.memory[Space.DESCRIPTOR, n] for n in range(count)] == values


@pytest.mark.parametrize(
    ("frame", "cost"),
    [
        (read(Space.STATE, 0, 60), 3 * spaces(TINY)[Space.STATE].bytes),
        (write(Space.STATE, 0, [0x1234] * 60), spaces(TINY)[Space.STATE].bytes + 1),
    ],
    ids=["read", "write"],
)
def test_cost_of_an_element(frame, cost):
    bench = Bench()
    requests = []

    async def script(ctx):
        ctx.set(bench.dut.bus.done, 1)
        ctx.set(bench.dut.o.ready, 1)
        await bench.send(ctx, framed(frame))
        for cycle in range(400):
            if ctx.get(bench.dut.bus.request):
                requests.append(cycle)
            await ctx.tick()

    simulate(bench.dut, script)
    assert len(requests) == 60
    gaps = {
        later - earlier for earlier, later in itertools.pairwise(requests[1:])
    }  # the first waits for the header
    assert gaps == {cost}


@STALLS
def test_corrupted_frames_write_nothing(stall):
    bench = Bench(stall=stall)
    frame = write(Space.STATE, 3, [1, 2, 3])
    line = b""
    for position in range(len(frame)):
        damaged = bytearray(frame)
        damaged[position] ^= 1 << bench.rng.randrange(8)
        line += framed(bytes(damaged))
    result = bench.exchange(line, expect=len(frame))
    assert result == [(0, Status.CORRUPT, b"")] * len(frame)
    assert bench.bus.log == []


def test_truncated_frames_are_corrupt():
    bench = Bench()
    frame = write(Space.STATE, 3, [1, 2, 3])
    line = b"".join(framed(frame[:length]) for length in range(1, len(frame)))
    assert bench.exchange(line, expect=len(frame) - 1) == [(0, Status.CORRUPT, b"")] * (
        len(frame) - 1
    )
    assert bench.bus.log == []


def test_a_short_frame_with_a_right_crc_is_corrupt():
    bench = Bench()
    line = b"".join(framed(protocol.sealed(bytes(length))) for length in range(8))
    assert bench.exchange(line, expect=8) == [(0, Status.CORRUPT, b"")] * 8


@pytest.mark.parametrize("length", [MAX_REQUEST + 1, 2 * MAX_REQUEST, 2 * MAX_REQUEST + 12])
def test_oversize_frames_are_corrupt_and_forgotten(length):
    bench = Bench()
    oversize = protocol.sealed(
        protocol.request(1, Opcode.WRITE, Space.STATE, 0, 1, bytes(length - 14))
    )
    oversize = oversize[: length - 2]
    oversize = protocol.sealed(oversize)
    assert len(oversize) == length
    line = framed(oversize) + framed(read(Space.STATE, 0, 1))
    assert bench.exchange(line, expect=2) == [(0, Status.CORRUPT, b""), (7, Status.OK, bytes(2))]


def test_invalid_escapes_are_corrupt():
    bench = Bench()
    frame = framed(read(Space.STATE, 0, 1))
    line = frame[:-1] + bytes([protocol.ESC]) + END  # an escape of nothing
    line += frame[:5] + bytes([protocol.ESC, 0x00]) + frame[5:]
    line += frame
    assert bench.exchange(line, expect=3) == [(0, Status.CORRUPT, b"")] * 2 + [
        (7, Status.OK, bytes(2))
    ]


def test_garbage_between_frames():
    bench = Bench()
    garbage = bytes(bench.rng.randrange(256) for _ in range(700))
    line = b"".join(
        garbage[n : n + 70] + framed(read(Space.STATE, n // 70, 1, sequence=n // 70 + 1))
        for n in range(0, 700, 70)
    )
    result = bench.run(lambda ctx: bench.send(ctx, line), expect=20)
    assert [answer for answer in result if answer[1] != Status.CORRUPT] == [
        (n + 1, Status.OK, bytes(2)) for n in range(10)
    ]


def test_empty_frames_mean_nothing():
    bench = Bench()
    assert bench.exchange(END * 20 + framed(read(Space.STATE, 0, 1)) + END * 3, expect=1) == [
        (7, Status.OK, bytes(2))
    ]


def test_silence_drops_an_unfinished_frame():
    bench = Bench()
    frame = framed(write(Space.STATE, 0, [5]))

    async def script(ctx):
        await bench.send(ctx, frame[:9])
        await ctx.tick().repeat(TIMEOUT + 10)
        await bench.send(ctx, frame)

    assert bench.run(script, expect=1) == [(7, Status.OK, b"")]
    assert bench.bus.log == [(Space.STATE, 0, 5)]


def test_a_pause_shorter_than_the_timeout_is_allowed():
    bench = Bench()
    frame = framed(write(Space.STATE, 0, [5]))

    async def script(ctx):
        for byte in frame:
            await bench.send(ctx, [byte])
            await ctx.tick().repeat(TIMEOUT - 10)

    assert bench.run(script, expect=1) == [(7, Status.OK, b"")]


@pytest.mark.parametrize("status", [Status.BUSY, Status.FULL, Status.ADDRESS])
def test_refused_requests_stop_and_say_why(status):
    bench = Bench()
    bench.bus.refusals = {(Space.STATE, 2): status}
    line = (
        framed(read(Space.STATE, 2, 4))
        + framed(write(Space.STATE, 0, [1, 2, 3, 4]))
        + framed(read(Space.STATE, 0, 4))
    )
    assert bench.exchange(line, expect=3) == [
        (7, status, b""),
        (7, status, b""),
        (7, Status.OK, bytes([1, 0, 2, 0])),
    ]
    assert [entry[:2] for entry in bench.bus.log] == [
        (Space.STATE, n) for n in (2, 0, 1, 2, 0, 1, 2)
    ]


def test_malformed_requests():
    bench = Bench()
    size = spaces(TINY)[Space.STATE].bytes
    frames = (
        [
            protocol.request(7, opcode, Space.STATE, 0, 1)
            for opcode in range(256)
            if opcode not in set(Opcode)
        ]
        + [
            protocol.request(7, Opcode.READ, Space.STATE, 0, 0),
            protocol.request(7, Opcode.READ, Space.STATE, 0, 1, b"\0"),
            protocol.request(7, Opcode.WRITE, Space.STATE, 0, 0),
            protocol.request(7, Opcode.WRITE, Space.STATE, 0, 2),
            protocol.request(7, Opcode.WAIT, 0, 1, 1, b"\0"),
        ]
        + [
            protocol.request(7, Opcode.WRITE, Space.STATE, 0, 2, bytes(length))
            for length in range(4 * size)
            if length != 2 * size
        ]
    )
    assert bench.exchange(b"".join(map(framed, frames)), expect=len(frames)) == [
        (7, Status.MALFORMED, b"")
    ] * len(frames)
    assert bench.bus.log == []


def test_unknown_spaces():
    bench = Bench(ICEBREAKER)  # has neither squares nor samples
    spaces = [Space.SQUARE, Space.SAMPLE, *range(len(Space), 20), 128, 255]
    frames = [protocol.request(7, Opcode.READ, space, 0, 1) for space in spaces]
    frames += [protocol.request(7, Opcode.WRITE, space, 0, 1, bytes(2)) for space in spaces]
    assert bench.exchange(b"".join(map(framed, frames)), expect=len(frames)) == [
        (7, Status.ADDRESS, b"")
    ] * len(frames)
    assert bench.bus.log == []


def test_wait_ends_at_once_when_an_event_holds():
    bench = Bench()

    async def script(ctx):
        ctx.set(bench.dut.events, Event.ROOM | Event.SAMPLES)
        await bench.send(ctx, framed(wait(Event.ROOM, 0xFFFF)))

    assert bench.run(script, expect=1) == [(7, Status.OK, bytes([Event.ROOM | Event.SAMPLES]))]


def test_wait_ends_when_an_event_comes():
    bench = Bench()

    async def script(ctx):
        ctx.set(bench.dut.events, Event.ROOM)
        await bench.send(ctx, framed(wait(Event.IDLE | Event.SAMPLES, 0xFFFF)))
        await ctx.tick().repeat(5000)
        assert bench.line == b""
        ctx.set(bench.dut.events, Event.IDLE)

    assert bench.run(script, expect=1) == [(7, Status.OK, bytes([Event.IDLE]))]


def test_wait_loses_patience():
    bench = Bench()
    line = (
        framed(wait(Event.IDLE, 0))
        + framed(wait(Event.IDLE, 5, sequence=8))
        + framed(read(Space.STATE, 0, 1))
    )

    async def script(ctx):
        await bench.send(ctx, line[:24])
        await ctx.tick().repeat(4 * WAIT_UNIT)
        assert len(answers(bytes(bench.line))) == 1
        await bench.send(ctx, line[24:])

    assert bench.run(script, expect=3) == [
        (7, Status.TIMEOUT, b"\0"),
        (8, Status.TIMEOUT, b"\0"),
        (7, Status.OK, bytes(2)),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_random_requests_back_to_back(seed):
    bench = Bench(seed=100 + seed, stall=0.2, delay=2)
    model = BusModel(TINY)
    line, expected = b"", []
    for sequence in range(60):
        space = bench.rng.choice(
            [Space.STATE, Space.FACTOR, Space.DESCRIPTOR, Space.SUM, Space.SQUARE]
        )
        size = spaces(TINY)[space].bytes
        address = bench.rng.randrange(24)
        count = bench.rng.randint(1, 6)
        kind = bench.rng.choice(["read", "write", "damaged"])
        values = [bench.rng.getrandbits(spaces(TINY)[space].bits) for _ in range(count)]
        if kind == "read":
            line += framed(read(space, address, count, sequence=sequence))
            data = [
                model.access(1, space, address + n, 0, 0)[1].to_bytes(size, "little")
                for n in range(count)
            ]
            expected.append((sequence, Status.OK, b"".join(data)))
        elif kind == "write":
            line += framed(write(space, address, values, sequence=sequence))
            for n, value in enumerate(values):
                model.access(1, space, address + n, 1, value)
            expected.append((sequence, Status.OK, b""))
        else:
            frame = bytearray(write(space, address, values, sequence=sequence))
            frame[bench.rng.randrange(len(frame))] ^= 1 << bench.rng.randrange(8)
            line += framed(bytes(frame))
            expected.append((0, Status.CORRUPT, b""))
    assert bench.exchange(line, expect=len(expected)) == expected
    assert bench.bus.memory == model.memory


def test_wrong_timeout():
    with pytest.raises(ValueError, match="timeout must be at least 1024 cycles, not 1023"):
        Bridge(TINY, timeout=1023)
