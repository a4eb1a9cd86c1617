# SPDX-License-Identifier: Apache-2.0
"""Chip distance: where a signal gets extra registers because its user lies far away.

A fabric of one unit lane is small, and its memories lie beside their users: :class:`Near`. A fabric
of several fills its chip: :class:`Far` gives each user a register of its own, one *hop*. Whoever
describes logic asks the policy, and need not know which one it is. This is the only file that tells
synthesis to keep registers.
"""

from amaranth.hdl import Assert, Module, Signal, Value

from ornstein.hdl.arithmetic import select


def kept_register(m: Module, value, name: str) -> Signal:
    """``value`` one cycle later, in a register without reset.

    Synthesis must not merge it with others that hold the same, so that each can be placed beside
    its load.
    """
    register = Signal(value.shape(), name=name, reset_less=True, attrs={"keep": 1})
    m.d.sync += register.eq(value)
    return register


def _chosen(m: Module, index, values: list, name: str) -> Signal:
    """``values[index]`` one cycle later."""
    register = Signal(values[0].shape(), name=name, reset_less=True)
    m.d.sync += register.eq(select(index, values))
    return register


class Near:
    """Users lie beside each other: no hop takes any time.

    Parameters
    ----------
    m : module that gets the registers
    platform : what it is elaborated for
    """

    def __init__(self, m: Module, platform=None):
        self._m = m

    def relay(self, value, name: str):
        """The value, one hop later."""
        return value

    def early(self, now, soon, name: str, valid=None):
        """``now``, without the time of a hop: it is known one cycle ahead as ``soon``.

        They must agree in every cycle, or in those with ``valid``.
        """
        return now

    def decode(self, pipe, time: int, decoder, name: str):
        """``decoder(valid, micro)`` of the stage at ``time`` of a
        :class:`ornstein.hdl.micro.MicroPipe`."""
        return decoder(*pipe[time])

    def choose(self, index, values: list, name: str):
        """``values[index]``, two hops later; the index must come one hop before the values."""
        return select(index, values)

    def pick(self, index, values: list, name: str):
        """``values[index]`` in a register: one cycle and one hop later."""
        return _chosen(self._m, index, values, name)


class Far:
    """Users are spread over the chip: a hop takes one cycle, in a register for each user.

    The members are those of :class:`Near`.
    """

    def __init__(self, m: Module, platform=None):
        self._m, self._platform, self._compares = m, platform, None

    def relay(self, value, name: str):
        return kept_register(self._m, value, name)

    def early(self, now, soon, name: str, valid=None):
        register = kept_register(self._m, soon, name)
        if self._platform is None:  # in simulation
            if self._compares is None:  # not in the cycle after reset, when the register is new
                self._compares = Signal(name="compares")
                self._m.d.sync += self._compares.eq(1)
            meant = self._compares if valid is None else self._compares & valid
            agrees = Value.cast(register) == Value.cast(now)
            self._m.d.sync += Assert(~meant | agrees, f"{name} differs from what it anticipates")
        return register

    def decode(self, pipe, time: int, decoder, name: str):
        return self.early(decoder(*pipe[time]), decoder(*pipe[time - 1]), name)

    def choose(self, index, values: list, name: str):
        return self._choose_in_groups(index, values, name, self.relay)

    def pick(self, index, values: list, name: str):
        return self._choose_in_groups(index, values, name, lambda part, _: part)

    def _choose_in_groups(self, index, values: list, name: str, bring):
        """``values[index]``, where ``bring(part, name)`` takes a part of the index to its user.

        Groups of neighbours choose first: they are nearer to each other than to the rest.
        """
        low, high = index[: len(index) // 2], index[len(index) // 2 :]
        group = 1 << len(low)
        of_groups = []
        for first in range(0, len(values), group):
            in_group = bring(low, f"{name}_{first}_low") if len(low) else low
            chosen = select(in_group, values[first : first + group])
            of_groups.append(kept_register(self._m, chosen, f"{name}_{first}"))
        of_group = kept_register(self._m, bring(high, f"{name}_high"), f"{name}_index")
        return _chosen(self._m, of_group, of_groups, name)


def hops(hop: int, m: Module, platform=None) -> Near | Far:
    """The policy of a fabric whose hops take that many cycles, for the logic of one module."""
    return (Far if hop else Near)(m, platform)
