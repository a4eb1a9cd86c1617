# SPDX-License-Identifier: Apache-2.0
"""The USB serial port itself, its bytes sent back to it: what real hosts, cables and hubs
do to it.
"""

import random

import pytest

from ornstein.hdl.link.usb import descriptors
from ornstein.hdl.link.usb.descriptors import (
    DATA_ENDPOINT,
    MAX_PACKET,
    STATUS_ENDPOINT,
    TO_HOST,
)
from ornstein.hdl.protocol import END
from ornstein.sim import usb_host
from ornstein.sim.usb_host import Pid, Stalled, data_packet, handshake, line_states, token

J, K, SE0 = 0b01, 0b10, 0b00
ADDRESS = 5  # that enumerate() gives
OUT, IN = (token(pid, ADDRESS | DATA_ENDPOINT << 7) for pid in (Pid.OUT, Pid.IN))
ACK, NAK, STALL = handshake(Pid.ACK), handshake(Pid.NAK), handshake(Pid.STALL)
BULK_OUT, BULK_IN, STATUS = DATA_ENDPOINT, TO_HOST | DATA_ENDPOINT, TO_HOST | STATUS_ENDPOINT
ENDPOINTS = BULK_OUT, BULK_IN, STATUS
FRAME = b"frame" + bytes([END])

GET_STATUS, CLEAR_FEATURE, SET_FEATURE, SET_ADDRESS, GET_DESCRIPTOR = 0, 1, 3, 5, 6
GET_CONFIGURATION, SET_CONFIGURATION, GET_INTERFACE, SET_INTERFACE = 8, 9, 10, 11
DEVICE, CONFIGURATION, STRING, QUALIFIER = 1, 2, 3, 6


@pytest.fixture(scope="module")
def powered():
    host = usb_host.UsbHost(usb_host.library(None))
    host.idle(100)
    yield host
    host.close()


@pytest.fixture
def host(powered):
    """Freshly enumerated, with nothing on its way."""
    powered.clock()
    powered.enumerate(ADDRESS)
    while powered.in_(DATA_ENDPOINT) is not None:
        pass
    return powered


def arrived(host, count):
    """The next so many bytes from the device, in packets."""
    packets, naks = [], 0
    while sum(map(len, packets)) < count:
        packet = host.in_(DATA_ENDPOINT)
        naks = naks + 1 if packet is None else 0
        assert naks < 100, f"only {packets} came"
        packets += [] if packet is None else [packet]
    return packets


def comes_back(host, frame):
    """Whether a frame of at most one packet comes back as it is."""
    assert host.out(DATA_ENDPOINT, frame)
    return b"".join(arrived(host, len(frame))) == frame


def nothing_came(host):
    return all(host.in_(DATA_ENDPOINT) is None for _ in range(20))


# ---- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [-0.0025, 0, 0.0025])
@pytest.mark.parametrize("jitter", [0, 0.11])
def test_clocks_differ(host, offset, jitter):
    """A host's bits may be 0.25 % off (7.1.11); edges next to each other may come 18.5 ns, 0.22
    bits, too close or too far apart (table 7-10). No phase between the two clocks is better than
    another.
    """
    host.clock(offset=offset, jitter=jitter)
    rng = random.Random(7)
    for _ in range(60):
        data = rng.choice([bytes(63), b"\xff" * 63, rng.randbytes(63).replace(bytes([END]), b"")])
        assert comes_back(host, data + bytes([END]))
        host.idle(rng.randrange(9))


def six_ones_end(length):
    """Data of a frame whose checksum ends with the six ones that a zero has to follow, be it the
    last bit (7.1.9).
    """
    rng = random.Random(length)
    while True:
        data = rng.randbytes(length).replace(bytes([END]), b"\x55")
        if data_packet(Pid.DATA0, data + bytes([END]))[-1] >> 2 == 0x3F:
            return data


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 63,
        b"\x7e\xfc" * 31,
        b"\x3f\xe0\x07\xf8" * 15,
        b"\xfc" * 40,
        b"\x1f" * 40,
        bytes(63),
        *map(six_ones_end, (2, 5, 62)),
    ],
)
def test_bits_are_stuffed(host, data):
    """Both ways, with runs of ones in a byte, across bytes and at the very end."""
    for _ in range(2):  # DATA0 and DATA1
        assert comes_back(host, data + bytes([END]))


