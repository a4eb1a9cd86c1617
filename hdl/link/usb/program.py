# SPDX-License-Identifier: Apache-2.0
"""The microprogram of the USB serial port: packets, data toggles, and control requests.

Universal Serial Bus Specification 2.0: 8.3.1 (packet identifiers), 8.4.6 (handshakes), 8.5
(transactions), 8.6 (data toggles), 9.2.6.3 (setting an address), 9.4 (requests), 9.4.5 (halted
endpoints); Communications Device Class, PSTN subclass 1.2: 6.3 (its requests).

Between packets the device passes on the bytes that it has received from the host. From the start of
a packet on, the program must keep pace with the wires: a byte lasts 16 cycles, the time of eight
microprogram words. The device sends the sync pattern of an answer as soon as it is certain that it
will answer. This leaves seven words in which to choose the answer.
"""

from collections.abc import Callable
from typing import NamedTuple

from ornstein.hdl.link.usb import descriptors
from ornstein.hdl.link.usb.assembler import Assembler
from ornstein.hdl.link.usb.descriptors import MAX_PACKET
from ornstein.hdl.link.usb.engine import PAGE, Source, When

__all__ = ["serial_port"]

_SYNC = 0x80
_OUT, _IN, _SETUP = 0xE1, 0x69, 0x2D
_DATA0, _DATA1 = 0xC3, 0x4B
_ACK, _NAK, _STALL = 0xD2, 0x5A, 0x1E
_CLEAR_FEATURE, _SET_FEATURE, _SET_INTERFACE = 1, 3, 11

_RESET_ROUNDS = 20
"""Rounds of four cycles, 3.3 us in all, after which SE0 counts as a bus reset. The specification
asks for at least 2.5 us (7.1.7.5)."""
_ANSWER_ROUNDS = 40
"""Rounds of four cycles, 80 bit times in all, in which the device waits for the host to continue a
transaction. The host does so within 18 bit times after the device's packet, of which up to 20 bit
times have yet to be sent, and its own packet begins with a sync pattern of eight (7.1.19.1)."""

# The lower half of the memory holds constants and variables from byte 1 on, and packets from the
# host at its end; the upper half holds what is sent to the host. A packet from the host, with its
# checksum and one more byte, ends before byte 256.
_FROM_HOST = PAGE - 1 - (MAX_PACKET + 2)  # odd, to tell it from _REQUEST by When.ODD
_REQUEST = _FROM_HOST - 1 - (8 + 2) & ~1  # even; both are in the part that When.UPPER recognises
_TO_HOST = PAGE - MAX_PACKET
_LOWER, _UPPER = 0, 1
assert _FROM_HOST % 2 == 1 and _REQUEST >= PAGE // 2


class _Endpoint(NamedTuple):
    """Addresses of three bytes in a row: whether the endpoint answers with STALL, zero if it does
    not; the first value of the toggle; and the toggle, which decides on the next data packet.
    """

    halted: int
    first: int
    toggle: int


class _Bytes:
    """Addresses in the lower half of the memory: constants, variables, and the bytes of the last
    request.
    """

    def __init__(self, a: Assembler):
        def endpoint(name: str, first: int) -> _Endpoint:
            return _Endpoint(
                a.variable(f"{name} halted"),
                a.variable(f"{name} first toggle", first),
                a.variable(f"{name} toggle", first),
            )

        self.one = a.constant(1)
        self.refused = a.variable("refused")  # whether the last request is refused
        # The toggles are: nothing, since the status endpoint sends no data; whether the next packet
        # from the host is a DATA1; the identifier of the next packet to the host.
        self.status = endpoint("status", 0)
        self.bulk_out = endpoint("bulk out", 0)
        self.bulk_in = endpoint("bulk in", _DATA0)
        # When.ODD tells them from _FROM_HOST.
        assert self.refused % 2 == 0 and self.bulk_out.halted % 2 == 0

        self.zero, self.packet = a.constant(0), a.constant(MAX_PACKET)
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
        self.configured = a.variable("configured")  # the number of the configuration
        # Bulk endpoint: the number of bytes from the host that are not passed on yet, and the
        # address of the next one.
        self.held, self.held_at = a.variable("held"), a.variable("held at")
        # Control endpoint: the number of bytes left to answer, and their address; the identifier of
        # the next packet to the host.
        self.left, self.left_at = a.variable("left"), a.variable("left at")
        self.control_data = a.variable("control data")
        # whether the data packet sent last was the control endpoint's
        self.of_control = a.variable("of control")

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
    """Returns (the microprogram, the memory's contents at power-up)."""
    a = Assembler()
    at, answers = _Bytes(a), _answers(a)
    _between_packets(a, at, answers)
    _tokens(a, at)
    _in_transactions(a, at)
    _out_transactions(a, at)
    _requests(a, at, answers)
    return a.program(), bytes(a.contents)


