"""The multiply lanes and their sums: the one engine behind project, mix and expand."""

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import ice40
from ornstein.hdl.config import STATE_WIDTH, FabricConfig
from ornstein.hdl.isa import Operation
from ornstein.hdl.sequencer import micro_layout


class Multiplier(wiring.Component):
    """One lane: ``product`` is ``a * b`` two cycles earlier. On an iCE40UP5K it is one MAC16 with its registers.

    Members
    -------
    a : signed(factor_width), in
    b : signed(16), in
    product : signed(factor_width + 16), out
    """

    latency = 2

    def __init__(self, config: FabricConfig):
        super().__init__({
            "a": In(signed(config.factor_width)),
            "b": In(signed(STATE_WIDTH)),
            "product": Out(signed(config.product_width)),
        })

    def elaborate(self, platform):
        m = Module()
        if ice40.is_target(platform):
            m.submodules.mac = mac = ice40.MacMultiplier()
            m.d.comb += [mac.a.eq(self.a), mac.b.eq(self.b), self.product.eq(mac.product)]
            return m
        a = Signal(self.a.shape(), reset_less=True)
        b = Signal(self.b.shape(), reset_less=True)
        product = Signal(self.product.shape(), reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), product.eq(a * b)]
        m.d.comb += self.product.eq(product)
        return m


def tree(m: Module, terms: list, name: str):
    """The sum of a power of two of terms, one level a cycle; it grows a bit a level and loses none."""
    level = 0
    while len(terms) > 1:
        sums = []
        for index in range(0, len(terms), 2):
            pair = terms[index] + terms[index + 1]
            total = Signal(pair.shape(), name=f"{name}_{level}_{index // 2}", reset_less=True)
            m.d.sync += total.eq(pair)
            sums.append(total)
        terms, level = sums, level + 1
    return terms[0]