def test_a_bit_that_is_not_stuffed_spoils_a_packet(host):
    states = bytearray(line_states(data_packet(Pid.DATA0, b"\xff" * 4)))
    same = [place for place in range(len(states) - 7) if len(set(states[place : place + 7])) == 1]
    assert same  # six ones: seven equal states
    states[same[0] + 7 :] = (
        bytes([states[same[0]]]) + bytes([J, K][n % 2] for n in range(30)) + bytes([SE0, SE0, J])
    )
    host.send(OUT)
    assert host.exchange(bytes(states)) is None
    assert comes_back(host, FRAME)


def test_hubs_shorten_the_start_and_lengthen_the_end(host):
    """A device needs the end only of the sync pattern, and a bit that hubs have stretched counts
    once (7.1.9.1).
    """
    host.send(OUT)
    states = line_states(data_packet(Pid.DATA0, FRAME))
    assert host.exchange(states[2:-3] + states[-4:-3] + states[-3:]) == ACK
    host.idle(20)
    assert arrived(host, len(FRAME)) == [FRAME]


@pytest.mark.parametrize("turnaround", [0, 1, 5, 200])
def test_answers_in_time(host, turnaround):
    """Two to six and a half bit times after the host's packet (7.1.18.1), to a host that is quick
    or slow.
    """
    host.idle(turnaround)
    taken = []
    for transaction in (
        lambda: host.in_(DATA_ENDPOINT),
        lambda: host.in_(STATUS_ENDPOINT),
        lambda: host.out(DATA_ENDPOINT, FRAME),
        lambda: host.in_(DATA_ENDPOINT),
        lambda: host.control(0x00, SET_CONFIGURATION, 1),
    ):
        transaction()
        taken.append(host.turnaround)
    assert all(2 <= each <= 6.5 for each in taken), taken


