"""The memories of the fabric: words of equal lanes, one read port, one write port with a lane mask."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import ice40


class LaneMemory(wiring.Component):
    """``depth`` words of ``lanes`` entries of ``width`` bits, zero at power-up.

    Read latency is one cycle. A word that is read in the cycle that writes it is undefined on the chip (that saves
    the emulation logic), so every schedule keeps the two apart. Lanes are separate in the RAM: to read one lane of a
    word while another lane of it is written is well defined, which ACTIVATE in place relies on.

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


class FactorMemory(wiring.Component):
    """A lane memory with a single port, undefined at power-up.

    An iCE40UP5K keeps the high byte of every lane in its single-port memories, two lanes in each, and only the low
    bits in block RAM. Elsewhere it is a plain lane memory.

    Members
    -------
    address : range(depth), in
    read_data : lanes x unsigned(width), out, one cycle after its address; undefined after a write
    write_data : lanes x unsigned(width), in
    write_lanes : one bit a lane, in; the lanes to write
    """

    HIGH_BITS = ice40.SPRAM_WIDTH // 2

    def __init__(self, lanes: int, width: int, depth: int):
        self._lanes, self._width, self._depth = lanes, width, depth
        word = data.ArrayLayout(width, lanes)
        super().__init__({
            "address": In(range(depth)), "read_data": Out(word), "write_data": In(word), "write_lanes": In(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, low_bits = self._lanes, self._width - self.HIGH_BITS
        fits = lanes <= 2 * ice40.SPRAM_COUNT and self._depth <= ice40.SPRAM_DEPTH and low_bits > 0
        if not (ice40.is_target(platform) and fits):
            m.submodules.plain = plain = LaneMemory(lanes, self._width, self._depth)
            m.d.comb += [plain.read_address.eq(self.address), plain.write_address.eq(self.address),
                         Cat(plain.write_data).eq(Cat(self.write_data)), plain.write_lanes.eq(self.write_lanes),
                         Cat(self.read_data).eq(Cat(plain.read_data))]
            return m
        for first in range(0, lanes, 2):
            m.submodules[f"high_{first}"] = high = ice40.SinglePortMemory()
            m.d.comb += [high.address.eq(self.address), high.write.eq(self.write_lanes[first:first + 2].any())]
            for half, lane in enumerate(range(first, min(first + 2, lanes))):
                m.submodules[f"low_{lane}"] = low = LaneMemory(1, low_bits, self._depth)
                byte = slice(self.HIGH_BITS * half, self.HIGH_BITS * (half + 1))
                m.d.comb += [
                    high.write_data[byte].eq(self.write_data[lane][low_bits:]),
                    high.write_nibbles[2 * half:2 * half + 2].eq(self.write_lanes[lane].replicate(2)),
                    low.write_address.eq(self.address),
                    low.write_data[0].eq(self.write_data[lane]),
                    low.write_lanes.eq(self.write_lanes[lane]),
                    low.read_address.eq(self.address),
                    self.read_data[lane].eq(Cat(low.read_data[0], high.read_data[byte])),
                ]
        return m
