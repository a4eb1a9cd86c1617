# SPDX-License-Identifier: Apache-2.0
"""The fabric: memories, sequencer, lanes, units and read-out behind one bus.

This file only connects components. It knows nothing of modules, ranks or layers of a program: words
and units are all there is.
"""

from dataclasses import replace

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl import regmap
from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric.access import Access
from ornstein.hdl.fabric.bank import Bank
from ornstein.hdl.fabric.control import ControlRegisters
from ornstein.hdl.fabric.factors import FactorBank
from ornstein.hdl.fabric.ranks import ActivationTable, RankBank
from ornstein.hdl.fabric.readback import Readback
from ornstein.hdl.fabric.samples import SampleRing
from ornstein.hdl.fabric.statistics import Accumulator
from ornstein.hdl.fabric.units import Units
from ornstein.hdl.hops import hops
from ornstein.hdl.isa import Operation
from ornstein.hdl.lanes import Lanes
from ornstein.hdl.micro import MicroPipe
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import Space
from ornstein.hdl.sequencer import Sequencer
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
        self._config, self._line, self._substitute = config, line, substitute
        super().__init__(
            {
                "bus": In(BusSignature(bus_width(config))),
                "events": Out(regmap.EVENTS),
            }
        )

    def _banks(self) -> dict[Space, wiring.Component]:
        """The component that holds each space, but for control, identity, seeds and factors."""
        config, substitute = self._config, self._substitute
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

    def elaborate(self, platform):
        m = Module()
        config, timing = self._config, Timing.of(self._config)
        distance = hops(timing.hop, m, platform)
        rows = spaces(config)

        # ---- components ----------------------------------------------------------------------
        banks = self._banks()
        # the update needs a state while PROJECT reads another one: a second copy, for it alone
        state_copy = Bank(
            config,
            replace(rows[Space.STATE], read=When.NEVER),
            name="state_copy",
            engine_writes=True,
            substitute=self._substitute,
        )
        factors = [
            FactorBank(config, unit, substitute=self._substitute)
            for unit in range(config.unit_lanes)
        ]
        m.submodules.units = units = Units(config, substitute=self._substitute)
        m.submodules.control = control = ControlRegisters(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.lanes = lanes = Lanes(config, substitute=self._substitute)
        m.submodules.readback = readback = Readback(config, self._line)

        # ---- the bus and its users -----------------------------------------------------------
        holders = {rows[space].name: (space, bank) for space, bank in banks.items()}
        holders |= {f"factor_{unit}": (Space.FACTOR, bank) for unit, bank in enumerate(factors)}
        holders |= {"seed": (Space.SEED, units)}
        users = holders | {
            "state_copy": (Space.STATE, state_copy),
            "control": (Space.CONTROL, control),
        }
        m.submodules.access = access = Access(
            config, {name: space for name, (space, _) in users.items()}
        )
        connect(m, flipped(self.bus), access.bus)
        for name, (_, user) in users.items():
            if user not in (units, control):
                m.submodules[f"{name}_bank"] = user
            connect(m, getattr(access, name), user.access)
        for name, (_, bank) in holders.items():
            m.d.comb += getattr(readback, name).eq(bank.element)
        m.d.comb += [
            readback.address.eq(access.address),
            readback.selected.eq(access.selected),
            readback.control.eq(control.word),
            access.rdata.eq(readback.rdata),
            access.idle.eq(control.idle),
            access.start_refused.eq(control.start_refused),
            self.events.eq(control.events),
        ]

        # ---- jobs and descriptors ------------------------------------------------------------
        descriptor = banks[Space.DESCRIPTOR]
        m.d.comb += [
            control.running.eq(sequencer.running),
            control.finished.eq(sequencer.finished),
            sequencer.start.eq(control.start),
            sequencer.first.eq(control.job.first),
            sequencer.levels.eq(control.job.levels),
            sequencer.bank.eq(control.bank),
            sequencer.bank_offset.eq(control.bank_offset),
            descriptor.read_address.eq(sequencer.descriptor_address),
            sequencer.descriptor_data.eq(distance.relay(Cat(descriptor.word), "descriptor_data")),
        ]

        # ---- from the sequencer through the operands' memories to the lanes ------------------
        issue, micro = (
            distance.relay(sequencer.issue, "issue"),
            distance.relay(sequencer.micro, "micro"),
        )
        issues = MicroPipe(m, 0, issue, micro, timing.read)
        issued, issued_soon = issues[timing.read], issues[timing.read - 1]
        state, drive, rank = banks[Space.STATE], banks[Space.DRIVE], banks[Space.RANK]
        factor_row = sequencer.factor  # waits for vectors and rank words, which have further to go
        for cycle in range(timing.spread):
            factor_row = distance.relay(factor_row, f"factor_row_{cycle}")
        m.d.comb += [
            *(bank.read_address.eq(factor_row) for bank in factors),
            state.read_address.eq(distance.relay(sequencer.source, "state_source")),
            rank.read_address.eq(distance.relay(sequencer.source, "rank_source")),
            drive.read_address.eq(
                Mux(
                    lanes.unit_soon,
                    lanes.unit_soon_micro.bias,
                    distance.relay(sequencer.source, "drive_source"),
                )
            ),
            state_copy.read_address.eq(lanes.unit_soon_micro.dest),
            lanes.valid.eq(issued.valid),
            lanes.micro.eq(issued.micro),
            Cat(lanes.factor).eq(Cat(*(Cat(bank.word) for bank in factors))),
            Cat(lanes.vector).eq(Mux(issued.micro.from_drive, Cat(drive.word), Cat(state.word))),
            lanes.rank.eq(rank.word),
        ]

        # ---- rank words: sums, and activations lane by lane ----------------------------------
        activation = banks[Space.ACTIVATION]
        m.d.comb += [
            rank.lane.eq(issued.micro.lane),
            rank.lane_soon.eq(issued_soon.micro.lane),
            rank.lane_valid.eq(issued.valid),
            activation.argument.eq(rank.element),
            lanes.entry.eq(activation.entry),
            lanes.fraction.eq(activation.fraction),
            rank.sum_valid.eq(lanes.rank_valid),
            rank.sum_soon.eq(lanes.rank_soon),
            rank.sum_address.eq(lanes.rank_micro.dest),
            rank.sum_word.eq(lanes.rank_next),
            rank.single_valid.eq(lanes.activated_valid),
            rank.single_address.eq(lanes.activated_micro.dest),
            rank.single_lane.eq(lanes.activated_micro.lane),
            rank.single_value.eq(lanes.activated),
        ]

        # ---- updates: time 0 is the cycle in which a vector word's update begins -------------
        announced = MicroPipe(
            m, -timing.read, lanes.unit_soon, lanes.unit_soon_micro, -1, name="unit_"
        )
        begun = MicroPipe(m, 0, lanes.unit_valid, lanes.unit_micro, timing.update + 1, name="unit_")

        def stage(time):
            return (announced if time < 0 else begun)[time]

        new, new_soon = stage(timing.update), stage(timing.update - 1)
        noise, draw_soon = banks[Space.NOISE], stage(timing.draw - 1)
        m.d.comb += [
            units.valid.eq(lanes.unit_valid),
            units.micro.eq(lanes.unit_micro),
            units.micro_soon.eq(stage(-1).micro),
            units.level.eq(sequencer.level),
            units.load.eq(sequencer.start & control.job.reseed),
            units.accumulator.eq(lanes.unit_sums),
            units.state.eq(state_copy.word),
            units.drive.eq(drive.word),
            units.previous.eq(noise.word),
            units.draw_soon.eq(draw_soon.valid & ~draw_soon.micro.to_drive),
            noise.read_address.eq(stage(timing.draw + 1 - timing.read).micro.dest),
            noise.write_address.eq(stage(timing.draw + 1).micro.dest),
            noise.write_word.eq(units.code),
            noise.writing_soon.eq(units.draw),
        ]
        m.d.sync += noise.writing.eq(units.draw)

        # ---- new states: to memories, statistics and samples ---------------------------------
        for bank in (state, state_copy, drive):
            now, soon = new.micro.to_drive, new_soon.micro.to_drive
            m.d.comb += [
                bank.write_address.eq(new.micro.dest),
                bank.write_word.eq(units.next),
                bank.writing.eq(new.valid & (now if bank is drive else ~now)),
                bank.writing_soon.eq(new_soon.valid & (soon if bank is drive else ~soon)),
            ]
        writes_soon = stage(timing.update - timing.bus_write)
        reads_soon = stage(timing.sum_read - 1)
        m.d.comb += [
            access.writes_soon.eq(writes_soon.valid & writes_soon.micro.to_drive),
            access.reads_soon.eq(
                sequencer.level.accumulate & (reads_soon.valid | stage(timing.sum_read).valid)
            ),
        ]
        for space, later in ((Space.SUM, 0), (Space.SQUARE, 1)):
            if space in banks:
                times = {
                    "read": timing.sum_read + later,
                    "write_soon": timing.update - 1 + later,
                    "write": timing.update + later,
                }
                for name, time in times.items():
                    port = getattr(banks[space], name)
                    m.d.comb += [port.valid.eq(stage(time).valid), port.micro.eq(stage(time).micro)]
                m.d.comb += [
                    banks[space].accumulate.eq(sequencer.level.accumulate),
                    banks[space].job_bank.eq(control.bank),
                    banks[space].states.eq(units.next),
                ]
        if Space.SAMPLE in banks:
            samples = banks[Space.SAMPLE]
            m.d.comb += [
                samples.states.eq(units.next),
                samples.sampled.eq(state.writing & new.micro.sample),
                samples.sampled_soon.eq(state.writing_soon & new_soon.micro.sample),
                samples.taken.eq(control.taken),
                control.samples.eq(samples.entered),
                control.half_full.eq(samples.half_full),
                sequencer.hold.eq(samples.hold),
            ]
        m.d.comb += control.counted.eq(
            Cat(
                issued.valid & (issued.micro.operation != Operation.ACTIVATE),
                lanes.rank_valid & lanes.rank_saturated,
                new.valid & units.saturated,
            )
        )
        return m