# ---- packets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("bit", range(11, 16))
@pytest.mark.parametrize("pid", [Pid.IN, Pid.OUT, Pid.SETUP])
def test_a_damaged_token_means_nothing(host, pid, bit):
    """Any bit of its CRC: no answer, neither to the token nor to the data that follow."""
    endpoint = 0 if pid == Pid.SETUP else DATA_ENDPOINT
    damaged = bytearray(token(pid, ADDRESS | endpoint << 7))
    damaged[1 + bit // 8] ^= 1 << bit % 8
    if pid == Pid.IN:
        assert host.send(bytes(damaged), wait=True) is None
    else:
        host.send(bytes(damaged))
        assert host.send(data_packet(Pid.DATA0, bytes(8)), wait=True) is None
    assert comes_back(host, FRAME)


@pytest.mark.parametrize("bit", [8, 50, 71])
def test_damaged_data_are_as_good_as_lost(host, bit):
    """A bit of the data, or of their CRC; what is sent again is taken."""
    damaged = bytearray(data_packet(Pid.DATA0, FRAME))
    damaged[bit // 8] ^= 1 << bit % 8
    host.send(OUT)
    assert host.send(bytes(damaged), wait=True) is None
    assert comes_back(host, FRAME)


def test_an_identifier_has_to_agree_with_its_check(host):
    damaged = bytes([IN[0] ^ 0x10]) + IN[1:]
    assert host.send(damaged, wait=True) is None
    host.send(OUT)
    assert host.send(bytes([0xC2]) + data_packet(Pid.DATA0, FRAME)[1:], wait=True) is None
    assert comes_back(host, FRAME)


@pytest.mark.parametrize("length", [8, 12, 16, 17, 24, 40, 75])
@pytest.mark.parametrize("ended", [True, False])
def test_packets_that_break_off(host, length, ended):
    """After so many bits of a token or of data, with SE0 or without: the next transaction is as if
    nothing had been.
    """
    end = bytes([SE0, SE0, J]) if ended else b""
    if length < 32:
        assert host.exchange(line_states(IN)[:length] + end) is None
    host.send(OUT)
    assert host.exchange(line_states(data_packet(Pid.DATA0, FRAME))[:length] + end) is None
    host.idle(20)
    assert comes_back(host, FRAME)


@pytest.mark.parametrize("length", [MAX_PACKET + 1, MAX_PACKET + 2, 2 * MAX_PACKET, 1023])
def test_too_much_data(host, length):
    """More than a packet may hold is not taken, and harms nothing that the device remembers."""
    host.send(OUT)
    assert host.exchange(line_states(data_packet(Pid.DATA0, bytes(length)))) is None
    assert nothing_came(host)
    assert comes_back(host, FRAME)


def test_too_long_a_request(host):
    host.send(token(Pid.SETUP, ADDRESS))
    assert host.exchange(line_states(data_packet(Pid.DATA0, bytes(2 * MAX_PACKET)))) is None
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE and comes_back(host, FRAME)


def test_tokens_of_any_length_but_three_bytes(host):
    assert host.send(IN + b"\0", wait=True) is None
    assert host.send(IN[:2], wait=True) is None
    assert host.send(IN, wait=True) == NAK


def test_starts_of_frames_are_not_answered(host):
    """Whatever their number, which may look like an address."""
    for number in range(0, 1 << 11, 5):
        assert host.send(token(Pid.SOF, number), wait=True) is None
    assert comes_back(host, FRAME)


@pytest.mark.parametrize("pid", [Pid.IN, Pid.OUT])
def test_a_token_without_data_is_forgotten(host, pid):
    """Data that come too late belong to nothing; neither do they after another device's token."""
    host.send(OUT)
    host.idle(200)
    assert host.send(data_packet(Pid.DATA0, FRAME), wait=True) is None
    host.send(OUT)
    host.send(token(pid, ADDRESS ^ 1 | DATA_ENDPOINT << 7))
    assert host.send(data_packet(Pid.DATA0, FRAME), wait=True) is None
    assert nothing_came(host)
    host.send(OUT)
    assert host.send(IN, wait=True) == NAK  # the host has changed its mind
    host.idle(4)
    assert comes_back(host, FRAME)


def test_a_late_acknowledge_is_none(host):
    """Nor is anything else than ACK, or an ACK with more behind it."""
    assert host.out(DATA_ENDPOINT, FRAME)
    host.idle(500)
    packet = data_packet(Pid.DATA0, FRAME)
    assert host.send(IN, wait=True) == packet
    host.idle(200)
    host.send(ACK)
    for answer in (NAK, ACK + b"\0", bytes([ACK[0] ^ 1])):
        assert host.send(IN, wait=True) == packet
        host.idle(4)
        host.send(answer)
    assert arrived(host, len(FRAME)) == [FRAME] and nothing_came(host)


def test_endpoints_keep_out_of_each_others_way(host):
    """A control transfer between a data packet and its repetition."""
    assert host.out(DATA_ENDPOINT, FRAME)
    host.idle(500)
    assert host.in_(DATA_ENDPOINT, acknowledge=False) == FRAME
    host.idle(50)
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE
    assert host.in_(DATA_ENDPOINT) == FRAME
    assert comes_back(host, FRAME)
    host.send(token(Pid.OUT, ADDRESS | STATUS_ENDPOINT << 7))
    assert host.send(data_packet(Pid.DATA0, FRAME), wait=True) is None


def test_every_transaction_is_answered(host):
    """A thousand of any kind, at any distance, while the device moves bytes between its streams and
    its packets.
    """
    rng = random.Random(11)
    sent, back, frames = b"", b"", 0
    host.clock(offset=0.001, jitter=0.1)
    while frames < 400:
        host.idle(rng.randrange(40))
        choice = rng.randrange(5)
        if choice < 2:
            frame = bytes(rng.randrange(END) for _ in range(rng.randrange(MAX_PACKET))) + bytes(
                [END]
            )
            if host.out(DATA_ENDPOINT, frame):
                sent, frames = sent + frame, frames + 1
        elif choice < 4:
            acknowledge = rng.random() < 0.8
            packet = host.in_(DATA_ENDPOINT, acknowledge=acknowledge)
            back += packet if packet and acknowledge else b""
        else:
            assert host.in_(STATUS_ENDPOINT) is None
    while len(back) < len(sent):
        back += host.in_(DATA_ENDPOINT) or b""
    assert back == sent


@pytest.mark.parametrize(
    "length, lengths", [(63, [63]), (64, [64, 0]), (65, [64, 1]), (128, [64, 64, 0])]
)
def test_a_full_packet_that_ends_a_frame_is_followed_by_an_empty_one(host, length, lengths):
    frame = bytes(length - 1).replace(b"\0", b"x") + bytes([END])
    for start in range(0, length, MAX_PACKET):
        host.until(host.out, DATA_ENDPOINT, frame[start : start + MAX_PACKET])
    host.idle(2000)
    packets = [host.in_(DATA_ENDPOINT) for _ in lengths]
    assert [len(packet) for packet in packets] == lengths and b"".join(packets) == frame
    assert nothing_came(host)


def test_empty_packets_say_nothing(host):
    assert host.out(DATA_ENDPOINT, b"") and host.out(DATA_ENDPOINT, b"")
    assert nothing_came(host) and comes_back(host, FRAME)


def test_bulk_data_go_at_a_good_part_of_the_wires(host):
    """Each way by itself, bytes a millisecond; full speed has room for 1,216 (table 5-9), a UART of
    3 Mbaud for 300.
    """
    data = bytes(range(64))
    start, taken = host.time, 0
    while taken < 4 * MAX_PACKET:
        taken += MAX_PACKET * host.out(DATA_ENDPOINT, data)
    assert taken / (host.time - start) * 12_000 > 600
    start, got = host.time, 0
    while got < 3 * MAX_PACKET:
        got += len(host.in_(DATA_ENDPOINT) or b"")
    assert got / (host.time - start) * 12_000 > 1000


# ---- reset ---------------------------------------------------------------------------------------


def test_a_reset_in_the_middle_of_a_packet(host):
    for length in (4, 20, 60):
        host.exchange(line_states(data_packet(Pid.DATA0, FRAME))[:length])
        assert host.enumerate(9)[0] == descriptors.DEVICE
        assert comes_back(host, FRAME)


def test_a_reset_while_an_answer_is_due(host):
    """In place of the ACK to data, and in place of data after a token."""
    assert host.out(DATA_ENDPOINT, FRAME)
    host.idle(500)
    assert host.send(IN, wait=True) == data_packet(Pid.DATA0, FRAME)
    assert host.enumerate(9)[0] == descriptors.DEVICE
    assert arrived(host, len(FRAME)) == [FRAME]  # it was not acknowledged
    host.send(token(Pid.OUT, 9 | DATA_ENDPOINT << 7))
    assert host.enumerate(9)[0] == descriptors.DEVICE
    assert comes_back(host, FRAME)


def test_only_a_long_reset_counts(host):
    """2.5 us of SE0 and more may be one (7.1.7.5); the end of a slow packet, 1.3 us, is none."""
    host.exchange(bytes([SE0]) * 16)
    host.idle(20)
    assert host.in_(DATA_ENDPOINT) is None  # a NAK at its address
    host.exchange(bytes([SE0]) * 120)  # 10 us
    host.idle(20)
    assert host.send(IN, wait=True) is None
    assert host.send(token(Pid.IN, DATA_ENDPOINT << 7), wait=True) == NAK


# ---- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 8, 9, 63, 64, 65, 74, 75, 76, 255, 256, 0x1000, 0xFFFF])
def test_no_more_than_is_asked_for(host, length):
    """A descriptor of two packets, cut to what the host has room for."""
    assert len(descriptors.CONFIGURATION) == 75
    assert host.descriptor(CONFIGURATION, length) == descriptors.CONFIGURATION[:length]


def test_a_full_last_packet_is_followed_by_an_empty_one(host):
    """Where the host does not know that it has got all (8.5.3.2)."""
    host.setup(0x80, GET_DESCRIPTOR, CONFIGURATION << 8, length=MAX_PACKET)
    assert [len(host.until(host.in_, 0)) for _ in range(2)] == [MAX_PACKET, 0]


def test_requests_of_no_data(host):
    """wLength of zero: no data, but a status stage."""
    host.control(0x80, GET_DESCRIPTOR, DEVICE << 8)
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE


def test_lost_packets_of_a_control_transfer(host):
    """Data that are not acknowledged come again, with the same toggle; so does a SETUP whose ACK
    was lost.
    """
    for _ in range(2):
        host.setup(0x80, GET_DESCRIPTOR, CONFIGURATION << 8, length=75)
    for start in (0, MAX_PACKET):
        for acknowledge in (False, False, True):
            host.idle(30)
            assert (
                host.in_(0, acknowledge=acknowledge)
                == descriptors.CONFIGURATION[start : start + MAX_PACKET]
            )
    assert host.out(0, b"")


def test_status_of_device_interface_and_endpoint(host):
    for kind, index in ((0x80, 0), (0x81, 1), (0x82, 0x80 | DATA_ENDPOINT)):
        assert host.control(kind, GET_STATUS, index=index, length=2) == bytes(2)


def test_configurations(host):
    assert host.control(0x80, GET_CONFIGURATION, length=1) == b"\1"
    host.control(0x00, SET_CONFIGURATION, 0)
    assert host.control(0x80, GET_CONFIGURATION, length=1) == b"\0"
    with pytest.raises(Stalled):
        host.control(0x00, SET_CONFIGURATION, 2)
    host.reset()
    assert host.control(0x80, GET_CONFIGURATION, length=1) == b"\0"


@pytest.mark.parametrize(
    "begin_anew",
    [
        lambda host: host.control(0x00, SET_CONFIGURATION, 1),
        lambda host: host.control(0x01, SET_INTERFACE, 0, 1),
        lambda host: (
            host.control(0x02, CLEAR_FEATURE, 0, DATA_ENDPOINT),
            host.control(0x02, CLEAR_FEATURE, 0, 0x80 | DATA_ENDPOINT),
        ),
    ],
)
def test_toggles_begin_anew(host, begin_anew):
    """Both toggles stand at DATA1 before; the host model refuses data with the wrong one."""
    assert comes_back(host, FRAME)
    begin_anew(host)
    for way in ("in", "out"):
        host.toggles.pop((way, DATA_ENDPOINT))
    assert comes_back(host, FRAME) and comes_back(host, FRAME)


@pytest.mark.parametrize("way", ["in", "out"])
def test_clearing_a_halt_concerns_one_way(host, way):
    assert comes_back(host, FRAME)
    host.control(0x02, CLEAR_FEATURE, 0, DATA_ENDPOINT | (0x80 if way == "in" else 0))
    host.toggles.pop((way, DATA_ENDPOINT))
    assert comes_back(host, FRAME) and comes_back(host, FRAME)
    host.control(0x02, CLEAR_FEATURE, 0, 0x80 | STATUS_ENDPOINT)
    host.control(0x01, SET_INTERFACE, 0, 0)
    assert comes_back(host, FRAME)


def test_interfaces_have_one_setting(host):
    assert host.control(0x81, GET_INTERFACE, index=1, length=1) == b"\0"
    with pytest.raises(Stalled):
        host.control(0x01, SET_INTERFACE, 1, 1)


def test_an_address_holds_from_the_status_stage_on(host):
    host.setup(0x00, SET_ADDRESS, 77)
    assert host.send(token(Pid.IN, 77), wait=True) is None
    assert host.until(host.in_, 0) == b""  # at the old one
    assert host.send(IN, wait=True) is None
    host.address = 77
    assert comes_back(host, FRAME)


def test_an_address_that_was_not_confirmed_is_forgotten(host):
    host.setup(0x00, SET_ADDRESS, 77)
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE
    assert comes_back(host, FRAME)


@pytest.mark.parametrize(
    "kind, request_, value, index, length",
    [
        (0x80, GET_DESCRIPTOR, QUALIFIER << 8, 0, 10),  # a device of full speed only has none
        (0x80, GET_DESCRIPTOR, STRING << 8 | 0xEE, 0, 18),  # Windows asks for it
        (0x80, GET_DESCRIPTOR, STRING << 8 | 3, 0, 255),
        (0x80, GET_DESCRIPTOR, 0x2200, 0, 64),
        (0x81, GET_DESCRIPTOR, 0, 0, 64),
        (0x00, SET_FEATURE, 1, 0, 0),  # it does not wake the host
        (0x00, CLEAR_FEATURE, 1, 0, 0),
        (0x00, GET_STATUS, 0, 0, 0),
        (0x01, SET_FEATURE, 0, 0, 0),
        (0x01, GET_STATUS, 0, 0, 0),
        (0x01, SET_INTERFACE, 0, 2, 0),
        (0x81, SET_INTERFACE, 0, 1, 1),
        (0x81, GET_STATUS, 0, 2, 2),
        (0x81, GET_INTERFACE, 0, 0xFF, 1),
        (0x02, SET_FEATURE, 0, 0, 0),  # the control endpoint is never halted
        (0x02, SET_FEATURE, 1, BULK_IN, 0),
        (0x02, CLEAR_FEATURE, 0x100, BULK_IN, 0),
        (0x02, SET_FEATURE, 0, STATUS_ENDPOINT, 0),
        (0x02, CLEAR_FEATURE, 0, BULK_IN + 1, 0),
        (0x02, GET_STATUS, 0, BULK_IN, 0),
        (0x02, 2, 0, BULK_IN, 0),
        (0x82, GET_STATUS, 0, BULK_OUT + 1, 2),
        (0x82, SET_FEATURE, 0, BULK_IN, 2),
        (0x00, 7, DEVICE << 8, 0, 0),
        (0xC0, 0x20, 4, 0, 16),
        (0x40, 1, 0, 0, 0),
        (0xA1, 0x22, 0, 0, 7),
        (0x21, 0x00, 0, 0, 0),
        (0x80, 12, 0, 0, 2),
        (0x82, 12, 0, 0, 2),
    ],
)
def test_refuses_what_it_does_not_know(host, kind, request_, value, index, length):
    """With a STALL of the data or status stage, until the next request; the rest goes on."""
    with pytest.raises(Stalled):
        host.control(kind, request_, value, index, length=length)
    assert not any(map(host.halted, ENDPOINTS))
    with pytest.raises(Stalled):
        host.control(kind, request_, value, index, length=length)
    for _ in range(2):
        with pytest.raises(Stalled):
            host.in_(0)
    assert comes_back(host, FRAME)
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE


def test_refuses_data_too(host):
    with pytest.raises(Stalled):
        host.control(0x40, 1, data=bytes(8))


# ---- halted endpoints (USB 2.0, 9.4.5) -----------------------------------------------------------


def stalls(host, address):
    """Whether an endpoint answers one transaction with STALL."""
    try:
        if address & TO_HOST:
            host.in_(address & ~TO_HOST)
        else:
            host.out(address, b"")
    except Stalled:
        return True
    return False


@pytest.mark.parametrize("address", ENDPOINTS)
def test_a_halted_endpoint_stalls_until_it_is_cleared(host, address):
    """Every transaction, as often as it is halted; the endpoint says so, and no other stalls."""
    assert comes_back(host, FRAME)
    for _ in range(2):
        host.halt(address)
        for _ in range(3):
            assert [stalls(host, each) for each in ENDPOINTS] == [
                each == address for each in ENDPOINTS
            ]
        assert [host.halted(each) for each in (0, *ENDPOINTS)] == [
            each == address for each in (0, *ENDPOINTS)
        ]
        assert host.control(0x80, GET_STATUS, length=2) == bytes(2)
        assert host.control(0x81, GET_STATUS, index=1, length=2) == bytes(2)
    host.clear_halt(address)
    assert not any(host.halted(each) or stalls(host, each) for each in ENDPOINTS)
    assert comes_back(host, FRAME) and comes_back(host, FRAME)


def test_a_halted_endpoint_keeps_what_waits_in_it(host):
    """A packet for the host, whole or not sent yet; after the halt it is a DATA0."""
    assert host.out(DATA_ENDPOINT, FRAME)
    host.idle(500)
    assert host.in_(DATA_ENDPOINT, acknowledge=False) == FRAME
    host.halt(BULK_IN)
    assert stalls(host, BULK_IN)
    assert host.out(DATA_ENDPOINT, FRAME)
    host.clear_halt(BULK_IN)
    assert arrived(host, 2 * len(FRAME)) == [FRAME, FRAME] and nothing_came(host)


@pytest.mark.parametrize("pid", [Pid.DATA0, Pid.DATA1])
def test_a_halted_endpoint_takes_no_data(host, pid):
    """With either toggle. Data that are damaged or too long it does not answer."""
    host.halt(BULK_OUT)
    packet = data_packet(pid, FRAME)
    for wrong in (packet[:-1] + bytes([packet[-1] ^ 1]), data_packet(pid, bytes(200))[:150]):
        host.send(OUT)
        assert host.send(wrong, wait=True) is None
        host.idle(20)
    host.send(OUT)
    assert host.send(packet, wait=True) == STALL
    assert nothing_came(host)
    host.clear_halt(BULK_OUT)
    assert comes_back(host, FRAME)


@pytest.mark.parametrize(
    "begin_anew, cleared",
    [
        (lambda host: host.enumerate(ADDRESS), ENDPOINTS),
        (lambda host: host.control(0x00, SET_CONFIGURATION, 1), ENDPOINTS),
        (lambda host: host.control(0x01, SET_INTERFACE, 0, 0), (STATUS,)),
        (lambda host: host.control(0x01, SET_INTERFACE, 0, 1), (BULK_OUT, BULK_IN)),
    ],
    ids=["reset", "configuration", "interface 0", "interface 1"],
)
def test_what_else_ends_a_halt(host, begin_anew, cleared):
    for address in ENDPOINTS:
        host.halt(address)
    begin_anew(host)
    assert [each for each in ENDPOINTS if not host.halted(each)] == [
        each for each in ENDPOINTS if each in cleared
    ]
    for address in ENDPOINTS:
        host.clear_halt(address)
    assert comes_back(host, FRAME)


def test_only_the_control_endpoint_is_there_before_configuration(host):
    host.control(0x00, SET_CONFIGURATION, 0)
    assert not host.halted(0)
    for address in ENDPOINTS:
        for request in (host.halt, host.halted, host.clear_halt):
            with pytest.raises(Stalled):
                request(address)
    for kind, request, length in (
        (0x81, GET_STATUS, 2),
        (0x81, GET_INTERFACE, 1),
        (0x01, SET_INTERFACE, 0),
    ):
        with pytest.raises(Stalled):
            host.control(kind, request, length=length)
    host.control(0x00, SET_CONFIGURATION, 1)
    for way in ("in", "out"):
        host.toggles.pop((way, DATA_ENDPOINT), None)
    assert not any(map(host.halted, ENDPOINTS)) and comes_back(host, FRAME)


def test_halts_at_random(host):
    """Between transactions of every kind: each answer is the one expected, and no byte is lost."""
    rng = random.Random(13)
    halted, sent, back, counts = set(), b"", b"", {"stalled": 0, "taken": 0, "came": 0}
    for step in range(600):
        address, choice = rng.choice(ENDPOINTS), rng.randrange(8)
        if choice == 0:
            host.halt(address)
            halted.add(address)
        elif choice <= 2:
            host.clear_halt(address)
            halted.discard(address)
        elif choice == 3:
            assert host.halted(address) == (address in halted)
        elif address in halted:
            assert stalls(host, address)
            counts["stalled"] += 1
        elif address == BULK_OUT:
            frame = bytes([step % END]) * rng.randrange(MAX_PACKET) + bytes([END])
            if host.out(DATA_ENDPOINT, frame):
                sent += frame
                counts["taken"] += 1
        elif address == BULK_IN:
            packet = host.in_(DATA_ENDPOINT)
            back += packet or b""
            counts["came"] += packet is not None
        else:
            assert host.in_(STATUS_ENDPOINT) is None
        host.idle(rng.randrange(20))
    assert min(counts.values()) > 20, counts
    host.clear_halt(BULK_IN)
    while (packet := host.in_(DATA_ENDPOINT)) is not None or not nothing_came(host):
        back += packet or b""
    assert back == sent


# ---- what hosts do when they find a device -------------------------------------------------------


def line_settings(host):
    host.control(0x21, 0x20, data=(9600).to_bytes(4, "little") + bytes([0, 0, 8]))
    host.control(0x21, 0x22, 3)


def linux(host):
    """Asks for 64 bytes at address 0, resets again, and reads every string twice over."""
    host.reset()
    assert host.descriptor(DEVICE, 64) == descriptors.DEVICE
    host.reset()
    host.control(0x00, SET_ADDRESS, 12)
    host.address = 12
    host.idle(2000)
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE
    assert host.descriptor(CONFIGURATION, 9) == descriptors.CONFIGURATION[:9]
    assert host.descriptor(CONFIGURATION, 75) == descriptors.CONFIGURATION
    for number in (0, 2, 1):
        assert host.descriptor(STRING, 255, number) == descriptors.STRINGS[number]
    host.control(0x00, SET_CONFIGURATION, 1)
    line_settings(host)


def windows(host):
    """Resets after the first packet of the first descriptor, guesses lengths, and asks for strings
    of its own.
    """
    host.reset()
    host.setup(0x80, GET_DESCRIPTOR, DEVICE << 8, length=64)
    assert host.in_(0) == descriptors.DEVICE
    host.reset()
    host.control(0x00, SET_ADDRESS, 3)
    host.address = 3
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE
    assert host.descriptor(CONFIGURATION, 255) == descriptors.CONFIGURATION
    for kind, number in ((STRING, 0xEE), (QUALIFIER, 0)):
        with pytest.raises(Stalled):
            host.descriptor(kind, 18, number)
    assert host.descriptor(STRING, 255, 0) == descriptors.STRINGS[0]
    assert host.control(0x80, GET_STATUS, length=2) == bytes(2)
    host.control(0x00, SET_CONFIGURATION, 1)
    assert host.control(0xA1, 0x21, length=7) == descriptors.LINE_CODING
    host.control(0x21, 0x22, 0)
    line_settings(host)


def macos(host):
    """Reads eight bytes first, and each string's length before the string."""
    host.reset()
    assert host.descriptor(DEVICE, 8) == descriptors.DEVICE[:8]
    host.control(0x00, SET_ADDRESS, 20)
    host.address = 20
    assert host.descriptor(DEVICE, 18) == descriptors.DEVICE
    for number, string in enumerate(descriptors.STRINGS):
        assert host.descriptor(STRING, 2, number) == string[:2]
        assert host.descriptor(STRING, string[0], number) == string
    assert host.descriptor(CONFIGURATION, 9) == descriptors.CONFIGURATION[:9]
    assert host.descriptor(CONFIGURATION, 75) == descriptors.CONFIGURATION
    host.control(0x00, SET_CONFIGURATION, 1)
    line_settings(host)


@pytest.mark.parametrize("system", [linux, windows, macos])
def test_hosts_find_it(host, system):
    system(host)
    assert comes_back(host, FRAME)


def test_with_a_clock_of_its_own():
    """As on a board whose fabric is faster: the streams cross between the two clocks."""
    host = usb_host.UsbHost(usb_host.library(None, crossed=True))
    host.idle(100)
    host.enumerate(ADDRESS)
    for data in (bytes(63), bytes(range(63))):
        assert comes_back(host, data + bytes([END]))
    host.close()
