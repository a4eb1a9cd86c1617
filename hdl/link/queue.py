# SPDX-License-Identifier: Apache-2.0
"""A queue of stream elements in block RAM."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ornstein.hdl import targets
from ornstein.hdl.blockram import UNCHECKED

__all__ = ["Queue"]


class Queue(wiring.Component):
    """Holds ``depth`` elements and one more in its output register. Latency 2; one element a cycle.

    Parameters
    ----------
    shape : shape of an element
    depth : elements in the memory, a power of two

    Members
    -------
    i : In(stream of shape)
    o : Out(stream of shape)
    """

    def __init__(self, shape, depth: int):
        if depth < 1 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two, not {depth}")
        self._shape = shape
        self._depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        # the cell that is being written is read only while the queue is empty, and then the value
        # is not used
        m.submodules.storage = storage = Memory(
            shape=self._shape, depth=self._depth, init=[], attrs=UNCHECKED
        )
        write_port = storage.write_port()
        read_port = storage.read_port(domain="comb")
        pointer_bits = exact_log2(self._depth)
        written = Signal(pointer_bits)
        read = Signal(pointer_bits)
        held = Signal(pointer_bits + 1)  # elements in the memory
        taken = Signal()
        attrs = targets.of(platform).block_ram_output
        payload = Signal(self._shape, reset_less=True, attrs=attrs)
        m.d.comb += [
            self.i.ready.eq(~held[-1]),
            write_port.addr.eq(written),
            write_port.data.eq(self.i.payload),
            write_port.en.eq(self.i.valid & self.i.ready),
            read_port.addr.eq(read),
            self.o.payload.eq(payload),
            taken.eq((held != 0) & (~self.o.valid | self.o.ready)),
        ]
        with m.If(write_port.en):
            m.d.sync += written.eq(written + 1)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [payload.eq(read_port.data), self.o.valid.eq(held != 0)]
        with m.If(taken):
            m.d.sync += read.eq(read + 1)
        with m.If(write_port.en ^ taken):
            m.d.sync += held.eq(held + Mux(taken, -1, 1))
        return m
