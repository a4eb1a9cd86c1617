# SPDX-License-Identifier: Apache-2.0
"""The memories of the fabric: words of equal lanes, one read port, one write port with a
lane mask.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl import targets
from ornstein.hdl.blockram import UNCHECKED
from ornstein.hdl.config import NEIGHBOURS
from ornstein.hdl.hops import hops


class LaneMemory(wiring.Component):
    """``depth`` words of ``lanes`` entries of ``width`` bits, zero at power-up.

    Read latency is one cycle, and ``hop`` cycles more each way. A word that is read in the cycle
    that writes it is undefined on the chip (that saves the emulation logic), so every schedule
    keeps the two apart. Lanes are memories of their own: to read one lane of a word while another
    lane of it is written is well defined, which ACTIVATE in place relies on.

    Parameters
    ----------
    hop : 1 to give what goes in and what comes out a register on its way, 0 not to

    Members
    -------
    read_address : range(depth), in
    read_data : lanes x unsigned(width), out, ``1 + 2 * hop`` cycles after its address
    write_address : range(depth), in
    write_data : lanes x unsigned(width), in
    write_lanes : one bit a lane, in; the lanes to write
    """

    def __init__(self, lanes: int, width: int, depth: int, hop: int = 0):
        self._lanes, self._width, self._depth, self._hop = lanes, width, depth, hop
        word = data.ArrayLayout(width, lanes)
        super().__init__(
            {
                "read_address": In(range(depth)),
                "read_data": Out(word),
                "write_address": In(range(depth)),
                "write_data": In(word),
                "write_lanes": In(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        relay = hops(self._hop, m, platform).relay
        for lane in range(self._lanes):  # cells of their own, to be placed beside the lane's user
            m.submodules[f"cells_{lane}"] = cells = memory.Memory(
                shape=self._width, depth=self._depth, init=[], attrs=UNCHECKED
            )
            write, read = cells.write_port(), cells.read_port(domain="comb")
            word = Signal(
                self._width,
                name=f"word_{lane}",
                reset_less=True,
                attrs=targets.of(platform).block_ram_output,
            )
            m.d.sync += word.eq(read.data)

            m.d.comb += [
                write.addr.eq(relay(self.write_address, f"write_address_{lane}_relayed")),
                write.data.eq(relay(self.write_data[lane], f"write_data_{lane}_relayed")),
                write.en.eq(relay(self.write_lanes[lane], f"write_lane_{lane}_relayed")),
                read.addr.eq(relay(self.read_address, f"read_address_{lane}_relayed")),
                self.read_data[lane].eq(relay(word, f"read_data_{lane}_relayed")),
            ]
        return m


class JoinedMemory(wiring.Component):
    """A memory with a single port whose lanes lie in the block RAMs without gaps, undefined at
    power-up.

    The lanes cannot be written one by one: a write puts back what it found in the others.

    Members
    -------
    address : range(depth), in; there a cycle before a write; writes are ``2 + hop`` cycles apart
    read_data : lanes x unsigned(width), out, ``1 + 2 * hop`` cycles after its address; undefined
        after a write
    write_data : unsigned(width), in; what to write in each of those lanes
    write_lanes : one bit a lane, in; the lanes to write
    """

    def __init__(self, lanes: int, width: int, depth: int, hop: int = 0):
        self._lanes, self._width, self._depth, self._hop = lanes, width, depth, hop
        word = data.ArrayLayout(width, lanes)
        super().__init__(
            {
                "address": In(range(depth)),
                "read_data": Out(word),
                "write_data": In(width),
                "write_lanes": In(lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.cells = cells = memory.Memory(
            shape=data.ArrayLayout(self._width, self._lanes),
            depth=self._depth,
            init=[],
            attrs=UNCHECKED,
        )
        write, read = cells.write_port(), cells.read_port(domain="comb")
        word = Signal.like(
            read.data, name="word", reset_less=True, attrs=targets.of(platform).block_ram_output
        )
        m.d.sync += word.eq(read.data)

        relay = hops(self._hop, m, platform).relay

        def relay_twice(value, name):
            return relay(relay(value, f"{name}_halfway"), f"{name}_relayed")

        # a write comes one hop after its address, whose word has been read by then
        address = relay(self.address, "address_relayed")
        write_data = relay_twice(self.write_data, "write_data")
        lanes = relay_twice(self.write_lanes, "write_lanes")
        m.d.comb += [
            read.addr.eq(address),
            Cat(self.read_data).eq(relay(Cat(word), "read_data_relayed")),
            write.addr.eq(relay(address, "write_address")),
            Cat(write.data).eq(
                write_data
                if self._lanes == 1
                else Cat(
                    Mux(lanes[lane], write_data, word) for lane, word in enumerate(self.read_data)
                )
            ),
            write.en.eq(relay_twice(self.write_lanes.any(), "write")),
        ]
        return m


class FactorMemory(JoinedMemory):
    """Factors of one unit lane, in as few block RAMs as its rank lanes need.

    With ``hop`` every NEIGHBOURS lanes share a :class:`JoinedMemory`, on every target, so that each
    can be placed beside its multipliers. Without, the target may hold the high bits of all lanes in
    a single-port memory; the low bits are joined unless each lane fills block RAMs of its own. On
    other targets it is a plain :class:`LaneMemory`.
    """

    def elaborate(self, platform):
        m = Module()
        if self._hop:
            self._join(m, "joined", min(NEIGHBOURS, self._lanes), self._width)
            return m
        target = targets.of(platform)
        high = target.single_port_memory(self._lanes, self._width, self._depth)
        if high is None:
            self._keep_plain(m)
        else:
            m.submodules.high = high
            high_bits = len(high.write_data)
            low_bits = self._width - high_bits
            m.d.comb += [
                high.address.eq(self.address),
                high.write_data.eq(self.write_data[low_bits:]),
                high.write_lanes.eq(self.write_lanes),
                *(
                    lane[low_bits:].eq(high_lane)
                    for lane, high_lane in zip(self.read_data, high.read_data, strict=True)
                ),
            ]
            fills_block_rams = self._depth * low_bits % target.block_ram_bits == 0
            self._join(m, "low", 1 if fills_block_rams else self._lanes, low_bits)
        return m

    def _keep_plain(self, m: Module):
        m.submodules.plain = plain = LaneMemory(self._lanes, self._width, self._depth)
        m.d.comb += [
            plain.read_address.eq(self.address),
            plain.write_address.eq(self.address),
            *(lane.eq(self.write_data) for lane in plain.write_data),
            plain.write_lanes.eq(self.write_lanes),
            Cat(self.read_data).eq(Cat(plain.read_data)),
        ]

    def _join(self, m: Module, name: str, lanes: int, width: int):
        """The low ``width`` bits of all lanes, in memories of ``lanes`` lanes each."""
        for first in range(0, self._lanes, lanes):
            m.submodules[f"{name}_{first}"] = cells = JoinedMemory(
                lanes, width, self._depth, self._hop
            )
            m.d.comb += [
                cells.address.eq(self.address),
                cells.write_data.eq(self.write_data),
                cells.write_lanes.eq(self.write_lanes[first : first + lanes]),
                *(
                    self.read_data[first + lane][:width].eq(word)
                    for lane, word in enumerate(cells.read_data)
                ),
            ]
