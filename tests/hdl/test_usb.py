# SPDX-License-Identifier: Apache-2.0
"""Native USB packet by packet, over the wires of the Verilated machine: what a board does before a
host trusts it.
"""

import numpy as np
import pytest

from helpers.link_bench import framed
from helpers.programs import random_program
from ornstein.hdl import protocol
from ornstein.hdl.config import TINY
from ornstein.hdl.link.usb.descriptors import DATA_ENDPOINT as ENDPOINT
from ornstein.hdl.link.usb.descriptors import MAX_PACKET, PRODUCT_ID, STATUS_ENDPOINT, VENDOR_ID
from ornstein.hdl.regmap import Space
from ornstein.hdl.spaces import spaces
from ornstein.host.devices.fabric import FabricDevice
from ornstein.sim import usb_host as usb

SET_LINE_CODING, GET_LINE_CODING, SET_CONTROL_LINE_STATE, SEND_BREAK = 0x20, 0x21, 0x22, 0x23
CLASS_OUT, CLASS_IN, VENDOR_IN = 0x21, 0xA1, 0xC0


@pytest.fixture(scope="module")
def powered():
    host = usb.UsbHost(usb.library(TINY))
    host.idle(100)
    yield host
    host.close()


@pytest.fixture
def host(powered):
    """Freshly enumerated. What an earlier test left in the device's queues is gone through."""
    powered.enumerate()
    while powered.in_(ENDPOINT) is not None:
        pass
    return powered


@pytest.fixture
def request_(host):
    """``request_(space, count)``: a READ as the link frames it, and the length of its answer
    without escapes.
    """

    def make(space, count, sequence=1):
        body = protocol.request(sequence, protocol.Opcode.READ, space, 0, count)
        data = count * spaces(TINY)[space].bytes
        return framed(body), 2 + protocol.ANSWER_HEADER_BYTES + data + protocol.CRC_BYTES

    return make


def answers(host):
    """Data packets until the device has no more for a while."""
    packets, silent = [], 0
    while silent < 20:
        packet = host.in_(ENDPOINT)
        silent = silent + 1 if packet is None else 0
        packets += [] if packet is None else [packet]
    return packets


# ---- the host model itself -----------------------------------------------------------------------


def test_packets_are_those_of_the_standard():
    """Octets of a GET_DESCRIPTOR at address 0, as every protocol analyser shows them."""
    assert usb.token(usb.Pid.SETUP, 0) == bytes.fromhex("2d0010")
    assert usb.data_packet(usb.Pid.DATA0, bytes.fromhex("8006000100004000")) == bytes.fromhex(
        "c38006000100004000dd94"
    )
    assert usb.handshake(usb.Pid.ACK) == b"\xd2"


def test_line_code():
    """Six ones are followed by a stuffed zero; SYNC is three KJ pairs and KK; the end is SE0, SE0,
    J.
    """
    states = usb.line_states(b"\xff\xff")
    assert states[:8] == bytes([2, 1, 2, 1, 2, 1, 2, 2]) and states[-3:] == bytes([0, 0, 1])
    assert len(states) == 8 + 16 + 2 + 3  # the last bit of SYNC counts as the first one
    for packet in (b"\xff\xff", b"\x00", bytes(range(64)), b"\x7e\xfc"):
        assert usb.packet_of(usb.line_states(packet)) == packet
    unstuffed = usb.line_states(b"\xfc")[:-4] + states[-3:]
    for broken in (
        states[:-2],
        bytes([1]) + states[1:],
        states[:8] + b"\x02" * 8 + states[-3:],
        unstuffed,
    ):
        with pytest.raises(usb.UsbError):
            usb.packet_of(broken)


# ---- enumeration ---------------------------------------------------------------------------------


def test_attaches_and_enumerates(powered):
    assert powered.attached
    device, configuration = powered.enumerate(address=17)
    assert len(device) == device[0] == 18 and device[1] == 1 and device[7] == MAX_PACKET
    assert int.from_bytes(device[8:10], "little") == VENDOR_ID
    assert int.from_bytes(device[10:12], "little") == PRODUCT_ID
    parts = []
    rest = configuration
    while rest:
        parts.append(rest[: rest[0]])
        rest = rest[rest[0] :]
    interfaces = {part[2]: tuple(part[5:8]) for part in parts if part[1] == 4}
    assert interfaces == {0: (2, 2, 1), 1: (0x0A, 0, 0)}  # CDC ACM and its data interface
    endpoints = {
        part[2]: (part[3] & 3, int.from_bytes(part[4:6], "little"))
        for part in parts
        if part[1] == 5
    }
    assert endpoints == {
        0x80 | STATUS_ENDPOINT: (3, 64),
        0x80 | ENDPOINT: (2, 64),
        ENDPOINT: (2, 64),
    }
    product = powered.descriptor(3, 255, device[15])
    assert product[2:].decode("utf-16-le") == "Ornstein fabric"


def test_answers_at_its_address_only(host):
    other = 5 ^ 1
    assert host.send(usb.token(usb.Pid.IN, other | ENDPOINT << 7), wait=True) is None
    assert host.send(usb.token(usb.Pid.IN, 0), wait=True) is None
    host.idle(20)
    assert host.in_(ENDPOINT) is None  # a NAK, from the right address


