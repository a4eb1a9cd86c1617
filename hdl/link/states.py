# SPDX-License-Identifier: Apache-2.0
"""State machines with a register for each state."""

from contextlib import contextmanager

from amaranth.hdl import Module, Signal

__all__ = ["States"]


class States:
    """A state machine like ``m.FSM``, of which exactly one state's register is set: what a state
    decides depends on no decoder, and so is smaller and faster where there are many states.

    ``with states(name):`` holds what happens in a state, ``states.go(name)`` within it leads to
    another one, at most once in a cycle, and ``states[name]`` tells anywhere whether the machine is
    in that state.

    Parameters
    ----------
    m : the module to add it to
    names : of the states; the first one holds at reset
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
