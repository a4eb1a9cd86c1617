# SPDX-License-Identifier: Apache-2.0
"""The microprogram of the serial port: packets, toggles, requests.

Universal Serial Bus Specification 2.0: 8.3.1 (packet identifiers), 8.4.6 (handshakes), 8.5
(transactions), 8.6 (toggles), 9.2.6.3 (setting an address), 9.4 (requests); Communications Device
Class, PSTN subclass 1.2: 6.3 (its requests).

Between packets the device gives on the bytes that the host has sent. From a packet's start on it
keeps step with the wires: a byte takes 16 cycles, eight words. The sync pattern of an answer goes
out as soon as it is known that there will be one, which leaves seven words to choose what it is.
"""

from ornstein.hdl.link.usb import descriptors
from ornstein.hdl.link.usb.assembler import Assembler
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.link.usb.engine import PAGE, Source, When

__all__ = ["serial_port"]

_SYNC = 0x80
_OUT, _IN, _SETUP = 0xE1, 0x69, 0x2D
_DATA0, _DATA1 = 0xC3, 0x4B
_ACK, _NAK, _STALL = 0xD2, 0x5A, 0x1E

_RESET_ROUNDS = 20
"""Rounds of four cycles, 3.3 us, after which SE0 is a bus reset; the least is 2.5 us (7.1.7.5)."""
_ANSWER_ROUNDS = 40
"""Rounds of four cycles, 80 bit times, in which the host goes on with a transaction; it does within
18 after what the device has sent, of which up to 20 are still to come, and its own packet begins
with eight (7.1.19.1).
"""

# the memory: constants and variables from byte 1 of the lower half on, packets from the host at its
# end; what is sent to the host in the upper half. A packet with its checksum, and one byte more,
# ends before byte 256.
_FROM_HOST = PAGE - 1 - (MAX_PACKET + 2)  # odd
_REQUEST = _FROM_HOST - 1 - (8 + 2) & ~1  # even; both in the part that the pointer's test tells
_TO_HOST = PAGE - MAX_PACKET
_LOWER, _UPPER = 0, 1
assert _FROM_HOST % 2 == 1 and _REQUEST >= PAGE // 2


class _Bytes:
    """Addresses in the lower half of the memory: constants, variables and the last
    request's bytes.
    """

    def __init__(self, a: Assembler):
        self.one, self.zero, self.packet = a.constant(1), a.constant(0), a.constant(MAX_PACKET)
        self.sync, self.ack, self.patience = (
            a.constant(_SYNC),
            a.constant(_ACK),
            a.constant(_ANSWER_ROUNDS),
        )
        self.from_host, self.to_host = a.constant(_FROM_HOST), a.constant(_TO_HOST)
        self.data0, self.data1, self.both_data = (
            a.constant(_DATA0),
            a.constant(_DATA1),
            a.constant(_DATA0 + _DATA1),
        )

        self.address, self.next_address = a.variable("address"), a.variable("next address")
        # bulk: bytes held from the host and where the next is, toggle expected, identifier of the
        # next to the host
        self.held, self.held_at = a.variable("held"), a.variable("held at")
        self.expects_data1, self.bulk_data = (
            a.variable("expects DATA1"),
            a.variable("bulk data", _DATA0),
        )
        # control transfers: bytes left to answer and where they are, identifier of the next packet,
        # refused
        self.left, self.left_at = a.variable("left"), a.variable("left at")
        self.control_data, self.refused = a.variable("control data"), a.variable("refused")
        self.of_bulk = a.variable(
            "of bulk"
        )  # whether the data packet just sent was the bulk endpoint's

        (
            self.kind,
            self.request,
            self.value,
            self.value_kind,
            self.index,
            _,
            self.length,
            self.more,
        ) = range(_REQUEST, _REQUEST + 8)


def serial_port() -> tuple[list[dict], bytes]:
    """(microprogram, memory at power-up)."""
    a = Assembler()
    at, answers = _Bytes(a), _answers(a)
    _between_packets(a, at, answers)
    _tokens(a, at)
    _in_transactions(a, at)
    _out_transactions(a, at)
    _requests(a, at, answers)
    return a.program(), bytes(a.contents)


