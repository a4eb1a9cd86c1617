# SPDX-License-Identifier: Apache-2.0
"""A bank: one memory of the fabric, shared between the bus and the engine."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.bus import ADDRESS_BITS
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.hops import Far, Near, hops
from ornstein.hdl.memory import LaneMemory
from ornstein.hdl.parts import Substitute, as_designed
from ornstein.hdl.spaces import SpaceInfo, When, bus_width
from ornstein.hdl.timing import Timing


class AccessSignature(wiring.Signature):
    """The bus as :class:`ornstein.hdl.fabric.access.Access` offers it to one user of a space.

    Members
    -------
    selected : Out(1); the space of the present access is the user's
    address : Out(24), element in the space
    wdata : Out(bus_width)
    write : Out(1), one cycle; the access is a write and may go on
    free : Out(1); no job runs, so that the bus owns the ports it shares with the engine
    """

    def __init__(self, config: FabricConfig):
        super().__init__(
            {
                "selected": Out(1),
                "address": Out(ADDRESS_BITS),
                "wdata": Out(bus_width(config)),
                "write": Out(1),
                "free": Out(1),
            }
        )


class BusView:
    """The bus beside one memory: what it needs of it, one hop later.

    Attributes
    ----------
    word, lane : address of the element
    wdata : the element to write
    written : one bit a lane; the lanes that the bus writes in this cycle
    free : the bus owns the read port; only of spaces that it reads while no job runs

    Parameters
    ----------
    m : module that gets the registers
    distance : of the memory from the bus
    access : interface with the members of :class:`AccessSignature`
    info : the space
    name : prefix of the registers' names
    """

    def __init__(self, m: Module, distance: Near | Far, access, info: SpaceInfo, name: str):
        address = distance.relay(access.address[: info.address_bits], f"{name}_address")
        self.lane, self.word = address[: info.lane_bits], address[info.lane_bits :]
        if info.read == When.IDLE:
            self.free = distance.relay(access.free, f"{name}_free")
        if info.write != When.NEVER:
            self.wdata = distance.relay(access.wdata[: info.bits], f"{name}_wdata")
            write = distance.relay(access.write, f"{name}_write")
            selected = distance.relay(access.selected, f"{name}_selected")
            lane = Signal(info.lanes, name=f"{name}_lane", reset_less=True)
            one_hot = 1 << self.lane if info.lanes > 1 else 1
            m.d.sync += lane.eq(Mux(selected, one_hot, 0))
            self.written = Mux(write, lane, 0)


def word_layout(info: SpaceInfo) -> data.ArrayLayout:
    """A word of that space; entries are signed where its elements are."""
    return data.ArrayLayout(signed(info.bits) if info.signed else info.bits, info.lanes)


class Bank(wiring.Component):
    """A lane memory with one read port and one write port, each for the bus and the engine in turn.

    Who has the read port follows from the space's row: IDLE, the bus while it is ``free``;
    CONTENDED, the engine while it is ``reading``; ALWAYS, the bus; NEVER, the engine. The engine
    has the write port while it is ``writing``.

    Members
    -------
    access : AccessSignature, in
    read_address : range(depth), in; the engine's
    reading : in; only of contended spaces: the engine reads in this cycle
    word : lanes x bits, out; :attr:`Timing.read` cycles after its address
    write_address : range(depth), in; the engine's, like the next three
    write_word : lanes x bits, in
    writing : in; every lane of the word is written in this cycle
    writing_soon : in; ``writing`` one cycle earlier
    element : bits, out; the bus's lane of the word, two hops after the word, or with it if it has
        only one lane; none if the bus never reads

    Parameters
    ----------
    info : the row of the space
    name : of the memory, where a space has several
    engine_writes : the engine has a write port, too
    hop : cycles between the ports and the memory's cells, if not those of the fabric
    substitute : may replace the memory
    """

    def __init__(
        self,
        config: FabricConfig,
        info: SpaceInfo,
        *,
        name: str | None = None,
        engine_writes: bool = False,
        hop: int | None = None,
        substitute: Substitute = as_designed,
    ):
        self._info, self._engine_writes = info, engine_writes
        self._name = name or info.name
        self._distance = Timing.of(config).hop
        hop = self._distance if hop is None else hop
        self._memory = substitute(self._name, LaneMemory(info.lanes, info.bits, info.depth, hop))
        word = word_layout(info)
        members = {
            "access": In(AccessSignature(config)),
            "read_address": In(range(info.depth)),
            "word": Out(word),
            "element": Out(word.elem_shape),
        }
        if info.read == When.CONTENDED:
            members["reading"] = In(1)
        if engine_writes:
            members |= {
                "write_address": In(range(info.depth)),
                "write_word": In(word),
                "writing": In(1),
                "writing_soon": In(1),
            }
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self._memory
        distance = hops(self._distance, m, platform)
        view = BusView(m, distance, self.access, self._info, self._name)
        address = {
            When.NEVER: lambda: self.read_address,
            When.ALWAYS: lambda: view.word,
            When.IDLE: lambda: Mux(view.free, view.word, self.read_address),
            When.CONTENDED: lambda: Mux(self.reading, self.read_address, view.word),
        }[self._info.read]
        m.d.comb += [memory.read_address.eq(address()), Cat(self.word).eq(Cat(memory.read_data))]
        if self._info.read != When.NEVER:
            words = list(memory.read_data)
            single = len(words) == 1
            m.d.comb += self.element.eq(
                words[0] if single else distance.choose(view.lane, words, "element_register")
            )
        if self._engine_writes:
            self._write_both(m, memory, distance, view)
        else:
            m.d.comb += [
                memory.write_address.eq(view.word),
                memory.write_lanes.eq(view.written),
                *(entry.eq(view.wdata) for entry in memory.write_data),
            ]
        return m

    def _write_both(self, m: Module, memory: LaneMemory, distance: Near | Far, view: BusView):
        """The write port, for the engine, and where the space allows it for the bus."""
        writing = [
            distance.early(self.writing, self.writing_soon, f"writing_{lane}")
            for lane in range(self._info.lanes)
        ]
        if self._info.write == When.NEVER:
            m.d.comb += [
                memory.write_address.eq(self.write_address),
                memory.write_lanes.eq(Cat(writing)),
                Cat(memory.write_data).eq(Cat(self.write_word)),
            ]
            return
        wdata = view.wdata.as_signed() if self._info.signed else view.wdata
        every_lane = (1 << self._info.lanes) - 1
        m.d.comb += [
            memory.write_address.eq(Mux(self.writing, self.write_address, view.word)),
            memory.write_lanes.eq(Mux(self.writing, every_lane, view.written)),
            *(
                memory.write_data[lane].eq(Mux(writing[lane], self.write_word[lane], wdata))
                for lane in range(self._info.lanes)
            ),
        ]

    @staticmethod
    def cells(path: str, lane: int) -> str:
        """Name of a lane's memory cells after synthesis, of the bank at that path."""
        return f"{path}.memory.cells_{lane}"
