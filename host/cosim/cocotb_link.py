# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of :class:`ornstein.hdl.link.bridge.Bridge`, driven by the host's link.

``FABRIC`` in the environment names the preset that was built.
"""

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, RisingEdge

from ornstein.hdl import protocol
from ornstein.hdl.config import preset
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import Event, Space, identity
from ornstein.hdl.spaces import spaces
from ornstein.host.cosim.line import SimulatedLine
from ornstein.host.devices.link import Link, RefusedError

CONFIG = preset(os.environ["FABRIC"])
PERIOD = 20  # ns
MOST_SILENT = 4096  # cycles without a byte after which a read of the line ends
TIMEOUT = 0.002  # seconds after which the link repeats a request
SHORT_TIMEOUT = 0.0003  # the same where requests are lost; the bridge drops them earlier


class Line(SimulatedLine):
    """The bridge's streams as a transport for a link in another thread.

    Both ends stall at random, with the probability ``stall`` per cycle. ``noise`` is the
    probability that a byte is damaged, in either direction.
    """

    def __init__(self, dut, *, stall=0.3):
        super().__init__(dut)
        self.noise = 0.0
        self._stall = stall
        cocotb.start_soon(self._send())
        cocotb.start_soon(self._receive())

    @resume
    async def read(self, timeout):
        for _ in range(MOST_SILENT):
            if self._arrived:
                break
            await RisingEdge(self.dut.clk)
        return self._taken()

    async def _send(self):
        while True:
            if not self._outgoing or random.random() < self._stall:
                await RisingEdge(self.dut.clk)
                continue
            self.dut.i__payload.value = self._damage(self._outgoing.pop(0))
            self.dut.i__valid.value = 1
            await RisingEdge(self.dut.clk)
            while not self.dut.i__ready.value:
                await RisingEdge(self.dut.clk)
            self.dut.i__valid.value = 0

    async def _receive(self):
        while True:
            ready = random.random() >= self._stall
            self.dut.o__ready.value = ready
            await RisingEdge(self.dut.clk)
            if ready and self.dut.o__valid.value:
                self._arrived.append(self._damage(self.dut.o__payload.value.to_unsigned()))

    def _damage(self, byte):
        return byte ^ 1 << random.randrange(8) if random.random() < self.noise else byte


class Fabric:
    """Answers bus requests from dictionaries, after random delays.

    ``memory`` holds the elements by space and address, ``refusals`` the status of the elements that
    are refused.
    """

    def __init__(self, dut):
        self.dut = dut
        self.memory = {
            (Space.IDENTITY, n): value for n, value in enumerate(identity(CONFIG).values())
        }
        self.refusals = {}
        cocotb.start_soon(self._run())

    async def _run(self):
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            dut.bus__done.value = 0
            if not dut.bus__request.value or random.random() < 0.5:
                continue
            element = dut.bus__space.value.to_unsigned(), dut.bus__address.value.to_unsigned()
            status = self.refusals.get(element, Status.OK)
            if dut.bus__write.value and status == Status.OK:
                mask = (1 << spaces(CONFIG)[Space(element[0])].bits) - 1
                self.memory[element] = dut.bus__wdata.value.to_unsigned() & mask
            dut.bus__rdata.value = self.memory.get(element, 0)
            dut.bus__status.value = status
            dut.bus__done.value = 1
            await RisingEdge(dut.clk)
            dut.bus__done.value = 0
            await RisingEdge(dut.clk)


async def started(dut):
    """Resets the bridge; returns a line and a fabric that are connected to it."""
    for signal in (
        dut.i__valid,
        dut.i__payload,
        dut.o__ready,
        dut.bus__done,
        dut.bus__status,
        dut.bus__rdata,
        dut.events,
    ):
        signal.value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, "ns").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    return Line(dut), Fabric(dut)


def values_of(space, count):
    """Returns random values for elements of a space; the first two are the extremes."""
    bits = spaces(CONFIG)[space].bits
    low = -(1 << bits - 1) if spaces(CONFIG)[space].signed else 0
    return [low, low + (1 << bits) - 1, *(low + random.getrandbits(bits) for _ in range(count - 2))]


@cocotb.test
async def every_space_returns_what_was_written(dut):
    line, _ = await started(dut)

    @bridge
    def session():
        link = Link(line, timeout=TIMEOUT)
        assert link.identify() == CONFIG
        for space, info in spaces(CONFIG).items():
            if space is Space.IDENTITY:
                continue
            size = min(info.size, 200)
            values = values_of(space, size)
            link.write(space, info.size - size, values)
            np.testing.assert_array_equal(link.read(space, info.size - size, size), values)

    await session()


@cocotb.test
async def noise_does_no_harm(dut):
    line, fabric = await started(dut)

    @bridge
    def session():
        link = Link(line, timeout=SHORT_TIMEOUT, retries=20)
        link.identify()
        line.noise = 0.001
        values = values_of(Space.FACTOR, 200)
        for _ in range(5):
            link.write(Space.FACTOR, 0, values)
            np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 200), values)
        line.noise = 0.0

    await session()
    assert all(address < 200 for space, address in fabric.memory if space == Space.FACTOR)


@cocotb.test
async def refusals_reach_the_host(dut):
    line, fabric = await started(dut)
    fabric.refusals = {(Space.STATE, 5): Status.BUSY}

    @bridge
    def session():
        link = Link(line, timeout=TIMEOUT)
        try:
            link.write(Space.STATE, 0, range(10))
        except RefusedError as error:
            assert error.status == Status.BUSY
        else:
            raise AssertionError("the write was not refused")
        np.testing.assert_array_equal(link.read(Space.STATE, 0, 5), range(5))

    await session()
    assert [fabric.memory.get((Space.STATE, n)) for n in range(4, 10)] == [4] + [None] * 5


@cocotb.test
async def wait_sees_events(dut):
    line, _ = await started(dut)

    async def finish():
        await ClockCycles(dut.clk, 40 * protocol.WAIT_UNIT)
        dut.events.value = Event.IDLE

    @bridge
    def session():
        return Link(line, timeout=TIMEOUT).wait(Event.IDLE, 5 * TIMEOUT)

    cocotb.start_soon(finish())
    assert await session() == Event.IDLE