def _between_packets(a: Assembler, at: _Bytes, answers: dict[str, int]) -> None:
    """Bytes from the host go on; then resets."""
    a.label("idle")
    a.load(at.held, test=When.SE0, then="low")
    a.point(at.held_at, test=When.ACTIVE, then="packet")
    a.pass_(test=When.ZERO, then="idle")

    a.label("give")  # accumulator: held; eight cycles a byte
    a.pass_(test=When.FULL, then="given")
    a.word(half=_LOWER, source=Source.MEMORY, put=1, step=1)
    a.subtract(at.one, test=When.ACTIVE, then="given")
    a.pass_(test=When.ZERO, then="given", go="give")
    a.label("given")
    a.store(at.held)
    a.store_pointer(at.held_at, test=When.ACTIVE, then="packet", go="idle")

    a.label("low")
    a.load(a.constant(_RESET_ROUNDS))
    a.label("still low")
    a.subtract(at.one, test=When.SE0, then="round", go="idle")
    a.label("round")
    a.pass_(test=When.ZERO, then="bus reset", go="still low")
    a.label("bus reset")
    a.clear()
    a.store(at.address)
    a.store(at.next_address)
    a.label("configure")  # accumulator: number of the configuration
    a.point(a.constant(answers["configuration"] + 1))
    a.store(half=_UPPER)
    a.label("first data")
    a.clear()
    a.store(at.expects_data1)
    a.label("first data in")
    a.load(at.data0)
    a.store(at.bulk_data, go="idle")


def _tokens(a: Assembler, at: _Bytes) -> None:
    """The start of every packet, and the transaction that a token begins."""
    a.label("packet")
    a.load_byte(start=1, test=When.ACTIVE, then="identifier", go="idle")
    a.label("identifier")
    a.subtract(a.constant(_IN))
    a.label("less IN")  # accumulator: identifier less IN
    a.subtract(a.constant(_OUT - _IN), test=When.ZERO, then="IN")
    a.subtract(a.constant(_SETUP - _OUT), test=When.ZERO, then="OUT")
    a.point(a.constant(_REQUEST), test=When.ZERO, then="token")
    a.label("skip")
    a.pass_(test=When.ACTIVE, then="skip", go="idle")

    # the pointer tells them apart from now on
    a.label("IN")
    a.point(at.zero, go="token")
    a.label("OUT")
    a.point(at.from_host)
    a.label("token")
    a.load_byte(test=When.ACTIVE, then="token address", go="idle")
    a.label("token address")
    a.subtract(at.address)
    a.subtract(a.constant(0x80), test=When.ZERO, then="even endpoint")
    a.pass_(test=When.ZERO, then="odd endpoint", go="skip")
    a.label("even endpoint")
    a.load_byte(test=When.ACTIVE, then="token end", go="idle")
    a.label("token end")
    a.pass_(wait=1, test=When.ACTIVE, then="skip")
    a.pass_(test=When.GOOD_5, then="for us", go="idle")
    a.label("for us")
    a.pass_(test=When.UPPER, then="from host")
    a.send(at.sync, test=When.ENDPOINT, then="bulk in", go="control in")
    a.label("from host")
    a.pass_(test=When.ODD, then="out", go="await control data")
    a.label("out")
    a.pass_(test=When.ENDPOINT, then="await bulk data")
    a.point(at.zero, go="await control data")
    a.label("odd endpoint")
    a.pass_(wait=1)
    a.pass_(wait=1, test=When.ACTIVE, then="skip")
    a.pass_(test=When.GOOD_5, then="status in", go="idle")
    a.label("status in")
    a.pass_(test=When.UPPER, then="idle")
    a.send(at.sync, go="nak")


def _in_transactions(a: Assembler, at: _Bytes) -> None:
    """Data packets to the host, and what it says to them."""
    a.label("bulk in")
    a.load(at.one, test=When.CLOSED, then="packet ready", go="nak")
    a.label("packet ready")
    a.store(at.of_bulk)
    a.send(at.bulk_data)
    a.word(source=Source.FILLED, load=1)
    a.point(at.to_host, test=When.ZERO, then="no data", go="data")

    a.label("control in")
    a.load(at.refused)
    a.load(at.left, test=When.ZERO, then="answer", go="stall")
    a.label("answer")
    a.subtract(at.packet)
    a.clear(test=When.CARRY, then="long answer")
    a.store(at.of_bulk)
    a.send(at.control_data)
    a.load(at.left, go="chunk")
    a.label("long answer")
    a.store(at.of_bulk)
    a.send(at.control_data)
    a.load(at.packet)
    a.label("chunk")
    a.point(at.left_at, test=When.ZERO, then="no data")

    a.label("data")  # accumulator: how many bytes; pointer: where
    a.send(half=_UPPER, step=1, start=1)
    a.label("rest")
    a.subtract(at.one)
    a.pass_(test=When.ZERO, then="sum")
    a.send(half=_UPPER, step=1, go="rest")
    a.label("no data")
    a.send_checksum(start=1, go="sum end")
    a.label("sum")
    a.send_checksum()
    a.label("sum end")
    a.send_checksum()

    a.load(at.patience)
    a.label("await acknowledge")
    a.subtract(at.one, test=When.ACTIVE, then="handshake")
    a.pass_(test=When.ZERO, then="idle", go="await acknowledge")
    a.label("handshake")
    a.load_byte(start=1, test=When.ACTIVE, then="acknowledge", go="idle")
    a.label("acknowledge")
    a.subtract(a.constant(_ACK))
    a.subtract(a.constant(_IN - _ACK), test=When.ZERO, then="acknowledged", go="less IN")
    a.label("acknowledged")
    a.load(at.of_bulk, wait=1, test=When.ACTIVE, then="skip")
    a.load(at.both_data, test=When.ZERO, then="control acknowledged")

    a.subtract(at.bulk_data)
    a.store(at.bulk_data, release=1, go="idle")

    a.label("control acknowledged")
    a.subtract(at.control_data)
    a.store(at.control_data)
    a.load(at.next_address)
    a.store(at.address)
    a.load(at.left_at)
    a.add(at.packet)
    a.store(at.left_at)
    a.load(at.left)
    a.subtract(at.packet)
    a.pass_(test=When.CARRY, then="left")
    a.clear()
    a.label("left")
    a.store(at.left, go="idle")


