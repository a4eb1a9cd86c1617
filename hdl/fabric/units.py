# SPDX-License-Identifier: Apache-2.0
"""The unit lanes: each has an update, a noise generator and its seed."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.config import SEED_WIDTH, STATE_WIDTH, FabricConfig
from ornstein.hdl.engine.noise import NoiseSource
from ornstein.hdl.engine.sequencer import LEVEL
from ornstein.hdl.engine.update import Update
from ornstein.hdl.fabric.bank import AccessSignature, BusView
from ornstein.hdl.hops import hops
from ornstein.hdl.micro import micro_layout
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import ELEMENT_BITS, Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing

HALVES = SEED_WIDTH // ELEMENT_BITS
"""Elements of a seed."""


class UnitLane(wiring.Component):
    """One unit lane: updates one unit a cycle, :attr:`Timing.update` cycles from ``valid`` to
    ``next``.

    Members
    -------
    valid, micro : in; a unit's update begins
    micro_soon : in; ``micro`` one cycle earlier
    level : LEVEL, in; constant while units are in flight
    accumulator, state, drive : signed, in, with ``micro``; coupling sum, state and bias
    previous : signed(code_width), in; previous noise of the unit, in the cycle after ``draw``
    draw : out; the noise is drawn in this cycle
    draw_soon : in; ``draw`` one cycle earlier
    code : signed(code_width), out; the noise, in the cycle after ``draw``
    next : signed(16), out; the new state
    saturated : out; ``next`` was clipped
    load : in; take the seed as the generator's state; one hop later
    seed_written : one bit a half, in; the bus writes that half of the seed; one hop later
    seed_word : unsigned(32), in; what it writes
    generator : unsigned(64), out; state of the generator
    """

    def __init__(self, config: FabricConfig, unit: int, *, substitute: Substitute = as_designed):
        self._config = config
        self._source = substitute(f"noise_{unit}", NoiseSource(fine=config.fine_noise))
        micro = micro_layout(config)
        super().__init__(
            {
                "valid": In(1),
                "micro": In(micro),
                "micro_soon": In(micro),
                "level": In(LEVEL),
                "accumulator": In(signed(config.accumulator_width)),
                "state": In(signed(STATE_WIDTH)),
                "drive": In(signed(STATE_WIDTH)),
                "previous": In(signed(config.code_width)),
                "draw": Out(1),
                "draw_soon": In(1),
                "code": Out(signed(config.code_width)),
                "next": Out(signed(STATE_WIDTH)),
                "saturated": Out(1),
                "load": In(1),
                "seed_written": In(HALVES),
                "seed_word": In(ELEMENT_BITS),
                "generator": Out(SEED_WIDTH),
            }
        )

    def elaborate(self, platform):
        m = Module()
        distance = hops(Timing.of(self._config).hop, m, platform)
        m.submodules.noise = source = self._source
        m.submodules.update = update = Update(self._config)
        level = self.level
        micro = distance.early(self.micro, self.micro_soon, "own_micro")
        m.d.comb += [
            update.valid.eq(self.valid),
            update.state.eq(self.state),
            update.drive.eq(self.drive),
            update.accumulator.eq(self.accumulator),
            update.coupled.eq(micro.coupled),
            update.biased.eq(micro.biased),
            update.noisy.eq(~micro.to_drive),
            update.shift.eq(micro.shift),
            update.bias_shift.eq(micro.bias_shift),
            update.keep.eq(level.keep),
            update.midpoint.eq(level.midpoint),
            update.dither_on.eq(level.dither),
            update.leak.eq(level.leak),
            update.quartic.eq(level.quartic),
            update.amplitude.eq(level.amplitude),
            update.code.eq(source.code),
            update.previous.eq(self.previous),
            update.dither.eq(source.dither),
            self.next.eq(update.next),
            self.saturated.eq(update.saturated),
            self.draw.eq(update.draw),
            self.code.eq(source.code),
        ]
        if self._config.fine_noise:
            m.d.comb += source.fine.eq(level.fine)
        seed = Signal(SEED_WIDTH)
        for half in range(HALVES):
            written = distance.relay(self.seed_written[half], f"seed_written_{half}")
            word = distance.relay(self.seed_word, f"seed_word_{half}")
            with m.If(written):
                m.d.sync += seed.word_select(half, ELEMENT_BITS).eq(word)
        m.d.comb += [
            source.seed.eq(seed),
            source.load.eq(distance.relay(self.load, "load_relayed")),
            source.advance.eq(distance.early(self.draw, self.draw_soon, "advance")),
            self.generator.eq(source.state),
        ]
        return m


class Units(wiring.Component):
    """All unit lanes, and the space of their seeds. Latencies are those of :class:`UnitLane`.

    Members
    -------
    access : AccessSignature, in; of the seeds
    element : unsigned(32), out; the half of a generator's state that the bus reads, three hops
        after its address
    saturated : out; at least one unit of the word was clipped
    The others are those of :class:`UnitLane`; what each lane has of its own is an array.
    """

    def __init__(self, config: FabricConfig, *, substitute: Substitute = as_designed):
        self._config = config
        units = config.unit_lanes
        self._lanes = [UnitLane(config, unit, substitute=substitute) for unit in range(units)]
        micro = micro_layout(config)
        states = data.ArrayLayout(signed(STATE_WIDTH), units)
        codes = data.ArrayLayout(signed(config.code_width), units)
        super().__init__(
            {
                "access": In(AccessSignature(config)),
                "element": Out(ELEMENT_BITS),
                "valid": In(1),
                "micro": In(micro),
                "micro_soon": In(micro),
                "level": In(LEVEL),
                "load": In(1),
                "accumulator": In(data.ArrayLayout(signed(config.accumulator_width), units)),
                "state": In(states),
                "drive": In(states),
                "previous": In(codes),
                "draw": Out(1),
                "draw_soon": In(1),
                "code": Out(codes),
                "next": Out(states),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        distance = hops(Timing.of(self._config).hop, m, platform)
        view = BusView(m, distance, self.access, spaces(self._config)[Space.SEED], "seed")
        for unit, lane in enumerate(self._lanes):
            m.submodules[f"lane_{unit}"] = lane
            m.d.comb += [
                lane.valid.eq(self.valid),
                lane.micro.eq(self.micro),
                lane.micro_soon.eq(self.micro_soon),
                lane.level.eq(self.level),
                lane.load.eq(self.load),
                lane.draw_soon.eq(self.draw_soon),
                lane.accumulator.eq(self.accumulator[unit]),
                lane.state.eq(self.state[unit]),
                lane.drive.eq(self.drive[unit]),
                lane.previous.eq(self.previous[unit]),
                lane.seed_written.eq(view.written.word_select(unit, HALVES)),
                lane.seed_word.eq(view.wdata),
                self.code[unit].eq(lane.code),
                self.next[unit].eq(lane.next),
            ]
        halves = [
            lane.generator.word_select(half, ELEMENT_BITS)
            for lane in self._lanes
            for half in range(HALVES)
        ]
        saturated = Signal(len(self._lanes))
        m.d.comb += [
            *(saturated[unit].eq(lane.saturated) for unit, lane in enumerate(self._lanes)),
            self.saturated.eq(saturated.any()),
            self.draw.eq(self._lanes[0].draw),
            self.element.eq(distance.choose(view.lane, halves, "element_register")),
        ]
        return m
