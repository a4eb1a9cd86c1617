# SPDX-License-Identifier: Apache-2.0
"""The rank words, and the activation table that replaces one lane of them at a time."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.config import FRACTION_WIDTH, SLOPE_WIDTH, STATE_WIDTH, FabricConfig
from ornstein.hdl.fabric.bank import AccessSignature, Bank, BusView
from ornstein.hdl.hops import hops
from ornstein.hdl.memory import LaneMemory
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing


class RankBank(wiring.Component):
    """The memory of rank words. Sums are written to all lanes of a word; activations and the bus
    write a single lane, one hop later than sums.

    Members
    -------
    access : AccessSignature, in
    read_address : range(rank_depth), in; while a job runs
    word : rank_lanes x signed(16), out; :attr:`Timing.read` cycles after its address
    lane : range(rank_lanes), in, with ``word``; the lane that ACTIVATE takes of it
    lane_soon : in; ``lane`` one cycle earlier
    lane_valid : in; ``lane`` has a meaning
    element : signed(16), out; that lane, or the bus's, :attr:`Timing.pick` cycles after ``word``
    sum_valid, sum_soon : in; a word of sums is written in this cycle, in the next one
    sum_address, sum_word : in, with ``sum_valid``
    single_valid : in; one lane is written in this cycle
    single_address, single_lane, single_value : in, with ``single_valid``
    """

    def __init__(self, config: FabricConfig, *, substitute: Substitute = as_designed):
        self._timing = Timing.of(config)
        self._info = info = spaces(config)[Space.RANK]
        self._memory = substitute(
            info.name, LaneMemory(info.lanes, info.bits, info.depth, self._timing.hop)
        )
        word = data.ArrayLayout(signed(info.bits), info.lanes)
        address, lane = range(info.depth), range(max(2, info.lanes))
        super().__init__(
            {
                "access": In(AccessSignature(config)),
                "read_address": In(address),
                "word": Out(word),
                "lane": In(lane),
                "lane_soon": In(lane),
                "lane_valid": In(1),
                "element": Out(signed(info.bits)),
                "sum_valid": In(1),
                "sum_soon": In(1),
                "sum_address": In(address),
                "sum_word": In(word),
                "single_valid": In(1),
                "single_address": In(address),
                "single_lane": In(lane),
                "single_value": In(signed(info.bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self._memory
        distance = hops(self._timing.hop, m, platform)
        view = BusView(m, distance, self.access, self._info, "rank")
        lane = distance.early(
            Mux(view.free, view.lane, self.lane),
            Mux(view.free, view.lane, self.lane_soon),
            "chosen_lane",
            valid=self.lane_valid,
        )
        m.d.comb += [
            memory.read_address.eq(Mux(view.free, view.word, self.read_address)),
            Cat(self.word).eq(Cat(memory.read_data)),
            self.element.eq(distance.pick(lane, list(memory.read_data), "element_register")),
        ]
        # what goes to a single lane is chosen once, not in every lane
        single_value, single_address, single_lanes = (
            distance.relay(Mux(self.single_valid, from_engine, from_bus), name)
            for name, from_engine, from_bus in (
                ("single_value_relayed", self.single_value, view.wdata.as_signed()),
                ("single_address_relayed", self.single_address, view.word),
                ("single_lanes", 1 << self.single_lane, view.written),
            )
        )
        m.d.comb += [
            memory.write_data[lane].eq(
                Mux(
                    distance.early(self.sum_valid, self.sum_soon, f"sum_valid_{lane}"),
                    self.sum_word[lane],
                    single_value,
                )
            )
            for lane in range(self._info.lanes)
        ]
        with m.If(self.sum_valid):
            m.d.comb += [memory.write_address.eq(self.sum_address), memory.write_lanes.eq(-1)]
        with m.Else():
            m.d.comb += [
                memory.write_address.eq(single_address),
                memory.write_lanes.eq(single_lanes),
            ]
        return m


class ActivationTable(wiring.Component):
    """Looks an argument up in the activation table.

    Members
    -------
    access : AccessSignature, in
    argument : signed(16), in
    entry : unsigned(16 + SLOPE_WIDTH), out; value and slope, :attr:`Timing.read` cycles later
    fraction : unsigned(8), out; low bits of the argument, with ``entry``
    element : out; the entry that the bus reads
    """

    def __init__(self, config: FabricConfig, *, substitute: Substitute = as_designed):
        self._timing = Timing.of(config)
        self._bank = Bank(config, spaces(config)[Space.ACTIVATION], substitute=substitute)
        super().__init__(
            {
                "access": In(AccessSignature(config)),
                "argument": In(signed(STATE_WIDTH)),
                "entry": Out(STATE_WIDTH + SLOPE_WIDTH),
                "fraction": Out(FRACTION_WIDTH),
                "element": Out(STATE_WIDTH + SLOPE_WIDTH),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = self._bank
        wiring.connect(m, wiring.flipped(self.access), bank.access)
        fraction = self.argument[:FRACTION_WIDTH]
        for cycle in range(self._timing.read):
            delayed = Signal(FRACTION_WIDTH, name=f"fraction_{cycle}", reset_less=True)
            m.d.sync += delayed.eq(fraction)
            fraction = delayed
        m.d.comb += [
            bank.read_address.eq(self.argument[FRACTION_WIDTH:]),
            self.entry.eq(bank.word[0]),
            self.fraction.eq(fraction),
            self.element.eq(bank.element),
        ]
        return m
