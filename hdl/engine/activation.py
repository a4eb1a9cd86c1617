# SPDX-License-Identifier: Apache-2.0
"""The activation function: linear interpolation between the entries of a table."""

from amaranth.hdl import C, Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.config import FRACTION_WIDTH, SLOPE_WIDTH, STATE_WIDTH, FabricConfig
from ornstein.hdl.engine.stages import stage_ports, stages_at
from ornstein.hdl.hops import kept_register
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import micro_layout
from ornstein.hdl.timing import Timing


class Activation(wiring.Component):
    """Computes ``(value << 8) + slope * fraction + 128 >> 8``, which rounds half up and wraps.

    The multiplication and addition are made outside, because a multiply lane may do them. Times are
    those of :class:`ornstein.hdl.timing.Timing`.

    Parameters
    ----------
    config : configuration of the fabric

    Members
    -------
    stages : In(StageSignature(config)).array(len(times)), the stages of :attr:`times`
    entry : In(16 + SLOPE_WIDTH), the table's entry at time ``lookup``: value and slope
    multiply : Out(1), at time ``lookup``: ``slope`` and the fraction are to be multiplied
    slope : Out(signed(SLOPE_WIDTH)), in the same cycle
    add : Out(1), ``multiply_add - 1`` cycles after ``multiply``: ``addend`` is to be added
    addend : Out(16 + FRACTION_WIDTH), in the same cycle
    sum : In(16 + FRACTION_WIDTH), one cycle after ``add``
    valid : Out(1), at time ``activation``
    micro : Out(micro_layout(config)), in the same cycle
    result : Out(16), in the same cycle
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        timing = Timing.of(config)
        self.times = range(timing.lookup, timing.activation + 1)
        super().__init__(
            {
                "stages": stage_ports(config, self.times),
                "entry": In(STATE_WIDTH + SLOPE_WIDTH),
                "multiply": Out(1),
                "slope": Out(signed(SLOPE_WIDTH)),
                "add": Out(1),
                "addend": Out(STATE_WIDTH + FRACTION_WIDTH),
                "sum": In(STATE_WIDTH + FRACTION_WIDTH),
                "valid": Out(1),
                "micro": Out(micro_layout(config)),
                "result": Out(STATE_WIDTH),
            }
        )

    def elaborate(self, platform):
        m = Module()
        timing = Timing.of(self._config)
        pipe = stages_at(self.times, self.stages)
        value, slope = self.entry[:STATE_WIDTH], self.entry[STATE_WIDTH:]
        valid, micro = pipe[timing.lookup]
        m.d.comb += [
            self.multiply.eq(valid & (micro.operation == Operation.ACTIVATE)),
            self.slope.eq(slope),
        ]
        active = self.multiply
        for cycle in range(1, timing.multiply_add):
            active = kept_register(m, active, f"active_{cycle}")
            value = kept_register(m, value, f"value_{cycle}")
        half = C(1 << FRACTION_WIDTH - 1, FRACTION_WIDTH)
        m.d.comb += [self.add.eq(active), self.addend.eq(Cat(half, value))]
        m.d.sync += self.valid.eq(active)
        m.d.comb += [
            self.result.eq(self.sum[FRACTION_WIDTH:]),
            self.micro.eq(pipe[timing.activation].micro),
        ]
        return m
