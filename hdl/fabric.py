# SPDX-License-Identifier: Apache-2.0
"""The fabric: memories, sequencer, lanes, updates, noise and read-out behind one bus. It knows only
units and words.
"""

from functools import reduce
from operator import or_
from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import regmap
from ornstein.hdl.arithmetic import select
from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import (
    ACTIVATION_ENTRIES,
    SEED_WIDTH,
    SLOPE_WIDTH,
    STATE_WIDTH,
    FabricConfig,
)
from ornstein.hdl.engine.lanes import FRACTION_WIDTH, Lanes
from ornstein.hdl.engine.noise import NoiseSource
from ornstein.hdl.engine.sequencer import Sequencer
from ornstein.hdl.engine.update import Update
from ornstein.hdl.hops import hops, kept_register
from ornstein.hdl.isa import Operation
from ornstein.hdl.memory import FactorMemory, LaneMemory
from ornstein.hdl.micro import MicroPipe
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import Control, Event, Space
from ornstein.hdl.spaces import When, bus_width, spaces
from ornstein.hdl.timing import Timing

CONTROL_BITS = (len(Control) - 1).bit_length()
"""Bits of the address of a control register."""


def _relayed(m: Module, bus, cycles: int) -> SimpleNamespace:
    """The bus behind a register, for a fabric far away; a request comes once what it asks for has
    settled there.
    """
    there = SimpleNamespace(done=bus.done, status=bus.status, rdata=bus.rdata)
    for name in ("space", "address", "write", "wdata"):
        value = getattr(bus, name)
        moved = Signal.like(value, name=f"bus_{name}", reset_less=True)
        m.d.sync += moved.eq(value)
        setattr(there, name, moved)
    coming = Signal(cycles)
    m.d.sync += coming.eq(Mux(bus.done, 0, Cat(bus.request, coming)))
    there.request = coming[-1]
    return there


