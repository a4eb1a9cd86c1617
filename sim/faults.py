# SPDX-License-Identifier: Apache-2.0
"""Gateware and integer models with faults, to prove that they are found and named. No part of any
product build.
"""

# The signature of an Amaranth component makes its ports, which no type checker sees.
# pyright: reportAttributeAccessIssue=false, reportGeneralTypeIssues=false
# pyright: reportArgumentType=false, reportOperatorIssue=false

import enum
from collections.abc import Callable
from dataclasses import replace

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib.wiring import Component, Out

from ornstein.hdl import top
from ornstein.hdl.config import SLOPE_WIDTH, STATE_WIDTH, TINY, FabricConfig
from ornstein.hdl.engine import noise
from ornstein.hdl.isa import DESCRIPTOR_WORDS, WORD_BITS
from ornstein.hdl.regmap import ELEMENT_BITS, SCRUBBED, Line, Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing
from ornstein.sim.model import FabricModel

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

    def stuck_cell(kind: Fault, **cell) -> Callable[[Component], Component]:
        return lambda memory: StuckCell(memory, fault == kind, **cell)

    def stuck_bit(kind: Fault, port: str, **bit) -> Callable[[Component], Component]:
        return lambda part: StuckBit(part, fault == kind, port, **bit)

    faults = {
        "factor_1": stuck_cell(Fault.FACTOR_BIT, word=5, lane=0, bit=3, level=1, port="address"),
        "state_copy": stuck_cell(Fault.COPY_BIT, word=7, lane=1, bit=14, level=0),
        "sum": stuck_cell(Fault.SUM_BIT, word=70, lane=0, bit=20, level=0),
        "square": stuck_cell(Fault.SQUARE_BIT, word=3, lane=1, bit=12, level=1),
        "sample": stuck_cell(Fault.SAMPLE_BIT, word=40, lane=1, bit=0, level=1),
        "drive": stuck_bit(Fault.DRIVE_ADDRESS, "read_address", bit=2, level=0),
        "multiplier_1_0": stuck_bit(Fault.LANE_HIGH, "product", bit=9, level=1),
        "multiplier_0_1": stuck_bit(Fault.LANE_LOW, "product", bit=5, level=0),
        "noise_0": stuck_bit(Fault.DITHER, "dither", bit=11, level=0),
        "noise_1": lambda source: ExtraTap(source, fault == Fault.NOISE_TAP, bit=17, tap=40),
    }

    def substitute(name: str, part: Component) -> Component:
        return faults[name](part) if name in faults else part

    return top.verilog(
        config, line, silence=SILENCE, inputs={"fault": fault}, substitute=substitute
    )


def upset_verilog(config: FabricConfig, line: Line) -> str:
    """As :func:`ornstein.hdl.top.verilog`, with inputs that change a bit of a memory.

    A bit changes in a cycle in which ``upset_memory`` is not zero: it is the place in
    :data:`ornstein.hdl.regmap.SCRUBBED`, from one. ``upset_word`` is the word, ``upset_bit`` the
    bit of the word, whose lanes lie side by side.
    """
    memory, word, bit = Signal(3), Signal(16), Signal(16)

    def substitute(name: str, part: Component) -> Component:
        space, _, unit = name.partition("_")
        names = [scrubbed.name.lower() for scrubbed in SCRUBBED]
        if space not in names:
            return part
        lanes = len(part.write_lanes)
        size = lanes * len(part.read_data[0])
        first = size * int(unit or 0)
        hit = (memory == 1 + names.index(space)) & (bit >= first) & (bit < first + size)
        read = 1 if space == "descriptor" else Timing.of(config).read
        return UpsetMemory(part, hit, word, (bit - first)[:16], read=read)

    inputs = {"upset_memory": memory, "upset_word": word, "upset_bit": bit}
    return top.verilog(config, line, inputs=inputs, substitute=substitute)