class Lanes(wiring.Component):
    """Reads three memory words, multiplies lane by lane, sums across unit lanes (project, mix) or rank lanes (expand).

    Times are cycles after a micro-operation's issue. The accumulators wrap: that a program cannot overflow them is
    proved when it is compiled.

    Members
    -------
    valid, micro : in, at time 1, with the memories' data
    factor : lanes x signed(factor_width), in, at time 1; lane ``u * rank_lanes + r``
    vector : unit_lanes x signed(16), in, at time 1; state or drive word of PROJECT
    rank : rank_lanes x signed(16), in, at time 1; rank word of MIX and EXPAND
    rank_valid, rank_micro, rank_next, rank_saturated : out, at time ``rank_time``; rounded and saturated rank word
    unit_soon, unit_soon_micro : out, one cycle before ``unit_valid``; time to read what the update needs
    unit_valid, unit_micro, unit_sums : out, at time ``unit_time``; accumulators of a vector word
    """

    def __init__(self, config: FabricConfig):
        self._config = config
        micro = micro_layout(config)
        super().__init__({
            "valid": In(1), "micro": In(micro),
            "factor": In(data.ArrayLayout(signed(config.factor_width), config.lanes)),
            "vector": In(data.ArrayLayout(signed(STATE_WIDTH), config.unit_lanes)),
            "rank": In(data.ArrayLayout(signed(STATE_WIDTH), config.rank_lanes)),
            "rank_valid": Out(1), "rank_micro": Out(micro), "rank_saturated": Out(1),
            "rank_next": Out(data.ArrayLayout(signed(STATE_WIDTH), config.rank_lanes)),
            "unit_soon": Out(1), "unit_soon_micro": Out(micro),
            "unit_valid": Out(1), "unit_micro": Out(micro),
            "unit_sums": Out(data.ArrayLayout(signed(config.accumulator_width), config.unit_lanes)),
        })

    @staticmethod
    def times(config: FabricConfig) -> tuple[int, int]:
        """(rank_time, unit_time) in cycles after issue."""
        products = 1 + Multiplier.latency
        return (products + config.unit_lanes.bit_length() - 1 + 2,
                products + config.rank_lanes.bit_length() - 1 + 1)

    def elaborate(self, platform):
        m = Module()
        config = self._config
        rank_time, unit_time = self.times(config)

        # the micro-operation beside its data: pipe[t] at time t
        pipe = {1: (self.valid, self.micro)}
        for time in range(2, max(rank_time, unit_time) + 1):
            valid, micro = Signal(name=f"valid_{time}"), Signal(self.micro.shape(), name=f"micro_{time}",
                                                                reset_less=True)
            m.d.sync += [valid.eq(pipe[time - 1][0]), micro.eq(pipe[time - 1][1])]
            pipe[time] = valid, micro

        project = self.micro.operation == Operation.PROJECT
        mix = self.micro.operation == Operation.MIX
        products = []
        for unit in range(config.unit_lanes):
            for rank in range(config.rank_lanes):
                multiplier = Multiplier(config)
                m.submodules[f"multiplier_{unit}_{rank}"] = multiplier
                other = self.rank[rank] if unit == 0 else Mux(mix, 0, self.rank[rank])
                m.d.comb += [
                    multiplier.a.eq(self.factor[unit * config.rank_lanes + rank]),
                    multiplier.b.eq(Mux(project, self.vector[unit], other)),
                ]
                products.append(multiplier.product)

        # project and mix: sum over unit lanes, accumulate per rank lane, round, saturate
        valid, micro = pipe[rank_time - 2]
        ranked = valid & ((micro.operation == Operation.PROJECT) | (micro.operation == Operation.MIX))
        shifts = config.project_shifts
        half = Signal(config.accumulator_width)
        m.d.comb += half.eq(Array([1 << shift - 1 for shift in shifts])[micro.shift])
        clipped = Signal(config.rank_lanes)
        ready, done = pipe[rank_time - 1]
        high, low = (1 << STATE_WIDTH - 1) - 1, -1 << STATE_WIDTH - 1
        for rank in range(config.rank_lanes):
            total = tree(m, products[rank::config.rank_lanes], f"rank_{rank}")
            accumulator = Signal(signed(config.accumulator_width), name=f"rank_sum_{rank}", reset_less=True)
            with m.If(ranked):
                m.d.sync += accumulator.eq(Mux(micro.first, half.as_signed(), accumulator) + total)
            shifted = Signal(signed(config.accumulator_width), name=f"rank_shifted_{rank}")
            m.d.comb += shifted.eq(Array([accumulator >> shift for shift in shifts])[done.shift])
            m.d.sync += self.rank_next[rank].eq(Mux(shifted > high, high, Mux(shifted < low, low, shifted)))
            m.d.comb += clipped[rank].eq((shifted > high) | (shifted < low))
        rank_done = Signal()
        m.d.comb += rank_done.eq(ready & done.last & ((done.operation == Operation.PROJECT)
                                                      | (done.operation == Operation.MIX)))
        m.d.sync += [self.rank_valid.eq(rank_done), self.rank_saturated.eq(clipped.any())]
        m.d.comb += self.rank_micro.eq(pipe[rank_time][1])

        # expand: sum over rank lanes, accumulate per unit lane
        valid, micro = pipe[unit_time - 1]
        expanding = valid & (micro.operation == Operation.EXPAND)
        for unit in range(config.unit_lanes):
            total = tree(m, products[unit * config.rank_lanes:(unit + 1) * config.rank_lanes], f"unit_{unit}")
            with m.If(expanding):
                m.d.sync += self.unit_sums[unit].eq(Mux(micro.first, 0, self.unit_sums[unit]) + total)
        m.d.comb += [
            self.unit_soon.eq(expanding & micro.last),
            self.unit_soon_micro.eq(micro),
            self.unit_micro.eq(pipe[unit_time][1]),
        ]
        m.d.sync += self.unit_valid.eq(self.unit_soon)
        return m
