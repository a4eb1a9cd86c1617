# SPDX-License-Identifier: Apache-2.0
"""Serial ports, tested on pseudo-terminals: rates, finding a device, and failures."""

import os
import sys

import numpy as np
import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from helpers.fake_device import FakeDevice
from helpers.link_bench import framed
from ornstein.boards import BOARDS
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Control, Space
from ornstein.host.devices import ports
from ornstein.host.devices import serial as transport_serial
from ornstein.host.devices.device import open_device
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.link import Link, LinkError
from ornstein.host.devices.selftest import selftest
from ornstein.host.devices.serial import DEFAULT_BAUD, SerialTransport
from ornstein.sim import faults
from ornstein.sim.port import Port, resampled
from ornstein.sim.rtl import RtlTransport
from ornstein.sim.transport import Transport


class Answers(Transport):
    """A transport to a fake device at the far end of a port."""

    def __init__(self, device):
        self.device = device
        self._line = b""

    def write(self, data):
        self._line += b"".join(map(framed, self.device.answer(data)))

    def read(self, timeout):
        data, self._line = self._line, b""
        return data

    def close(self):
        pass


@pytest.fixture
def board():
    """Name of a port with a fake device behind it."""
    with Port(Answers(FakeDevice(TINY))) as port:
        yield port.name


@pytest.fixture
def bench(breakable):
    """A port with the simulated gateware behind a UART, which misreads bits of another rate."""
    transport = RtlTransport(faults.CONFIG, faults.LINE, faulty=True)
    with Port(transport, baud=lambda: transport.device_baud) as port:
        yield port, transport


@pytest.fixture
def here(monkeypatch):
    """Sets the ports that the operating system lists: name -> (vendor, product) or None."""

    def set_ports(names):
        infos = []
        for name, usb in names.items():
            info = ListPortInfo(name)
            info.vid, info.pid = usb or (None, None)
            infos.append(info)
        monkeypatch.setattr(list_ports, "comports", lambda: infos)

    return set_ports


def test_a_board(board):
    with Link(SerialTransport.from_uri(f"serial:{board}?baud=115200")) as link:
        assert link.identify() == TINY
        values = np.arange(-200, 200)
        link.write(Space.FACTOR, 0, values)
        np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 400), values)


# ---- rates ---------------------------------------------------------------------------------------

BOOT, MIDDLE, FAST = faults.LINE.bauds


def connected(port) -> Link:
    """Returns a link to a bench at its first rate, with time-outs for a simulation on a busy
    machine.
    """
    return Link(SerialTransport(port.name, baud=BOOT, negotiable=True), timeout=2.0)


def test_the_fastest_rate_is_taken_and_given_back(bench):
    port, transport = bench
    with connected(port) as link:
        assert link.identify().build_hash == faults.CONFIG.build_hash
        assert (transport.device_baud, port.host_baud) == (BOOT, BOOT)
        assert link.negotiate_baud() == link.baud == FAST
        assert (transport.device_baud, port.host_baud) == (FAST, FAST)
        values = np.arange(-500, 500)
        link.write(Space.FACTOR, 0, values)
        np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 1000), values)
    assert transport.device_baud == BOOT


def test_a_rate_that_does_not_work_is_left_for_the_next_one(bench, monkeypatch):
    """If a cable or a USB bridge fails at the fastest rate, device and host go back to the first
    rate.

    They then take the next one.
    """
    port, transport = bench
    set_baud = SerialTransport.set_baud
    monkeypatch.setattr(
        SerialTransport,
        "set_baud",
        lambda line, baud: set_baud(line, 57_600 if baud == FAST else baud),
    )
    with connected(port) as link:
        assert link.negotiate_baud() == MIDDLE
        assert (transport.device_baud, port.host_baud) == (MIDDLE, MIDDLE)


def test_a_rate_that_fails_is_followed_by_the_one_in_force_before(bench, monkeypatch):
    """A device found at its middle rate is there again after the fastest rate has failed."""
    port, transport = bench
    with connected(port) as link:
        link.identify()
        link.write(Space.CONTROL, Control.RATE, [list(faults.LINE.bauds).index(MIDDLE)])
        assert transport.device_baud == MIDDLE
        set_baud = SerialTransport.set_baud
        monkeypatch.setattr(
            SerialTransport,
            "set_baud",
            lambda line, baud: set_baud(line, 57_600 if baud == FAST else baud),
        )
        link.transport.set_baud(MIDDLE)
        assert link.negotiate_baud() == MIDDLE
        assert (transport.device_baud, port.host_baud) == (MIDDLE, MIDDLE)


