# SPDX-License-Identifier: Apache-2.0
"""The results of PROJECT and MIX: rank words from the accumulators of the rank lanes."""

from amaranth.hdl import C, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.arithmetic import overflow, select, shift_right
from ornstein.hdl.config import STATE_WIDTH, FabricConfig
from ornstein.hdl.engine.stages import stage_ports, stages_at
from ornstein.hdl.hops import hops
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import micro_layout
from ornstein.hdl.timing import Timing

STATE_LIMIT = (1 << STATE_WIDTH - 1) - 1
"""The largest word; its complement is the lowest."""


class RankSide(wiring.Component):
    """Controls the accumulators of the rank lanes, and makes rank words of them: shifts right,
    rounding half up, and saturates.

    The accumulators themselves are outside, because a multiplier's own adder may be one. Times are
    those of :class:`ornstein.hdl.timing.Timing`.

    Parameters
    ----------
    config : configuration of the fabric

    Members
    -------
    stages : In(StageSignature(config)).array(len(times)), the stages of :attr:`times`
    adds : Out(rank_lanes), one bit for each lane, at time ``rank_total - 1``: the accumulator
        becomes ``addend`` plus the lane's new sum
    addend : Out(ArrayLayout(signed(accumulator_width), rank_lanes)), in the same cycle; the
        accumulator, or half of the result's LSB in the first cycle of a loop
    total : In(ArrayLayout(signed(accumulator_width), rank_lanes)), the accumulators; complete at
        time ``rank_total``
    soon : Out(1), ``valid`` one cycle earlier
    valid : Out(1), at time ``rank``
    micro : Out(micro_layout(config)), in the same cycle
    next : Out(ArrayLayout(signed(16), rank_lanes)), the rank word, in the same cycle
    saturated : Out(1), the word of a lane was saturated
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        timing = Timing.of(config)
        self.times = range(timing.rank_total - 2, timing.rank + 1)
        accumulators = data.ArrayLayout(signed(config.accumulator_width), config.rank_lanes)
        super().__init__(
            {
                "stages": stage_ports(config, self.times),
                "adds": Out(config.rank_lanes),
                "addend": Out(accumulators),
                "total": In(accumulators),
                "soon": Out(1),
                "valid": Out(1),
                "micro": Out(micro_layout(config)),
                "next": Out(data.ArrayLayout(signed(STATE_WIDTH), config.rank_lanes)),
                "saturated": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        timing, shifts = Timing.of(config), config.project_shifts
        pipe = stages_at(self.times, self.stages)
        distance = hops(timing.hop, m, platform)

        def accumulating(valid, micro):
            return valid & (
                (micro.operation == Operation.PROJECT) | (micro.operation == Operation.MIX)
            )

        def half_lsb(_, micro):
            halves = [C(1 << shift - 1, config.accumulator_width) for shift in shifts]
            return select(micro.shift, halves)

        # A register between shift and saturation, if the time allows.
        shift_domain = "sync" if timing.rank - timing.rank_total > 1 else "comb"
        clipped = Signal(config.rank_lanes, reset_less=True)
        adding = timing.rank_total - 1
        for rank in range(config.rank_lanes):
            first = distance.decode(pipe, adding, lambda _, micro: micro.first, f"first_{rank}")
            half = distance.decode(pipe, adding, half_lsb, f"half_{rank}").as_signed()
            shift = distance.decode(
                pipe, timing.rank_total, lambda _, micro: micro.shift, f"shift_{rank}"
            )
            total = self.total[rank]
            m.d.comb += [
                self.adds[rank].eq(distance.decode(pipe, adding, accumulating, f"adds_{rank}")),
                self.addend[rank].eq(Mux(first, half, total)),
            ]
            shifted, over, negative = (
                Signal(width, name=f"{name}_{rank}", reset_less=True)
                for name, width in (("shifted", STATE_WIDTH), ("over", 1), ("negative", 1))
            )
            m.d[shift_domain] += [
                shifted.eq(shift_right(total, shift, shifts)),
                over.eq(overflow(total, shift, shifts, STATE_WIDTH)),
                negative.eq(total[-1]),
            ]
            word = Signal(signed(STATE_WIDTH), name=f"word_{rank}", reset_less=True)
            # The conditional assignment becomes the register's reset: the LUT has no input left.
            m.d.sync += [word.eq(Mux(over, STATE_LIMIT, shifted)), clipped[rank].eq(over)]
            with m.If(over & negative):
                m.d.sync += word.eq(~STATE_LIMIT)
            m.d.comb += self.next[rank].eq(word)
        valid, micro = pipe[timing.rank - 1]
        m.d.comb += [
            self.soon.eq(
                valid
                & micro.last
                & ((micro.operation == Operation.PROJECT) | (micro.operation == Operation.MIX))
            ),
            self.micro.eq(pipe[timing.rank].micro),
            self.saturated.eq(clipped.any()),
        ]
        m.d.sync += self.valid.eq(self.soon)
        return m
