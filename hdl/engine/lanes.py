# SPDX-License-Identifier: Apache-2.0
"""The multiply lanes and their sums: the one engine behind project, mix and expand."""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import targets
from ornstein.hdl.config import (
    FRACTION_WIDTH,
    MIX_WINDOW,
    NEIGHBOURS,
    SLOPE_WIDTH,
    STATE_WIDTH,
    FabricConfig,
)
from ornstein.hdl.engine.activation import Activation
from ornstein.hdl.engine.rank_side import RankSide
from ornstein.hdl.engine.stages import connect_stages
from ornstein.hdl.engine.sums import both_ways
from ornstein.hdl.engine.unit_side import UnitSide, expanding
from ornstein.hdl.hops import hops
from ornstein.hdl.isa import Operation
from ornstein.hdl.micro import MicroPipe, micro_layout
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.timing import Timing


class Lanes(wiring.Component):
    """Multiplies three memory words lane by lane, and sums the products across unit lanes (PROJECT,
    MIX) or rank lanes (EXPAND).

    One micro-operation a cycle. Times are those of :class:`ornstein.hdl.timing.Timing`. The
    accumulators wrap: when a program is compiled, it is proved that it cannot overflow them.

    With one unit lane the first multiplier also interpolates activations, so no other operation may
    be issued between an ACTIVATE and its time ``lookup``.

    Parameters
    ----------
    config : configuration of the fabric
    substitute : replaces a multiplier, as fault injection does

    Members
    -------
    valid : In(1), at time ``read``, when the memories' words arrive
    micro : In(micro_layout(config)), in the same cycle
    factor : In(ArrayLayout(signed(factor_width), lanes)), ``spread`` cycles later; the factor of
        unit lane ``u`` and rank lane ``r`` has the index ``u * rank_lanes + r``
    vector : In(ArrayLayout(signed(16), unit_lanes)), with ``micro``; state or drive word of PROJECT
    rank : In(ArrayLayout(signed(16), rank_lanes)), with ``micro``; rank word of MIX and EXPAND
    fraction : In(FRACTION_WIDTH), at time ``lookup``; low bits of the activation's argument
    entry : In(16 + SLOPE_WIDTH), at time ``lookup``; entry of the activation table
    activated_valid, activated_micro, activated : Out, at time ``activation``; the activation's
        result, 16 bits
    rank_valid, rank_micro, rank_next, rank_saturated : Out, at time ``rank``; the rounded and
        saturated rank word
    rank_soon : Out(1), ``rank_valid`` one cycle earlier
    unit_soon, unit_soon_micro : Out, ``read`` cycles before ``unit_valid``, to read what the update
        needs
    unit_valid, unit_micro, unit_sums : Out, at time ``unit``; the accumulators of a vector word
    """

    def __init__(self, config: FabricConfig, *, substitute: Substitute = as_designed):
        self._config, self._substitute = config, substitute
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
        config, timing = self._config, Timing.of(self._config)
        distance = hops(timing.hop, m, platform)
        last = max(timing.rank, timing.unit, timing.activation)
        pipe = MicroPipe(m, timing.read, self.valid, self.micro, last)

        m.submodules.rank_side = rank_side = RankSide(config)
        m.submodules.unit_side = unit_side = UnitSide(config)
        m.submodules.activation = activation = Activation(config)
        for side in (rank_side, unit_side, activation):
            connect_stages(m, pipe, side.times, side.stages)

        multiply = self._single_unit_lane if config.unit_lanes == 1 else self._several_unit_lanes
        interpolator, unit_totals = multiply(
            m, pipe, distance, targets.of(platform), self._operands(m, pipe, distance), rank_side
        )
        with m.If(activation.multiply):
            m.d.comb += [interpolator.a.eq(activation.slope), interpolator.b.eq(self.fraction)]
        with m.If(activation.add):
            m.d.comb += [interpolator.enable.eq(1), interpolator.addend.eq(activation.addend)]
        m.d.comb += [
            activation.entry.eq(self.entry),
            activation.sum.eq(interpolator.sum),
            self.activated_valid.eq(activation.valid),
            self.activated_micro.eq(activation.micro),
            self.activated.eq(activation.result),
            self.rank_soon.eq(rank_side.soon),
            self.rank_valid.eq(rank_side.valid),
            self.rank_micro.eq(rank_side.micro),
            self.rank_next.eq(rank_side.next),
            self.rank_saturated.eq(rank_side.saturated),
            *(port.eq(total) for port, total in zip(unit_side.total, unit_totals, strict=True)),
            self.unit_soon.eq(unit_side.soon),
            self.unit_soon_micro.eq(unit_side.soon_micro),
            self.unit_valid.eq(unit_side.valid),
            self.unit_micro.eq(unit_side.micro),
            self.unit_sums.eq(unit_side.sums),
        ]
        return m

    def _operands(self, m: Module, pipe: MicroPipe, distance) -> dict:
        """(factor, word) of each lane by (unit, rank), at time ``read + spread``.

        A vector word relays to each group of neighbours, a rank word to each unit lane.
        """
        config, timing = self._config, Timing.of(self._config)
        time = timing.read + timing.spread
        vector = distance.relay(self.vector, "vector_halfway")
        rank_halfway = distance.relay(self.rank, "rank_halfway")
        window = MIX_WINDOW if config.mix_window else 1
        operands = {}
        rank_word = None
        for unit in range(config.unit_lanes):
            if config.mix_window and unit < window:
                rank_word = self._window_word(m, pipe, distance, unit, rank_halfway, rank_word)
            else:
                rank_word = distance.relay(rank_halfway, f"rank_beside_{unit}")
            for rank in range(config.rank_lanes):
                if rank % NEIGHBOURS == 0:
                    project = distance.decode(
                        pipe, time, lambda _, micro: micro.project, f"project_{unit}_{rank}"
                    )
                    mix = distance.decode(
                        pipe,
                        time,
                        lambda _, micro: micro.operation == Operation.MIX,
                        f"mix_{unit}_{rank}",
                    )
                    element = distance.relay(vector[unit], f"vector_beside_{unit}_{rank}")
                # MIX uses the first unit lanes only
                other = rank_word[rank] if unit < window else Mux(mix, 0, rank_word[rank])
                factor = self.factor[unit * config.rank_lanes + rank]
                operands[unit, rank] = factor, Mux(project, element, other)
        return operands

    def _window_word(
        self, m: Module, pipe: MicroPipe, distance, unit: int, word, before
    ) -> data.View:
        """The rank word of a unit lane in the window of MIX, at time ``read + spread``.

        In MIX it is the word that the lane before had one micro-operation earlier, ``before``; zero
        in the first of a pass. Otherwise, and in the first lane, it is ``word``.
        """
        timing = Timing.of(self._config)
        time = timing.read + timing.spread - 1
        register = Signal.like(word, name=f"rank_beside_{unit}", reset_less=True, attrs={"keep": 1})
        arrives = distance.decode(pipe, time, lambda valid, _: valid, f"arrives_{unit}")
        chosen = Value.cast(word)
        if before is not None:
            mixes = distance.decode(
                pipe, time, lambda _, micro: micro.operation == Operation.MIX, f"mixes_{unit}"
            )
            goes_on = distance.decode(
                pipe,
                time,
                lambda _, micro: (micro.operation == Operation.MIX) & ~micro.begins,
                f"goes_on_{unit}",
            )
            chosen = Mux(mixes, 0, chosen) | Mux(goes_on, Value.cast(before), 0)
        # what is not valid has read nothing
        with m.If(arrives):
            m.d.sync += register.eq(chosen)
        return register

    def _sum(self, m: Module, pipe: MicroPipe, distance, target, products: list) -> tuple:
        """Sums of products across unit lanes, one for each rank lane, and across rank lanes, one
        for each unit lane."""
        config, timing = self._config, Timing.of(self._config)
        # EXPAND's sums count in the last cycle of their tree, or at once if it has no adder.
        counting = timing.unit - 1 - (config.rank_lanes > 1)
        counted = [
            distance.decode(pipe, counting, expanding, f"counted_{unit}")
            for unit in range(config.unit_lanes)
        ]
        before_products = pipe[timing.unit - config.rank_lanes.bit_length() - 1].micro
        across_units = before_products.operation != Operation.EXPAND
        products = [product[: config.product_width].as_signed() for product in products]
        return both_ways(m, products, config.rank_lanes, across_units, counted, target)

    def _single_unit_lane(
        self, m: Module, pipe: MicroPipe, distance, target, operands: dict, rank_side: RankSide
    ) -> tuple:
        """(the interpolator, unit totals) of a fabric with one unit lane: each multiplier has an
        adder, which accumulates PROJECT and MIX; that of the first lane interpolates."""
        config, timing = self._config, Timing.of(self._config)
        multipliers = []
        for (unit, rank), (factor, word) in operands.items():
            multiplier = target.multiply_add(
                config.factor_width if rank else max(config.factor_width, SLOPE_WIDTH),
                STATE_WIDTH,
                config.accumulator_width,
                timing.multiply_add,
            )
            name = f"multiplier_{unit}_{rank}"
            m.submodules[name] = multiplier = self._substitute(name, multiplier)
            multipliers.append(multiplier)
            m.d.comb += [
                multiplier.a.eq(factor),
                multiplier.b.eq(word),
                multiplier.enable.eq(pipe[timing.read + timing.multiply_add - 1].valid),
                multiplier.addend.eq(Mux(rank_side.adds[rank], rank_side.addend[rank], 0)),
                rank_side.total[rank].eq(multiplier.sum),
            ]
        products = [multiplier.sum for multiplier in multipliers]
        _, unit_totals = self._sum(m, pipe, distance, target, products)
        return multipliers[0], unit_totals

    def _several_unit_lanes(
        self, m: Module, pipe: MicroPipe, distance, target, operands: dict, rank_side: RankSide
    ) -> tuple:
        """(the interpolator, unit totals) of a fabric with several unit lanes: accumulators follow
        the tree of adders, and activations have a multiplier of their own."""
        config, timing = self._config, Timing.of(self._config)
        products = []
        for (unit, rank), (factor, word) in operands.items():
            multiplier = target.multiply(config.factor_width, STATE_WIDTH)
            name = f"multiplier_{unit}_{rank}"
            m.submodules[name] = multiplier = self._substitute(name, multiplier)
            m.d.comb += [multiplier.a.eq(factor), multiplier.b.eq(word)]
            products.append(multiplier.product)
        rank_totals, unit_totals = self._sum(m, pipe, distance, target, products)
        for rank, total in enumerate(rank_totals):
            accumulator = Signal.like(
                rank_side.total[rank], name=f"rank_sum_{rank}", reset_less=True
            )
            with m.If(rank_side.adds[rank]):
                m.d.sync += accumulator.eq(rank_side.addend[rank] + total)
            m.d.comb += rank_side.total[rank].eq(accumulator)
        m.submodules.interpolator = interpolator = target.multiply_add(
            SLOPE_WIDTH, STATE_WIDTH, config.accumulator_width, timing.multiply_add
        )
        return interpolator, unit_totals
