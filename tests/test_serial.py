import contextlib
import os
import threading
import tty

import numpy as np
import pytest
from fake_device import FakeDevice
from link_bench import framed

from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Space
from ornstein.host.link import Link, LinkError
from ornstein.host.transport.serial import SerialTransport


@pytest.fixture
def board():
    """A pseudo-terminal with a fake device at its far end: (name of the near end, descriptor of the far end)."""
    far, near = os.openpty()
    tty.setraw(near)
    name = os.ttyname(near)
    device = FakeDevice(TINY)

    def serve():
        with contextlib.suppress(OSError):  # the far end was closed
            while data := os.read(far, 4096):
                os.write(far, b"".join(map(framed, device.answer(data))))

    thread = threading.Thread(target=serve)
    thread.start()
    yield name
    os.close(near)
    thread.join(5)
    os.close(far)
    assert not thread.is_alive()


def test_a_board(board):
    with Link(SerialTransport.from_uri(f"serial:{board}?baud=115200")) as link:
        assert link.identify() == TINY
        values = np.arange(-200, 200)
        link.write(Space.FACTOR, 0, values)
        np.testing.assert_array_equal(link.read(Space.FACTOR, 0, 400), values)


def test_a_silent_port():
    far, near = os.openpty()
    try:
        with Link(SerialTransport(os.ttyname(near)), timeout=0.05, retries=1) as link, \
                pytest.raises(LinkError, match="the device is silent"):
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


def test_a_port_that_does_not_exist():
    with pytest.raises(LinkError, match=r"cannot open the serial port /dev/nowhere at 1000000 baud \(.*\); ") as info:
        SerialTransport("/dev/nowhere")
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("uri", ["serial:", "serial:?baud=1", "serial:X?baud=", "serial:X?baud=fast", "serial:X?bits=7",
                                 "usb:X", "serial:X?baud=0"])
def test_wrong_uris(uri):
    with pytest.raises(LinkError, match=r"is no serial device; write serial:PORT or serial:PORT\?baud=N"):
        SerialTransport.from_uri(uri)