def test_a_port_that_cannot_make_a_rate(bench, monkeypatch):
    port, transport = bench
    set_baud = SerialTransport.set_baud

    def refuse(line, baud):
        if baud > BOOT:
            raise LinkError("no such rate")
        set_baud(line, baud)

    monkeypatch.setattr(SerialTransport, "set_baud", refuse)
    with connected(port) as link:
        assert link.negotiate_baud() == BOOT
        assert transport.device_baud == BOOT


def test_a_host_that_died_leaves_no_device_behind(bench):
    port, transport = bench
    dead = connected(port)
    assert dead.negotiate_baud() == FAST
    dead.transport.close()  # without giving the first rate back
    assert transport.device_baud == FAST
    with connected(port) as link:
        assert link.identify().build_hash == faults.CONFIG.build_hash
        assert transport.device_baud == BOOT


def test_a_rate_that_the_user_gave_stays(bench):
    port, transport = bench
    with FabricDevice(
        SerialTransport.from_uri(f"serial:{port.name}?baud={BOOT}"), "serial:x", timeout=5.0
    ) as device:
        assert device.link.baud == BOOT
        assert transport.device_baud == BOOT


def test_a_line_without_rates_is_left_alone(board):
    with Link(SerialTransport(board, negotiable=True)) as link:
        assert link.negotiate_baud() == DEFAULT_BAUD


@pytest.mark.parametrize(("sent", "taken"), [(9600, 9600), (9600, 9700), (10_000, 9_800)])
def test_rates_that_nearly_agree_are_understood(sent, taken):
    data = bytes(range(256))
    assert resampled(data, sent, taken) == data


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 3, 8])
def test_rates_that_differ_are_not(factor):
    data = framed(bytes(range(100)))
    assert framed(b"") not in resampled(data, 9600, int(9600 * factor)) != data


def test_half_the_rate_by_hand():
    """The byte 0x0F with every bit read twice.

    The bits 00 11111111 00000000 11 are one byte of 0 01111111 1 and one of 0 00000001 1.
    """
    assert resampled(b"\x0f", 1, 2) == bytes([0b11111110, 0b10000000])


def test_the_whole_self_test_over_a_port(bench):
    port, transport = bench
    line = SerialTransport(port.name, baud=BOOT, negotiable=True)
    with FabricDevice(line, f"serial:{port.name}", timeout=5.0) as device:
        checks = list(selftest(device))
        assert transport.device_baud == FAST
    assert all(check.ok for check in checks), checks
    assert "serial at 38,400 baud" in checks[0].detail
    transport.break_down(faults.Fault.FACTOR_BIT)
    with FabricDevice(
        SerialTransport(port.name, baud=BOOT, negotiable=True), "serial:x", timeout=5.0
    ) as device:
        assert "word 5, lane 2" in list(selftest(device))[-1].detail


# ---- which port ----------------------------------------------------------------------------------


def test_known_boards_come_first_and_other_ports_only_if_asked(here):
    here({"/dev/ttyS0": None, "/dev/ttyACM0": (0x1234, 0x5678), "/dev/ttyUSB1": (0x0403, 0x6010)})
    assert [port.device for port in ports.candidates()] == ["/dev/ttyUSB1", "/dev/ttyACM0"]
    assert [port.device for port in ports.candidates(every=True)][2:] == ["/dev/ttyS0"]


def test_the_board_that_answers_is_found(board, here):
    far, near = os.openpty()
    silent = os.ttyname(near)
    here({silent: (0x0403, 0x6010), "/dev/nowhere": (0x0403, 0x6010), board: (0x1, 0x2)})
    assert str(ports.ask(silent, timeout=0.01)) == f"{silent}: silent"
    assert str(ports.ask(board)) == f"serial:{board}?baud={DEFAULT_BAUD} (fabric tiny)"
    with open_device("serial:auto") as device:
        assert device.config == TINY
    os.close(far)
    os.close(near)


def test_other_rates_are_tried(bench, monkeypatch):
    port, _ = bench
    monkeypatch.setattr(ports, "BAUDS", (300, 4800, BOOT))
    found = ports.ask(port.name, timeout=2.0)
    assert (found.baud, found.config.build_hash) == (BOOT, faults.CONFIG.build_hash)