def _between_packets(a: Assembler, at: _Bytes, answers: dict[str, int]) -> None:
    """Between packets: pass on the bytes from the host, and recognise a bus reset."""
    a.label("idle")
    a.load(at.held, test=When.SE0, then="low")
    a.point(at.held_at, test=When.ACTIVE, then="packet")
    a.pass_(test=When.ZERO, then="idle")

    a.label("give")  # the accumulator holds the number of bytes held; a byte takes eight cycles
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
    a.label("configure")  # the accumulator holds the number of the configuration
    a.store(at.configured)
    a.point(a.constant(answers["configuration"] + 1))
    a.store(half=_UPPER)
    a.clear()
    a.store(at.status.halted)
    a.label("restart data endpoints")
    a.load(at.data0)
    a.store(at.bulk_in.toggle)
    a.clear()
    a.store(at.bulk_out.toggle)
    a.store(at.bulk_in.halted)
    a.store(at.bulk_out.halted, go="idle")


def _tokens(a: Assembler, at: _Bytes) -> None:
    """The start of every packet; and tokens, which begin a transaction."""
    a.label("packet")
    a.load_byte(start=1, test=When.ACTIVE, then="identifier", go="idle")
    a.label("identifier")
    a.subtract(a.constant(_IN))
    a.label("less IN")  # the accumulator holds the identifier minus that of IN
    a.subtract(a.constant(_OUT - _IN), test=When.ZERO, then="IN")
    a.subtract(a.constant(_SETUP - _OUT), test=When.ZERO, then="OUT")
    a.point(a.constant(_REQUEST), test=When.ZERO, then="token")
    a.label("skip")
    a.pass_(test=When.ACTIVE, then="skip", go="idle")

    # from here on the pointer's value tells the three kinds of token apart
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
    a.pass_(test=When.ODD, then="out", go="await data")
    a.label("out")
    a.load(at.bulk_out.halted, test=When.ENDPOINT, then="bulk out")
    a.point(a.constant(at.refused), go="await data")
    a.label("bulk out")
    a.pass_(test=When.ZERO, then="await data")
    a.point(a.constant(at.bulk_out.halted), go="await data")
    a.label("odd endpoint")
    a.load(at.status.halted, wait=1)
    a.pass_(wait=1, test=When.ACTIVE, then="skip")
    a.pass_(test=When.GOOD_5, then="status in", go="idle")
    a.label("status in")
    a.pass_(test=When.UPPER, then="idle")
    a.send(at.sync, test=When.ZERO, then="nak", go="stall")


