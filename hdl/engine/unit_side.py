# SPDX-License-Identifier: Apache-2.0
"""The results of EXPAND: accumulators of the unit lanes, with which the update begins."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.engine.stages import stage_ports, stages_at
from ornstein.hdl.hops import hops
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import micro_layout
from ornstein.hdl.timing import Timing


def expanding(valid, micro):
    """Whether the stage holds a micro-operation of EXPAND."""
    return valid & (micro.operation == Operation.EXPAND)


class UnitSide(wiring.Component):
    """Accumulates the sums of products of each unit lane. Accumulators wrap: when a program is
    compiled, it is proved that it cannot overflow them.

    Times are those of :class:`ornstein.hdl.timing.Timing`.

    Parameters
    ----------
    config : configuration of the fabric

    Members
    -------
    stages : In(StageSignature(config)).array(len(times)), the stages of :attr:`times`
    total : In(ArrayLayout(signed(n), unit_lanes)), sums of products at time ``unit - 1``; zero
        unless the operation is EXPAND
    soon : Out(1), ``valid`` as many cycles earlier as a memory takes to read
    soon_micro : Out(micro_layout(config)), in the cycle of ``soon``
    valid : Out(1), at time ``unit``
    micro : Out(micro_layout(config)), in the same cycle
    sums : Out(ArrayLayout(signed(accumulator_width), unit_lanes)), the accumulators of a vector
        word, in the same cycle
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        timing = Timing.of(config)
        self.times = range(timing.unit - timing.read - 1, timing.unit + 1)
        micro = micro_layout(config)
        total_width = config.product_width + (config.rank_lanes - 1).bit_length()
        super().__init__(
            {
                "stages": stage_ports(config, self.times),
                "total": In(data.ArrayLayout(signed(total_width), config.unit_lanes)),
                "soon": Out(1),
                "soon_micro": Out(micro),
                "valid": Out(1),
                "micro": Out(micro),
                "sums": Out(data.ArrayLayout(signed(config.accumulator_width), config.unit_lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        timing = Timing.of(self._config)
        pipe = stages_at(self.times, self.stages)
        distance = hops(timing.hop, m, platform)

        def starting(valid, micro):
            return expanding(valid, micro) & micro.first

        def ending(valid, micro):
            return expanding(valid, micro) & micro.last

        for unit, total in enumerate(self.total):
            starts = distance.decode(pipe, timing.unit - 1, starting, f"starts_{unit}")
            accumulator = Signal.like(self.sums[unit], name=f"sum_{unit}", reset_less=True)
            # An addition and a multiplexer take one LUT a bit. An enable in addition would break
            # the carry chain of an iCE40, so totals are zero where they do not count.
            m.d.sync += accumulator.eq(Mux(starts, total, accumulator + total))
            m.d.comb += self.sums[unit].eq(accumulator)
        soon = timing.unit - timing.read
        m.d.comb += [
            self.soon.eq(distance.decode(pipe, soon, ending, "ends_soon")),
            self.soon_micro.eq(pipe[soon].micro),
            self.micro.eq(pipe[timing.unit].micro),
        ]
        m.d.sync += self.valid.eq(ending(*pipe[timing.unit - 1]))
        return m
