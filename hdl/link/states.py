# SPDX-License-Identifier: Apache-2.0
"""State machines with one register per state."""

from contextlib import contextmanager

from amaranth.hdl import Module, Signal

__all__ = ["States"]


class States:
    """A one-hot state machine, used like ``m.FSM``. It needs no decoder of the state, so with many
    states it is smaller and faster.

    Statements under ``with states(name):`` apply in that state. Within them ``states.go(name)``
    changes to another state, at most once in a cycle. ``states[name]`` is high while the machine is
    in that state.

    Parameters
    ----------
    m : the module that gets the registers
    names : names of the states; the machine starts in the first
    """

    def __init__(self, m: Module, *names: str):
        self._m = m
        self._registers = {
            name: Signal(name=f"in_{name.lower()}", init=name == names[0]) for name in names
        }
        self._here = None

    def __getitem__(self, name: str) -> Signal:
        return self._registers[name]

    @contextmanager
    def __call__(self, name: str):
        self._here = self._registers[name]
        with self._m.If(self._here):
            yield

    def go(self, name: str):
        self._m.d.sync += [self._here.eq(0), self._registers[name].eq(1)]
