# SPDX-License-Identifier: Apache-2.0
"""Gateware with faults, to prove that the self-test finds and names them. No part of any product
build.
"""

import copy
import enum
from collections.abc import Callable
from dataclasses import replace
from unittest import mock

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, Out

from ornstein.hdl import top
from ornstein.hdl.config import TINY, FabricConfig
from ornstein.hdl.engine import noise
from ornstein.hdl.engine.lanes import Lanes
from ornstein.hdl.fabric import Fabric
from ornstein.hdl.regmap import Line
from ornstein.hdl.timing import Timing

CONFIG = replace(TINY, name="bench", unit_lanes=2)
"""The smallest fabric in which every fault has a wrong place to be blamed on: two lanes each way.
"""
LINE = Line(clock=38_400, divisors=(4, 2, 1))
"""Its line: 9,600, 19,200 and 38,400 baud. So slow a clock, and so short a silence, make the device
give up a rate that does not work after few cycles; a simulator has no clock to live up to."""
SILENCE = 1 << 17


class Fault(enum.IntEnum):
    """What can be broken in :data:`CONFIG`, one at a time, chosen at run time."""

    NONE = 0
    FACTOR_BIT = 1  # factor memory: bit 3 of word 5, lane 2 reads one
    DRIVE_ADDRESS = 2  # drive memory: the read port takes address bit 2 as zero
    COPY_BIT = 3  # the state memory's second copy: bit 14 of word 7, lane 1 reads zero
    SUM_BIT = 4  # memory of sums: bit 20 of word 70 (bank 1, word 6), lane 0 reads zero
    SQUARE_BIT = 5  # memory of squares: bit 12 of word 3, lane 1 reads one
    SAMPLE_BIT = 6  # sample ring: bit 0 of word 40, lane 1 reads one
    LANE_HIGH = 7  # multiplier of unit lane 1, rank lane 0: bit 9 of the product is one
    LANE_LOW = 8  # multiplier of unit lane 0, rank lane 1: bit 5 of the product is zero
    NOISE_TAP = 9  # unit lane 1's generator: bit 17 after a draw depends on bit 40 too
    DITHER = 10  # unit lane 0: bit 11 of what stochastic rounding adds is zero


def verilog(config: FabricConfig, line: Line) -> str:
    """As :func:`ornstein.hdl.top.verilog`, with an input ``fault`` that takes a :class:`Fault`."""
    fault = Signal(Fault)
    healthy = Fabric.elaborate

    def elaborate(fabric: Fabric, platform):
        m = healthy(fabric, platform)
        parts = m.submodules
        _stick_cell(
            parts.factor_1,
            fault == Fault.FACTOR_BIT,
            word=5,
            lane=0,
            bit=3,
            level=1,
            port="address",
        )
        _stick_cell(parts.state_late, fault == Fault.COPY_BIT, word=7, lane=1, bit=14, level=0)
        _stick_cell(parts.sums, fault == Fault.SUM_BIT, word=70, lane=0, bit=20, level=0)
        _stick_cell(parts.squares, fault == Fault.SQUARE_BIT, word=3, lane=1, bit=12, level=1)
        _stick_cell(parts.samples, fault == Fault.SAMPLE_BIT, word=40, lane=1, bit=0, level=1)
        _stick(parts.drive, "read_address", fault == Fault.DRIVE_ADDRESS, bit=2, level=0)
        _stick(parts.noise_0, "dither", fault == Fault.DITHER, bit=11, level=0)
        _add_tap(parts.noise_1, fault == Fault.NOISE_TAP, bit=17, tap=40)

        def elaborate_lanes(platform):
            m = Lanes.elaborate(parts.lanes, platform)
            _stick(m.submodules.multiplier_1_0, "product", fault == Fault.LANE_HIGH, bit=9, level=1)
            _stick(m.submodules.multiplier_0_1, "product", fault == Fault.LANE_LOW, bit=5, level=0)
            return m

        parts.lanes.elaborate = elaborate_lanes
        return m

    with mock.patch.object(Fabric, "elaborate", elaborate):
        return top.verilog(config, line, silence=SILENCE, inputs={"fault": fault})


def _replace(component: Component, port: str, change: Callable[[Module, Value], Value]) -> None:
    """Lets what leaves (or enters) a component by a port be what ``change`` makes of it."""
    kind, member = type(component), component.signature.members[port]

    def elaborate(platform):
        m = Module()
        inner = copy.copy(component)
        setattr(inner, port, Signal(member.shape, name=port))
        m.submodules.healthy = kind.elaborate(inner, platform)
        ends = Value.cast(getattr(inner, port)), Value.cast(getattr(component, port))
        source, target = ends if member.flow == Out else reversed(ends)
        m.d.comb += target.eq(change(m, source))
        return m

    component.elaborate = elaborate


def _stick(component: Component, port: str, when: Value, *, bit: int, level: int) -> None:
    """One bit of a port keeps its level."""
    _replace(
        component,
        port,
        lambda _, value: Mux(when, value | 1 << bit if level else value & ~(1 << bit), value),
    )


def _stick_cell(
    memory: Component,
    when: Value,
    *,
    word: int,
    lane: int,
    bit: int,
    level: int,
    port: str = "read_address",
) -> None:
    """One bit of a memory, whose words ``port`` names, keeps its level."""
    place = lane * len(memory.read_data[0]) + bit

    def change(m, value):
        address = getattr(memory, port)
        for _ in range(Timing.of(CONFIG).read):
            later = Signal.like(address)
            m.d.sync += later.eq(address)
            address = later
        stuck = value | 1 << place if level else value & ~(1 << place)
        return Mux(when & (address == word), stuck, value)

    _replace(memory, "read_data", change)


def _add_tap(source: noise.NoiseSource, when: Value, *, bit: int, tap: int) -> None:
    """One bit of the generator's next state depends on one bit too many of the present one."""
    healthy = noise.fed_back

    def fed_back(state):
        entering = healthy(state)
        return (
            entering if state is source.state else entering ^ (when & source.state[tap]) << bit
        )  # the last leap

    def elaborate(platform):
        with mock.patch.object(noise, "fed_back", fed_back):
            return noise.NoiseSource.elaborate(source, platform)

    source.elaborate = elaborate