def change_bit(model: FabricModel, space: Space, word: int, bit: int) -> None:
    """Inverts a bit in a memory of the integer model, as
    :meth:`ornstein.sim.rtl.RtlTransport.upset` does in the gateware. The model has no scrubber:
    only a comparison with the program shows it.

    Parameters
    ----------
    space : a memory of :data:`ornstein.hdl.regmap.SCRUBBED`
    word, bit : of the word, whose lanes lie side by side
    """
    info = spaces(model.config)[space]
    lane, bit = divmod(bit, info.bits)
    if space in (Space.FACTOR, Space.DRIVE):
        memory = model.factor if space == Space.FACTOR else model.drive
        changed = int(memory[word, lane]) & (1 << info.bits) - 1 ^ 1 << bit
        memory[word, lane] = changed - ((changed >> info.bits - 1) << info.bits)
    elif space == Space.DESCRIPTOR:
        element = word * info.lanes + lane
        part = element * (ELEMENT_BITS // WORD_BITS) + bit // WORD_BITS
        model.descriptors[divmod(part, DESCRIPTOR_WORDS)] ^= 1 << bit % WORD_BITS
    else:
        is_slope, bit = divmod(bit, STATE_WIDTH)
        size = SLOPE_WIDTH if is_slope else STATE_WIDTH
        changed = int(model.activation[word, is_slope]) & (1 << size) - 1 ^ 1 << bit
        model.activation[word, is_slope] = changed - ((changed >> size - 1) << size)


def _pass_through(m: Module, part: Component, healthy: Component, change) -> None:
    """Connects the members of a part to those of what it replaces, each through ``change(name,
    value)``.
    """
    m.submodules.healthy = healthy
    for name, member in part.signature.members.items():
        ends = Value.cast(getattr(healthy, name)), Value.cast(getattr(part, name))
        source, target = ends if member.flow == Out else reversed(ends)
        m.d.comb += target.eq(change(name, source))


class UpsetMemory(Component):
    """A memory in which ``hit`` inverts a cell, until it is written again.

    Parameters
    ----------
    healthy : a memory of :mod:`ornstein.hdl.memory`; its members are those of this component
    hit : the cell is inverted in this cycle; it is one at a time
    word, bit : the cell, with ``hit``
    read : cycles from an address to its word
    """

    def __init__(self, healthy: Component, hit: Value, word: Value, bit: Value, *, read: int):
        self._healthy, self._hit, self._word, self._bit = healthy, hit, word, bit
        self._read = read
        super().__init__(healthy.signature)

    def elaborate(self, platform):
        m = Module()
        single = "address" in self.signature.members
        read_address = self.address if single else self.read_address
        write_address = self.address if single else self.write_address
        at, mask = Signal(16), Signal(len(Value.cast(self.read_data)))
        width = len(mask) // len(self.write_lanes)
        struck = Cat(mask[lane * width :][:width].any() for lane in range(len(self.write_lanes)))
        with m.If(self._hit):
            m.d.sync += [at.eq(self._word), mask.eq(1 << self._bit[: len(mask).bit_length()])]
        with m.Elif((self.write_lanes & struck).any() & (write_address == at)):
            m.d.sync += mask.eq(0)
        for _ in range(self._read):
            later = Signal.like(read_address)
            m.d.sync += later.eq(read_address)
            read_address = later
        inverted = Mux(read_address == at, mask, 0)

        def change(name, value):
            return value ^ inverted if name == "read_data" else value

        _pass_through(m, self, self._healthy, change)
        return m


class StuckBit(Component):
    """A part of which one bit of a port keeps its level while ``when``.

    Parameters
    ----------
    healthy : the part; its members are those of this component
    port : name of the member, an input or an output
    bit, level : of the member as one number
    """

    def __init__(self, healthy: Component, when: Value, port: str, *, bit: int, level: int):
        self._healthy, self._when, self._port = healthy, when, port
        self._bit, self._level = bit, level
        super().__init__(healthy.signature)

    def elaborate(self, platform):
        m = Module()
        when, mask = self._when_stuck(m), 1 << self._bit

        def change(name, value):
            if name != self._port:
                return value
            return Mux(when, value | mask if self._level else value & ~mask, value)

        _pass_through(m, self, self._healthy, change)
        return m

    def _when_stuck(self, m: Module) -> Value:
        """The cycles in which the bit is stuck."""
        return self._when


class StuckCell(StuckBit):
    """A memory of which one cell keeps its level while ``when``.

    Parameters
    ----------
    port : name of the address input
    """

    def __init__(
        self,
        healthy: Component,
        when: Value,
        *,
        word: int,
        lane: int,
        bit: int,
        level: int,
        port: str = "read_address",
    ):
        self._word, self._address = word, port
        place = lane * len(healthy.read_data[0]) + bit
        super().__init__(healthy, when, "read_data", bit=place, level=level)

    def _when_stuck(self, m: Module) -> Value:
        address = getattr(self, self._address)
        for _ in range(Timing.of(CONFIG).read):
            later = Signal.like(address)
            m.d.sync += later.eq(address)
            address = later
        return self._when & (address == self._word)


class ExtraTap(Component):
    """A noise generator of which one bit of the next state depends on one bit too many of the
    present one while ``when``: instead of advancing, it loads the wrong state as a seed.
    """

    def __init__(self, healthy: noise.NoiseSource, when: Value, *, bit: int, tap: int):
        self._healthy, self._when, self._bit, self._tap = healthy, when, bit, tap
        super().__init__(healthy.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.healthy = healthy = self._healthy
        wrong = noise.advance(healthy.state) ^ (healthy.state[self._tap] << self._bit)
        m.d.comb += [
            healthy.seed.eq(Mux(self.load, self.seed, wrong)),
            healthy.load.eq(self.load | (self.advance & self._when)),
            healthy.advance.eq(self.advance),
            self.state.eq(healthy.state),
            self.code.eq(healthy.code),
            self.dither.eq(healthy.dither),
        ]
        return m