def _in_transactions(a: Assembler, at: _Bytes) -> None:
    """Data packets to the host, and its acknowledgement."""
    a.label("bulk in")
    a.load(at.bulk_in.halted, test=When.CLOSED, then="packet ready")
    a.pass_(test=When.ZERO, then="nak", go="stall")
    a.label("packet ready")
    a.store(at.of_control, test=When.ZERO, then="bulk packet", go="stall")
    a.label("bulk packet")
    a.send(at.bulk_in.toggle)
    a.word(source=Source.FILLED, load=1)
    a.point(at.to_host, test=When.ZERO, then="no data", go="data")

    a.label("control in")
    a.load(at.refused)
    a.load(at.one, test=When.ZERO, then="answer", go="stall")
    a.label("answer")
    a.store(at.of_control)
    a.send(at.control_data)
    a.load(at.left)
    a.subtract(at.packet)
    a.load(at.left, test=When.CARRY, then="long answer", go="chunk")
    a.label("long answer")
    a.load(at.packet)
    a.label("chunk")
    a.point(at.left_at, test=When.ZERO, then="no data")

    a.label("data")  # the accumulator holds the number of bytes, the pointer their address
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
    a.load(at.of_control, wait=1, test=When.ACTIVE, then="skip")
    a.load(at.both_data, test=When.ZERO, then="bulk acknowledged", go="control acknowledged")

    a.label("bulk acknowledged")
    a.subtract(at.bulk_in.toggle)
    a.store(at.bulk_in.toggle, release=1, go="idle")

    a.label("control acknowledged")  # the pointer is behind the last byte sent
    a.store_pointer(at.left_at)
    a.subtract(at.control_data)
    a.store(at.control_data)
    a.load(at.next_address)
    a.store(at.address)
    a.load(at.left)
    a.subtract(at.packet)
    a.pass_(test=When.CARRY, then="left")
    a.clear()
    a.label("left")
    a.store(at.left, go="idle")


def _out_transactions(a: Assembler, at: _Bytes) -> None:
    """Data packets from the host: bytes for the serial port, data of a request, and requests."""
    _await_data(a, at)
    _bulk_data(a, at)
    _busy(a, at)
    _discarded_data(a, at)
    _receive(a, at, "request")
    _new_request(a, at)


def _await_data(a: Assembler, at: _Bytes) -> None:
    """Waits for the data packet that follows a token, and goes where its identifier and the pointer
    say. The pointer is where the bytes are to be stored or, for data that are discarded, the byte
    that says whether they are answered with STALL. It is odd for the serial port's bytes only.
    """
    a.label("await data")
    a.load(at.patience)
    a.label("awaiting data")
    a.subtract(at.one, test=When.ACTIVE, then="data packet")
    a.pass_(test=When.ZERO, then="idle", go="awaiting data")
    a.label("data packet")
    a.load_byte(start=1, test=When.ACTIVE, then="data identifier", go="idle")
    a.label("data identifier")
    a.subtract(at.data0)
    a.subtract(a.constant(_DATA1 - _DATA0), test=When.ZERO, then="data DATA0")
    a.subtract(a.constant(_IN - _DATA1), test=When.ZERO, then="data DATA1", go="less IN")
    a.label("data DATA0")
    a.load(at.bulk_out.toggle, test=When.ODD, then="bulk DATA0", go="control data")
    a.label("data DATA1")
    a.load(at.bulk_out.toggle, test=When.ODD, then="bulk DATA1", go="control data")
    a.label("control data")
    a.pass_(test=When.UPPER, then="receive request", go="ignore")


def _receive(a: Assembler, at: _Bytes, what: str) -> None:
    """Stores a packet at the pointer, which ends one byte after it. A packet that would go beyond
    the half of the memory is skipped. The words written next send the answer, whose sync pattern
    has been sent by then."""
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


def _bulk_data(a: Assembler, at: _Bytes) -> None:
    """Bytes for the serial port, if they are new and the last ones have been passed on."""
    a.label("bulk DATA1")
    a.load(at.held, test=When.ZERO, then="repeated", go="fresh")
    a.label("bulk DATA0")
    a.load(at.held, test=When.ZERO, then="fresh", go="repeated")
    a.label("fresh")
    a.pass_(test=When.ZERO, then="receive bulk", go="busy")
    _receive(a, at, "bulk")
    a.word(source=Source.POINTER, load=1)
    a.send(at.ack)
    a.subtract(a.constant(_FROM_HOST + 3))  # two bytes of checksum, and the last step
    a.store(at.held)
    a.point(at.from_host)
    a.store_pointer(at.held_at)
    a.load(at.one)
    a.subtract(at.bulk_out.toggle)
    a.store(at.bulk_out.toggle, go="idle")


