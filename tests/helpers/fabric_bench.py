# SPDX-License-Identifier: Apache-2.0
"""Access to a component of the fabric as its bus makes it."""

SETTLE = 12
"""Cycles after which everything has arrived, near and far."""


async def bus_write(ctx, dut, address, value):
    """Writes one element: the address comes first, the write once it has been decoded."""
    ctx.set(dut.access.selected, 1)
    ctx.set(dut.access.address, address)
    ctx.set(dut.access.wdata, value)
    await ctx.tick().repeat(SETTLE)
    ctx.set(dut.access.write, 1)
    await ctx.tick()
    ctx.set(dut.access.write, 0)
    await ctx.tick().repeat(SETTLE)
