# SPDX-License-Identifier: Apache-2.0
"""Sums of states, and of their squares: one component for both."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ornstein.hdl.config import STATE_WIDTH, FabricConfig
from ornstein.hdl.fabric.bank import AccessSignature, Bank
from ornstein.hdl.micro import StageSignature
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces

SPACE_OF_POWER = {1: Space.SUM, 2: Space.SQUARE}


class Accumulator(wiring.Component):
    """Adds a power of every new state to the sum of its unit.

    The sum is read, a cycle before it is written it lies in a register, and the power is added as
    it is written: ``power - 1`` cycles after the new state. Sums do not saturate; that a program
    cannot overflow them is checked when it is compiled.

    Members
    -------
    access : AccessSignature, in
    accumulate : in; level.accumulate
    job_bank : in; the job's bank
    states : unit_lanes x signed(16), in; the new states
    read, write_soon, write : StageSignature, in; the stage in which a sum is read, that before it
        is written, and that in which it is written
    reading : out; the engine reads in this cycle
    element : out; the sum that the bus reads

    Parameters
    ----------
    power : 1 for sums of states, 2 for sums of squares
    """

    def __init__(self, config: FabricConfig, power: int, *, substitute: Substitute = as_designed):
        self._config, self._power = config, power
        self._info = spaces(config)[SPACE_OF_POWER[power]]
        self._bank = Bank(config, self._info, engine_writes=True, substitute=substitute)
        super().__init__(
            {
                "access": In(AccessSignature(config)),
                "accumulate": In(1),
                "job_bank": In(1),
                "states": In(data.ArrayLayout(signed(STATE_WIDTH), config.unit_lanes)),
                "read": In(StageSignature(config)),
                "write_soon": In(StageSignature(config)),
                "write": In(StageSignature(config)),
                "reading": Out(1),
                "element": Out(self._bank.element.shape()),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = self._bank
        connect(m, flipped(self.access), bank.access)
        word_bits = (self._config.state_depth - 1).bit_length()

        def address(stage):
            return Cat(stage.micro.dest[:word_bits], self.job_bank)

        def writes(stage):
            return stage.valid & ~stage.micro.to_drive & self.accumulate

        m.d.comb += [
            self.reading.eq(self.accumulate & self.read.valid),
            bank.reading.eq(self.reading),
            bank.read_address.eq(address(self.read)),
            bank.write_address.eq(address(self.write)),
            bank.writing.eq(writes(self.write)),
            bank.writing_soon.eq(writes(self.write_soon)),
            self.element.eq(bank.element),
        ]
        for unit, state in enumerate(self.states):
            term = state
            if self._power == 2:
                term = Signal(2 * STATE_WIDTH - 1, name=f"square_{unit}", reset_less=True)
                m.d.sync += term.eq(state * state)
            so_far = Signal.like(bank.word[unit], name=f"so_far_{unit}", reset_less=True)
            m.d.sync += so_far.eq(Mux(self.write_soon.micro.clear, 0, bank.word[unit]))
            m.d.comb += bank.write_word[unit].eq(so_far + term)
        return m
