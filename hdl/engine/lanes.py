# SPDX-License-Identifier: Apache-2.0
"""The multiply lanes and their sums: the one engine behind project, mix and expand."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import targets
from ornstein.hdl.arithmetic import overflow, select, shift_right
from ornstein.hdl.config import FRACTION_WIDTH, NEIGHBOURS, SLOPE_WIDTH, STATE_WIDTH, FabricConfig
from ornstein.hdl.engine.sums import both_ways
from ornstein.hdl.hops import hops, kept_register
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import MicroPipe, micro_layout
from ornstein.hdl.timing import Timing

STATE_LIMIT = (1 << STATE_WIDTH - 1) - 1
"""The largest word; its complement is the lowest."""


class Lanes(wiring.Component):
    """Reads three memory words, multiplies lane by lane, sums across unit lanes (project, mix) or
    rank lanes (expand).

    Times are those of :class:`ornstein.hdl.timing.Timing`; the memories' data come at time
    ``read``. The accumulators wrap: that a program cannot overflow them is proved when it
    is compiled.

    Members
    -------
    valid, micro : in, with the memories' data
    factor : lanes x signed(factor_width), in, ``spread`` cycles later; lane ``u * rank_lanes +
        r``
    vector : unit_lanes x signed(16), in, with the micro-operation; state or drive word of PROJECT
    rank : rank_lanes x signed(16), in, likewise; rank word of MIX and EXPAND
    fraction : unsigned(8), in, at time ``lookup`` of ACTIVATE; low bits of the activation's
        argument
    entry : unsigned(16 + SLOPE_WIDTH), in, likewise; entry of the activation table. But for a grid
        the first lane interpolates, so that no other operation may be issued in the cycles after an
        ACTIVATE until then.
    activated_valid, activated_micro, activated : out, at time ``activation``; the activation's
        unsigned(16) result
    rank_valid, rank_micro, rank_next, rank_saturated : out, at time ``rank``; rounded and
        saturated rank word
    rank_soon : out, ``rank_valid`` a cycle earlier
    unit_soon, unit_soon_micro : out, ``read`` cycles before ``unit_valid``; time to read what the
        update needs
    unit_valid, unit_micro, unit_sums : out, at time ``unit``; accumulators of a vector word
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        micro = micro_layout(config)
        super().__init__(
            {
                "valid": In(1),
                "micro": In(micro),
                "factor": In(data.ArrayLayout(signed(config.factor_width), config.lanes)),
                "vector": In(data.ArrayLayout(signed(STATE_WIDTH), config.unit_lanes)),
                "rank": In(data.ArrayLayout(signed(STATE_WIDTH), config.rank_lanes)),
                "fraction": In(FRACTION_WIDTH),
                "entry": In(STATE_WIDTH + SLOPE_WIDTH),
                "activated_valid": Out(1),
                "activated_micro": Out(micro),
                "activated": Out(STATE_WIDTH),
                "rank_soon": Out(1),
                "rank_valid": Out(1),
                "rank_micro": Out(micro),
                "rank_saturated": Out(1),
                "rank_next": Out(data.ArrayLayout(signed(STATE_WIDTH), config.rank_lanes)),
                "unit_soon": Out(1),
                "unit_soon_micro": Out(micro),
                "unit_valid": Out(1),
                "unit_micro": Out(micro),
                "unit_sums": Out(
                    data.ArrayLayout(signed(config.accumulator_width), config.unit_lanes)
                ),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        timing = Timing.of(config)
        rank_time, unit_time = timing.rank, timing.unit

        # the micro-operation beside its data: pipe[t] at time t
        arrival = timing.read
        last = max(rank_time, unit_time, timing.activation)
        pipe = MicroPipe(m, arrival, self.valid, self.micro, last)

        # words relay twice before they reach the multipliers of every unit lane and rank lane
        distance = hops(timing.hop, m, platform)
        alone = config.unit_lanes == 1  # then the multipliers accumulate and interpolate
        vector = distance.relay(self.vector, "vector_halfway")
        rank = distance.relay(self.rank, "rank_halfway")
        rank_words = [
            distance.relay(rank, f"rank_beside_{unit}") for unit in range(config.unit_lanes)
        ]

        def decode(time, decoder, name):
            return distance.decode(pipe, time, decoder, name)

        target = targets.of(platform)

        def multiply_add(width):
            return target.multiply_add(
                width, STATE_WIDTH, config.accumulator_width, timing.multiply_add
            )

        multipliers, products = [], []
        operands = arrival + timing.spread
        for unit in range(config.unit_lanes):
            for rank in range(config.rank_lanes):
                if rank % NEIGHBOURS == 0:
                    project = decode(
                        operands, lambda _, micro: micro.project, f"project_{unit}_{rank}"
                    )
                    mix = decode(
                        operands,
                        lambda _, micro: micro.operation == Operation.MIX,
                        f"mix_{unit}_{rank}",
                    )
                    word = distance.relay(vector[unit], f"vector_beside_{unit}_{rank}")
                if alone:  # the first interpolates activations too
                    multiplier = multiply_add(max(config.factor_width, (rank == 0) * SLOPE_WIDTH))
                    m.d.comb += multiplier.enable.eq(pipe[arrival + timing.multiply_add - 1][0])
                    product = multiplier.sum
                else:
                    multiplier = target.multiply(config.factor_width, STATE_WIDTH)
                    product = multiplier.product
                m.submodules[f"multiplier_{unit}_{rank}"] = multiplier
                other = rank_words[unit][rank] if unit == 0 else Mux(mix, 0, rank_words[unit][rank])
                m.d.comb += [
                    multiplier.a.eq(self.factor[unit * config.rank_lanes + rank]),
                    multiplier.b.eq(Mux(project, word, other)),
                ]
                multipliers.append(multiplier)
                products.append(product[: config.product_width].as_signed())

        def expanding(valid, micro):
            return valid & (micro.operation == Operation.EXPAND)

        _, micro = pipe[
            unit_time - config.rank_lanes.bit_length() - 1
        ]  # a cycle before the products
        counted = [
            decode(unit_time - 1 - (config.rank_lanes > 1), expanding, f"unit_adds_{unit}")
            for unit in range(config.unit_lanes)
        ]
        rank_totals, unit_totals = both_ways(
            m, products, config.rank_lanes, micro.operation != Operation.EXPAND, counted, platform
        )

        # project and mix: sum over unit lanes, accumulate per rank lane, shift, saturate. With one
        # unit lane the multipliers accumulate.
        shifts = config.project_shifts

        def accumulating(valid, micro):
            return valid & (
                (micro.operation == Operation.PROJECT) | (micro.operation == Operation.MIX)
            )

        def start(_, micro):
            return select(
                micro.shift, [C(1 << shift - 1, config.accumulator_width) for shift in shifts]
            )

        ready, done = pipe[rank_time - 1]
        summed = timing.rank_total
        step = "comb" if alone else "sync"  # between shifting and saturating
        clipped = Signal(config.rank_lanes, reset_less=True)
        for rank in range(config.rank_lanes):
            adds = decode(summed - 1, accumulating, f"rank_adds_{rank}")
            first = decode(summed - 1, lambda _, micro: micro.first, f"rank_first_{rank}")
            half = decode(summed - 1, start, f"rank_half_{rank}").as_signed()
            shift = decode(summed, lambda _, micro: micro.shift, f"rank_shift_{rank}")
            if alone:
                accumulator = multipliers[rank].sum
                m.d.comb += multipliers[rank].addend.eq(Mux(adds, Mux(first, half, accumulator), 0))
            else:
                accumulator = Signal(
                    signed(config.accumulator_width), name=f"rank_sum_{rank}", reset_less=True
                )
                with m.If(adds):
                    m.d.sync += accumulator.eq(Mux(first, half, accumulator) + rank_totals[rank])
            shifted, over, negative = (
                Signal(width, name=f"rank_{name}_{rank}", reset_less=True)
                for name, width in (("shifted", STATE_WIDTH), ("over", 1), ("negative", 1))
            )
            m.d[step] += [
                shifted.eq(shift_right(accumulator, shift, shifts)),
                over.eq(overflow(accumulator, shift, shifts, STATE_WIDTH)),
                negative.eq(accumulator[-1]),
            ]
            following = Signal(signed(STATE_WIDTH), name=f"rank_next_{rank}", reset_less=True)
            # a register's reset does what its LUT has no input left for
            m.d.sync += following.eq(Mux(over, STATE_LIMIT, shifted))
            with m.If(over & negative):
                m.d.sync += following.eq(~STATE_LIMIT)
            m.d.comb += self.rank_next[rank].eq(following)
            m.d.sync += clipped[rank].eq(over)
        m.d.comb += self.rank_soon.eq(
            ready
            & done.last
            & ((done.operation == Operation.PROJECT) | (done.operation == Operation.MIX))
        )
        m.d.sync += self.rank_valid.eq(self.rank_soon)
        m.d.comb += [self.rank_micro.eq(pipe[rank_time][1]), self.rank_saturated.eq(clipped.any())]

        # activate: (value << 8) + slope * fraction + half
        value, (found, micro) = self.entry[:STATE_WIDTH], pipe[timing.lookup]
        activating = found & (micro.operation == Operation.ACTIVATE)
        if alone:
            lane = multipliers[0]
        else:
            m.submodules.interpolator = lane = multiply_add(SLOPE_WIDTH)
        with m.If(activating):
            m.d.comb += [lane.a.eq(self.entry[STATE_WIDTH:].as_signed()), lane.b.eq(self.fraction)]
        for cycle in range(1, timing.multiply_add):
            activating, value = (
                kept_register(m, activating, f"activating_{cycle}"),
                kept_register(m, value, f"value_{cycle}"),
            )
        with m.If(activating):
            m.d.comb += [
                lane.enable.eq(1),
                lane.addend.eq(Cat(C(1 << FRACTION_WIDTH - 1, FRACTION_WIDTH), value)),
            ]
        m.d.sync += self.activated_valid.eq(activating)
        m.d.comb += [
            self.activated.eq(lane.sum[FRACTION_WIDTH:]),
            self.activated_micro.eq(pipe[timing.activation][1]),
        ]

        # expand: sum over rank lanes, accumulate per unit lane
        for unit in range(config.unit_lanes):
            starts = decode(
                unit_time - 1,
                lambda valid, micro: expanding(valid, micro) & micro.first,
                f"unit_starts_{unit}",
            )
            total = unit_totals[unit]
            accumulator = Signal(
                signed(config.accumulator_width), name=f"unit_sum_{unit}", reset_less=True
            )
            # a sum, an addition and a choice: one LUT a bit, with no enable besides, which would
            # break an iCE40's carry
            m.d.sync += accumulator.eq(Mux(starts, total, accumulator + total))
            m.d.comb += self.unit_sums[unit].eq(accumulator)
        soon = unit_time - timing.read
        m.d.comb += [
            self.unit_soon.eq(
                decode(
                    soon, lambda valid, micro: expanding(valid, micro) & micro.last, "unit_comes"
                )
            ),
            self.unit_soon_micro.eq(pipe[soon][1]),
            self.unit_micro.eq(pipe[unit_time][1]),
        ]
        valid, micro = pipe[unit_time - 1]
        m.d.sync += self.unit_valid.eq(expanding(valid, micro) & micro.last)
        return m