class Fabric(wiring.Component):
    """All of the machine but its link.

    Members
    -------
    bus : BusSignature, in; spaces and registers of :mod:`ornstein.hdl.regmap`. An access takes one
        cycle to write, three in the control space, and three to read, longer while the engine uses
        the same port. In a grid of lanes each takes four more, and a read again four. Addresses
        beyond the end of a space wrap.
    events : out; bits of :class:`regmap.Event`

    Parameters
    ----------
    line : what the identity says of the link
    """

    def __init__(self, config: FabricConfig, line: regmap.Line = regmap.NO_LINE):
        self._config, self._line = config, line
        super().__init__(
            {
                "bus": In(BusSignature(bus_width(config))),
                "events": Out(len(Event)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        units, ranks, words = config.unit_lanes, config.rank_lanes, config.descriptor_width // 32
        timing = Timing.of(config)
        distance = hops(timing.hop, m, platform)
        own, relayed, chosen = distance.early, distance.relay, distance.pick
        travel, read_latency = timing.hop, timing.read
        bus = _relayed(m, self.bus, timing.bus_decode) if timing.bus_decode else self.bus

        factors = [
            FactorMemory(ranks, config.factor_width, config.factor_depth, travel)
            for _ in range(units)
        ]
        for unit, factor in enumerate(factors):
            m.submodules[f"factor_{unit}"] = factor
        m.submodules.state = state = LaneMemory(units, STATE_WIDTH, config.state_depth, travel)
        m.submodules.state_late = state_late = LaneMemory(
            units, STATE_WIDTH, config.state_depth, travel
        )
        m.submodules.drive = drive = LaneMemory(units, STATE_WIDTH, config.drive_depth, travel)
        m.submodules.rank = rank = LaneMemory(ranks, STATE_WIDTH, config.rank_depth, travel)
        m.submodules.descriptor = descriptor = LaneMemory(
            words, 32, config.descriptor_depth * config.descriptor_beats
        )
        m.submodules.activation = activation = LaneMemory(
            1, STATE_WIDTH + SLOPE_WIDTH, ACTIVATION_ENTRIES, travel
        )
        m.submodules.noise_codes = codes = LaneMemory(units, 2, config.state_depth, travel)
        m.submodules.sums = sums = LaneMemory(
            units, config.sum_width, 2 * config.state_depth, travel
        )

        m.submodules.lanes = lanes = Lanes(config)
        updates = [Update(config) for _ in range(units)]
        sources = [NoiseSource() for _ in range(units)]
        for unit in range(units):
            m.submodules[f"update_{unit}"] = updates[unit]
            m.submodules[f"noise_{unit}"] = sources[unit]
        draw_stage, latency = timing.draw, timing.update
        m.submodules.sequencer = sequencer = Sequencer(config)
        level = sequencer.level

        # ---- jobs --------------------------------------------------------------------------------
        job = Signal(regmap.StartRegister)
        pending = Signal()
        done_count, tag = Signal(8), Signal(8)
        bank = Signal()
        idle = Signal()
        free = Signal(init=1)  # the bus has the memories' ports

        m.d.comb += [
            idle.eq(~sequencer.running & ~pending),
            sequencer.start.eq(pending & ~sequencer.running),
            sequencer.first.eq(job.first),
            sequencer.levels.eq(job.levels),
            sequencer.bank.eq(bank),
        ]
        m.d.sync += free.eq(idle)
        with m.If(sequencer.start):
            m.d.sync += [pending.eq(0), bank.eq(job.bank)]
        with m.If(sequencer.finished):
            m.d.sync += done_count.eq(done_count + 1)

        # ---- the bus: whether an access may go on is known when its request comes, in the control space two later ---
        # `write` is the cycle of a granted write, `read` the first cycle of a granted read
        def named(*spaces):
            return Cat(bus.space == space for space in spaces).any()

        decoded = Signal(
            max(Space) + 1, reset_less=True
        )  # in time for the address, which may come after the space
        m.d.sync += decoded.eq(1 << bus.space)

        def within(space):
            return decoded[space]

        def register(number):
            return within(Space.CONTROL) & (bus.address[:CONTROL_BITS] == number)

        granted = Signal()
        write = Signal() if travel else granted  # in a grid a cycle later
        if travel:
            m.d.sync += write.eq(granted)

        def beside(space, lane_count, name=None):
            """The bus as a memory sees it; in a grid through registers of its own, a
            cycle later.
            """
            name = name or space.name.lower()
            bits = (lane_count - 1).bit_length()
            seen = {
                "address": bus.address[: (spaces(config)[space].size - 1).bit_length()],
                "wdata": bus.wdata[: spaces(config)[space].bits],
                "write": write,
                "free": free,
                "meant": within(space),
            }
            if travel:
                for part, value in seen.items():
                    seen[part] = kept_register(m, value, f"{name}_{part}")
            view = SimpleNamespace(
                wdata=seen["wdata"],
                free=seen["free"],
                lane=seen["address"][:bits],
                word=seen["address"][bits:],
            )
            lane = Signal(lane_count, name=f"{name}_lane", reset_less=True)
            m.d.sync += lane.eq(Mux(seen["meant"], 1 << view.lane if lane_count > 1 else 1, 0))
            view.written = Mux(seen["write"], lane, 0)
            return view

        def read_lane(memory_, view):
            """The lane that the bus reads, in a grid two cycles later."""
            words = list(memory_.read_data)
            return distance.choose(view.lane, words, "lane_here")

        def fill(memory_, view):
            """The bus's element in every lane; the mask picks the one that is meant."""
            return [lane.eq(view.wdata) for lane in memory_.write_data]

        (
            on_control,
            on_state,
            on_copy,
            on_drive,
            on_rank,
            on_descriptor,
            on_activation,
            on_noise,
            on_sum,
        ) = (
            beside(space, lane_count, name)
            for space, lane_count, name in (
                (Space.CONTROL, 1, None),
                (Space.STATE, units, "state"),
                (Space.STATE, units, "state_late"),
                (Space.DRIVE, units, None),
                (Space.RANK, ranks, None),
                (Space.DESCRIPTOR, words, None),
                (Space.ACTIVATION, 1, None),
                (Space.NOISE, units, None),
                (Space.SUM, units, None),
            )
        )
        on_factors = [beside(Space.FACTOR, config.lanes, f"factor_{unit}") for unit in range(units)]

        rows = spaces(config).values()
        known_job, asked = Signal(), Signal()
        m.d.sync += [
            known_job.eq(regmap.StartRegister(bus.wdata[:32]).tag == tag),
            asked.eq(bus.request),
        ]
        absent, only_idle, to_control, to_start, to_drives, from_sums = (
            Signal(name=name)
            for name in ("absent", "only_idle", "to_control", "to_start", "to_drives", "from_sums")
        )
        m.d.sync += [
            to_start.eq(register(Control.START)),
            absent.eq(named(*(space for space in Space if space not in spaces(config)))),
            only_idle.eq(
                named(*(row.space for row in rows if row.write == When.IDLE))
                | (
                    named(*(row.space for row in rows if row.read == When.IDLE != row.write))
                    & ~bus.write
                )
            ),
            to_control.eq(named(Space.CONTROL) & bus.write),
            to_drives.eq(
                named(*(row.space for row in rows if row.write == When.CONTENDED)) & bus.write
            ),
            from_sums.eq(
                named(*(row.space for row in rows if row.read == When.CONTENDED)) & ~bus.write
            ),
        ]
        refusal, refuse = Signal(Status), Signal(Status)
        with m.If(absent):
            m.d.comb += refuse.eq(Status.ADDRESS)
        with m.Elif(~on_control.free & only_idle):
            m.d.comb += refuse.eq(Status.BUSY)
        with m.Elif(to_start & to_control & ~known_job & pending):
            m.d.comb += refuse.eq(Status.FULL)
        may_write, may_read, may_end = Signal(), Signal(), Signal()
        read, answered = Signal(), Signal()
        reading = Signal(timing.bus_read)  # the word is on its way, one place further a cycle
        drive_soon_busy, sums_soon_busy = Signal(), Signal()
        blocked = (
            (to_drives & drive_soon_busy)
            | (to_control & ~asked)
            | (from_sums & sums_soon_busy)
            | read
            | reading.any()
        )
        m.d.comb += [
            granted.eq(bus.request & may_write),
            read.eq(bus.request & may_read),
            bus.done.eq((bus.request & may_end) | answered),
            bus.status.eq(refusal),
        ]
        m.d.sync += [
            refusal.eq(refuse),
            reading.eq(Cat(read, reading)),
            answered.eq(reading[-1]),
            may_write.eq(~blocked & bus.write & (refuse == Status.OK)),
            may_read.eq(~blocked & ~bus.write & (refuse == Status.OK)),
            may_end.eq(~blocked & (bus.write | (refuse != Status.OK))),
        ]

        # ---- reads of the engine -----------------------------------------------------------------
        issue, micro = relayed(sequencer.issue, "issue"), relayed(sequencer.micro, "micro")
        late = lanes.unit_soon_micro
        row = sequencer.factor  # factors wait for vectors and rank words, which have further to go
        for cycle in range(timing.spread):
            row = kept_register(m, row, f"factor_row_{cycle}")
        m.d.comb += [
            factor.address.eq(Mux(view.free, view.word, relayed(row, f"factor_{unit}_issued")))
            for unit, (factor, view) in enumerate(zip(factors, on_factors, strict=True))
        ]
        m.d.comb += [
            state.read_address.eq(
                Mux(on_state.free, on_state.word, relayed(sequencer.source, "state_issued"))
            ),
            rank.read_address.eq(
                Mux(on_rank.free, on_rank.word, relayed(sequencer.source, "rank_issued"))
            ),
            drive.read_address.eq(
                Mux(
                    on_drive.free,
                    on_drive.word,
                    Mux(lanes.unit_soon, late.bias, relayed(sequencer.source, "drive_issued")),
                )
            ),
            state_late.read_address.eq(late.dest),
            descriptor.read_address.eq(
                Mux(on_descriptor.free, on_descriptor.word, sequencer.descriptor_address)
            ),
            sequencer.descriptor_data.eq(relayed(Cat(descriptor.read_data), "described")),
        ]
        issues = MicroPipe(m, 0, issue, micro, read_latency)
        issued_valid, issued_micro = issues[read_latency]
        soon_issued = issues[read_latency - 1].micro
        m.d.comb += [
            lanes.valid.eq(issued_valid),
            lanes.micro.eq(issued_micro),
            Cat(lanes.factor).eq(Cat(*(factor.read_data for factor in factors))),
            Cat(lanes.vector).eq(
                Mux(issued_micro.from_drive, Cat(drive.read_data), Cat(state.read_data))
            ),
            Cat(lanes.rank).eq(Cat(rank.read_data)),
        ]

        # ---- rank words: from the lanes, from the activation table, or from the bus --------------
        one_rank = chosen(
            own(
                Mux(on_rank.free, on_rank.lane, issued_micro.lane),
                Mux(on_rank.free, on_rank.lane, soon_issued.lane),
                "chosen_rank",
                valid=issued_valid,
            ),
            list(rank.read_data),
            "one_rank",
        )
        fraction = one_rank[:FRACTION_WIDTH]
        for time in range(read_latency):
            moved = Signal(FRACTION_WIDTH, name=f"fraction_{time}", reset_less=True)
            m.d.sync += moved.eq(fraction)
            fraction = moved
        m.d.comb += lanes.fraction.eq(fraction)
        m.d.comb += [
            activation.read_address.eq(
                Mux(on_activation.free, on_activation.word, one_rank[FRACTION_WIDTH:])
            ),
            lanes.entry.eq(activation.read_data[0]),
        ]
        # what goes to a single lane is chosen once, not in every lane
        single = relayed(Mux(lanes.activated_valid, lanes.activated, on_rank.wdata), "single")
        single_word = relayed(
            Mux(lanes.activated_valid, lanes.activated_micro.dest, on_rank.word), "single_word"
        )
        single_lanes = relayed(
            Mux(lanes.activated_valid, 1 << lanes.activated_micro.lane, on_rank.written),
            "single_lanes",
        )
        m.d.comb += [
            rank.write_data[lane].eq(
                Mux(
                    own(lanes.rank_valid, lanes.rank_soon, f"summed_{lane}"),
                    lanes.rank_next[lane],
                    single,
                )
            )
            for lane in range(ranks)
        ]
        with m.If(lanes.rank_valid):
            m.d.comb += [rank.write_address.eq(lanes.rank_micro.dest), rank.write_lanes.eq(-1)]
        with m.Else():
            m.d.comb += [rank.write_address.eq(single_word), rank.write_lanes.eq(single_lanes)]

        # ---- units: updates, noise, and what they write ------------------------------------------
        soon = MicroPipe(m, -read_latency, lanes.unit_soon, lanes.unit_soon_micro, -1, name="unit_")
        begun = MicroPipe(m, 0, lanes.unit_valid, lanes.unit_micro, latency + 1, name="unit_")
        pipe = {time: soon[time] for time in range(-read_latency, 0)}
        pipe |= {time: begun[time] for time in range(latency + 2)}
        drawing, drawn = updates[0].draw, Signal()
        soon_drawing = pipe[draw_stage - 1][0] & ~pipe[draw_stage - 1][1].to_drive
        m.d.sync += drawn.eq(drawing)
        m.d.comb += [
            codes.read_address.eq(
                Mux(on_noise.free, on_noise.word, pipe[draw_stage + 1 - read_latency][1].dest)
            ),
            codes.write_address.eq(Mux(on_noise.free, on_noise.word, pipe[draw_stage + 1][1].dest)),
            codes.write_lanes.eq(Mux(drawn, (1 << units) - 1, on_noise.written)),
        ]
        seeds = [Signal(SEED_WIDTH, name=f"seed_{unit}") for unit in range(units)]
        for unit, (update, source) in enumerate(zip(updates, sources, strict=True)):
            load = sequencer.start & job.reseed
            load = relayed(
                load, f"load_{unit}"
            )  # in a grid a cycle later, long before the first draw
            micro_0 = own(lanes.unit_micro, pipe[-1][1], f"unit_micro_there_{unit}")
            m.d.comb += [
                update.valid.eq(lanes.unit_valid),
                update.state.eq(state_late.read_data[unit].as_signed()),
                update.drive.eq(drive.read_data[unit].as_signed()),
                update.accumulator.eq(lanes.unit_sums[unit]),
                update.coupled.eq(micro_0.coupled),
                update.biased.eq(micro_0.biased),
                update.keep.eq(level.keep),
                update.noisy.eq(~micro_0.to_drive),
                update.midpoint.eq(level.midpoint),
                update.dither_on.eq(level.dither),
                update.leak.eq(level.leak),
                update.quartic.eq(level.quartic),
                update.shift.eq(micro_0.shift),
                update.bias_shift.eq(micro_0.bias_shift),
                update.amplitude.eq(level.amplitude),
                update.code.eq(source.code),
                update.previous.eq(codes.read_data[unit].as_signed()),
                update.dither.eq(source.dither),
                source.seed.eq(seeds[unit]),
                source.load.eq(load),
                source.advance.eq(own(drawing, soon_drawing, f"advance_{unit}")),
                codes.write_data[unit].eq(Mux(drawn, source.code, on_noise.wdata.as_signed())),
            ]

        new_valid, new_micro = pipe[latency]
        to_state, to_drive, state_soon, drive_soon = (
            Signal(name=name) for name in ("to_state", "to_drive", "state_soon", "drive_soon")
        )
        m.d.comb += [
            to_state.eq(new_valid & ~new_micro.to_drive),
            to_drive.eq(new_valid & new_micro.to_drive),
            state_soon.eq(pipe[latency - 1][0] & ~pipe[latency - 1][1].to_drive),
            drive_soon.eq(pipe[latency - 1][0] & pipe[latency - 1][1].to_drive),
            drive_soon_busy.eq(
                pipe[latency - timing.bus_write][0] & pipe[latency - timing.bus_write][1].to_drive
            ),
            drive.write_address.eq(Mux(to_drive, new_micro.dest, on_drive.word)),
            drive.write_lanes.eq(Mux(to_drive, (1 << units) - 1, on_drive.written)),
        ]
        for unit in range(units):
            m.d.comb += drive.write_data[unit].eq(
                Mux(
                    own(to_drive, drive_soon, f"to_drive_{unit}"),
                    updates[unit].next,
                    on_drive.wdata.as_signed(),
                )
            )
        for name, copy, view in (("state", state, on_state), ("late", state_late, on_copy)):
            m.d.comb += [
                copy.write_address.eq(Mux(to_state, new_micro.dest, view.word)),
                copy.write_lanes.eq(Mux(to_state, (1 << units) - 1, view.written)),
            ]
            for unit in range(units):
                m.d.comb += copy.write_data[unit].eq(
                    Mux(
                        own(to_state, state_soon, f"to_{name}_{unit}"),
                        updates[unit].next,
                        view.wdata.as_signed(),
                    )
                )

        # ---- statistics: read to be here a cycle before the new state, written with it (squares one cycle later) ---
        early_valid, early_micro = pipe[timing.sum_read]
        soon_micro = pipe[latency - 1][1]
        state_bits = (config.state_depth - 1).bit_length()
        accumulate = Signal()
        m.d.comb += [
            sums_soon_busy.eq(level.accumulate & (pipe[timing.sum_read - 1][0] | early_valid)),
            sums.read_address.eq(
                Mux(
                    level.accumulate & early_valid,
                    Cat(early_micro.dest[:state_bits], bank),
                    on_sum.word,
                )
            ),
            accumulate.eq(to_state & level.accumulate),
            sums.write_address.eq(Cat(new_micro.dest[:state_bits], bank)),
            sums.write_lanes.eq(
                Cat(
                    own(accumulate, state_soon & level.accumulate, f"accumulate_{unit}")
                    for unit in range(units)
                )
            ),
        ]
        for unit in range(units):
            so_far = Signal(signed(config.sum_width), name=f"sum_{unit}", reset_less=True)
            m.d.sync += so_far.eq(Mux(soon_micro.clear, 0, sums.read_data[unit]))
            m.d.comb += sums.write_data[unit].eq(so_far + updates[unit].next)
        if config.second_moment:
            m.submodules.squares = squares = LaneMemory(
                units, config.square_width, 2 * config.state_depth, travel
            )
            on_square = beside(Space.SQUARE, units)
            late_valid, late_micro = pipe[timing.sum_read + 1]
            _, last_micro = pipe[latency + 1]
            squaring = Signal()
            m.d.sync += squaring.eq(accumulate)
            m.d.comb += [
                squares.read_address.eq(
                    Mux(
                        level.accumulate & late_valid,
                        Cat(late_micro.dest[:state_bits], bank),
                        on_square.word,
                    )
                ),
                squares.write_address.eq(Cat(last_micro.dest[:state_bits], bank)),
                squares.write_lanes.eq(Mux(squaring, (1 << units) - 1, 0)),
            ]
            for unit in range(units):
                square = Signal(2 * STATE_WIDTH - 1, name=f"square_{unit}", reset_less=True)
                so_far = Signal(config.square_width, name=f"squares_{unit}", reset_less=True)
                m.d.sync += [
                    square.eq(updates[unit].next * updates[unit].next),
                    so_far.eq(Mux(new_micro.clear, 0, squares.read_data[unit])),
                ]
                m.d.comb += squares.write_data[unit].eq(so_far + square)

        # ---- the sample stream -------------------------------------------------------------------
        entered, taken = Signal(32), Signal(32)
        half_full = Signal()
        if config.sample_depth:
            m.submodules.samples = samples = LaneMemory(
                units, STATE_WIDTH, config.sample_depth, travel
            )
            on_sample = beside(Space.SAMPLE, units)
            sampled = Signal()
            waiting = Signal(range(config.sample_depth + 1))
            m.d.comb += [
                sampled.eq(to_state & new_micro.sample),
                samples.read_address.eq(on_sample.word),
                samples.write_address.eq(entered),
                samples.write_lanes.eq(Mux(sampled, (1 << units) - 1, 0)),
            ]
            m.d.comb += [samples.write_data[unit].eq(updates[unit].next) for unit in range(units)]
            m.d.sync += [
                entered.eq(entered + sampled),
                waiting.eq(entered - taken),
                sequencer.hold.eq(waiting > config.sample_depth - timing.sample_margin),
                half_full.eq(waiting >= config.sample_depth // 2),
            ]

        # ---- counters and control registers ------------------------------------------------------
        cycles, issued, rank_saturations, state_saturations = counters = [
            Signal(32, name=name)
            for name in ("cycles", "issued", "rank_saturations", "state_saturations")
        ]
        saturated = Cat(update.saturated for update in updates).any()
        counted, rank_clipped, state_clipped = Signal(), Signal(), Signal()
        m.d.sync += [
            counted.eq(issued_valid & (issued_micro.operation != Operation.ACTIVATE)),
            rank_clipped.eq(lanes.rank_valid & lanes.rank_saturated),
            state_clipped.eq(new_valid & saturated),
            cycles.eq(cycles + sequencer.running),
            issued.eq(issued + counted),
            rank_saturations.eq(rank_saturations + rank_clipped),
            state_saturations.eq(state_saturations + state_clipped),
        ]
        control = Signal(32)
        bank_offset = Signal(sequencer.bank_offset.shape())
        m.d.comb += sequencer.bank_offset.eq(bank_offset)
        status = Signal(regmap.StatusRegister)
        m.d.comb += [
            status.running.eq(sequencer.running),
            status.pending.eq(pending),
            status.done.eq(done_count),
            status.tag.eq(tag),
        ]
        registers = {
            Control.STATUS: status.as_value(),
            Control.BANK_OFFSET: bank_offset,
            Control.CYCLES: cycles,
            Control.ISSUED: issued,
            Control.RANK_SATURATIONS: rank_saturations,
            Control.STATE_SATURATIONS: state_saturations,
            Control.SAMPLES: entered,
            Control.TAKEN: taken,
        }
        to_offset, to_clear, to_taken, clear = Signal(), Signal(), Signal(), Signal()
        written = on_control.written[0]
        m.d.sync += [
            to_offset.eq(register(Control.BANK_OFFSET)),
            to_clear.eq(register(Control.CLEAR)),
            to_taken.eq(register(Control.TAKEN)),
            clear.eq(written & to_clear),
        ]
        with m.If(written & to_start & ~known_job):
            m.d.sync += [
                job.eq(on_control.wdata),
                pending.eq(1),
                tag.eq(regmap.StartRegister(on_control.wdata).tag),
            ]
        with m.If(written & to_offset):
            m.d.sync += bank_offset.eq(on_control.wdata)
        with m.If(clear):
            m.d.sync += [counter.eq(0) for counter in counters]
        if config.sample_depth:
            with m.If(written & to_taken):
                m.d.sync += taken.eq(on_control.wdata)

        # ---- bus writes and reads of what has no other user --------------------------------------
        for unit, (factor, view) in enumerate(zip(factors, on_factors, strict=True)):
            m.d.comb += [
                factor.write_data.eq(view.wdata),
                factor.write_lanes.eq(view.written[unit * ranks : (unit + 1) * ranks]),
            ]
        m.d.comb += [
            descriptor.write_address.eq(on_descriptor.word),
            *fill(descriptor, on_descriptor),
            descriptor.write_lanes.eq(on_descriptor.written),
            activation.write_address.eq(on_activation.word),
            *fill(activation, on_activation),
            activation.write_lanes.eq(on_activation.written),
        ]
        halves = [(unit, half) for unit in range(units) for half in range(2)]
        on_seed = beside(Space.SEED, len(halves))
        for place, (unit, half) in enumerate(halves):
            written, word = (
                relayed(on_seed.written[place], f"seeds_{place}"),
                relayed(on_seed.wdata, f"seed_{place}"),
            )
            with m.If(written):
                m.d.sync += seeds[unit][32 * half : 32 * half + 32].eq(word)
        generators = [sources[unit].state[32 * half : 32 * half + 32] for unit, half in halves]
        generator = distance.choose(on_seed.lane, generators, "generator")
        identity, generated = Signal(32, reset_less=True), Signal(32, reset_less=True)
        one_factor = Signal(config.factor_width, reset_less=True)
        described = regmap.identity(config, self._line)
        m.d.sync += identity.eq(0)
        with (
            m.If(within(Space.IDENTITY)),
            m.Switch(bus.address[: (len(described) - 1).bit_length()]),
        ):
            for address, value in enumerate(described.values()):
                with m.Case(address):
                    m.d.sync += identity.eq(value)
        numbers = [registers.get(number, 0) for number in Control]
        pairs = [
            Signal(32, name=f"control_{place}", reset_less=True)
            for place in range(0, len(numbers), 2)
        ]
        m.d.sync += [
            pair.eq(select(bus.address[:1], numbers[2 * place : 2 * place + 2]))
            for place, pair in enumerate(pairs)
        ]
        m.d.sync += [
            control.eq(Mux(within(Space.CONTROL), select(bus.address[1:CONTROL_BITS], pairs), 0)),
            generated.eq(Mux(within(Space.SEED), generator, 0)),
        ]

        # words that nobody else reads while the bus may are asked for before it is granted, those
        # of other spaces then
        early = {
            Space.STATE: read_lane(state, on_state),
            Space.DRIVE: read_lane(drive, on_drive),
            Space.DESCRIPTOR: read_lane(descriptor, on_descriptor),
            Space.ACTIVATION: activation.read_data[0],
            Space.NOISE: read_lane(codes, on_noise),
        }
        late = {Space.RANK: one_rank, Space.SUM: read_lane(sums, on_sum)}
        if config.second_moment:
            late[Space.SQUARE] = read_lane(squares, on_square)
        if config.sample_depth:
            late[Space.SAMPLE] = read_lane(samples, on_sample)
        value, answer = (
            Signal(bus.rdata.shape(), name=name, reset_less=True) for name in ("value", "answer")
        )
        if units > 1:
            rank_bits = (ranks - 1).bit_length()
            of_unit = [
                chosen(view.lane[:rank_bits], list(factor.read_data), f"one_factor_{unit}")
                for unit, (factor, view) in enumerate(zip(factors, on_factors, strict=True))
            ]
            factor_read = select(bus.address[rank_bits:], of_unit)
        else:
            factor_read = read_lane(factors[0], on_factors[0])

        # registers that are zero unless they are meant, and words let through only if they are:
        # fewer LUTs than choices
        def let_through(words):
            return [Mux(within(space), word, 0) for space, word in words.items()]

        m.d.sync += [
            one_factor.eq(Mux(within(Space.FACTOR), factor_read, 0)),
            value.eq(reduce(or_, let_through(early), identity | generated)),
            answer.eq(reduce(or_, let_through(late), value | one_factor | control)),
        ]
        m.d.comb += bus.rdata.eq(answer)

        events = Signal(regmap.EVENTS)
        m.d.comb += [
            events.idle.eq(idle),
            events.room.eq(~pending),
            events.samples.eq(half_full),
            self.events.eq(events),
        ]
        return m
