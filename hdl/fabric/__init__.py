# SPDX-License-Identifier: Apache-2.0
"""The fabric: memories, sequencer, lanes, units and read-out behind one bus.

This file only connects components. It knows nothing of modules, ranks or layers of a program: words
and units are all there is.
"""

from collections.abc import Callable
from dataclasses import replace

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl import regmap
from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.engine.lanes import Lanes
from ornstein.hdl.engine.sequencer import Sequencer
from ornstein.hdl.fabric.access import Access
from ornstein.hdl.fabric.bank import Bank
from ornstein.hdl.fabric.control import ControlRegisters
from ornstein.hdl.fabric.factors import FactorBank
from ornstein.hdl.fabric.ranks import ActivationTable, RankBank
from ornstein.hdl.fabric.readback import Readback
from ornstein.hdl.fabric.samples import SampleRing
from ornstein.hdl.fabric.scrubber import Scrubber
from ornstein.hdl.fabric.statistics import Accumulator
from ornstein.hdl.fabric.units import Units
from ornstein.hdl.hops import Far, Near, hops
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import MicroPipe, Stage
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import COUNTERS, SCRUBBED, Control, Space
from ornstein.hdl.spaces import When, bus_width, spaces
from ornstein.hdl.timing import Timing


class Fabric(wiring.Component):
    """All of the machine but its link.

    Members
    -------
    bus : BusSignature, in; spaces and registers of :mod:`ornstein.hdl.regmap`. How long an access
        takes is said in :class:`ornstein.hdl.fabric.access.Access`. Addresses beyond the end of a
        space wrap.
    events : out; bits of :class:`regmap.Event`

    Parameters
    ----------
    line : what the identity says of the link
    substitute : may replace parts, see :mod:`ornstein.hdl.parts`
    """

    def __init__(
        self,
        config: FabricConfig,
        line: regmap.Line = regmap.NO_LINE,
        *,
        substitute: Substitute = as_designed,
    ):
        self._config, self._timing = config, Timing.of(config)
        self._banks = _banks(config, substitute)
        # the update needs a state while PROJECT reads another one: a second copy, for it alone
        self._state_copy = Bank(
            config,
            replace(spaces(config)[Space.STATE], read=When.NEVER),
            name="state_copy",
            engine_writes=True,
            substitute=substitute,
        )
        self._factors = [
            FactorBank(config, unit, substitute=substitute) for unit in range(config.unit_lanes)
        ]
        self._units = Units(config, substitute=substitute)
        self._control = ControlRegisters(config)
        self._sequencer = Sequencer(config)
        self._lanes = Lanes(config, substitute=substitute)
        self._readback = Readback(config, line)
        self._scrubber = Scrubber(config) if config.scrub else None
        # (space, component) of each name on the bus; those with an element can be read back
        self._with_element = {
            space.name.lower(): (space, bank) for space, bank in self._banks.items()
        }
        for unit, bank in enumerate(self._factors):
            self._with_element[f"factor_{unit}"] = Space.FACTOR, bank
        self._with_element["seed"] = Space.SEED, self._units
        self._users = self._with_element | {
            "state_copy": (Space.STATE, self._state_copy),
            "control": (Space.CONTROL, self._control),
        }
        self._access = Access(config, {name: space for name, (space, _) in self._users.items()})
        super().__init__(
            {
                "bus": In(BusSignature(bus_width(config))),
                "events": Out(regmap.EVENTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        distance = hops(self._timing.hop, m, platform)
        m.submodules.units = self._units
        m.submodules.control = self._control
        m.submodules.sequencer = self._sequencer
        m.submodules.lanes = self._lanes
        m.submodules.readback = self._readback
        m.submodules.access = self._access
        for name, (_, user) in self._users.items():
            if user not in (self._units, self._control):
                m.submodules[f"{name}_bank"] = user
        self._connect_bus(m)
        self._connect_jobs(m, distance)
        self._connect_operands(m, distance)
        self._connect_ranks(m)
        self._connect_updates(m)
        return m

    def _connect_bus(self, m: Module):
        """The bus, its users, and what a read returns."""
        access, readback, control = self._access, self._readback, self._control
        scrubber, idle = self._scrubber, control.idle
        if scrubber:
            self._connect_scrubber(m, scrubber)
            idle |= scrubber.owns
        else:
            connect(m, flipped(self.bus), access.bus)
        for name, (_, user) in self._users.items():
            connect(m, getattr(access, name), user.access)
        for name, (_, bank) in self._with_element.items():
            m.d.comb += readback.elements[name].eq(bank.element)
        m.d.comb += [
            readback.address.eq(access.address),
            readback.selected.eq(access.selected),
            readback.control.eq(control.word),
            access.rdata.eq(readback.rdata),
            access.idle.eq(idle),
            access.start_refused.eq(control.start_refused),
            self.events.eq(control.events),
        ]

    def _connect_scrubber(self, m: Module, scrubber: Scrubber):
        """The scrubber between the link and the memories, and between the end of a job and what the
        registers say of it."""
        access, control, sequencer = self._access, self._control, self._sequencer
        m.submodules.scrubber = scrubber
        connect(m, flipped(self.bus), scrubber.bus)
        connect(m, scrubber.onward, access.bus)
        connect(m, control.scrub, scrubber.registers)
        m.d.comb += [
            scrubber.idle.eq(control.idle),
            scrubber.job_running.eq(sequencer.running),
            scrubber.job_finished.eq(sequencer.finished),
        ]
        for space in SCRUBBED:
            banks = self._factors if space == Space.FACTOR else [self._banks[space]]
            elements = Value.cast(scrubber.elements[space.name.lower()])
            m.d.comb += elements.eq(Cat(bank.element for bank in banks))

    def _connect_jobs(self, m: Module, distance: Near | Far):
        """Jobs to the sequencer, and descriptors to it from their memory."""
        sequencer, control = self._sequencer, self._control
        descriptor = self._banks[Space.DESCRIPTOR]
        ends = self._scrubber or sequencer  # who says that a job has ended
        m.d.comb += [
            control.running.eq(ends.running),
            control.finished.eq(ends.finished),
            sequencer.start.eq(control.start),
            sequencer.first.eq(control.job.first),
            sequencer.levels.eq(control.job.levels),
            sequencer.abort.eq(control.aborting),
            sequencer.bank.eq(control.bank),
            sequencer.bank_offset.eq(control.bank_offset),
            descriptor.read_address.eq(sequencer.descriptor_address),
            sequencer.descriptor_data.eq(distance.relay(Cat(descriptor.word), "descriptor_data")),
        ]

    def _connect_operands(self, m: Module, distance: Near | Far):
        """Micro-operations and their operands from the sequencer through the memories to the lanes,
        and from the rank words through the activation table."""
        sequencer, lanes = self._sequencer, self._lanes
        issue, micro = (
            distance.relay(sequencer.issue, "issue"),
            distance.relay(sequencer.micro, "micro"),
        )
        issues = MicroPipe(m, 0, issue, micro, self._timing.read)
        issued, issued_soon = issues[self._timing.read], issues[self._timing.read - 1]
        state, drive, rank = (
            self._banks[Space.STATE],
            self._banks[Space.DRIVE],
            self._banks[Space.RANK],
        )
        factor_row = sequencer.factor  # waits for vectors and rank words, which have further to go
        for cycle in range(self._timing.spread):
            factor_row = distance.relay(factor_row, f"factor_row_{cycle}")
        m.d.comb += [
            *(bank.read_address.eq(factor_row) for bank in self._factors),
            state.read_address.eq(distance.relay(sequencer.source, "state_source")),
            rank.read_address.eq(distance.relay(sequencer.source, "rank_source")),
            drive.read_address.eq(
                Mux(
                    lanes.unit_soon,
                    lanes.unit_soon_micro.bias,
                    distance.relay(sequencer.source, "drive_source"),
                )
            ),
            self._state_copy.read_address.eq(lanes.unit_soon_micro.dest),
            lanes.valid.eq(issued.valid),
            lanes.micro.eq(issued.micro),
            Cat(lanes.factor).eq(Cat(*(Cat(bank.word) for bank in self._factors))),
            Cat(lanes.vector).eq(Mux(issued.micro.from_drive, Cat(drive.word), Cat(state.word))),
            lanes.rank.eq(rank.word),
        ]
        activation = self._banks[Space.ACTIVATION]
        m.d.comb += [
            rank.lane.eq(issued.micro.lane),
            rank.lane_soon.eq(issued_soon.micro.lane),
            rank.lane_valid.eq(issued.valid),
            activation.argument.eq(rank.element),
            lanes.entry.eq(activation.entry),
            lanes.fraction.eq(activation.fraction),
        ]
        counts_issue = issued.valid & (issued.micro.operation != Operation.ACTIVATE)
        m.d.comb += self._control.counted[COUNTERS.index(Control.ISSUED) - 1].eq(counts_issue)

    def _connect_ranks(self, m: Module):
        """Rank words from the lanes to their memory: sums, and activations lane by lane."""
        rank, lanes = self._banks[Space.RANK], self._lanes
        clipped = lanes.rank_valid & lanes.rank_saturated
        m.d.comb += [
            rank.sum_valid.eq(lanes.rank_valid),
            rank.sum_soon.eq(lanes.rank_soon),
            rank.sum_address.eq(lanes.rank_micro.dest),
            rank.sum_word.eq(lanes.rank_next),
            rank.single_valid.eq(lanes.activated_valid),
            rank.single_address.eq(lanes.activated_micro.dest),
            rank.single_lane.eq(lanes.activated_micro.lane),
            rank.single_value.eq(lanes.activated),
            self._control.counted[COUNTERS.index(Control.RANK_SATURATIONS) - 1].eq(clipped),
        ]

    def _connect_updates(self, m: Module):
        """Vector words through the unit lanes. Time 0 is the cycle in which an update begins."""
        lanes, units, drive = self._lanes, self._units, self._banks[Space.DRIVE]
        sequencer, control = self._sequencer, self._control
        announced = MicroPipe(
            m, -self._timing.read, lanes.unit_soon, lanes.unit_soon_micro, -1, name="unit_"
        )
        begun = MicroPipe(
            m, 0, lanes.unit_valid, lanes.unit_micro, self._timing.update + 1, name="unit_"
        )

        def stage(time):
            return (announced if time < 0 else begun)[time]

        noise, draw_soon = self._banks[Space.NOISE], stage(self._timing.draw - 1)
        m.d.comb += [
            units.valid.eq(lanes.unit_valid),
            units.micro.eq(lanes.unit_micro),
            units.micro_soon.eq(stage(-1).micro),
            units.level.eq(sequencer.level),
            units.load.eq(sequencer.start & control.job.reseed),
            units.accumulator.eq(lanes.unit_sums),
            units.state.eq(self._state_copy.word),
            units.drive.eq(drive.word),
            units.previous.eq(noise.word),
            units.draw_soon.eq(draw_soon.valid & ~draw_soon.micro.to_drive),
            noise.read_address.eq(stage(self._timing.draw + 1 - self._timing.read).micro.dest),
            noise.write_address.eq(stage(self._timing.draw + 1).micro.dest),
            noise.write_word.eq(units.code),
            noise.writing_soon.eq(units.draw),
        ]
        m.d.sync += noise.writing.eq(units.draw)
        self._connect_states(m, stage)
        self._connect_statistics(m, stage)

    def _connect_states(self, m: Module, stage: Callable[[int], Stage]):
        """New states to their memories, and to the arbitration of the bus."""
        units, access, sequencer = self._units, self._access, self._sequencer
        state, drive = self._banks[Space.STATE], self._banks[Space.DRIVE]
        new, new_soon = stage(self._timing.update), stage(self._timing.update - 1)
        for bank in (state, self._state_copy, drive):
            now, soon = new.micro.to_drive, new_soon.micro.to_drive
            m.d.comb += [
                bank.write_address.eq(new.micro.dest),
                bank.write_word.eq(units.next),
                bank.writing.eq(new.valid & (now if bank is drive else ~now)),
                bank.writing_soon.eq(new_soon.valid & (soon if bank is drive else ~soon)),
            ]
        writes_soon = stage(self._timing.update - self._timing.bus_write)
        reads_soon = stage(self._timing.sum_read - 1)
        m.d.comb += [
            access.writes_soon.eq(writes_soon.valid & writes_soon.micro.to_drive),
            access.reads_soon.eq(
                sequencer.level.accumulate & (reads_soon.valid | stage(self._timing.sum_read).valid)
            ),
        ]
        clipped = new.valid & units.saturated
        m.d.comb += self._control.counted[COUNTERS.index(Control.STATE_SATURATIONS) - 1].eq(clipped)

    def _connect_statistics(self, m: Module, stage: Callable[[int], Stage]):
        """New states to their sums, the sums of their squares, and the sample stream."""
        units, sequencer, control = self._units, self._sequencer, self._control
        state = self._banks[Space.STATE]
        new, new_soon = stage(self._timing.update), stage(self._timing.update - 1)
        for space, later in ((Space.SUM, 0), (Space.SQUARE, 1)):
            if space in self._banks:
                sums = self._banks[space]
                for port, time in (
                    (sums.read, self._timing.sum_read + later),
                    (sums.write_soon, self._timing.update - 1 + later),
                    (sums.write, self._timing.update + later),
                ):
                    m.d.comb += [port.valid.eq(stage(time).valid), port.micro.eq(stage(time).micro)]
                m.d.comb += [
                    sums.accumulate.eq(sequencer.level.accumulate),
                    sums.job_bank.eq(control.bank),
                    sums.states.eq(units.next),
                ]
        if Space.SAMPLE in self._banks:
            samples = self._banks[Space.SAMPLE]
            m.d.comb += [
                samples.states.eq(units.next),
                samples.sampled.eq(state.writing & new.micro.sample),
                samples.sampled_soon.eq(state.writing_soon & new_soon.micro.sample),
                samples.taken.eq(control.taken),
                control.samples.eq(samples.entered),
                control.half_full.eq(samples.half_full),
                sequencer.hold.eq(samples.hold),
            ]


def _banks(config: FabricConfig, substitute: Substitute) -> dict[Space, wiring.Component]:
    """The component that holds each space, but for control, identity, seeds and factors."""
    rows = spaces(config)

    def bank(space: Space, **options) -> Bank:
        return Bank(config, rows[space], substitute=substitute, **options)

    banks = {
        Space.STATE: bank(Space.STATE, engine_writes=True),
        Space.DRIVE: bank(Space.DRIVE, engine_writes=True),
        Space.RANK: RankBank(config, substitute=substitute),
        Space.DESCRIPTOR: bank(Space.DESCRIPTOR, hop=0),
        Space.ACTIVATION: ActivationTable(config, substitute=substitute),
        Space.NOISE: bank(Space.NOISE, engine_writes=True),
        Space.SUM: Accumulator(config, 1, substitute=substitute),
    }
    if Space.SQUARE in rows:
        banks[Space.SQUARE] = Accumulator(config, 2, substitute=substitute)
    if Space.SAMPLE in rows:
        banks[Space.SAMPLE] = SampleRing(config, substitute=substitute)
    return banks
