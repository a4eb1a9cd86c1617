# SPDX-License-Identifier: Apache-2.0
"""The inferences a second that a board reaches through its link, host included.

The gateware is simulated from the pins of its serial line or of its USB on. Time is that of the
line, and goes on while the host computes; see :mod:`ornstein.sim.timed_line`. What the host
computes is measured with the answers of the same line, given again without the simulation; see
:mod:`ornstein.sim.replay`.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.boards import BoardInfo
from ornstein.host.devices.device import prediction_only
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.speed import LineRates, demo_program, line_speed
from ornstein.host.models.model_file import TrainedModel
from ornstein.sim import serial_simulator, usb_host
from ornstein.sim.replay import host_rates
from ornstein.sim.timed_line import TimedSerial, TimedUsb
from ornstein.sim.transport import Transport
from ornstein.sim.usb_host import UsbHost

_SECONDS = 0.4
"""Seconds of the line that a run lasts, unless it is given its inputs: so many that its beginning
and its end, which wait for single answers, take some hundredths of it."""
_REPLAYED = 64
"""Inputs of the run that is given again to measure what the host computes."""
_TIMEOUT = 60.0
"""Seconds of silence after which the link repeats its requests. The simulated line loses nothing,
and the simulation of a job may take a second.
"""
_POWER_UP = 100
"""Bit times for which a device with USB is left alone at first."""


@dataclass(frozen=True)
class LinkSpeed:
    """What was reached.

    Attributes
    ----------
    inferences : a second, of the demo's aligned program where only the prediction is read
    rates : what the line carries
    inputs : of the run
    host_seconds : that the host computes for each input
    beginning_seconds : that a run of two inputs takes, which has nothing to overlap
    """

    inferences: float
    rates: LineRates
    inputs: int
    host_seconds: float
    beginning_seconds: float


def link_speed(info: BoardInfo, inputs: int | None = None) -> LinkSpeed:
    """Runs so many inputs of the demo on a simulated board, or those of 0.4 s of its line.

    Raises
    ------
    ProgramError
        The program does not fit the board.
    ToolError
        Verilator or a C++ compiler is missing or fails.
    ImportError
        The ``synth`` extra, which knows the board, is not installed.
    """
    model = TrainedModel.load()
    program = demo_program(info, model)
    line, rates = _connected(info)
    if inputs is None:
        inputs = int(_SECONDS * line_speed(rates, program, model.x_test))
    given = np.resize(model.x_test, (max(inputs, _REPLAYED), model.x_test.shape[1]))
    with FabricDevice(line, info.name, timeout=_TIMEOUT) as device:
        link, selection = device.link, prediction_only(program.problem)
        device.load(program)

        def run(count: int) -> float:
            """Runs so many inputs; returns the seconds."""
            before = line.seconds
            device.run(given[:count], selection=selection)
            return line.seconds - before

        def replayed(transport: Transport) -> None:
            link.transport, link.made = transport, made
            run(_REPLAYED)

        run(2)
        made, received = link.made, line.received
        line.host.rates = host_rates(line, replayed)
        link.transport, received = line, line.received - received
        beginning, seconds = run(2), run(inputs)
        computing = line.host.rates.to_write + line.host.rates.to_read
    host_seconds = computing * received / _REPLAYED
    return LinkSpeed(inputs / seconds, rates, inputs, host_seconds, beginning)


def _connected(info: BoardInfo) -> tuple[TimedSerial | TimedUsb, LineRates]:
    """Returns the line to a simulated board, and what it carries, which is measured for USB."""
    line = getattr(info.module, "LINE", None)
    if line is not None:
        return TimedSerial(serial_simulator.library(info.config, line), line), LineRates.of(line)
    has_own_clock = len(info.module.CLOCKS) > 1
    host = UsbHost(usb_host.library(info.config, crossed=has_own_clock))
    host.idle(_POWER_UP)
    host.enumerate()
    transport = TimedUsb(host)
    return transport, LineRates(*transport.rates(), shared=True)
