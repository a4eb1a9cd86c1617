# SPDX-License-Identifier: Apache-2.0
"""Lines whose time goes on while the host computes: how fast bytes travel, and what counts."""

import time

import numpy as np
import pytest

from helpers.echo import Echo
from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Line, Space
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.devices.link import Link
from ornstein.sim import serial_simulator, timed_line, usb_host
from ornstein.sim.replay import Recorder, Replay
from ornstein.sim.timed_line import FTDI_SECONDS, HostRates, TimedSerial, TimedUsb

LINE = Line(48_000_000, (48, 16))


@pytest.fixture
def serial():
    line = TimedSerial(serial_simulator.library(TINY, LINE), LINE)
    yield line
    line.close()


@pytest.fixture
def usb():
    host = usb_host.UsbHost(usb_host.library(TINY))
    host.idle(100)
    host.enumerate()
    line = TimedUsb(host)
    yield line
    line.close()


@pytest.fixture
def idle_host(monkeypatch):
    """A host that computes for as many seconds as the list holds, once for each call."""
    seconds = []
    for until in ("until_write", "until_read"):
        monkeypatch.setattr(
            timed_line.HostClock, until, lambda self: seconds.pop() if seconds else 0.0
        )
    return seconds


def test_bytes_take_the_time_of_their_bits(serial, idle_host):
    link = Link(serial, timeout=60.0)
    link.identify()
    link.negotiate_baud()
    assert serial.baud == 3_000_000
    before, sent, received = serial.seconds, serial.sent, serial.received
    link.read_ranges(Space.FACTOR, [0, 0, 0, 0], 512)
    took, bytes_back = serial.seconds - before, serial.received - received
    assert bytes_back > 4096 and serial.sent - sent < 100
    # the requests come first, and the FTDI chip may hold the end back
    assert bytes_back / 300_000 < took < bytes_back / 300_000 + 1.5 * FTDI_SECONDS


@pytest.mark.parametrize("name", ["serial", "usb"])
def test_what_the_host_computes_counts_and_the_simulation_does_not(name, request, idle_host):
    line = request.getfixturevalue(name)
    idle_host[:] = [0.002]
    before = line.seconds
    line.write(b"")
    assert 0.002 <= line.seconds - before < 0.0022
    began, computed = line.seconds, time.thread_time()
    line.read(0.003)
    assert 0.003 <= line.seconds - began < 0.0032
    assert time.thread_time() - computed > 0.003  # it was longer for the simulation


def test_a_host_clock_counts_the_processor_s_time():
    clock = timed_line.HostClock()
    time.sleep(0.05)
    assert clock.until_write() < 0.04
    before = clock.until_read()
    sum(range(300_000))
    assert clock.until_read() > before
    clock.resume()
    assert clock.until_write() < 0.04


def test_a_host_clock_with_rates_counts_each_byte_once():
    clock = timed_line.HostClock()
    clock.rates = HostRates(to_write=2.0, to_read=3.0)
    clock.resume(5)
    assert (clock.until_write(), clock.until_write(), clock.until_read()) == (10, 0, 15)
    clock.resume(1)
    assert clock.until_read() == 5


def test_a_replay_gives_what_was_recorded_and_counts_the_time_between():
    echo = Echo()
    echo.window, echo.now = 64, lambda: 7.0
    recorder = Recorder(echo)
    for data in (b"abc", b"", b"de"):
        recorder.write(data)
        assert recorder.read(1.0) == data
    assert recorder.now() == 7
    replay = Replay(recorder)
    replay.write(b"anything")
    assert [replay.read(1.0) for _ in range(3)] == [b"abc", b"", b"de"]
    sum(range(300_000))
    rates = replay.rates()
    assert rates.to_read > rates.to_write > 0
    assert replay.window == 64 and replay.now() == 0


@pytest.mark.parametrize("name", ["serial", "usb"])
def test_a_program_runs_over_it(name, request):
    """Answers are those of any other line, and the jobs are sent ahead."""
    line = request.getfixturevalue(name)
    program = compile_problem(toy(), TINY, toy_inputs())
    with FabricDevice(line, name, timeout=60.0) as device:
        device.load(program)
        first = device.run(toy_inputs(24), seed=3).sums
        assert device.job_seconds < 15
        np.testing.assert_array_equal(device.run(toy_inputs(24), seed=3).sums, first)


def test_the_rates_of_usb_are_those_of_its_wires(usb):
    """Less than table 5-9 of the specification has room for, and more than half of it."""
    for rate in usb.rates():
        assert 600_000 < rate < 1_216_000
    Link(usb, timeout=60.0).identify()  # nothing is left of the measurement