def _out_transactions(a: Assembler, at: _Bytes) -> None:
    """Data packets from the host: bytes, what a request comes with, and requests themselves."""

    def await_data(what: str):
        a.label(f"await {what} data")
        a.load(at.patience)
        a.label(f"awaiting {what} data")
        a.subtract(at.one, test=When.ACTIVE, then=f"{what} packet")
        a.pass_(test=When.ZERO, then="idle", go=f"awaiting {what} data")
        a.label(f"{what} packet")
        a.load_byte(start=1, test=When.ACTIVE, then=f"{what} identifier", go="idle")
        a.label(f"{what} identifier")
        a.subtract(at.data0)
        a.subtract(a.constant(_DATA1 - _DATA0), test=When.ZERO, then=f"{what} DATA0")
        a.subtract(a.constant(_IN - _DATA1), test=When.ZERO, then=f"{what} DATA1", go="less IN")

    def receive(what: str):
        """A packet to where the pointer points, which is one byte further at the end; none that
        goes on beyond the half of the memory. What answers it comes next, after the sync pattern.
        """
        a.label(f"receive {what}")
        a.word(
            half=_LOWER,
            source=Source.LINE,
            write=1,
            step=1,
            wait=1,
            test=When.ACTIVE,
            then=f"more {what}",
            go=f"{what} received",
        )
        a.label(f"more {what}")
        a.pass_(test=When.UPPER, then=f"receive {what}", go="skip")
        a.label(f"{what} received")
        a.pass_(test=When.GOOD_16, then=f"{what} good", go="idle")
        a.label(f"{what} good")
        a.send(at.sync)

    await_data("bulk")
    a.label("bulk DATA1")
    a.load(at.expects_data1)
    a.load(at.held, test=When.ZERO, then="discard", go="fresh")
    a.label("bulk DATA0")
    a.load(at.expects_data1)
    a.load(at.held, test=When.ZERO, then="fresh", go="discard")
    a.label("fresh")
    a.pass_(test=When.ZERO, then="receive bulk", go="busy")
    receive("bulk")
    a.word(source=Source.POINTER, load=1)
    a.send(at.ack)
    a.subtract(a.constant(_FROM_HOST + 3))  # the checksum, and the step at the end
    a.store(at.held)
    a.point(at.from_host)
    a.store_pointer(at.held_at)
    a.load(at.one)
    a.subtract(at.expects_data1)
    a.store(at.expects_data1, go="idle")

    a.label("busy")  # accumulator: held; gives on meanwhile, so that there will be room
    a.point(at.held_at)
    a.label("busy give")
    a.pass_(test=When.FULL, then="busy wait")
    a.word(half=_LOWER, source=Source.MEMORY, put=1, step=1)
    a.subtract(at.one)
    a.pass_(test=When.ZERO, then="busy all given")
    a.label("busy wait")
    a.pass_(test=When.ACTIVE, then="busy give", go="busy end")
    a.label("busy all given")
    a.pass_(test=When.ACTIVE, then="busy all given")
    a.label("busy end")
    a.store(at.held)
    a.store_pointer(at.held_at, test=When.GOOD_16, then="put off", go="idle")
    a.label("put off")
    a.send(at.sync)
    a.label("nak")
    a.send(a.constant(_NAK), go="idle")
    a.label("discard")  # the host has missed that it was taken
    a.pass_(test=When.ACTIVE, then="discard")
    a.pass_(test=When.GOOD_16, then="discarded", go="idle")
    a.label("discarded")
    a.send(at.sync)
    a.label("ack")
    a.send(at.ack, go="idle")

    await_data("control")
    a.label("control DATA1")
    a.label("control DATA0")
    a.pass_(test=When.UPPER, then="receive request")
    a.label("ignore")  # what the host writes changes nothing
    a.pass_(test=When.ACTIVE, then="ignore")
    a.pass_(test=When.GOOD_16, then="ignored", go="idle")
    a.label("ignored")
    a.send(at.sync)
    a.load(at.refused)
    a.pass_(test=When.ZERO, then="ack")
    a.label("stall")
    a.send(a.constant(_STALL), go="idle")

    receive("request")
    # a request ends the transfer before it, and an address that was not confirmed
    a.load(at.address)
    a.store(at.next_address)
    a.load(at.data1)
    a.store(at.control_data)
    a.clear()
    a.store(at.left)
    a.send(at.ack)


