# SPDX-License-Identifier: Apache-2.0
import pytest

from helpers.link_bench import seeded, simulate
from ornstein.hdl import protocol
from ornstein.hdl.link.checksum import Checksum


async def give(ctx, dut, data, rng):
    """The bytes of a row, with pauses."""
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    for byte in data:
        ctx.set(dut.data, byte)
        ctx.set(dut.valid, rng.random() < 0.7)
        while not ctx.get(dut.valid):
            await ctx.tick()
            ctx.set(dut.valid, rng.random() < 0.7)
        await ctx.tick()
        ctx.set(dut.valid, 0)


@pytest.mark.parametrize("seed", range(3))
def test_rows(seed):
    rng = seeded(seed)
    dut = Checksum()
    rows = [b"", b"\0", b"123456789", *(rng.randbytes(rng.randrange(1, 40)) for _ in range(20))]

    async def bench(ctx):
        for row in rows:
            await give(ctx, dut, row, rng)
            assert ctx.get(dut.right) == (protocol.crc(row) == 0)
            sent = bytearray()
            for _ in range(protocol.CRC_BYTES):
                sent.append(ctx.get(dut.high))
                ctx.set(dut.data, sent[-1])
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
            assert row + sent == protocol.sealed(row)
            assert ctx.get(dut.right)

    simulate(dut, bench)
