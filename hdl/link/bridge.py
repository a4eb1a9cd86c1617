# SPDX-License-Identifier: Apache-2.0
"""The device's end of the link: turns a stream of requests into bus accesses and answers."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from ornstein.hdl import targets
from ornstein.hdl.blockram import UNCHECKED
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
    """``value + 1`` unless ``held``.

    For use as ``Mux(held, other, _counted(value, held))``: written like this, synthesis puts the
    multiplexer into the LUTs of the counter.
    """
    return value - (~held).replicate(len(value))


class Bridge(wiring.Component):
    """Executes the requests of :mod:`ornstein.hdl.protocol`.

    A request is stored in a buffer, one byte every second cycle, and is executed after its CRC was
    found right; ``i`` is not ready until the answer is complete. The answer is streamed, and its
    CRC is computed meanwhile. A request that is still incomplete ``timeout`` cycles after its last
    byte is dropped.

    A WRITE takes ``bytes + 1`` cycles per element. A READ takes three cycles for each byte
    that is not escaped, while ``o`` is ready. To both add the cycles that the bus keeps ``request``
    waiting.

    An address keeps as many bits as the largest space needs, so addresses beyond its end wrap.

    Parameters
    ----------
    config : FabricConfig
    timeout : number of cycles without a byte after which an incomplete request is dropped; at least
        ``WAIT_UNIT``

    Members
    -------
    i : In(stream of 8), bytes from the host
    o : Out(stream of 8), bytes to the host
    bus : Out(BusSignature(bus_width(config)))
    events : In(len(Event)), the level of each event
    resting : Out(1), no request is being executed, no byte was received in the last cycle, and the
        last byte of the answer has been taken
    valid : Out(1), high for one cycle for each request whose CRC is right
    silence : Out(1), high for one cycle after every ``timeout`` cycles without a byte, and once at
        power-up
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

        # ---- the buffer --------------------------------------------------------------------------
        # Every byte of a request passes through it; REPLAY reads the header a second time.
        pointer = Signal(range(MAX_REQUEST + 1))  # address of the next byte to fetch
        attrs = targets.of(platform).block_ram_output
        fetched = Signal(8, reset_less=True, attrs=attrs)
        fetch = Signal()
        take = Signal()  # process the byte that was fetched last
        fresh = Signal()  # that byte has just been received
        short = Signal(init=1)  # the frame has fewer bytes than the shortest request
        byte_error = Signal(reset_less=True)  # the last byte overflows the buffer or breaks SLIP
        frame_error = Signal(reset_less=True)  # an earlier byte of the frame was in error
        received = Signal()  # a byte or the end of a frame is received
        between_frames = Signal()  # no byte of a frame has been received yet
        write_port = buffer.write_port()
        read_port = buffer.read_port(domain="comb")
        m.d.comb += [
            deframer.o.ready.eq(receiving),
            received.eq(receiving & deframer.o.valid),
            write_port.addr.eq(pointer),
            write_port.data.eq(item.data),
            write_port.en.eq(received & ~item.end),
            read_port.addr.eq(pointer),
            fetch.eq(stored | replaying | gathering),
            take.eq(fresh | replaying | gathering),
            between_frames.eq(receiving & short & (pointer[:4] == 0)),
        ]
        m.d.sync += fresh.eq(stored)
        with m.If(fetch):
            m.d.sync += [fetched.eq(read_port.data), pointer.eq(pointer + 1)]
        # A request has at least ten bytes. These two bits are first set together at ten.
        with m.If(take & pointer[3] & pointer[1]):
            m.d.sync += short.eq(0)
        with m.If(ending | (receiving & self.silence & ~self.i.valid)):
            m.d.sync += [pointer.eq(0), short.eq(1)]
        with m.If(checking):
            m.d.sync += pointer.eq(0)
        m.d.sync += byte_error.eq(0)
        with m.If(received & (item.error | (pointer[-1] & ~item.end))):
            m.d.sync += byte_error.eq(1)
        with m.If(byte_error):
            m.d.sync += frame_error.eq(1)
        with m.If(between_frames):
            m.d.sync += frame_error.eq(0)

        # ---- the header --------------------------------------------------------------------------
        heading = Signal(reset_less=True)  # the byte that was fetched last belongs to the header
        reads, writes, waits = (
            Signal(name=name, reset_less=True) for name in ("reads", "writes", "waits")
        )
        space = Signal.like(bus.space, reset_less=True)
        known = Signal(reset_less=True)  # the fabric has this space
        address = Signal(range(max(info.size for info in infos.values())), reset_less=True)
        # number of elements left, complemented so that it counts up
        missing = Signal(dict(REQUEST_HEADER)["count"], reset_less=True)
        no_elements_left = Signal(reset_less=True)  # of the cycle before
        next_address, next_element = Signal(), Signal()
        in_header = Signal()
        address_up, missing_up = _counted(address, heading), _counted(missing, heading)
        m.d.comb += in_header.eq(take & heading)
        m.d.sync += no_elements_left.eq(missing.all())
        # The byte being processed lies one address before the pointer.
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
        with m.If(in_header | next_element):  # the count is in the last bytes of the header
            m.d.sync += missing.eq(Mux(heading, Cat(missing[8:], ~fetched), missing_up))
        with m.If(take & pointer[3]):
            m.d.sync += heading.eq(0)
        with m.If(between_frames | checking):
            m.d.sync += heading.eq(1)

        # ---- time --------------------------------------------------------------------------------
        timer = Signal(ceil_log2(self._timeout), reset_less=True)
        timer_down = timer - 1
        # This bit is set again whenever the bits below WAIT_UNIT have counted down to zero.
        low = timer[exact_log2(WAIT_UNIT) - 1]
        low_before = Signal(reset_less=True)
        unit_passed = Signal()
        m.d.comb += unit_passed.eq(low & ~low_before)
        m.d.sync += [timer.eq(timer_down), self.silence.eq(timer_down[-1]), low_before.eq(low)]
        with m.If((receiving & self.i.valid) | checking | self.silence):
            m.d.sync += timer.eq(self._timeout - 2)

        # ---- elements ----------------------------------------------------------------------------
        # A byte enters the word at the position of an element's last byte and leaves at the bottom.
        word = Signal.like(bus.wdata, reset_less=True)
        byte = Signal(
            range(len(word) // 8), reset_less=True
        )  # number of the byte within the element
        last_byte = Signal.like(byte, reset_less=True)
        filled = Signal(reset_less=True)  # bytes have been received after the header
        element_done, next_byte = Signal(), Signal()
        byte_sent = Signal()  # a byte leaves the word for the answer
        # the header's bytes enter the word like those of a register
        m.d.sync += last_byte.eq(sizes[Space.CONTROL] - 1)
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
            # The last two bytes are the CRC, so elements are counted two bytes late.
            next_byte.eq((take & ~heading & ~short) | byte_sent),
            next_element.eq(
                (next_byte & element_done) | (starting & reads) | (waiting & unit_passed)
            ),
        ]
        with m.If(next_byte):
            m.d.sync += [byte.eq(Mux(element_done, 0, byte + 1)), filled.eq(1)]
        with m.If(between_frames):
            m.d.sync += [byte.eq(0), filled.eq(0)]
        with m.If(take | byte_sent):
            m.d.sync += word.eq(Cat(shifted))

        # ---- the answer --------------------------------------------------------------------------
        send = Signal(Outgoing, reset_less=True)  # the byte that is offered to the framer
        sending = Signal()
        status = Signal(Status, reset_less=True)
        more = Signal(reset_less=True)  # data follow after the status
        outgoing, load = Signal(8), Signal()
        sent = Signal()
        m.d.comb += [
            framer.i.valid.eq(sending),
            framer.i.payload.eq(send),
            sent.eq(sending & framer.i.ready),
            outgoing.eq(word[:8]),
            self.resting.eq(receiving & ~sending),
            checksum.start.eq(between_frames | checking),
            checksum.data.eq(Mux(receiving, fetched, send.data)),
            checksum.valid.eq(fresh | (sent & ~send.last)),
        ]
        with m.If(sent):
            m.d.sync += sending.eq(0)
        with m.If(load):
            m.d.sync += [send.data.eq(outgoing), send.last.eq(ending)]

        def offer():
            """Offers ``outgoing`` to the framer in the next cycle."""
            m.d.comb += load.eq(1)
            m.d.sync += sending.eq(1)

        # ---- execution ---------------------------------------------------------------------------
        intact, accepted = (Signal(name=name, reset_less=True) for name in ("intact", "accepted"))
        proper = Signal()  # the request has the right number of bytes
        event = Signal()
        m.d.comb += [
            bus.request.eq(states["TRANSFER"]),
            bus.space.eq(space),
            bus.address.eq(address),
            bus.write.eq(writes),
            bus.wdata.eq(word),
            next_address.eq(bus.request & bus.done),
            proper.eq(
                Mux(
                    writes,
                    filled & no_elements_left & (byte == 0),
                    ~filled & (waits | (reads & ~no_elements_left)),
                )
            ),
            event.eq((self.events & address).any()),
        ]
        m.d.sync += intact.eq(checksum.right & ~byte_error & ~frame_error & ~short)
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
            with m.If(received & ~item.end):
                states.go("STORED")
            with m.Elif(received & ~between_frames):
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

        # Reads the header again, because counting the elements has changed the count. The sequence
        # number is loaded for the answer.
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
            with m.If(no_elements_left):
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
            with m.If(event | no_elements_left):
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
                m.d.comb += byte_sent.eq(1)
                with m.If(~reads | (element_done & no_elements_left)):
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
