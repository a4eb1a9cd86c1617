# SPDX-License-Identifier: Apache-2.0
"""The factors of one unit lane."""

from amaranth.hdl import Cat, Module, Mux, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric.bank import AccessSignature, BusView
from ornstein.hdl.hops import hops
from ornstein.hdl.memory import FactorMemory
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing


class FactorBank(wiring.Component):
    """The part of the factor memory that one unit lane multiplies with; only the bus writes it.

    Members
    -------
    access : AccessSignature, in
    read_address : range(factor_depth), in; while a job runs
    word : rank_lanes x signed(factor_width), out; one hop and :attr:`Timing.read` cycles later
    element : signed(factor_width), out; the rank lane that the bus reads, two hops after ``word``

    Parameters
    ----------
    unit : the unit lane
    """

    def __init__(self, config: FabricConfig, unit: int, *, substitute: Substitute = as_designed):
        self._config, self._unit = config, unit
        self._hop = Timing.of(config).hop
        self._name = f"factor_{unit}"
        self._memory = substitute(
            self._name,
            FactorMemory(config.rank_lanes, config.factor_width, config.factor_depth, self._hop),
        )
        factor = signed(config.factor_width)
        super().__init__(
            {
                "access": In(AccessSignature(config)),
                "read_address": In(range(config.factor_depth)),
                "word": Out(data.ArrayLayout(factor, config.rank_lanes)),
                "element": Out(factor),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self._memory
        ranks = self._config.rank_lanes
        distance = hops(self._hop, m, platform)
        view = BusView(m, distance, self.access, spaces(self._config)[Space.FACTOR], self._name)
        row = distance.relay(self.read_address, "read_address_relayed")
        lane = view.lane[: (ranks - 1).bit_length()]
        m.d.comb += [
            memory.address.eq(Mux(view.free, view.word, row)),
            Cat(self.word).eq(Cat(memory.read_data)),
            self.element.eq(distance.choose(lane, list(memory.read_data), "element_register")),
            memory.write_data.eq(view.wdata),
            memory.write_lanes.eq(view.written[self._unit * ranks :][:ranks]),
        ]
        return m