def _busy(a: Assembler, at: _Bytes) -> None:
    """A packet for which there is no room: it is refused with NAK, so that the host repeats it.
    Bytes that are held are passed on meanwhile, so that there will be room."""
    a.label("busy")  # the accumulator holds the number of bytes held
    a.point(at.held_at)
    a.label("busy wait")
    a.pass_(test=When.ACTIVE, go="busy end")
    a.pass_(test=When.ZERO, then="busy wait")
    a.pass_(test=When.FULL, then="busy wait")
    a.word(half=_LOWER, source=Source.MEMORY, put=1, step=1)
    a.subtract(at.one, go="busy wait")
    a.label("busy end")
    a.store(at.held)
    a.store_pointer(at.held_at, test=When.GOOD_16, then="put off", go="idle")
    a.label("put off")
    a.send(at.sync)
    a.label("nak")
    a.send(a.constant(_NAK), go="idle")


def _discarded_data(a: Assembler, at: _Bytes) -> None:
    """Data that change nothing: those of a request, those for a halted endpoint, and a packet that
    was received before, because the host missed its acknowledgement. They are acknowledged, or
    answered with STALL if the request was refused or the endpoint is halted."""
    a.label("repeated")  # the endpoint is not halted, or its data would not come this way
    a.point(a.constant(at.bulk_out.halted))
    a.label("ignore")
    a.pass_(test=When.ACTIVE, then="ignore")
    a.pass_(test=When.GOOD_16, then="ignored", go="idle")
    a.label("ignored")
    a.send(at.sync)
    a.load(half=_LOWER)
    a.pass_(test=When.ZERO, then="ack")
    a.label("stall")
    a.send(a.constant(_STALL), go="idle")
    a.label("ack")
    a.send(at.ack, go="idle")


def _new_request(a: Assembler, at: _Bytes) -> None:
    """A request ends the transfer before it, and forgets an address that was not confirmed."""
    a.load(at.address)
    a.store(at.next_address)
    a.load(at.data1)
    a.store(at.control_data)
    a.clear()
    a.store(at.left)
    a.send(at.ack)


def _requests(a: Assembler, at: _Bytes, answers: dict[str, int]) -> None:
    """The answer to the last request. There is time for 29 words until the identifier of the next
    packet."""
    a.store(at.refused)

    def choose(where: int, choices: dict[int, str], otherwise: str = "refuse", **first):
        """Goes to the label of the choice that equals the byte at that address of the memory. The
        word that reads it takes the keywords ``first``."""
        a.load(where, **first)
        known, test = 0, {}
        for number, then in choices.items():
            if number != known:
                a.subtract(a.constant(number - known), **test)
            known, test = number, {"test": When.ZERO, "then": then}
        a.pass_(**test, go=otherwise)

    choose(  # those that take longest come first
        at.kind,
        {
            0x00: "to device",
            0x80: "of device",
            0x02: "to endpoint",
            0x82: "of endpoint",
            0x81: "of interface",
            0x01: "to interface",
            0x21: "to port",
            0xA1: "of port",
        },
    )
    a.label("of device")
    choose(at.request, {0: "status", 6: "descriptor", 8: "configuration"})
    a.label("descriptor")
    choose(at.value_kind, {1: "device", 2: "configurations", 3: "string"})
    a.label("string")
    choose(at.value, {number: f"string {number}" for number in range(len(descriptors.STRINGS))})
    a.label("of port")
    choose(at.request, {0x21: "line coding"})
    a.label("to device")
    choose(at.request, {5: "set address", 9: "set configuration"})
    a.label("to port")  # line coding, control line state and break: accepted, without effect
    choose(at.request, {0x20: "idle", 0x22: "idle", 0x23: "idle"})

    a.label("of interface")  # there are none before the device is configured
    a.load(at.configured)
    a.load(at.index, test=When.ZERO, then="refuse")
    a.subtract(a.constant(descriptors.INTERFACES))
    choose(at.request, {0: "status", 10: "alternate setting"}, test=When.CARRY, then="refuse")
    a.label("to interface")
    a.load(at.configured)
    a.load(at.request, test=When.ZERO, then="refuse")
    a.subtract(a.constant(_SET_INTERFACE))
    a.load(at.value, test=When.ZERO, go="refuse")
    choose(  # there is only setting zero
        at.index, {0: "communication", 1: "restart data endpoints"}, test=When.ZERO, go="refuse"
    )
    a.label("communication")
    a.clear()
    a.store(at.status.halted, go="idle")
    _endpoint_requests(a, at, choose)

    a.label("refuse")
    a.load(at.one)
    a.store(at.refused, go="idle")

    a.label("set address")
    a.load(at.value)
    a.store(at.next_address, go="idle")

    a.label("set configuration")  # number 0 is none, number 1 the only one
    a.load(at.value)
    a.subtract(a.constant(2))
    a.load(at.value, test=When.CARRY, then="refuse", go="configure")

    for name, where in answers.items():
        a.label(name)
        a.point(a.constant(where), go="answer with")
    a.label("answer with")  # sends no more bytes than the host asks for
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


