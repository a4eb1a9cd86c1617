# SPDX-License-Identifier: Apache-2.0
"""The sample stream: a ring of states that the host empties while jobs run."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.config import STATE_WIDTH, FabricConfig
from ornstein.hdl.fabric.bank import AccessSignature, Bank
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import ELEMENT_BITS, Space
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing


class SampleRing(wiring.Component):
    """Keeps sampled states until the host has taken them.

    Members
    -------
    access : AccessSignature, in
    states : unit_lanes x signed(16), in; a word of new states
    sampled : in; the word enters the ring in this cycle
    sampled_soon : in; ``sampled`` one cycle earlier
    entered : unsigned(32), out; words that have entered, modulo 2**32
    taken : unsigned(32), in; words that the host has taken out
    hold : out; too little room is left: the sequencer must stop. What it has issued by then still
        fits: :attr:`Timing.sample_margin`
    half_full : out; at least half of the ring is waiting. It follows ``sampled`` and ``taken`` as
        ``hold`` does: ``sampled`` three cycles later, ``taken`` two
    element : signed(16), out; the state that the bus reads
    """

    def __init__(self, config: FabricConfig, *, substitute: Substitute = as_designed):
        self._config = config
        info = spaces(config)[Space.SAMPLE]
        self._bank = Bank(config, info, engine_writes=True, substitute=substitute)
        super().__init__(
            {
                "access": In(AccessSignature(config)),
                "states": In(data.ArrayLayout(signed(STATE_WIDTH), config.unit_lanes)),
                "sampled": In(1),
                "sampled_soon": In(1),
                "entered": Out(ELEMENT_BITS),
                "taken": In(ELEMENT_BITS),
                "hold": Out(1),
                "half_full": Out(1),
                "element": Out(signed(STATE_WIDTH)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = self._bank
        connect(m, flipped(self.access), bank.access)
        depth = self._config.sample_depth
        waiting = Signal(range(depth + 1))
        m.d.comb += [
            bank.write_address.eq(self.entered[: (depth - 1).bit_length()]),
            bank.write_word.eq(self.states),
            bank.writing.eq(self.sampled),
            bank.writing_soon.eq(self.sampled_soon),
            self.element.eq(bank.element),
        ]
        m.d.sync += [
            self.entered.eq(self.entered + self.sampled),
            waiting.eq(self.entered - self.taken),
            self.hold.eq(waiting > depth - Timing.of(self._config).sample_margin),
            self.half_full.eq(waiting >= depth // 2),
        ]
        return m
