# SPDX-License-Identifier: Apache-2.0
"""Access to a component of the fabric as its bus makes it, and to a whole fabric."""

from ornstein.hdl.protocol import Status

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


async def access(ctx, bus, space, address, data=None):
    """Writes an element, or reads one; waits for as long as the fabric takes."""
    ctx.set(bus.space, space)
    ctx.set(bus.address, address)
    ctx.set(bus.write, data is not None)
    ctx.set(bus.wdata, data or 0)
    await ctx.tick().repeat(2)
    ctx.set(bus.request, 1)
    status, value = await ctx.tick().sample(bus.status, bus.rdata).until(bus.done)
    ctx.set(bus.request, 0)
    assert status == Status.OK, (space, address)
    return value
