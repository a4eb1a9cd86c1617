"""The microprogram of the serial port: packets, toggles, requests.

Universal Serial Bus Specification 2.0: 8.3.1 (packet identifiers), 8.4.6 (handshakes), 8.5 (transactions), 8.6
(toggles), 9.2.6.3 (setting an address), 9.4 (requests); Communications Device Class, PSTN subclass 1.2: 6.3 (its
requests).

Between packets the device gives on the bytes that the host has sent. From a packet's start on it keeps step with the
wires: a byte takes 16 cycles, eight words. The sync pattern of an answer goes out as soon as it is known that there
will be one, which leaves seven words to choose what it is.
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
"""Rounds of four cycles, 80 bit times, in which the host goes on with a transaction; it does within 18 after what the
device has sent, of which up to 20 are still to come, and its own packet begins with eight (7.1.19.1)."""

# the memory: constants and variables from byte 1 of the lower half on, packets from the host at its end; what is sent
# to the host in the upper half. A packet with its checksum, and one byte more, ends before byte 256.
_FROM_HOST = PAGE - 1 - (MAX_PACKET + 2)                    # odd
_REQUEST = _FROM_HOST - 1 - (8 + 2) & ~1                    # even; both in the part that the pointer's test tells
_TO_HOST = PAGE - MAX_PACKET
_LOWER, _UPPER = 0, 1
assert _FROM_HOST % 2 == 1 and _REQUEST >= PAGE // 2


def serial_port() -> tuple[list[dict], bytes]:
    """(microprogram, memory at power-up)."""
    a = Assembler()
    answers = _answers(a)
    kind, request, value, value_kind, index, _, length, more = range(_REQUEST, _REQUEST + 8)

    one, zero = a.constant(1), a.constant(0)
    ack = a.constant(_ACK)
    sync, patience = a.constant(_SYNC), a.constant(_ANSWER_ROUNDS)
    packet = a.constant(MAX_PACKET)
    from_host, to_host = a.constant(_FROM_HOST), a.constant(_TO_HOST)
    data0, data1, both_data = a.constant(_DATA0), a.constant(_DATA1), a.constant(_DATA0 + _DATA1)

    address, next_address = a.variable("address"), a.variable("next address")
    # bulk packets: bytes held from the host, where the next is, toggle expected; identifier of the next to the host
    held, held_at, expects_data1 = a.variable("held"), a.variable("held at"), a.variable("expects DATA1")
    bulk_data = a.variable("bulk data", _DATA0)
    # control transfers: bytes left to answer, where they are, identifier of the next packet, refused
    left, left_at, control_data, refused = (
        a.variable("left"), a.variable("left at"), a.variable("control data"), a.variable("refused"))
    of_bulk = a.variable("of bulk")               # whether the data packet just sent is the bulk endpoint's

    # ---- between packets --------------------------------------------------------------------------------------------
    a.label("idle")
    a.load(held, test=When.SE0, then="low")
    a.point(held_at, test=When.ACTIVE, then="packet")
    a.pass_(test=When.ZERO, then="idle")

    a.label("give")                               # accumulator: held; eight cycles a byte
    a.pass_(test=When.FULL, then="given")
    a.word(half=_LOWER, source=Source.MEMORY, put=1, step=1)
    a.subtract(one, test=When.ACTIVE, then="given")
    a.pass_(test=When.ZERO, then="given", go="give")
    a.label("given")
    a.store(held)
    a.store_pointer(held_at, test=When.ACTIVE, then="packet", go="idle")

    a.label("low")
    a.load(a.constant(_RESET_ROUNDS))
    a.label("still low")
    a.subtract(one, test=When.SE0, then="round", go="idle")
    a.label("round")
    a.pass_(test=When.ZERO, then="bus reset", go="still low")
    a.label("bus reset")
    a.clear()
    a.store(address)
    a.store(next_address)
    a.label("configure")                          # accumulator: number of the configuration
    a.point(a.constant(answers["configuration"] + 1))
    a.store(half=_UPPER)
    a.label("first data")
    a.clear()
    a.store(expects_data1)
    a.label("first data in")
    a.load(data0)
    a.store(bulk_data, go="idle")

    # ---- packets ----------------------------------------------------------------------------------------------------
    a.label("packet")
    a.load_byte(start=1, test=When.ACTIVE, then="identifier", go="idle")
    a.label("identifier")
    a.subtract(a.constant(_IN))
    a.label("less IN")                            # accumulator: identifier less IN
    a.subtract(a.constant(_OUT - _IN), test=When.ZERO, then="IN")
    a.subtract(a.constant(_SETUP - _OUT), test=When.ZERO, then="OUT")
    a.point(a.constant(_REQUEST), test=When.ZERO, then="token")
    a.label("skip")
    a.pass_(test=When.ACTIVE, then="skip", go="idle")

    # the pointer tells them apart from now on
    a.label("IN")
    a.point(zero, go="token")
    a.label("OUT")
    a.point(from_host)
    a.label("token")
    a.load_byte( test=When.ACTIVE, then="token address", go="idle")
    a.label("token address")
    a.subtract(address)
    a.subtract(a.constant(0x80), test=When.ZERO, then="even endpoint")
    a.pass_(test=When.ZERO, then="odd endpoint", go="skip")
    a.label("even endpoint")
    a.load_byte( test=When.ACTIVE, then="token end", go="idle")
    a.label("token end")
    a.pass_(wait=1, test=When.ACTIVE, then="skip")
    a.pass_(test=When.GOOD_5, then="for us", go="idle")
    a.label("for us")
    a.pass_(test=When.UPPER, then="from host")
    a.send(sync, test=When.ENDPOINT, then="bulk in", go="control in")
    a.label("from host")
    a.pass_(test=When.ODD, then="out", go="await control data")
    a.label("out")
    a.pass_(test=When.ENDPOINT, then="await bulk data")
    a.point(zero, go="await control data")
    a.label("odd endpoint")
    a.pass_(wait=1)
    a.pass_(wait=1, test=When.ACTIVE, then="skip")
    a.pass_(test=When.GOOD_5, then="status in", go="idle")
    a.label("status in")
    a.pass_(test=When.UPPER, then="idle")
    a.send(sync, go="nak")

    # ---- IN transactions --------------------------------------------------------------------------------------------
    a.label("bulk in")
    a.load(one, test=When.CLOSED, then="packet ready", go="nak")
    a.label("packet ready")
    a.store(of_bulk)
    a.send(bulk_data)
    a.word(source=Source.FILLED, load=1)
    a.point(to_host, test=When.ZERO, then="no data", go="data")

    a.label("control in")
    a.load(refused)
    a.load(left, test=When.ZERO, then="answer", go="stall")
    a.label("answer")
    a.subtract(packet)
    a.clear(test=When.CARRY, then="long answer")
    a.store(of_bulk)
    a.send(control_data)
    a.load(left, go="chunk")
    a.label("long answer")
    a.store(of_bulk)
    a.send(control_data)
    a.load(packet)
    a.label("chunk")
    a.point(left_at, test=When.ZERO, then="no data")

    a.label("data")                               # accumulator: how many bytes; pointer: where
    a.send(half=_UPPER, step=1, start=1)
    a.label("rest")
    a.subtract(one)
    a.pass_(test=When.ZERO, then="sum")
    a.send(half=_UPPER, step=1, go="rest")
    a.label("no data")
    a.send_checksum(start=1, go="sum end")
    a.label("sum")
    a.send_checksum()
    a.label("sum end")
    a.send_checksum()

    a.load(patience)
    a.label("await acknowledge")
    a.subtract(one, test=When.ACTIVE, then="handshake")
    a.pass_(test=When.ZERO, then="idle", go="await acknowledge")
    a.label("handshake")
    a.load_byte(start=1, test=When.ACTIVE, then="acknowledge", go="idle")
    a.label("acknowledge")
    a.subtract(a.constant(_ACK))
    a.subtract(a.constant(_IN - _ACK), test=When.ZERO, then="acknowledged", go="less IN")
    a.label("acknowledged")
    a.load(of_bulk, wait=1, test=When.ACTIVE, then="skip")
    a.load(both_data, test=When.ZERO, then="control acknowledged")

    a.subtract(bulk_data)
    a.store(bulk_data, release=1, go="idle")

    a.label("control acknowledged")
    a.subtract(control_data)
    a.store(control_data)
    a.load(next_address)
    a.store(address)
    a.load(left_at)
    a.add(packet)
    a.store(left_at)
    a.load(left)
    a.subtract(packet)
    a.pass_(test=When.CARRY, then="left")
    a.clear()
    a.label("left")
    a.store(left, go="idle")

    # ---- OUT and SETUP transactions ---------------------------------------------------------------------------------
    def await_data(kind: str):
        a.label(f"await {kind} data")
        a.load(patience)
        a.label(f"awaiting {kind} data")
        a.subtract(one, test=When.ACTIVE, then=f"{kind} packet")
        a.pass_(test=When.ZERO, then="idle", go=f"awaiting {kind} data")
        a.label(f"{kind} packet")
        a.load_byte(start=1, test=When.ACTIVE, then=f"{kind} identifier", go="idle")
        a.label(f"{kind} identifier")
        a.subtract(data0)
        a.subtract(a.constant(_DATA1 - _DATA0), test=When.ZERO, then=f"{kind} DATA0")
        a.subtract(a.constant(_IN - _DATA1), test=When.ZERO, then=f"{kind} DATA1", go="less IN")

    def receive(kind: str):
        """A packet to where the pointer points, which is one byte further at the end."""
        a.label(f"receive {kind}")
        a.word(half=_LOWER, source=Source.LINE, write=1, step=1, wait=1, test=When.ACTIVE,
               then=f"more {kind}", go=f"{kind} received")
        a.label(f"more {kind}")
        a.pass_(test=When.UPPER, then=f"receive {kind}", go="skip")
        a.label(f"{kind} received")
        a.pass_(test=When.GOOD_16, then=f"{kind} good", go="idle")
        a.label(f"{kind} good")
        a.send(sync)

    await_data("bulk")
    a.label("bulk DATA1")
    a.load(expects_data1)
    a.load(held, test=When.ZERO, then="discard", go="fresh")
    a.label("bulk DATA0")
    a.load(expects_data1)
    a.load(held, test=When.ZERO, then="fresh", go="discard")
    a.label("fresh")
    a.pass_(test=When.ZERO, then="receive bulk", go="busy")
    receive("bulk")
    a.word(source=Source.POINTER, load=1)
    a.send(ack)
    a.subtract(a.constant(_FROM_HOST + 3))        # the checksum, and the step at the end
    a.store(held)
    a.point(from_host)
    a.store_pointer(held_at)
    a.load(one)
    a.subtract(expects_data1)
    a.store(expects_data1, go="idle")

    a.label("busy")                               # accumulator: held; gives on meanwhile, so that there will be room
    a.point(held_at)
    a.label("busy give")
    a.pass_(test=When.FULL, then="busy wait")
    a.word(half=_LOWER, source=Source.MEMORY, put=1, step=1)
    a.subtract(one)
    a.pass_(test=When.ZERO, then="busy all given")
    a.label("busy wait")
    a.pass_(test=When.ACTIVE, then="busy give", go="busy end")
    a.label("busy all given")
    a.pass_(test=When.ACTIVE, then="busy all given")
    a.label("busy end")
    a.store(held)
    a.store_pointer(held_at, test=When.GOOD_16, then="put off", go="idle")
    a.label("put off")
    a.send(sync)
    a.label("nak")
    a.send(a.constant(_NAK), go="idle")
    a.label("discard")                            # the host has missed that it was taken
    a.pass_(test=When.ACTIVE, then="discard")
    a.pass_(test=When.GOOD_16, then="discarded", go="idle")
    a.label("discarded")
    a.send(sync)
    a.label("ack")
    a.send(ack, go="idle")

    await_data("control")
    a.label("control DATA1")
    a.label("control DATA0")
    a.pass_(test=When.UPPER, then="receive request")
    a.label("ignore")                             # what the host writes changes nothing
    a.pass_(test=When.ACTIVE, then="ignore")
    a.pass_(test=When.GOOD_16, then="ignored", go="idle")
    a.label("ignored")
    a.send(sync)
    a.load(refused)
    a.pass_(test=When.ZERO, then="ack")
    a.label("stall")
    a.send(a.constant(_STALL), go="idle")

    receive("request")
    # a request ends the transfer before it, and an address that was not confirmed
    a.load(address)
    a.store(next_address)
    a.load(data1)
    a.store(control_data)
    a.clear()
    a.store(left)
    a.send(ack)

    # ---- requests, in the 29 words' time until the next packet's identifier -----------------------------------------
    a.store(refused)

    def choose(where: int, choices: dict[int, str], otherwise: str = "refuse"):
        """Goes on where the choice says that the byte of memory equals."""
        a.load(where)
        known, test = 0, {}
        for number, then in choices.items():
            if number != known:
                a.subtract(a.constant(number - known), **test)
            known, test = number, {"test": When.ZERO, "then": then}
        a.pass_(**test, go=otherwise)

    choose(kind, {0x80: "of device", 0x00: "to device", 0x21: "to port", 0xA1: "of port", 0x02: "to endpoint",
                  0x81: "of interface", 0x82: "of interface", 0x01: "to interface"})
    a.label("of device")
    choose(request, {6: "descriptor", 8: "configuration", 0: "status"})
    a.label("descriptor")
    choose(value_kind, {1: "device", 2: "configurations", 3: "string"})
    a.label("string")
    choose(value, {number: f"string {number}" for number in range(len(descriptors.STRINGS))})
    a.label("of interface")                       # or endpoint
    choose(request, {0: "status", 10: "alternate setting"})
    a.label("to interface")
    choose(request, {11: "set interface"})
    a.label("set interface")                      # to the only setting
    choose(value, {0: "which interface"})
    a.label("which interface")
    choose(index, {1: "first data"}, otherwise="idle")
    a.label("of port")
    choose(request, {0x21: "line coding"})
    a.label("to device")
    choose(request, {5: "set address", 9: "set configuration"})
    a.label("to port")                            # line coding, control line state, break
    choose(request, {0x20: "idle", 0x22: "idle", 0x23: "idle"})
    a.label("to endpoint")
    choose(request, {1: "clear halt"})
    a.label("clear halt")
    choose(index, {0x80 | descriptors.DATA_ENDPOINT: "first data in", descriptors.DATA_ENDPOINT: "first data out"},
           otherwise="idle")
    a.label("first data out")
    a.clear()
    a.store(expects_data1, go="idle")

    a.label("refuse")
    a.load(one)
    a.store(refused, go="idle")

    a.label("set address")
    a.load(value)
    a.store(next_address, go="idle")

    a.label("set configuration")                  # to none or the only one
    a.load(value)
    a.subtract(a.constant(2))
    a.load(value, test=When.CARRY, then="refuse", go="configure")

    for name, where in answers.items():
        a.label(name)
        a.point(a.constant(where), go="answer with")
    a.label("answer with")                        # as much of it as the host asks for
    a.load(more)
    a.load(length, test=When.ZERO, then="compare", go="all of it")
    a.label("compare")
    a.subtract(half=_UPPER)
    a.load(length, test=When.CARRY, then="all of it", go="answered")
    a.label("all of it")
    a.load(half=_UPPER)
    a.label("answered")
    a.store(left, step=1)
    a.store_pointer(left_at, go="idle")
    return a.program(), bytes(a.contents)


def _answers(a: Assembler) -> dict[str, int]:
    """Puts what requests are answered with into the upper half, each behind a byte with its length: where those are."""
    answers = {
        "device": descriptors.DEVICE,
        "configurations": descriptors.CONFIGURATION,
        **{f"string {number}": string for number, string in enumerate(descriptors.STRINGS)},
        "line coding": descriptors.LINE_CODING,
        "status": bytes(2),                       # bus-powered, no endpoint halted
        "alternate setting": bytes(1),
        "configuration": bytes(1),                # the number of the present one
    }
    places, end = {}, 0
    for name, answer in answers.items():
        places[name] = end
        entry = bytes([len(answer)]) + answer
        a.contents[PAGE + end:PAGE + end + len(entry)] = entry
        end += len(entry)
    assert end <= _TO_HOST
    return places