def test_line_coding(host):
    """A serial port's settings are taken, and change nothing; what the device does not know it
    stalls and lives on.
    """
    host.control(
        CLASS_OUT, SET_LINE_CODING, data=(3_000_000).to_bytes(4, "little") + bytes([0, 0, 8])
    )
    host.control(CLASS_OUT, SET_CONTROL_LINE_STATE, value=3)
    host.control(CLASS_OUT, SEND_BREAK, value=100)
    assert host.control(CLASS_IN, GET_LINE_CODING, length=7) == (115_200).to_bytes(
        4, "little"
    ) + bytes([0, 0, 8])
    with pytest.raises(usb.Stalled):
        host.control(VENDOR_IN, 1, length=7)
    assert host.descriptor(1, 18)[0] == 18


# ---- bulk transfers ------------------------------------------------------------------------------


def test_in_without_data_is_put_off(host):
    naks = host.naks
    assert host.in_(ENDPOINT) is None and host.in_(STATUS_ENDPOINT) is None
    assert host.naks == naks + 2


@pytest.mark.parametrize("extra, lengths", [(-1, [62]), (0, [64, 0]), (1, [64, 2])])
def test_a_packet_ends_with_the_frame(host, request_, extra, lengths):
    """Short packets go out at once, and a full one that ends a frame is followed by an
    empty one.
    """
    request, length = request_(Space.FACTOR, 29 + extra)
    assert length == 64 + 2 * extra
    assert host.out(ENDPOINT, request)
    assert [len(packet) for packet in answers(host)] == lengths


def test_a_lost_acknowledge_repeats_the_packet(host, request_):
    request, _ = request_(Space.IDENTITY, 4)
    assert host.out(ENDPOINT, request)
    host.idle(500)
    first = host.in_(ENDPOINT, acknowledge=False)
    host.idle(100)
    assert first is not None and answers(host) == [first]


def test_a_repeated_packet_counts_once(host, request_):
    """The host missed the device's ACK and sends again, with the toggle of the first time."""
    request, _ = request_(Space.IDENTITY, 1)
    for _ in range(2):
        host.send(usb.token(usb.Pid.OUT, 5 | ENDPOINT << 7))
        assert host.send(usb.data_packet(usb.Pid.DATA0, request), wait=True) == usb.handshake(
            usb.Pid.ACK
        )
        host.idle(20)
    assert len(answers(host)) == 1


def test_a_damaged_packet_is_not_answered(host, request_):
    request, _ = request_(Space.IDENTITY, 1)
    packet = bytearray(usb.data_packet(usb.Pid.DATA0, request))
    packet[4] ^= 1
    host.send(usb.token(usb.Pid.OUT, 5 | ENDPOINT << 7))
    assert host.send(bytes(packet), wait=True) is None
    host.idle(20)
    assert answers(host) == []
    assert host.out(ENDPOINT, request) and len(answers(host)) == 1


def test_a_full_device_puts_the_host_off(host, request_):
    """Requests whose answers nobody fetches fill the device; then it says NAK, and loses
    nothing.
    """
    sent, refused = 0, 0
    while refused < 50:
        if host.out(ENDPOINT, request_(Space.IDENTITY, 1, sequence=sent + 1)[0]):
            sent, refused = sent + 1, 0
        else:
            refused += 1
    assert sent > 2
    assert [packet[1] for packet in answers(host)] == list(range(1, sent + 1))
    assert not any(host.in_(ENDPOINT) for _ in range(5))


def test_a_halted_endpoint_ends_an_operation_with_an_error(host):
    """That says which endpoint it is. Once the halt is cleared the device answers as before."""
    machine = FabricDevice(usb.UsbTransport(host), "usb", timeout=1.0)
    for address in (ENDPOINT, 0x80 | ENDPOINT):
        before = machine.link.read(Space.IDENTITY, 0, 4)
        host.halt(address)
        with pytest.raises(usb.Stalled, match=f"endpoint {ENDPOINT} stalls"):
            machine.link.read(Space.IDENTITY, 0, 4)
        host.clear_halt(address)
        np.testing.assert_array_equal(machine.link.read(Space.IDENTITY, 0, 4), before)


# ---- the machine behind it -----------------------------------------------------------------------


def test_loads_and_runs_a_program(host, device):
    """A program's load, its reading back and inferences, all through USB packets, equal the model
    in every bit. A bus reset between two runs costs nothing but the enumeration."""
    program, inputs = random_program(0)
    model = device("model:tiny")
    model.load(program)
    expected = model.run(inputs, seed=3)
    machine = FabricDevice(usb.UsbTransport(host), "usb", timeout=1.0)
    machine.load(program)
    assert machine.verify() > 0
    for _ in range(2):
        outputs = machine.run(inputs, seed=3)
        np.testing.assert_array_equal(outputs.sums, expected.sums)
        np.testing.assert_array_equal(outputs.samples, expected.samples)
        host.enumerate()
