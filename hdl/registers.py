# SPDX-License-Identifier: Apache-2.0
"""Registers that stay where they are meant to be."""

from amaranth.hdl import Module, Signal


def apart(m: Module, value, name: str):
    """``value`` a cycle later, from a register that synthesis does not share with others that hold
    the same: each can lie beside what it serves. It has no reset."""
    register = Signal(value.shape(), name=name, reset_less=True, attrs={"keep": 1})
    m.d.sync += register.eq(value)
    return register