def _requests(a: Assembler, at: _Bytes, answers: dict[str, int]) -> None:
    """What the last request asks for, in the 29 words' time until the next packet's identifier."""
    a.store(at.refused)

    def choose(where: int, choices: dict[int, str], otherwise: str = "refuse"):
        """Goes on where the choice says that the byte of memory equals."""
        a.load(where)
        known, test = 0, {}
        for number, then in choices.items():
            if number != known:
                a.subtract(a.constant(number - known), **test)
            known, test = number, {"test": When.ZERO, "then": then}
        a.pass_(**test, go=otherwise)

    choose(
        at.kind,
        {
            0x80: "of device",
            0x00: "to device",
            0x21: "to port",
            0xA1: "of port",
            0x02: "to endpoint",
            0x81: "of interface",
            0x82: "of interface",
            0x01: "to interface",
        },
    )
    a.label("of device")
    choose(at.request, {6: "descriptor", 8: "configuration", 0: "status"})
    a.label("descriptor")
    choose(at.value_kind, {1: "device", 2: "configurations", 3: "string"})
    a.label("string")
    choose(at.value, {number: f"string {number}" for number in range(len(descriptors.STRINGS))})
    a.label("of interface")  # or endpoint
    choose(at.request, {0: "status", 10: "alternate setting"})
    a.label("to interface")
    choose(at.request, {11: "set interface"})
    a.label("set interface")  # to the only setting
    choose(at.value, {0: "which interface"})
    a.label("which interface")
    choose(at.index, {1: "first data"}, otherwise="idle")
    a.label("of port")
    choose(at.request, {0x21: "line coding"})
    a.label("to device")
    choose(at.request, {5: "set address", 9: "set configuration"})
    a.label("to port")  # line coding, control line state, break
    choose(at.request, {0x20: "idle", 0x22: "idle", 0x23: "idle"})
    a.label("to endpoint")
    choose(at.request, {1: "clear halt"})
    a.label("clear halt")
    choose(
        at.index,
        {
            0x80 | descriptors.DATA_ENDPOINT: "first data in",
            descriptors.DATA_ENDPOINT: "first data out",
        },
        otherwise="idle",
    )
    a.label("first data out")
    a.clear()
    a.store(at.expects_data1, go="idle")

    a.label("refuse")
    a.load(at.one)
    a.store(at.refused, go="idle")

    a.label("set address")
    a.load(at.value)
    a.store(at.next_address, go="idle")

    a.label("set configuration")  # to none or the only one
    a.load(at.value)
    a.subtract(a.constant(2))
    a.load(at.value, test=When.CARRY, then="refuse", go="configure")

    for name, where in answers.items():
        a.label(name)
        a.point(a.constant(where), go="answer with")
    a.label("answer with")  # as much of it as the host asks for
    a.load(at.more)
    a.load(at.length, test=When.ZERO, then="compare", go="all of it")
    a.label("compare")
    a.subtract(half=_UPPER)
    a.load(at.length, test=When.CARRY, then="all of it", go="answered")
    a.label("all of it")
    a.load(half=_UPPER)
    a.label("answered")
    a.store(at.left, step=1)
    a.store_pointer(at.left_at, go="idle")


def _answers(a: Assembler) -> dict[str, int]:
    """Puts what requests are answered with into the upper half, each behind a byte with its length:
    where those are.
    """
    answers = {
        "device": descriptors.DEVICE,
        "configurations": descriptors.CONFIGURATION,
        **{f"string {number}": string for number, string in enumerate(descriptors.STRINGS)},
        "line coding": descriptors.LINE_CODING,
        "status": bytes(2),  # bus-powered, no endpoint halted
        "alternate setting": bytes(1),
        "configuration": bytes(1),  # the number of the present one
    }
    places, end = {}, 0
    for name, answer in answers.items():
        places[name] = end
        entry = bytes([len(answer)]) + answer
        a.contents[PAGE + end : PAGE + end + len(entry)] = entry
        end += len(entry)
    assert end <= _TO_HOST
    return places
