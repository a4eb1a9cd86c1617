# SPDX-License-Identifier: Apache-2.0
"""Speeds of simulators: cycles are counted, and seconds are those of the clock that is read."""

import shutil

import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.bench import simulators
from ornstein.host.experiments.bench.figures import figure
from ornstein.host.experiments.bench.programs import random_biases
from ornstein.host.experiments.bench.simulators import RecordingTransport


@pytest.fixture(scope="module")
def inputs(program):
    return random_biases(program.problem.energies[0].units, 6)


def test_the_recorder_keeps_what_is_written_and_counts_the_time_of_reads(program, inputs, clock):
    clock.step = 0.25
    transport = RecordingTransport(REFERENCE)
    with FabricDevice(transport, "rtl") as device:
        before = transport.seconds
        device.load(program)
        assert len(b"".join(transport.written)) > 2 * program.factor.size
        assert transport.seconds > before
        assert transport.seconds % 0.25 == 0


def test_building_starts_from_an_empty_folder(clock, monkeypatch):
    caches = []
    monkeypatch.setattr(simulators, "library", lambda config, cache: caches.append(cache))
    clock.step = 7.0
    assert simulators.build_seconds(REFERENCE) == 7.0
    assert len(caches) == 1 and not caches[0].exists()  # it was temporary


def test_starting_is_timed_until_the_fabric_is_known(clock):
    clock.step = 0.5
    assert simulators.start_seconds(REFERENCE) == 0.5


@pytest.mark.skipif(not shutil.which("iverilog"), reason="Icarus Verilog is not installed")
def test_icarus_s_speed_is_its_cycles_over_the_seconds_of_the_clock(clock):
    clock.step = 2.0
    assert simulators.icarus_speed(REFERENCE, bytes(range(64)), cycles=50) == 25.0


def test_amaranth_s_speed_is_its_cycles_over_the_seconds_of_the_clock(clock):
    clock.step = 0.1
    assert simulators.pysim_speed(REFERENCE, bytes(8), cycles=4) == pytest.approx(40.0)


def test_figures_of_the_simulators_are_what_was_measured(program, inputs, clock, monkeypatch):
    monkeypatch.setattr(
        simulators, "gain_figure", lambda name, *args: figure(name, 1.75, 2.0, inputs=1, cores=2)
    )
    monkeypatch.setattr(simulators, "build_seconds", lambda config: 45.0)
    monkeypatch.setattr(simulators, "start_seconds", lambda config: 0.25)
    monkeypatch.setattr(simulators, "icarus_speed", lambda config, data: len(data) / 8)
    monkeypatch.setattr(simulators, "pysim_speed", lambda config, data: len(data) / 16)
    transports = []

    class Watched(RecordingTransport):
        def __init__(self, config):
            super().__init__(config)
            transports.append(self)

    monkeypatch.setattr(simulators, "RecordingTransport", Watched)
    rows = {
        row.name: row for row in simulators.simulator_figures(program, inputs, lambda what: None)
    }
    (transport,) = transports
    speed = transport.cycles / transport.seconds
    fed = len(b"".join(transport.written[: simulators.RECORDED_WRITES]))
    assert rows["rtl_cycles_per_s"].value == speed
    assert rows["rtl_all_cores"].ratio == 0.875
    assert rows["rtl_build_s"].ratio == 0.5 and rows["rtl_start_s"].ratio == 0.25
    for name, divisor in (("rtl_over_icarus", 8), ("rtl_over_pysim", 16)):
        assert (rows[name].value, rows[name].reference) == (speed, fed / divisor)


def test_without_icarus_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    row = simulators.icarus_figure(4e6, simulators.icarus_speed(REFERENCE, b"\0"))
    assert row.value is row.reference is row.ratio is None
    assert "apt-get install iverilog" in row.note
