"""The fabric: memories, sequencer, lanes, updates, noise and read-out behind one bus. It knows only units and words."""

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import regmap
from ornstein.hdl.arithmetic import add_up, borrows, multiple, radix_four, select
from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import ACTIVATION_ENTRIES, SEED_WIDTH, SLOPE_WIDTH, STATE_WIDTH, FabricConfig
from ornstein.hdl.isa import Operation
from ornstein.hdl.lanes import Lanes
from ornstein.hdl.memory import FactorMemory, LaneMemory
from ornstein.hdl.noise import NoiseSource
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import Control, Event, Space
from ornstein.hdl.sequencer import Sequencer
from ornstein.hdl.update import Update

SAMPLE_MARGIN = 32
"""Free words below which a job stalls: more than the pipeline can still write."""


def latencies(config: FabricConfig) -> tuple[int, int]:
    """(rank, unit): issues that must lie between a write and a read that depends on it.

    ``rank`` counts from the last micro-operation of PROJECT or MIX to a read of the rank words it wrote, ``unit``
    from the last of EXPAND to a read of the states or biases it wrote, the previous noise and the sums included.
    """
    rank_time, unit_time = Lanes.times(config)
    return rank_time + 1, unit_time + Update.stages(config)[1] + 3


class Fabric(wiring.Component):
    """All of the machine but its link.

    Members
    -------
    bus : BusSignature, in; spaces and registers of :mod:`ornstein.hdl.regmap`. An access takes one cycle to write and
        two to read, longer while the engine uses the same port.
    events : out; bits of :class:`regmap.Event`

    Parameters
    ----------
    line : what the identity says of the link
    """

    def __init__(self, config: FabricConfig, line: regmap.Line = regmap.NO_LINE):
        self._config, self._line = config, line
        super().__init__({
            "bus": In(BusSignature(regmap.bus_width(config))),
            "events": Out(len(Event)),
        })

    def elaborate(self, platform):
        m = Module()
        config, bus = self._config, self.bus
        units, ranks, words = config.unit_lanes, config.rank_lanes, config.descriptor_width // 32

        m.submodules.factor = factor = FactorMemory(config.lanes, config.factor_width, config.factor_depth)
        m.submodules.state = state = LaneMemory(units, STATE_WIDTH, config.state_depth)
        m.submodules.state_late = state_late = LaneMemory(units, STATE_WIDTH, config.state_depth)
        m.submodules.drive = drive = LaneMemory(units, STATE_WIDTH, config.drive_depth)
        m.submodules.rank = rank = LaneMemory(ranks, STATE_WIDTH, config.rank_depth)
        m.submodules.descriptor = descriptor = LaneMemory(
            words, 32, config.descriptor_depth * config.descriptor_beats)
        m.submodules.activation = activation = LaneMemory(1, STATE_WIDTH + SLOPE_WIDTH,
                                                                ACTIVATION_ENTRIES)
        m.submodules.noise_codes = codes = LaneMemory(units, 2, config.state_depth)
        m.submodules.sums = sums = LaneMemory(units, config.sum_width, 2 * config.state_depth)

        m.submodules.lanes = lanes = Lanes(config)
        updates = [Update(config) for _ in range(units)]
        sources = [NoiseSource() for _ in range(units)]
        for unit in range(units):
            m.submodules[f"update_{unit}"] = updates[unit]
            m.submodules[f"noise_{unit}"] = sources[unit]
        unit_time = Lanes.times(config)[1]
        draw_stage, latency = updates[0].draw_stage, updates[0].latency
        m.submodules.sequencer = sequencer = Sequencer(config, drain=unit_time + latency + 4)
        level = sequencer.level

        # ---- jobs -------------------------------------------------------------------------------------------------
        job = Signal(32)
        pending = Signal()
        tag, done_count = Signal(regmap.JOB_TAG[1]), Signal(regmap.STATUS_DONE[1])
        bank = Signal()
        idle = Signal()

        def job_field(place):
            return job[place[0]:place[0] + place[1]]

        m.d.comb += [
            idle.eq(~sequencer.running & ~pending),
            sequencer.start.eq(pending & ~sequencer.running),
            sequencer.first.eq(job_field(regmap.JOB_FIRST)),
            sequencer.levels.eq(job_field(regmap.JOB_LEVELS)),
            sequencer.bank.eq(bank),
        ]
        with m.If(sequencer.start):
            m.d.sync += [pending.eq(0), bank.eq(job_field(regmap.JOB_BANK))]
        with m.If(sequencer.finished):
            m.d.sync += done_count.eq(done_count + 1)

        # ---- the bus: `write` is the cycle of a granted write, `read` the first cycle of a granted read ------------
        in_space = {space: Signal(name=f"in_{space.name.lower()}") for space in Space}
        m.d.comb += [selected.eq(bus.space == space) for space, selected in in_space.items()]
        refusal = Signal(Status)
        granted, write, read, reading = Signal(), Signal(), Signal(), Signal()
        sums_busy = Signal()
        drive_busy = Signal()
        only_idle = Cat(in_space[space] for space in (Space.FACTOR, Space.STATE, Space.RANK, Space.DESCRIPTOR,
                                                      Space.ACTIVATION, Space.NOISE)).any()
        starts = in_space[Space.CONTROL] & bus.write & (bus.address == Control.START)
        known_job = bus.wdata[regmap.JOB_TAG[0]:][:regmap.JOB_TAG[1]] == tag
        absent = Cat(in_space[space] for space in Space if not regmap.space_size(config, space)).any()
        with m.If(absent):
            m.d.comb += refusal.eq(Status.ADDRESS)
        with m.Elif(~idle & (only_idle | (in_space[Space.DRIVE] & ~bus.write))):
            m.d.comb += refusal.eq(Status.BUSY)
        with m.Elif(starts & pending & ~known_job):
            m.d.comb += refusal.eq(Status.FULL)
        blocked = Mux(bus.write, in_space[Space.DRIVE] & drive_busy,
                      (in_space[Space.SUM] | in_space[Space.SQUARE]) & sums_busy)
        m.d.comb += [
            granted.eq(bus.request & ~reading & (refusal == Status.OK) & ~blocked),
            write.eq(granted & bus.write),
            read.eq(granted & ~bus.write),
            bus.done.eq(write | reading | (bus.request & (refusal != Status.OK))),
            bus.status.eq(Mux(reading, Status.OK, refusal)),
        ]
        m.d.sync += reading.eq(read)

        def split(lane_count):
            """(lane, word) of the bus address in a memory with so many lanes."""
            bits = (lane_count - 1).bit_length()
            return bus.address[:bits], bus.address[bits:]

        def lane_mask(lane_count):
            return 1 << split(lane_count)[0] if lane_count > 1 else 1

        def read_lane(memory_, lane_count):
            return select(split(lane_count)[0], list(memory_.read_data))

        def fill(memory_, lane_count):
            """The bus's element in every lane; the mask picks the one that is meant."""
            return [memory_.write_data[lane].eq(bus.wdata) for lane in range(lane_count)]

        # ---- reads of the engine ----------------------------------------------------------------------------------
        issue, micro = sequencer.issue, sequencer.micro
        late = lanes.unit_soon_micro
        m.d.comb += [
            factor.read_address.eq(Mux(idle, split(config.lanes)[1], sequencer.factor)),
            state.read_address.eq(Mux(idle, split(units)[1], sequencer.source)),
            rank.read_address.eq(Mux(idle, split(ranks)[1], sequencer.source)),
            drive.read_address.eq(Mux(idle, split(units)[1], Mux(lanes.unit_soon, late.bias, sequencer.source))),
            state_late.read_address.eq(late.dest),
            descriptor.read_address.eq(Mux(idle, split(words)[1], sequencer.descriptor_address)),
            sequencer.descriptor_data.eq(Cat(descriptor.read_data)),
        ]
        valid_1 = Signal()
        micro_1 = Signal(micro.shape(), reset_less=True)
        m.d.sync += [valid_1.eq(issue), micro_1.eq(micro)]
        m.d.comb += [
            lanes.valid.eq(valid_1), lanes.micro.eq(micro_1),
            Cat(lanes.factor).eq(Cat(factor.read_data)),
            Cat(lanes.vector).eq(Mux(micro_1.from_drive, Cat(drive.read_data), Cat(state.read_data))),
            Cat(lanes.rank).eq(Cat(rank.read_data)),
        ]

        # ---- rank words: from the lanes, from the activation table, or from the bus ---------------------------------
        micro_2, micro_3 = (Signal(micro.shape(), reset_less=True) for _ in range(2))
        looked_up, activated = Signal(), Signal()
        one_rank = select(Mux(idle, split(ranks)[0], micro_1.lane), list(rank.read_data))
        fraction = [Signal(2, name=f"fraction_{place}", reset_less=True) for place in range(5)]
        entry = activation.read_data[0]
        slope = entry[STATE_WIDTH:].as_signed()
        rows = [multiple(slope, digit) << 2 * place for place, digit in enumerate(fraction)]
        rounding = borrows(fraction) | 1 << 7  # a half, where no borrow can be
        rise = Signal(signed(SLOPE_WIDTH + 9), reset_less=True)
        value = Signal(STATE_WIDTH, reset_less=True)
        m.d.comb += activation.read_address.eq(Mux(idle, bus.address, one_rank[-8:]))
        m.d.sync += [
            looked_up.eq(valid_1 & (micro_1.operation == Operation.ACTIVATE)), activated.eq(looked_up),
            micro_2.eq(micro_1), micro_3.eq(micro_2),
            *(digit.eq(code) for digit, code in zip(fraction, radix_four(Cat(one_rank[:8], C(0, 1))), strict=True)),
            rise.eq(add_up(m, [rounding, *rows], "rise")), value.eq(entry[:STATE_WIDTH]),
        ]
        with m.If(lanes.rank_valid):
            m.d.comb += [rank.write_address.eq(lanes.rank_micro.dest), rank.write_lanes.eq(-1),
                         Cat(rank.write_data).eq(Cat(lanes.rank_next))]
        with m.Elif(activated):
            m.d.comb += [rank.write_address.eq(micro_3.dest), rank.write_lanes.eq(1 << micro_3.lane)]
            m.d.comb += [rank.write_data[lane].eq(value + (rise >> 8)) for lane in range(ranks)]
        with m.Else():
            m.d.comb += [rank.write_address.eq(split(ranks)[1]),
                         rank.write_lanes.eq(Mux(write & in_space[Space.RANK], lane_mask(ranks), 0)),
                         *fill(rank, ranks)]

        # ---- units: updates, noise, and what they write -------------------------------------------------------------
        pipe = {0: (lanes.unit_valid, lanes.unit_micro)}
        for time in range(1, latency + 2):
            valid = Signal(name=f"unit_valid_{time}")
            moved = Signal(micro.shape(), name=f"unit_micro_{time}", reset_less=True)
            m.d.sync += [valid.eq(pipe[time - 1][0]), moved.eq(pipe[time - 1][1])]
            pipe[time] = valid, moved
        drawing = updates[0].draw
        m.d.comb += [
            codes.read_address.eq(Mux(idle, split(units)[1], pipe[draw_stage - 1][1].dest)),
            codes.write_address.eq(Mux(idle, split(units)[1], pipe[draw_stage][1].dest)),
            codes.write_lanes.eq(Mux(drawing, (1 << units) - 1,
                                     Mux(write & in_space[Space.NOISE], lane_mask(units), 0))),
        ]
        seeds = [Signal(SEED_WIDTH, name=f"seed_{unit}") for unit in range(units)]
        for unit, (update, source) in enumerate(zip(updates, sources, strict=True)):
            micro_0 = lanes.unit_micro
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
                source.load.eq(sequencer.start & job_field(regmap.JOB_RESEED)),
                source.advance.eq(drawing),
                codes.write_data[unit].eq(Mux(drawing, source.code, bus.wdata[:2].as_signed())),
            ]

        new_valid, new_micro = pipe[latency]
        to_state, to_drive = Signal(), Signal()
        m.d.comb += [
            to_state.eq(new_valid & ~new_micro.to_drive),
            to_drive.eq(new_valid & new_micro.to_drive),
            drive_busy.eq(to_drive),
            drive.write_address.eq(Mux(to_drive, new_micro.dest, split(units)[1])),
            drive.write_lanes.eq(Mux(to_drive, (1 << units) - 1,
                                     Mux(write & in_space[Space.DRIVE], lane_mask(units), 0))),
        ]
        for unit in range(units):
            m.d.comb += drive.write_data[unit].eq(Mux(to_drive, updates[unit].next, bus.wdata[:16].as_signed()))
        for copy in (state, state_late):
            m.d.comb += [
                copy.write_address.eq(Mux(to_state, new_micro.dest, split(units)[1])),
                copy.write_lanes.eq(Mux(to_state, (1 << units) - 1,
                                        Mux(write & in_space[Space.STATE], lane_mask(units), 0))),
            ]
            for unit in range(units):
                m.d.comb += copy.write_data[unit].eq(Mux(to_state, updates[unit].next, bus.wdata[:16].as_signed()))

        # ---- statistics: read one cycle before the new state, written with it (squares one cycle later) --------------
        soon_valid, soon_micro = pipe[latency - 1]
        state_bits = (config.state_depth - 1).bit_length()
        accumulate = Signal()
        m.d.comb += [
            sums_busy.eq(level.accumulate & (soon_valid | new_valid)),
            sums.read_address.eq(Mux(level.accumulate & soon_valid, Cat(soon_micro.dest[:state_bits], bank),
                                     split(units)[1])),
            accumulate.eq(to_state & level.accumulate),
            sums.write_address.eq(Cat(new_micro.dest[:state_bits], bank)),
            sums.write_lanes.eq(Mux(accumulate, (1 << units) - 1, 0)),
        ]
        for unit in range(units):
            so_far = Mux(new_micro.clear, 0, sums.read_data[unit].as_signed())
            m.d.comb += sums.write_data[unit].eq(so_far + updates[unit].next)
        if config.second_moment:
            m.submodules.squares = squares = LaneMemory(units, config.square_width, 2 * config.state_depth)
            _, last_micro = pipe[latency + 1]
            squaring = Signal()
            m.d.sync += squaring.eq(accumulate)
            m.d.comb += [
                squares.read_address.eq(Mux(level.accumulate & new_valid, Cat(new_micro.dest[:state_bits], bank),
                                            split(units)[1])),
                squares.write_address.eq(Cat(last_micro.dest[:state_bits], bank)),
                squares.write_lanes.eq(Mux(squaring, (1 << units) - 1, 0)),
            ]
            for unit in range(units):
                square = Signal(2 * STATE_WIDTH - 1, name=f"square_{unit}", reset_less=True)
                m.d.sync += square.eq(updates[unit].next * updates[unit].next)
                so_far = Mux(last_micro.clear, 0, squares.read_data[unit])
                m.d.comb += squares.write_data[unit].eq(so_far + square)

        # ---- the sample stream ------------------------------------------------------------------------------------
        entered, taken = Signal(32), Signal(32)
        half_full = Signal()
        if config.sample_depth:
            m.submodules.samples = samples = LaneMemory(units, STATE_WIDTH, config.sample_depth)
            sampled = Signal()
            waiting = Signal(range(config.sample_depth + 1))
            m.d.comb += [
                sampled.eq(to_state & new_micro.sample),
                samples.read_address.eq(split(units)[1]),
                samples.write_address.eq(entered),
                samples.write_lanes.eq(Mux(sampled, (1 << units) - 1, 0)),
            ]
            m.d.comb += [samples.write_data[unit].eq(updates[unit].next) for unit in range(units)]
            m.d.sync += [
                entered.eq(entered + sampled),
                waiting.eq(entered - taken),
                sequencer.hold.eq(waiting > config.sample_depth - SAMPLE_MARGIN),
                half_full.eq(waiting >= config.sample_depth // 2),
            ]

        # ---- counters and control registers -------------------------------------------------------------------------
        cycles, issued, rank_saturations, state_saturations = counters = [
            Signal(32, name=name) for name in ("cycles", "issued", "rank_saturations", "state_saturations")]
        saturated = Cat(update.saturated for update in updates).any()
        m.d.sync += [
            cycles.eq(cycles + sequencer.running),
            issued.eq(issued + (issue & (micro.operation != Operation.ACTIVATE))),
            rank_saturations.eq(rank_saturations + (lanes.rank_valid & lanes.rank_saturated)),
            state_saturations.eq(state_saturations + (new_valid & saturated)),
        ]
        control = Signal(32)
        bank_offset = Signal(sequencer.bank_offset.shape())
        m.d.comb += sequencer.bank_offset.eq(bank_offset)
        registers = {
            Control.STATUS: Cat(sequencer.running, pending, Signal(6), done_count, tag),
            Control.BANK_OFFSET: bank_offset, Control.CYCLES: cycles, Control.ISSUED: issued,
            Control.RANK_SATURATIONS: rank_saturations, Control.STATE_SATURATIONS: state_saturations,
            Control.SAMPLES: entered, Control.TAKEN: taken,
        }
        m.d.comb += control.eq(select(bus.address[:4], [registers.get(register, 0) for register in Control]))
        with m.If(write & in_space[Space.CONTROL]):
            with m.Switch(bus.address):
                with m.Case(Control.START):
                    with m.If(~known_job):
                        m.d.sync += [job.eq(bus.wdata), pending.eq(1),
                                     tag.eq(bus.wdata[regmap.JOB_TAG[0]:])]
                with m.Case(Control.BANK_OFFSET):
                    m.d.sync += bank_offset.eq(bus.wdata)
                with m.Case(Control.CLEAR):
                    m.d.sync += [counter.eq(0) for counter in counters]
                with m.Case(Control.TAKEN):
                    if config.sample_depth:
                        m.d.sync += taken.eq(bus.wdata)

        # ---- bus writes and reads of what has no other user ----------------------------------------------------------
        m.d.comb += [
            factor.write_address.eq(split(config.lanes)[1]), *fill(factor, config.lanes),
            factor.write_lanes.eq(Mux(write & in_space[Space.FACTOR], lane_mask(config.lanes), 0)),
            descriptor.write_address.eq(split(words)[1]), *fill(descriptor, words),
            descriptor.write_lanes.eq(Mux(write & in_space[Space.DESCRIPTOR], lane_mask(words), 0)),
            activation.write_address.eq(bus.address), *fill(activation, 1),
            activation.write_lanes.eq(write & in_space[Space.ACTIVATION]),
        ]
        halves = [(unit, half) for unit in range(units) for half in range(2)]
        with m.If(write & in_space[Space.SEED]):
            with m.Switch(bus.address):
                for address, (unit, half) in enumerate(halves):
                    with m.Case(address):
                        m.d.sync += seeds[unit][32 * half:32 * half + 32].eq(bus.wdata)
        generator = Array([sources[unit].state[32 * half:32 * half + 32] for unit, half in halves])
        identity = Signal(32)
        with m.Switch(bus.address):
            for address, value in enumerate(regmap.identity(config, self._line).values()):
                with m.Case(address):
                    m.d.comb += identity.eq(value)
        answers = {
            Space.IDENTITY: identity, Space.CONTROL: control,
            Space.FACTOR: read_lane(factor, config.lanes), Space.STATE: read_lane(state, units),
            Space.DRIVE: read_lane(drive, units), Space.RANK: one_rank,
            Space.DESCRIPTOR: read_lane(descriptor, words), Space.ACTIVATION: activation.read_data[0],
            Space.SEED: generator[bus.address[:len(halves).bit_length() - 1]],
            Space.NOISE: read_lane(codes, units), Space.SUM: read_lane(sums, units),
        }
        if config.second_moment:
            answers[Space.SQUARE] = read_lane(squares, units)
        if config.sample_depth:
            answers[Space.SAMPLE] = read_lane(samples, units)
        m.d.comb += bus.rdata.eq(select(bus.space, [answers.get(space, 0) for space in Space]))

        m.d.comb += self.events.eq(Cat(idle, ~pending, half_full))
        return m

