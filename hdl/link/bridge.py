"""The device's end of the link: byte stream in, bus transactions, byte stream out."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import crc, data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from ornstein.hdl.bus import BusSignature
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.link.slip import Deframer, Framer, Outgoing
from ornstein.hdl.protocol import (
    CRC_BYTES,
    MAX_REQUEST,
    REQUEST_HEADER,
    REQUEST_HEADER_BYTES,
    WAIT_UNIT,
    Opcode,
    Status,
)
from ornstein.hdl.regmap import Event, Space, bus_width, element_bytes, space_size

__all__ = ["Bridge"]


class Bridge(wiring.Component):
    """Executes the requests of :mod:`ornstein.hdl.protocol`.

    A request is collected in a buffer and executed once its CRC proved right; meanwhile ``i`` is not ready. The
    answer is streamed, its CRC computed on the way. A request that is not finished ``timeout`` cycles after its last
    byte is forgotten.

    A WRITE takes ``element_bytes + 1`` cycles per element and a READ as many while ``o`` is ready, both plus the
    cycles that the bus keeps ``request`` waiting.

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
    resting : Out(1), no request is in work and the last byte of the answer has been given away
    valid : Out(1), one cycle for each request whose CRC is right
    silence : Out(1), one cycle after each ``timeout`` cycles without a byte
    """

    def __init__(self, config: FabricConfig, *, timeout: int):
        if timeout < WAIT_UNIT:
            raise ValueError(f"timeout must be at least {WAIT_UNIT} cycles, not {timeout}")
        self._config = config
        self._timeout = timeout
        super().__init__({
            "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)),
            "bus": Out(BusSignature(bus_width(config))),
            "events": In(len(Event)),
            "resting": Out(1),
            "valid": Out(1),
            "silence": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer()
        m.submodules.crc = checksum = crc.Processor(crc.catalog.CRC16_IBM_3740(8))
        # a byte is never read in the cycle in which it is written: no logic for collisions is needed
        m.submodules.buffer = buffer = Memory(shape=8, depth=MAX_REQUEST, init=[], attrs={"no_rw_check": 1})
        connect(m, flipped(self.i), deframer.i)
        connect(m, framer.o, flipped(self.o))

        header = Signal(data.StructLayout(dict(REQUEST_HEADER)), reset_less=True)
        pointer = Signal(range(MAX_REQUEST + 1))  # bytes received, then the next byte to take out of the buffer
        short = Signal(init=1)                    # too few bytes for any request
        damaged = Signal()                        # too many bytes, or a wrong escape
        word = Signal.like(self.bus.wdata, reset_less=True)       # the element in work
        byte = Signal(range(self.bus.wdata.shape().width // 8))  # place in the element
        index = Signal.like(header.count)         # elements received, then the number of the element in work
        send = Signal(Outgoing, reset_less=True)  # the byte on its way to the framer
        sending = Signal()
        summed = Signal(reset_less=True)          # it counts in the CRC
        status = Signal(Status, reset_less=True)
        more = Signal(reset_less=True)            # data follow the status
        timer = Signal(ceil_log2(self._timeout))  # cycles since the last byte
        unit = Signal()                           # a unit of WAIT's patience has passed

        known = Signal(reset_less=True)           # the header's space exists
        last_byte = Signal.like(byte, reset_less=True)
        m.d.sync += known.eq(0)
        with m.Switch(header.space):
            for space in Space:
                if space_size(self._config, space):
                    with m.Case(space):
                        m.d.sync += [known.eq(1), last_byte.eq(element_bytes(self._config, space) - 1)]

        fetch = Signal()
        fetched = Signal(8, reset_less=True)
        write_port = buffer.write_port()
        read_port = buffer.read_port(domain="comb")
        m.d.comb += [
            write_port.addr.eq(pointer),
            write_port.data.eq(deframer.o.payload.data),
            read_port.addr.eq(pointer),
        ]
        with m.If(fetch):
            m.d.sync += [fetched.eq(read_port.data), pointer.eq(pointer + 1)]

        element_done = Signal()
        next_byte = Signal()
        next_element = Signal()
        m.d.comb += element_done.eq(byte == last_byte)
        with m.If(next_byte):
            m.d.sync += byte.eq(Mux(element_done, 0, byte + 1))
        with m.If(next_element):
            m.d.sync += index.eq(index + 1)

        checking, again = Signal(), Signal()  # in the states CHECK and AGAIN
        restart = Signal()
        m.d.comb += restart.eq(checking | again)
        m.d.sync += [checking.eq(0), again.eq(0)]
        m.d.sync += checksum.start.eq(restart)  # soon enough for the next byte
        with m.If(restart):
            m.d.sync += [pointer.eq(0), index.eq(0), byte.eq(0), damaged.eq(0), short.eq(1)]

        # decoded in the cycle before it is needed
        no_data = Signal(reset_less=True)
        reads = Signal(reset_less=True)
        writes = Signal(reset_less=True)
        waits = Signal(reset_less=True)
        intact = Signal(reset_less=True)
        patient = Signal(reset_less=True)         # a WAIT as it should be
        proper = Signal(reset_less=True)          # a READ or WRITE of as many bytes as it should have
        complete = Signal(reset_less=True)
        m.d.sync += [
            no_data.eq(pointer == REQUEST_HEADER_BYTES + CRC_BYTES),
            reads.eq(header.opcode == Opcode.READ),
            writes.eq(header.opcode == Opcode.WRITE),
            waits.eq(header.opcode == Opcode.WAIT),
            complete.eq(index == header.count),
            intact.eq(checksum.match_detected & ~damaged & ~short),
            patient.eq(waits & no_data),
            proper.eq((reads & no_data & ~complete) | (writes & ~no_data & complete & (byte == 0))),
        ]
        final = Signal(reset_less=True)           # the element read last is the last one
        m.d.comb += [
            self.bus.space.eq(header.space),
            self.bus.address.eq(header.address),
            self.bus.write.eq(writes),
            self.bus.wdata.eq(word),
        ]
        m.d.sync += [
            timer.eq(timer + 1),
            self.silence.eq(timer == self._timeout - 1),
            unit.eq(timer[:exact_log2(WAIT_UNIT)].all()),
        ]

        sent = Signal()
        free = Signal()
        m.d.comb += [
            framer.i.valid.eq(sending),
            framer.i.payload.eq(send),
            sent.eq(sending & framer.i.ready),
            free.eq(~sending | framer.i.ready),
        ]
        with m.If(sent):
            m.d.sync += sending.eq(0)

        request = Signal()     # in the state TRANSFER
        receiving = Signal(init=1)  # in the state RECEIVE
        m.d.comb += [self.bus.request.eq(request), deframer.o.ready.eq(receiving),
                     self.resting.eq(receiving & ~sending)]

        def begin_transfer():
            m.d.sync += request.eq(1)
            m.next = "TRANSFER"

        outgoing, last, in_crc = Signal(8), Signal(), Signal()
        with m.If(free):
            m.d.sync += [send.data.eq(outgoing), send.last.eq(last), summed.eq(in_crc)]

        def offer(byte):
            """The byte to send as soon as the way is free."""
            m.d.comb += [outgoing.eq(byte), in_crc.eq(1)]

        item = deframer.o.payload
        taking = Signal()
        m.d.comb += [
            taking.eq(receiving & deframer.o.valid & ~item.end),
            write_port.en.eq(taking),
            checksum.data.eq(Mux(receiving, item.data, send.data)),
            checksum.valid.eq(taking | (sent & summed)),
        ]
        with m.If(taking):
            # a request that is too long stays so, whatever it overwrites
            with m.If(~pointer[-1]):
                m.d.sync += pointer.eq(pointer + 1)
            with m.If(pointer[-1]):
                m.d.sync += damaged.eq(1)
            with m.If(pointer < REQUEST_HEADER_BYTES):
                m.d.sync += header.eq(Cat(header.as_value()[8:], item.data))
            # the last two bytes are the CRC, so elements are counted two bytes late
            with m.If(pointer == REQUEST_HEADER_BYTES + CRC_BYTES - 1):
                m.d.sync += short.eq(0)
            m.d.comb += [next_byte.eq(~short), next_element.eq(~short & element_done)]
        with m.If(receiving & deframer.o.valid & item.error):
            m.d.sync += damaged.eq(1)
        with m.If(request & self.bus.done):
            m.d.comb += next_element.eq(1)
            m.d.sync += [
                request.eq(0),
                header.address.eq(header.address + 1),
                word.eq(self.bus.rdata),
                status.eq(self.bus.status),
                more.eq(reads & (self.bus.status == Status.OK)),
                final.eq(complete),
            ]

        with m.FSM():
            with m.State("RECEIVE"):
                with m.If(deframer.o.valid):
                    m.d.sync += timer.eq(0)
                    with m.If(item.end):
                        with m.If(pointer == 0):
                            m.d.sync += damaged.eq(0)
                        with m.Else():
                            m.d.sync += receiving.eq(0)
                            m.next = "SETTLE"
                with m.Elif(self.silence):
                    m.d.sync += [receiving.eq(0), again.eq(1)]
                    m.next = "AGAIN"

            with m.State("SETTLE"):
                m.d.sync += checking.eq(1)
                m.next = "CHECK"

            with m.State("CHECK"):
                m.d.sync += [pointer.eq(REQUEST_HEADER_BYTES), timer.eq(0), more.eq(0), status.eq(Status.MALFORMED)]
                m.next = "SEQUENCE"
                m.d.comb += self.valid.eq(intact)
                with m.If(~intact):
                    m.d.sync += [header.sequence.eq(0), status.eq(Status.CORRUPT)]
                with m.Elif(patient):
                    m.next = "WAIT"
                with m.Elif(reads | writes):
                    m.d.sync += index.eq(1)
                    with m.If(~known):
                        m.d.sync += status.eq(Status.ADDRESS)
                    with m.Elif(proper):
                        m.next = "FETCH"

            with m.State("FETCH"):
                m.d.comb += fetch.eq(1)
                m.next = "GATHER"
                with m.If(reads):
                    begin_transfer()

            with m.State("GATHER"):
                m.d.comb += [fetch.eq(1), next_byte.eq(1)]
                m.d.sync += word.word_select(byte, 8).eq(fetched)
                with m.If(element_done):
                    begin_transfer()

            with m.State("TRANSFER"):
                with m.If(self.bus.done):
                    m.next = "SEQUENCE"
                    with m.If(more):
                        m.next = "DATA"
                        with m.If(self.bus.status != Status.OK):
                            m.next = "CRC_HIGH"
                    with m.Elif(writes & ~complete & (self.bus.status == Status.OK)):
                        m.next = "GATHER"

            with m.State("WAIT"):
                m.d.comb += next_element.eq(unit)
                m.d.sync += [word.eq(self.events), more.eq(1), status.eq(Status.OK)]
                with m.If((self.events & header.address).any()):
                    m.next = "SEQUENCE"
                with m.Elif(complete):
                    m.d.sync += status.eq(Status.TIMEOUT)
                    m.next = "SEQUENCE"

            with m.State("SEQUENCE"):
                offer(header.sequence)
                with m.If(free):
                    m.d.sync += sending.eq(1)
                    m.next = "STATUS"

            with m.State("STATUS"):
                offer(status)
                with m.If(free):
                    m.d.sync += sending.eq(1)
                    m.next = "CRC_HIGH"
                    with m.If(more):
                        m.next = "DATA"

            with m.State("DATA"):
                offer(word.word_select(byte, 8))
                m.d.comb += next_byte.eq(free)
                with m.If(free):
                    m.d.sync += sending.eq(1)
                    with m.If(element_done | ~reads):
                        m.next = "CRC_HIGH"
                        with m.If(reads & ~final):
                            begin_transfer()

            with m.State("CRC_HIGH"):
                m.d.comb += outgoing.eq(checksum.crc[8:])
                with m.If(~sending):
                    m.d.sync += sending.eq(1)
                    m.next = "CRC_LOW"

            with m.State("CRC_LOW"):
                m.d.comb += [outgoing.eq(checksum.crc[:8]), last.eq(1)]
                with m.If(free):
                    m.d.sync += [sending.eq(1), again.eq(1)]
                    m.next = "AGAIN"

            with m.State("AGAIN"):
                m.d.sync += receiving.eq(1)
                m.next = "RECEIVE"
        return m