def test_nothing_answers(here):
    here({"/dev/nowhere": (0x0403, 0x6010)})
    with pytest.raises(
        LinkError,
        match=r"no device answers \(/dev/nowhere: cannot open .*\); check that a board is",
    ):
        ports.find()
    here({"/dev/nowhere": None})
    with pytest.raises(LinkError, match="no USB serial port is here"):
        ports.find()


def test_several_answer(board, here):
    with Port(Answers(FakeDevice(TINY))) as other:
        here({board: (1, 2), other.name: (1, 2)})
        with pytest.raises(
            LinkError, match=f"several devices answer: .*{other.name}.*; name one of them"
        ):
            ports.find()


# ---- latency and permissions ---------------------------------------------------------------------


@pytest.fixture
def timer(tmp_path, monkeypatch, board):
    """A latency timer of the board's port, in a file like the kernel's."""
    monkeypatch.setattr(transport_serial, "USB_SERIAL", tmp_path)
    file = transport_serial.latency_timer(board)
    file.parent.mkdir(parents=True)
    file.write_text("16\n")
    return file


def test_the_latency_timer_is_set(board, timer):
    SerialTransport(board).close()
    assert timer.read_text() == "1"


def test_no_latency_timer_is_no_error(board, timer):
    timer.unlink()
    SerialTransport(board).close()
    assert not timer.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="latency timers and udev are Linux's")
def test_doctor_looks_at_ports(board, timer, here, monkeypatch):
    here({board: (0x0403, 0x6010)})

    def examined():
        checks = list(ports.examine())
        found = {check.name: check for check in checks}
        assert len(found) == len(checks), "a check is listed twice"
        return found

    found = examined()
    assert found[f"port {board}"].ok and not found[f"port {board}"].needed
    assert found[f"latency of {board}"].detail == "16 ms, set to 1 ms when a device is opened"
    assert {"udev rules", "programmer iceprog"} <= set(found)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = examined()
    assert "sudo usermod -aG" in found[f"port {board}"].detail
    assert not found[f"latency of {board}"].ok
    assert "install the udev rules" in found[f"latency of {board}"].detail
    timer.write_text("1\n")
    assert examined()[f"latency of {board}"].ok


def test_rules_name_the_ports_of_all_boards():
    text = ports.RULES.read_text()
    assert all(
        f'ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}"' in text
        for vendor, product in {board.usb for board in BOARDS.values()}
    )


# ---- what goes wrong -----------------------------------------------------------------------------


def test_a_silent_port():
    far, near = os.openpty()
    try:
        with (
            Link(SerialTransport(os.ttyname(near)), timeout=0.05, retries=1) as link,
            pytest.raises(LinkError, match="the device is silent"),
        ):
            link.identify()
    finally:
        os.close(far)
        os.close(near)


def test_a_port_that_vanishes():
    far, near = os.openpty()
    with SerialTransport(os.ttyname(near)) as line:
        os.close(near)
        os.close(far)
        with pytest.raises(LinkError, match=r"failed .*; plug the board in again and retry"):
            line.read(1)
        with pytest.raises(LinkError, match=r"failed .*; plug the board in again and retry"):
            line.write(b"1")


def test_a_cable_that_is_pulled_out_and_plugged_in_again():
    """The session ends with an error that says what to do; a new one works, with the same board
    behind another port."""
    device, values = FakeDevice(TINY), np.arange(-200, 200)
    with Port(Answers(device)) as port:
        link = Link(SerialTransport(port.name), timeout=0.5)
        assert link.identify() == TINY
        link.write(Space.FACTOR, 0, values)
    with link, pytest.raises(LinkError, match="plug the board in again and retry"):
        link.read(Space.FACTOR, 0, 400)
    with Port(Answers(device)) as port, Link(SerialTransport(port.name), timeout=0.5) as link:
        assert link.identify() == TINY
        np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 400), values)


def test_a_port_that_does_not_exist():
    with pytest.raises(
        LinkError, match=r"cannot open the serial port /dev/nowhere at 1000000 baud \(.*\); "
    ) as info:
        SerialTransport("/dev/nowhere")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    "uri",
    [
        "serial:",
        "serial:?baud=1",
        "serial:X?baud=",
        "serial:X?baud=fast",
        "serial:X?bits=7",
        "usb:X",
        "serial:X?baud=0",
    ],
)
def test_wrong_uris(uri):
    with pytest.raises(
        LinkError, match=r"is no serial device; write serial:PORT or serial:PORT\?baud=N"
    ):
        SerialTransport.from_uri(uri)
