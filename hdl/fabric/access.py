# SPDX-License-Identifier: Apache-2.0
"""Access: lets one bus transaction at a time go on, wait, or be refused."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.bus import ADDRESS_BITS, BusSignature
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.fabric.bank import AccessSignature
from ornstein.hdl.hops import hops
from ornstein.hdl.protocol import Status
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import When, bus_width, spaces
from ornstein.hdl.timing import Timing


class Access(wiring.Component):
    """Arbitrates the bus and offers it, decoded, to the users of the spaces.

    A write takes one cycle, in the control space three; a read takes three cycles. Both take longer
    while the engine uses the same port. Where a hop takes a cycle, :attr:`Timing.bus_decode` come
    on top, and a read takes as many again.

    Members
    -------
    bus : BusSignature, in
    idle : in; no job runs or waits
    start_refused : in; a write to the control space would start a job while another waits
    writes_soon : in; the engine writes a space whose bus writes are contended,
        :attr:`Timing.bus_write` cycles from now
    reads_soon : in; the engine reads a space whose bus reads are contended, in this cycle or the
        next
    rdata : bus_width, in; the element that was read
    address : unsigned(24), out; element of the present access
    selected : one bit a space, out; the space of the present access
    one AccessSignature, out, for each user, by its name

    Parameters
    ----------
    users : the space of each user
    """

    def __init__(self, config: FabricConfig, users: dict[str, Space]):
        self._config, self._users = config, users
        width = bus_width(config)
        super().__init__(
            {
                "bus": In(BusSignature(width)),
                "idle": In(1),
                "start_refused": In(1),
                "writes_soon": In(1),
                "reads_soon": In(1),
                "rdata": In(width),
                "address": Out(ADDRESS_BITS),
                "selected": Out(max(Space) + 1),
            }
            | {name: Out(AccessSignature(config)) for name in users}
        )

    def elaborate(self, platform):
        m = Module()
        timing, bus = Timing.of(self._config), self.bus
        distance = hops(timing.hop, m, platform)
        space, address, write, wdata = (
            distance.relay(value, f"bus_{name}")
            for name, value in (
                ("space", bus.space),
                ("address", bus.address),
                ("write", bus.write),
                ("wdata", bus.wdata),
            )
        )
        request = bus.request
        if timing.bus_decode:
            waiting = Signal(timing.bus_decode)
            m.d.sync += waiting.eq(Mux(bus.done, 0, Cat(bus.request, waiting)))
            request = waiting[-1]

        def within(names):
            return Cat(space == name for name in names).any()

        def reached(**conditions):
            """The present space is one whose row says so."""
            return within(
                info.space
                for info in spaces(self._config).values()
                if all(getattr(info, name) == when for name, when in conditions.items())
            )

        # What the space and the direction decide, a cycle after they are known. The address may
        # come a cycle after the space, just in time for `selected`.
        free = Signal(init=1)
        absent, only_idle, to_control, to_contended, from_contended, requested = (
            Signal(name=name)
            for name in (
                "absent",
                "only_idle",
                "to_control",
                "to_contended",
                "from_contended",
                "requested",
            )
        )
        idle_reads = within(
            info.space
            for info in spaces(self._config).values()
            if info.read == When.IDLE != info.write
        )
        selected = Signal(len(self.selected), reset_less=True)
        m.d.sync += [
            free.eq(self.idle),
            selected.eq(1 << space),
            absent.eq(within(set(Space) - set(spaces(self._config)))),
            only_idle.eq(reached(write=When.IDLE) | (idle_reads & ~write)),
            to_control.eq(within([Space.CONTROL]) & write),
            to_contended.eq(reached(write=When.CONTENDED) & write),
            from_contended.eq(reached(read=When.CONTENDED) & ~write),
            requested.eq(request),
        ]
        bus_free = distance.relay(free, "bus_free")
        refusal, next_refusal = Signal(Status), Signal(Status)
        with m.If(absent):
            m.d.comb += next_refusal.eq(Status.ADDRESS)
        with m.Elif(~bus_free & only_idle):
            m.d.comb += next_refusal.eq(Status.BUSY)
        with m.Elif(to_control & self.start_refused):
            m.d.comb += next_refusal.eq(Status.FULL)

        # Whether an access may go on is known when its request comes, in the control space two
        # cycles later.
        may_write, may_read, may_end = Signal(), Signal(), Signal()
        granted, read, answered = Signal(), Signal(), Signal()
        reading = Signal(timing.bus_read)  # one bit for each cycle that the word takes
        blocked = (
            (to_contended & self.writes_soon)
            | (to_control & ~requested)
            | (from_contended & self.reads_soon)
            | read
            | reading.any()
        )
        m.d.comb += [
            granted.eq(request & may_write),
            read.eq(request & may_read),
            bus.done.eq((request & may_end) | answered),
            bus.status.eq(refusal),
            bus.rdata.eq(self.rdata),
            self.address.eq(address),
            self.selected.eq(selected),
        ]
        m.d.sync += [
            refusal.eq(next_refusal),
            reading.eq(Cat(read, reading)),
            answered.eq(reading[-1]),
            may_write.eq(~blocked & write & (next_refusal == Status.OK)),
            may_read.eq(~blocked & ~write & (next_refusal == Status.OK)),
            may_end.eq(~blocked & (write | (next_refusal != Status.OK))),
        ]
        write_now = Signal()
        if timing.hop:
            m.d.sync += write_now.eq(granted)
        else:
            m.d.comb += write_now.eq(granted)
        for name, user_space in self._users.items():
            port = getattr(self, name)
            m.d.comb += [
                port.selected.eq(selected[user_space]),
                port.address.eq(address),
                port.wdata.eq(wdata),
                port.write.eq(write_now),
                port.free.eq(free),
            ]
        return m
