# SPDX-License-Identifier: Apache-2.0
"""The inferences a second that a board reaches through its link, host included.

The gateware is simulated from the pins of its serial line or of its USB on. Time is that of the
line, and goes on while the host computes; see :mod:`ornstein.sim.timed_line`.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.boards import BoardInfo
from ornstein.host.devices.device import prediction_only
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.speed import LineRates, demo_program
from ornstein.host.models.model_file import TrainedModel
from ornstein.sim import usb_host
from ornstein.sim.timed_line import TimedSerial, TimedUsb, serial_library
from ornstein.sim.usb_host import UsbHost

INPUTS = 256
"""Inputs of a run: so many that its beginning, which waits for three answers, hardly counts."""
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
    """

    inferences: float
    rates: LineRates


def link_speed(info: BoardInfo, inputs: int = INPUTS) -> LinkSpeed:
    """Runs so many inputs of the demo on a simulated board.

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
    given = np.resize(model.x_test, (inputs, model.x_test.shape[1]))
    selection = prediction_only(program.problem)
    transport, rates = _connected(info)
    with FabricDevice(transport, info.name, timeout=_TIMEOUT) as device:
        device.load(program)
        device.run(given[:2], selection=selection)
        before = transport.seconds
        device.run(given, selection=selection)
        seconds = transport.seconds - before
    return LinkSpeed(inputs / seconds, rates)


def _connected(info: BoardInfo) -> tuple[TimedSerial | TimedUsb, LineRates]:
    """Returns the line to a simulated board, and what it carries, which is measured for USB."""
    line = getattr(info.module, "LINE", None)
    if line is not None:
        return TimedSerial(serial_library(info.config, line), line), LineRates.of(line)
    has_own_clock = len(info.module.CLOCKS) > 1
    host = UsbHost(usb_host.library(info.config, crossed=has_own_clock))
    host.idle(_POWER_UP)
    host.enumerate()
    transport = TimedUsb(host)
    return transport, LineRates(*transport.rates(), shared=True)
