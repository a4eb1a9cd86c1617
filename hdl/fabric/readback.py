# SPDX-License-Identifier: Apache-2.0
"""Read-back: the element that a bus read returns, of all spaces."""

from functools import reduce
from operator import or_

from amaranth.hdl import C, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import regmap
from ornstein.hdl.arithmetic import select
from ornstein.hdl.bus import ADDRESS_BITS
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.regmap import ELEMENT_BITS, Space
from ornstein.hdl.spaces import SpaceInfo, When, bus_width, spaces


def elements(config: FabricConfig) -> dict[str, SpaceInfo]:
    """The space of each element that :class:`Readback` chooses from, by its name; factors have one
    for each unit lane."""
    return {
        name: info
        for info in spaces(config).values()
        if info.space not in (Space.IDENTITY, Space.CONTROL)
        for name in (
            [f"factor_{unit}" for unit in range(config.unit_lanes)]
            if info.space == Space.FACTOR
            else [info.name]
        )
    }


class Readback(wiring.Component):
    """ANDs each space's element with "selected" and ORs them all, which is cheaper than a tree of
    choices.

    Elements that the bus reads while no job runs stand at the memory's output before the access is
    granted, and pass one register more than those that are read once it is.

    Members
    -------
    address : unsigned(24), in; element of the present access
    selected : one bit a space, in; the space of the present access
    control : unsigned(32), in; the control register, zero if another space is selected
    elements : a field for each of :func:`elements`, in; what the bus reads of its memory
    rdata : bus_width, out

    Parameters
    ----------
    line : what the identity says of the link
    """

    def __init__(self, config: FabricConfig, line: regmap.Line):
        self._config, self._line = config, line
        super().__init__(
            {
                "address": In(ADDRESS_BITS),
                "selected": In(max(Space) + 1),
                "control": In(ELEMENT_BITS),
                "elements": In(
                    data.StructLayout({name: info.bits for name, info in elements(config).items()})
                ),
                "rdata": Out(bus_width(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()

        def if_selected(space, word):
            return Mux(self.selected[space], word, 0)

        # This is a tree of constants because from a switch with a case for each address, Yosys
        # infers resets that decode the address in six levels of logic.
        identity = Signal(ELEMENT_BITS, reset_less=True)
        values = [
            C(value, ELEMENT_BITS) for value in regmap.identity(self._config, self._line).values()
        ]
        address_bits = (len(values) - 1).bit_length()
        values += [C(0, ELEMENT_BITS)] * ((1 << address_bits) - len(values))
        m.d.sync += identity.eq(if_selected(Space.IDENTITY, select(self.address, values)))

        # these come through more logic than others and have registers of their own
        generator = Signal(ELEMENT_BITS, reset_less=True)
        factor = Signal(self._config.factor_width, reset_less=True)
        rank_bits = (self._config.rank_lanes - 1).bit_length()
        factors = [self.elements[f"factor_{unit}"] for unit in range(self._config.unit_lanes)]
        chosen_factor = select(self.address[rank_bits:], factors)
        m.d.sync += [
            generator.eq(if_selected(Space.SEED, self.elements["seed"])),
            factor.eq(if_selected(Space.FACTOR, chosen_factor)),
        ]

        before_grant, after_grant = [identity | generator], []
        for name, info in elements(self._config).items():
            if info.space in (Space.FACTOR, Space.SEED):
                continue
            # a rank word's lane was already chosen in a register
            early = info.read == When.IDLE and info.space != Space.RANK
            word = if_selected(info.space, self.elements[name])
            (before_grant if early else after_grant).append(word)
        value = Signal(len(self.rdata), reset_less=True)
        answer = Signal(len(self.rdata), reset_less=True)
        m.d.sync += [
            value.eq(reduce(or_, before_grant)),
            answer.eq(reduce(or_, after_grant, value | factor | self.control)),
        ]
        m.d.comb += self.rdata.eq(answer)
        return m
