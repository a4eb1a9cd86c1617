"""The one kind of memory in the fabric: words of equal lanes, one read port, one write port with a lane mask."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out


class LaneMemory(wiring.Component):
    """``depth`` words of ``lanes`` entries of ``width`` bits, zero at power-up.

    Read latency is one cycle. A word that is read in the cycle that writes it is undefined on the chip (that saves
    the emulation logic), so every schedule keeps the two apart.

    Members
    -------
    read_address : range(depth), in
    read_data : lanes x unsigned(width), out, one cycle after its address
    write_address : range(depth), in
    write_data : lanes x unsigned(width), in
    write_lanes : one bit a lane, in; the lanes to write
    """

    def __init__(self, lanes: int, width: int, depth: int):
        self._lanes, self._width, self._depth = lanes, width, depth
        word = data.ArrayLayout(width, lanes)
        super().__init__({
            "read_address": In(range(depth)),
            "read_data": Out(word),
            "write_address": In(range(depth)),
            "write_data": In(word),
            "write_lanes": In(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.cells = cells = memory.Memory(shape=self._lanes * self._width, depth=self._depth, init=[],
                                                   attrs={"no_rw_check": 1})
        write = cells.write_port(granularity=self._width)
        read = cells.read_port(domain="comb")
        word = Signal(self._lanes * self._width, reset_less=True)
        m.d.comb += [
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_lanes),
            read.addr.eq(self.read_address),
            self.read_data.eq(word),
        ]
        m.d.sync += word.eq(read.data)
        return m
