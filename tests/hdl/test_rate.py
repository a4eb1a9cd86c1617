# amaranth: UnusedElaboratable=no
# SPDX-License-Identifier: Apache-2.0

"""The rate of the serial line: it changes after the answer, comes back by itself, and a whole board
can be followed.
"""

import math

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from helpers.link_bench import END, answers, bits, framed, simulate
from ornstein.hdl import protocol
from ornstein.hdl.config import TINY
from ornstein.hdl.link.rate import Rate
from ornstein.hdl.link.uart import Uart
from ornstein.hdl.protocol import Opcode, Status
from ornstein.hdl.regmap import MAGIC, Control, Line, Space
from ornstein.hdl.top import Top

PATIENCE = 3


def run_rate(*steps, count=3):
    """Rates after each step; a step names the inputs that are high for a cycle, ``ask`` with its
    index.
    """
    dut = Rate(count, patience=PATIENCE)
    rates = []

    async def bench(ctx):
        for step in steps:
            inputs = dict.fromkeys(("ask", "idle", "heard", "valid", "silence"), 0) | step
            for name, value in inputs.items():
                ctx.set(getattr(dut, name), value > 0)
            ctx.set(dut.index, inputs["ask"])
            await ctx.tick()
            rates.append(ctx.get(dut.rate))

    simulate(dut, bench)
    return rates


ASK, IDLE, HEARD, VALID, SILENCE = (
    {"ask": 2},
    {"idle": 1},
    {"heard": 1},
    {"valid": 1},
    {"silence": 1},
)


def test_a_change_waits_for_the_answer():
    assert run_rate(ASK, {}, {}, IDLE, {}, IDLE) == [0, 0, 0, 2, 2, 2]


def test_bytes_without_sense_bring_the_first_rate_back():
    doubt = [HEARD, *[SILENCE] * PATIENCE, IDLE]
    assert run_rate(ASK, IDLE, *doubt)[-2:] == [2, 0]
    assert run_rate(ASK, IDLE, *doubt[:-2], IDLE, IDLE)[-1] == 2  # one strobe too few


def test_silence_alone_changes_nothing():
    assert run_rate(ASK, IDLE, *[SILENCE] * 5 * PATIENCE, IDLE)[-1] == 2


def test_a_valid_request_ends_all_doubt():
    assert run_rate(ASK, IDLE, HEARD, SILENCE, SILENCE, VALID, *[SILENCE] * PATIENCE, IDLE)[-1] == 2
    assert (
        run_rate(ASK, IDLE, HEARD, SILENCE, SILENCE, VALID, HEARD, SILENCE, SILENCE, IDLE)[-1] == 2
    )


@pytest.mark.parametrize("wrong", [(1, 5), (2, 0)])
def test_wrong_parameters(wrong):
    with pytest.raises(
        ValueError, match=f"count must be at least 2 and patience at least 1, not {wrong[0]} and"
    ):
        Rate(wrong[0], patience=wrong[1])


# ---- UART, rate and machine together, spoken to bit by bit ---------------------------------------

QUIET = 1 << 11
DOUBTS = 2
LINE = Line(clock=math.floor(DOUBTS * QUIET / 1.5), divisors=(9, 4))


class Machine(wiring.Component):
    """What a board is made of, with its pins as ports."""

    rx: In(1, init=1)
    tx: Out(1)
    rate: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = uart = Uart(*LINE.divisors)
        m.submodules.top = machine = Top(TINY, LINE, silence=QUIET)
        wiring.connect(m, uart.o, machine.i)
        wiring.connect(m, machine.o, uart.i)
        m.d.comb += [
            uart.rx.eq(self.rx),
            self.tx.eq(uart.tx),
            self.rate.eq(machine.rate),
            uart.rate.eq(machine.rate),
            machine.idle.eq(uart.idle),
        ]
        return m


async def say(ctx, dut, data, divisor):
    """Puts bytes on the line."""
    for byte in data:
        for level in bits(byte):
            ctx.set(dut.rx, level)
            await ctx.tick().repeat(divisor)


async def listen(ctx, dut, divisor, patience=4000):
    """Bytes from the line until it has been quiet for so many cycles."""
    data, quiet = bytearray(), 0
    while quiet < patience:
        if ctx.get(dut.tx):
            quiet += 1
            await ctx.tick()
            continue
        await ctx.tick().repeat(divisor // 2)
        levels = [0]
        for _ in range(9):
            await ctx.tick().repeat(divisor)
            levels.append(ctx.get(dut.tx))
        assert levels[9], "bits of another length"
        data.append(sum(level << place for place, level in enumerate(levels[1:9])))
        quiet = 0
        if data.count(END) == 2:
            break
    return bytes(data)


def request(opcode, space, address, data=b""):
    return framed(protocol.request(7, opcode, space, address, 1, data))


def test_a_board_changes_its_rate_and_falls_back():
    dut = Machine()
    identify = request(Opcode.READ, Space.IDENTITY, 0)
    identity = (7, Status.OK, MAGIC.to_bytes(4, "little"))
    boot, fast = LINE.divisors

    async def bench(ctx):
        await ctx.tick().repeat(20)
        await say(ctx, dut, identify, boot)
        assert answers(await listen(ctx, dut, boot)) == [identity]
        # the answer to the change comes at the old rate, all after it at the new one
        await say(
            ctx,
            dut,
            request(Opcode.WRITE, Space.CONTROL, Control.RATE, (1).to_bytes(4, "little")),
            boot,
        )
        assert ctx.get(dut.rate) == 0
        assert answers(await listen(ctx, dut, boot)) == [(7, Status.OK, b"")]
        await ctx.tick().repeat(2 * boot)
        assert ctx.get(dut.rate) == 1
        for _ in range(2):
            await say(ctx, dut, identify, fast)
            assert answers(await listen(ctx, dut, fast)) == [identity]
        # a host that knows nothing of it is understood again after the second silence
        await ctx.tick().repeat(5 * QUIET)
        assert ctx.get(dut.rate) == 1
        await say(ctx, dut, identify, boot)
        await ctx.tick().repeat((DOUBTS + 1) * QUIET)
        assert ctx.get(dut.rate) == 0
        await say(ctx, dut, identify, boot)
        assert answers(await listen(ctx, dut, boot)) == [identity]

    simulate(dut, bench)
