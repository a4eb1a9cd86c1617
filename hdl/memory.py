"""The memories of the fabric: words of equal lanes, one read port, one write port with a lane mask."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import ice40


class LaneMemory(wiring.Component):
    """``depth`` words of ``lanes`` entries of ``width`` bits, zero at power-up.

    Read latency is one cycle, and ``travel`` cycles more each way. A word that is read in the cycle that writes it is
    undefined on the chip (that saves the emulation logic), so every schedule keeps the two apart. Lanes are separate
    in the RAM: to read one lane of a word while another lane of it is written is well defined, which ACTIVATE in place
    relies on.

    Parameters
    ----------
    travel : 1 to give what goes in and what comes out a register on its way, 0 not to

    Members
    -------
    read_address : range(depth), in
    read_data : lanes x unsigned(width), out, ``1 + 2 * travel`` cycles after its address
    write_address : range(depth), in
    write_data : lanes x unsigned(width), in
    write_lanes : one bit a lane, in; the lanes to write
    """

    def __init__(self, lanes: int, width: int, depth: int, travel: int = 0):
        self._lanes, self._width, self._depth, self._travel = lanes, width, depth, travel
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
        m.d.sync += word.eq(read.data)

        def moved(value, name):
            if not self._travel:
                return value
            # kept beside the cells even where another memory is told the same
            there = Signal(len(value), name=name, reset_less=True, attrs={"keep": 1})
            m.d.sync += there.eq(value)
            return there

        m.d.comb += [
            write.addr.eq(moved(self.write_address, "write_address_there")),
            write.data.eq(moved(Cat(self.write_data), "write_data_there")),
            write.en.eq(moved(self.write_lanes, "write_lanes_there")),
            read.addr.eq(moved(self.read_address, "read_address_there")),
            self.read_data.eq(moved(word, "word_here")),
        ]
        return m


class FactorMemory(wiring.Component):
    """A lane memory with a single port, undefined at power-up.

    An iCE40UP5K keeps the high byte of every lane in its single-port memories, two lanes in each, and only the low
    bits in block RAM. Elsewhere it is a plain lane memory, with its ``travel``.

    Members
    -------
    address : range(depth), in
    read_data : lanes x unsigned(width), out, ``1 + 2 * travel`` cycles after its address; undefined after a write
    write_data : lanes x unsigned(width), in
    write_lanes : one bit a lane, in; the lanes to write
    """

    HIGH_BITS = ice40.SPRAM_WIDTH // 2

    def __init__(self, lanes: int, width: int, depth: int, travel: int = 0):
        self._lanes, self._width, self._depth, self._travel = lanes, width, depth, travel
        word = data.ArrayLayout(width, lanes)
        super().__init__({
            "address": In(range(depth)), "read_data": Out(word), "write_data": In(word), "write_lanes": In(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, low_bits = self._lanes, self._width - self.HIGH_BITS
        fits = lanes <= 2 * ice40.SPRAM_COUNT and self._depth <= ice40.SPRAM_DEPTH and low_bits > 0
        if not (ice40.is_target(platform) and fits and not self._travel):
            m.submodules.plain = plain = LaneMemory(lanes, self._width, self._depth, self._travel)
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
