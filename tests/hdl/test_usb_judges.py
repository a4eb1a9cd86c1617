# SPDX-License-Identifier: Apache-2.0
"""USB as others see it: sigrok's decoders on the wires, and the parsers of usb-protocol on the
descriptors. And what USB 2.0 asks of every device beyond a transfer that goes well.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from usb_protocol.types import descriptors as parsers

from helpers.programs import random_program
from ornstein.hdl.config import TINY
from ornstein.hdl.link.usb import descriptors
from ornstein.hdl.link.usb.descriptors import DATA_ENDPOINT
from ornstein.hdl.protocol import END
from ornstein.host.devices.fabric import FabricDevice
from ornstein.sim import usb_host
from ornstein.sim.usb_host import BITS_PER_SECOND, Pid, UsbTransport, token, write_vcd

J, K, SE0 = 0b01, 0b10, 0b00
FRAME = b"frame" + bytes([END])
MILLISECOND = BITS_PER_SECOND // 1000
DECODERS = (
    "usb_signalling:dp=dp:dm=dm:signalling=full-speed,usb_packet:signalling=full-speed,usb_request"
)


@pytest.fixture(scope="module")
def powered():
    host = usb_host.UsbHost(usb_host.library(TINY))
    host.idle(100)
    yield host
    host.close()


@pytest.fixture
def echo():
    """A device that sends back what it gets, attached and enumerated."""
    host = usb_host.UsbHost(usb_host.library(None))
    host.idle(100)
    host.enumerate()
    yield host
    host.close()


def decoded(trace: bytes, folder: Path) -> list[str]:
    """What sigrok makes of the wires: a line for each part of a packet, and for each transfer."""
    if shutil.which("sigrok-cli") is None:
        pytest.skip("sigrok-cli is not installed")
    write_vcd(trace, folder / "wires.vcd")
    command = ["sigrok-cli", "-i", "wires.vcd", "-I", "vcd", "-P", DECODERS]
    done = subprocess.run(
        [*command, "-A", "usb_packet,usb_request"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def errors(lines: list[str]) -> list[str]:
    """Lines in which sigrok finds fault."""
    return [line for line in lines if "error" in line.lower() or "invalid" in line.lower()]


def transfers(lines: list[str], kind: str) -> list[tuple[bytes, ...]]:
    """The bytes of the transfers of a kind, by stage."""
    found = []
    for line in lines:
        head, _, rest = line.removeprefix("usb_request-1: ").partition(": [")
        if head == kind:
            assert rest.endswith(": ACK"), line
            stages = rest.removesuffix(": ACK").split("[")
            found.append(tuple(bytes.fromhex(stage.strip(" ]")) for stage in stages))
    return found


def test_sigrok_decodes_enumeration_and_inference(powered, device, tmp_path):
    """Without an error; the requests carry our descriptors, and the bulk transfers the link's
    bytes."""
    powered.trace = bytearray()
    powered.enumerate()
    transport = UsbTransport(powered)
    sent, received = [], []
    write, read = transport.write, transport.read
    transport.write = lambda data: (sent.append(data), write(data))[1]
    transport.read = lambda timeout: received.append(read(timeout)) or received[-1]
    program, inputs = random_program(0)
    machine = FabricDevice(transport, "usb", timeout=1.0)
    machine.load(program)
    outputs = machine.run(inputs[:1], seed=3)
    model = device("model:tiny")
    model.load(program)
    np.testing.assert_array_equal(outputs.sums, model.run(inputs[:1], seed=3).sums)

    lines = decoded(powered.trace, tmp_path)
    powered.trace = None
    assert errors(lines) == []
    answers = [stages[1] for stages in transfers(lines, "SETUP in")]
    assert descriptors.DEVICE in answers and descriptors.CONFIGURATION in answers
    assert b"".join(stages[0] for stages in transfers(lines, "BULK out")) == b"".join(sent)
    assert b"".join(stages[0] for stages in transfers(lines, "BULK in")) == b"".join(received)


def test_sigrok_finds_a_damaged_packet(echo, tmp_path):
    """So its silence means something."""
    echo.trace = bytearray()
    echo.idle(20)
    assert echo.out(DATA_ENDPOINT, FRAME)
    trace = bytes(echo.trace)
    assert errors(decoded(trace, tmp_path)) == []
    place = trace.index(bytes([SE0])) + 132  # a whole bit of the data, behind the token
    damaged = trace[:place] + bytes([trace[place] ^ 3]) * 4 + trace[place + 4 :]
    assert errors(decoded(damaged, tmp_path))


def test_descriptors_in_the_eyes_of_usb_protocol():
    """Lengths, types and numbers agree; the association groups the two interfaces of the port."""
    device = parsers.DeviceDescriptor.parse(descriptors.DEVICE)
    assert (device.bcdUSB, device.idVendor, device.bNumConfigurations) == (
        2.0,
        descriptors.VENDOR_ID,
        1,
    )
    assert (device.bDeviceClass, device.bDeviceSubclass, device.bDeviceProtocol) == (0xEF, 2, 1)
    configuration = parsers.ConfigurationDescriptor.parse(descriptors.CONFIGURATION)
    assert configuration.wTotalLength == len(descriptors.CONFIGURATION)
    rest, found = descriptors.CONFIGURATION[configuration.bLength :], []
    known = {
        4: parsers.InterfaceDescriptor,
        5: parsers.EndpointDescriptor,
        11: parsers.InterfaceAssociationDescriptor,
    }
    while rest:
        if rest[1] in known:
            found.append(known[rest[1]].parse(rest[: rest[0]]))
        rest = rest[rest[0] :]
    assert [part.bDescriptorType for part in found] == [11, 4, 5, 4, 5, 5]
    group, control, status, data, *bulk = found
    assert (group.bFirstInterface, group.bInterfaceCount) == (0, configuration.bNumInterfaces)
    assert group.bFunctionClass == control.bInterfaceClass == 2
    assert (data.bInterfaceClass, data.bNumEndpoints) == (10, len(bulk))
    assert [part.bEndpointAddress for part in (status, *bulk)] == [0x83, 0x84, 0x04]
    for number in (device.iManufacturer, device.iProduct):
        text = parsers.StringDescriptor.parse(descriptors.STRINGS[number])
        assert text.bString.startswith("Ornstein")


def comes_back(host) -> bool:
    assert host.out(DATA_ENDPOINT, FRAME)
    return host.until(host.in_, DATA_ENDPOINT) == FRAME


def test_suspend_and_resume(echo):
    """A bus without a packet for more than 3 ms suspends the device (7.1.7.6). After the host's
    resume signal, 20 ms of K and two bits of SE0 (7.1.7.7), it has its address, its configuration
    and its toggles, and what waited in it."""
    assert echo.out(DATA_ENDPOINT, FRAME)
    echo.idle(5 * MILLISECOND)
    echo.exchange(bytes([K]) * 20 * MILLISECOND + bytes([SE0, SE0, J]))
    echo.idle(MILLISECOND)
    assert echo.until(echo.in_, DATA_ENDPOINT) == FRAME
    assert echo.control(0x80, 8, length=1) == b"\1"
    assert comes_back(echo)


@pytest.mark.parametrize("stage", ["setup", "data", "status", "bulk in", "bulk out"])
def test_a_reset_in_the_middle_of_a_transfer(echo, stage):
    """The device answers at address 0 at once and can be enumerated again; nothing of the transfer
    is left."""
    if stage in ("setup", "data", "status"):
        echo.setup(0x80, 6, 2 << 8, 0, 255)
        if stage != "setup":
            assert len(echo.until(echo.in_, 0)) == 64
        if stage == "status":
            echo.until(echo.in_, 0)
            echo.send(token(Pid.OUT, echo.address))
    elif stage == "bulk in":
        assert echo.out(DATA_ENDPOINT, FRAME)
        while echo.in_(DATA_ENDPOINT, acknowledge=False) is None:
            pass
    else:
        echo.send(token(Pid.OUT, echo.address | DATA_ENDPOINT << 7))
    echo.reset()
    assert echo.descriptor(1, 18) == descriptors.DEVICE
    echo.enumerate()
    left = echo.in_(DATA_ENDPOINT) or b""
    assert left in (b"", FRAME)
    assert comes_back(echo)
