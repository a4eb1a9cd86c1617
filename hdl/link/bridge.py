# SPDX-License-Identifier: Apache-2.0
"""The device's end of the link: byte stream in, bus transactions, byte stream out."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from ornstein.hdl.blockram import UNCHECKED, output
from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.checksum import Checksum
from ornstein.hdl.link.slip import Deframer, Framer, Outgoing
from ornstein.hdl.link.states import States
from ornstein.hdl.protocol import MAX_REQUEST, REQUEST_HEADER, WAIT_UNIT, Opcode, Status
from ornstein.hdl.regmap import Event, Space
from ornstein.hdl.spaces import bus_width, spaces

__all__ = ["Bridge"]


def _counted(value: Signal, held: Signal) -> Value:
    """``value + 1`` unless ``held``. Meant for ``Mux(held, other, ...)``: written like this, the
    choice is made in the counter's cells."""
    return value - (~held).replicate(len(value))


class Bridge(wiring.Component):
    """Executes the requests of :mod:`ornstein.hdl.protocol`.

    A request is collected in a buffer, a byte every second cycle, and executed once its CRC proved
    right; meanwhile ``i`` is not ready. The answer is streamed, its CRC computed on the way. A
    request that is not finished ``timeout`` cycles after its last byte is forgotten.

    A WRITE takes ``bytes + 1`` cycles per element and a READ, while ``o`` is ready, three
    for each byte that is not escaped, both plus the cycles that the bus keeps ``request`` waiting.

    Of an address only the bits that the largest space needs are kept, so addresses beyond its end
    wrap.

    Parameters
    ----------
    config : FabricConfig
    timeout : cycles of silence after which an unfinished request is dropped; at least ``WAIT_UNIT``

    Members
    -------
    i : In(stream of 8), bytes from the host
    o : Out(stream of 8), bytes to the host
    bus : Out(BusSignature(bus_width(config)))
    events : In(len(Event)), levels
    resting : Out(1), no request is in work, no byte has just come, and the last one of the answer
        has been given away
    valid : Out(1), one cycle for each request whose CRC is right
    silence : Out(1), one cycle after each ``timeout`` cycles without a byte, and one at power-up
    """

    def __init__(self, config: FabricConfig, *, timeout: int):
        if timeout < WAIT_UNIT:
            raise ValueError(f"timeout must be at least {WAIT_UNIT} cycles, not {timeout}")
        self._config = config
        self._timeout = timeout
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "o": Out(stream.Signature(8)),
                "bus": Out(BusSignature(bus_width(config))),
                "events": In(len(Event)),
                "resting": Out(1),
                "valid": Out(1),
                "silence": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer()
        m.submodules.checksum = checksum = Checksum()
        m.submodules.buffer = buffer = Memory(shape=8, depth=MAX_REQUEST, init=[], attrs=UNCHECKED)
        connect(m, flipped(self.i), deframer.i)
        connect(m, framer.o, flipped(self.o))
        bus, item = self.bus, deframer.o.payload
        infos = spaces(self._config)
        sizes = {space: info.bytes for space, info in infos.items()}

        states = States(
            m,
            "RECEIVE",
            "STORED",
            "SETTLE",
            "CHECK",
            "REPLAY",
            "START",
            "GATHER",
            "TRANSFER",
            "WAIT",
            "SEQUENCE",
            "STATUS",
            "DATA",
            "CRC_HIGH",
            "CRC_LOW",
        )
        receiving, stored, checking, replaying, starting, gathering, waiting, ending = (
            states[name]
            for name in (
                "RECEIVE",
                "STORED",
                "CHECK",
                "REPLAY",
                "START",
                "GATHER",
                "WAIT",
                "CRC_LOW",
            )
        )

        # ---- the buffer: every byte of a request goes through it, those of the header a second time in REPLAY ---
        pointer = Signal(range(MAX_REQUEST + 1))  # the place of the next byte to fetch
        fetched = Signal(8, reset_less=True, attrs=output(platform))
        fetch = Signal()
        take = Signal()  # look at the byte fetched last
        fresh = Signal()  # it has just been received
        short = Signal(init=1)  # too few bytes for any request
        wrong = Signal(
            reset_less=True
        )  # so was the last byte: one too many, or escaped for no reason
        damaged = Signal(reset_less=True)  # one of the bytes before it was
        coming = Signal()  # a byte or an end
        blank = Signal()  # nothing has come of a frame
        write_port = buffer.write_port()
        read_port = buffer.read_port(domain="comb")
        m.d.comb += [
            deframer.o.ready.eq(receiving),
            coming.eq(receiving & deframer.o.valid),
            write_port.addr.eq(pointer),
            write_port.data.eq(item.data),
            write_port.en.eq(coming & ~item.end),
            read_port.addr.eq(pointer),
            fetch.eq(stored | replaying | gathering),
            take.eq(fresh | replaying | gathering),
            blank.eq(receiving & short & (pointer[:4] == 0)),
        ]
        m.d.sync += fresh.eq(stored)
        with m.If(fetch):
            m.d.sync += [fetched.eq(read_port.data), pointer.eq(pointer + 1)]
        # a frame is short up to ten bytes: then these two bits are set for the first time
        with m.If(take & pointer[3] & pointer[1]):
            m.d.sync += short.eq(0)
        with m.If(ending | (receiving & self.silence & ~self.i.valid)):
            m.d.sync += [pointer.eq(0), short.eq(1)]
        with m.If(checking):
            m.d.sync += pointer.eq(0)
        m.d.sync += wrong.eq(0)
        with m.If(coming & (item.error | (pointer[-1] & ~item.end))):
            m.d.sync += wrong.eq(1)
        with m.If(wrong):
            m.d.sync += damaged.eq(1)
        with m.If(blank):
            m.d.sync += damaged.eq(0)

        # ---- the header --------------------------------------------------------------------------
        heading = Signal(reset_less=True)  # the byte fetched last belongs to it
        reads, writes, waits = (
            Signal(name=name, reset_less=True) for name in ("reads", "writes", "waits")
        )
        space = Signal.like(bus.space, reset_less=True)
        known = Signal(reset_less=True)  # there is such a space
        address = Signal(range(max(info.size for info in infos.values())), reset_less=True)
        missing = Signal(
            dict(REQUEST_HEADER)["count"], reset_less=True
        )  # elements to come; complemented, to count up
        none = Signal(reset_less=True)  # in the cycle before, no elements were to come
        next_address, next_element = Signal(), Signal()
        in_header = Signal()
        address_up, missing_up = _counted(address, heading), _counted(missing, heading)
        m.d.comb += in_header.eq(take & heading)
        m.d.sync += none.eq(missing.all())
        # the byte in work has the place before the pointer
        with m.If(in_header & (pointer[:3] == 2)):
            m.d.sync += [
                reads.eq(fetched == Opcode.READ),
                writes.eq(fetched == Opcode.WRITE),
                waits.eq(fetched == Opcode.WAIT),
            ]
        with m.If(in_header & (pointer[:3] == 3)):
            m.d.sync += [space.eq(fetched), known.eq(Cat(fetched == each for each in infos).any())]
        for number in range(-(-len(address) // 8)):
            part = slice(8 * number, min(8 * number + 8, len(address)))
            with m.If((in_header & (pointer[:3] == 4 + number)) | next_address):
                m.d.sync += address[part].eq(Mux(heading, fetched, address_up[part]))
        with m.If(in_header | next_element):  # the header's last bytes stay
            m.d.sync += missing.eq(Mux(heading, Cat(missing[8:], ~fetched), missing_up))
        with m.If(take & pointer[3]):
            m.d.sync += heading.eq(0)
        with m.If(blank | checking):
            m.d.sync += heading.eq(1)

        # ---- time --------------------------------------------------------------------------------
        timer = Signal(ceil_log2(self._timeout), reset_less=True)
        timer_down = timer - 1
        low = timer[
            exact_log2(WAIT_UNIT) - 1
        ]  # set again when the bits below WAIT_UNIT have come down to zero
        low_before = Signal(reset_less=True)
        unit_passed = Signal()
        m.d.comb += unit_passed.eq(low & ~low_before)
        m.d.sync += [timer.eq(timer_down), self.silence.eq(timer_down[-1]), low_before.eq(low)]
        with m.If((receiving & self.i.valid) | checking | self.silence):
            m.d.sync += timer.eq(self._timeout - 2)

        # ---- elements: bytes enter the word at the place of their last one, and leave it at the bottom ---
        word = Signal.like(bus.wdata, reset_less=True)
        byte = Signal(range(len(word) // 8), reset_less=True)  # place in the element
        last_byte = Signal.like(byte, reset_less=True)
        filled = Signal(reset_less=True)  # more than a header has come
        element_done, next_byte = Signal(), Signal()
        moved = Signal()  # a byte leaves the word
        m.d.sync += last_byte.eq(
            sizes[Space.CONTROL] - 1
        )  # the header's bytes enter like those of a register
        with m.If(~heading):
            with m.Switch(space):
                for each, size in sizes.items():
                    with m.Case(each):
                        m.d.sync += last_byte.eq(size - 1)
        entering = {
            size: max(info.bits for info in infos.values() if info.bytes == size)
            for size in sizes.values()
        }
        shifted = [
            Mux(last_byte == place // 8, fetched[place % 8], above)
            if place < entering.get(place // 8 + 1, 0)
            else above
            for place, above in enumerate(Cat(word[8:], fetched))
        ]
        m.d.comb += [
            element_done.eq(byte == last_byte),
            # the last two bytes are the CRC, so elements are counted two bytes late
            next_byte.eq((take & ~heading & ~short) | moved),
            next_element.eq(
                (next_byte & element_done) | (starting & reads) | (waiting & unit_passed)
            ),
        ]
        with m.If(next_byte):
            m.d.sync += [byte.eq(Mux(element_done, 0, byte + 1)), filled.eq(1)]
        with m.If(blank):
            m.d.sync += [byte.eq(0), filled.eq(0)]
        with m.If(take | moved):
            m.d.sync += word.eq(Cat(shifted))

        # ---- the answer --------------------------------------------------------------------------
        send = Signal(Outgoing, reset_less=True)  # the byte on its way to the framer
        sending = Signal()
        status = Signal(Status, reset_less=True)
        more = Signal(reset_less=True)  # data follow the status
        outgoing, load = Signal(8), Signal()
        sent = Signal()
        m.d.comb += [
            framer.i.valid.eq(sending),
            framer.i.payload.eq(send),
            sent.eq(sending & framer.i.ready),
            outgoing.eq(word[:8]),
            self.resting.eq(receiving & ~sending),
            checksum.start.eq(blank | checking),
            checksum.data.eq(Mux(receiving, fetched, send.data)),
            checksum.valid.eq(fresh | (sent & ~send.last)),
        ]
        with m.If(sent):
            m.d.sync += sending.eq(0)
        with m.If(load):
            m.d.sync += [send.data.eq(outgoing), send.last.eq(ending)]

        def offer():
            """Sends ``outgoing``."""
            m.d.comb += load.eq(1)
            m.d.sync += sending.eq(1)

        # ---- what is asked for -------------------------------------------------------------------
        intact, accepted = Signal(reset_less=True), Signal(reset_less=True)
        proper = Signal()  # as many bytes as there should be
        event = Signal()
        m.d.comb += [
            bus.request.eq(states["TRANSFER"]),
            bus.space.eq(space),
            bus.address.eq(address),
            bus.write.eq(writes),
            bus.wdata.eq(word),
            next_address.eq(bus.request & bus.done),
            proper.eq(
                Mux(writes, filled & none & (byte == 0), ~filled & (waits | (reads & ~none)))
            ),
            event.eq((self.events & address).any()),
        ]
        m.d.sync += intact.eq(checksum.right & ~wrong & ~damaged & ~short)
        with m.If(bus.request & bus.done):
            m.d.sync += [
                word.eq(bus.rdata),
                status.eq(bus.status),
                more.eq(reads & (bus.status == Status.OK)),
            ]
        with m.If(waiting):
            m.d.sync += [
                word.eq(self.events),
                status.eq(Mux(event, Status.OK, Status.TIMEOUT)),
                more.eq(1),
            ]

        with states("RECEIVE"):
            with m.If(coming & ~item.end):
                states.go("STORED")
            with m.Elif(coming & ~blank):
                states.go("SETTLE")

        with states("STORED"):
            states.go("RECEIVE")

        with states("SETTLE"):
            with m.If(~sending):
                states.go("CHECK")

        with states("CHECK"):
            m.d.comb += self.valid.eq(intact)
            m.d.sync += [more.eq(0), accepted.eq(proper & (known | waits)), send.eq(0)]
            with m.If(intact):
                m.d.sync += status.eq(
                    Mux((reads | writes) & ~known, Status.ADDRESS, Status.MALFORMED)
                )
                states.go("REPLAY")
            with m.Else():
                m.d.sync += status.eq(Status.CORRUPT)
                states.go("SEQUENCE")

        # the sequence number is sent later; counting the elements has used up the count, which is
        # loaded again
        with states("REPLAY"):
            m.d.comb += load.eq(pointer[:4] == 1 + sizes[Space.CONTROL])
            with m.If(pointer[3]):
                states.go("START")

        with states("START"):
            with m.If(~accepted):
                states.go("SEQUENCE")
            with m.Elif(reads):
                states.go("TRANSFER")
            with m.Elif(writes):
                states.go("GATHER")
            with m.Else():
                states.go("WAIT")

        with states("GATHER"):
            with m.If(none):
                states.go("SEQUENCE")
            with m.Elif(element_done):
                states.go("TRANSFER")

        with states("TRANSFER"):
            with m.If(bus.done):
                with m.If(more):
                    with m.If(bus.status == Status.OK):
                        states.go("DATA")
                    with m.Else():
                        states.go("CRC_HIGH")
                with m.Elif(writes & (bus.status == Status.OK)):
                    states.go("GATHER")
                with m.Else():
                    states.go("SEQUENCE")

        with states("WAIT"):
            with m.If(event | none):
                states.go("SEQUENCE")

        with states("SEQUENCE"):
            m.d.sync += sending.eq(1)
            states.go("STATUS")

        with states("STATUS"):
            m.d.comb += outgoing.eq(status)
            with m.If(~sending):
                offer()
                with m.If(more):
                    states.go("DATA")
                with m.Else():
                    states.go("CRC_HIGH")

        with states("DATA"):
            with m.If(~sending):
                offer()
                m.d.comb += moved.eq(1)
                with m.If(~reads | (element_done & none)):
                    states.go("CRC_HIGH")
                with m.Elif(element_done):
                    states.go("TRANSFER")

        with states("CRC_HIGH"):
            m.d.comb += outgoing.eq(checksum.high)
            with m.If(~sending):
                offer()
                states.go("CRC_LOW")

        with states("CRC_LOW"):
            m.d.comb += outgoing.eq(checksum.high)
            with m.If(~sending):
                offer()
                states.go("RECEIVE")
        return m