def _endpoint_requests(a: Assembler, at: _Bytes, choose: Callable[..., None]) -> None:
    """GET_STATUS of an endpoint; SET_FEATURE and CLEAR_FEATURE of its only feature, ENDPOINT_HALT.

    Both of these put the toggle back to its first value. The control endpoint has no such feature,
    and is the only one before the device is configured.
    """
    bulk_out = descriptors.DATA_ENDPOINT
    status, bulk_in = (
        descriptors.TO_HOST | number
        for number in (descriptors.STATUS_ENDPOINT, descriptors.DATA_ENDPOINT)
    )
    endpoints = {bulk_out: at.bulk_out, status: at.status, bulk_in: at.bulk_in}

    a.label("of endpoint")
    a.load(at.request)  # zero is GET_STATUS
    a.load(at.configured, test=When.ZERO, go="refuse")
    choose(
        at.index,
        {0: "status", **{address: f"status of {address}" for address in endpoints}},
        test=When.ZERO,
        then="not configured",
    )
    a.label("not configured")  # the accumulator holds the endpoint's address
    a.pass_(test=When.ZERO, then="status", go="refuse")
    for address, endpoint in endpoints.items():
        a.label(f"status of {address}")
        a.load(endpoint.halted, go="status or halted")
    a.label("status or halted")
    a.pass_(test=When.ZERO, then="status", go="halted")

    a.label("to endpoint")
    choose(at.request, {_CLEAR_FEATURE: "feature", _SET_FEATURE: "feature"})
    a.label("feature")
    a.load(at.value)
    a.load(at.value_kind, test=When.ZERO, go="refuse")
    a.load(at.configured, test=When.ZERO, go="refuse")
    choose(
        at.index,
        {address: f"halt {address}" for address in endpoints},
        test=When.ZERO,
        then="refuse",
    )
    for address, endpoint in endpoints.items():
        a.label(f"halt {address}")
        a.point(a.constant(endpoint.halted), go="halt")
    a.label("halt")
    a.load(at.request)
    a.subtract(a.constant(_CLEAR_FEATURE))
    a.store(half=_LOWER, step=1)
    a.load(half=_LOWER, step=1)
    a.store(half=_LOWER, go="idle")


def _answers(a: Assembler) -> dict[str, int]:
    """Writes the answers to requests into the upper half of the memory, each after a byte with its
    length. Returns the address of that byte for each answer.
    """
    answers = {
        "device": descriptors.DEVICE,
        "configurations": descriptors.CONFIGURATION,
        **{f"string {number}": string for number, string in enumerate(descriptors.STRINGS)},
        "line coding": descriptors.LINE_CODING,
        "status": bytes(2),  # bus-powered; not halted
        "halted": bytes([1, 0]),
        "alternate setting": bytes(1),
        "configuration": bytes(1),  # the number of the configuration that is set
    }
    places, end = {}, 0
    for name, answer in answers.items():
        places[name] = end
        entry = bytes([len(answer)]) + answer
        a.contents[PAGE + end : PAGE + end + len(entry)] = entry
        end += len(entry)
    assert end <= _TO_HOST
    return places
