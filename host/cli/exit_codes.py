# SPDX-License-Identifier: Apache-2.0
"""The exit code of each layer's errors."""

from ornstein.boards.build import BuildError
from ornstein.boards.flash import FlashError
from ornstein.hdl.config import ConfigError
from ornstein.host.cli.app import CheckError
from ornstein.host.compile.program import InputError, ProgramError
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.device import DeviceError
from ornstein.host.learn.errors import LearningError
from ornstein.host.models.data import DataError
from ornstein.host.models.model_file import ModelFileError
from ornstein.host.physics.problem import ProblemError
from ornstein.host.physics.timestep import TimeStepError
from ornstein.sim.cosim.results import CosimulationError
from ornstein.sim.energy import EnergyError
from ornstein.sim.toolchain import ToolError
from ornstein.sim.transport import LinkError

EXIT_CODES: dict[type[Exception], int] = {
    # the device, or the line to it
    DeviceError: 3,
    LinkError: 3,
    # the program, or its fit to a fabric
    ProgramError: 4,
    ProblemError: 4,
    TimeStepError: 4,
    EnergyError: 4,
    ConfigError: 4,
    # the inputs
    InputError: 5,
    # trained weights, activations, data sets
    ModelFileError: 6,
    DataError: 6,
    # a tool outside Python
    ToolError: 7,
    # a check that failed
    CheckError: 8,
    ModelMismatchError: 8,
    CosimulationError: 8,
    LearningError: 8,
    # a file that cannot be written
    OSError: 9,
    # a bitstream
    BuildError: 10,
    # a board that cannot be programmed
    FlashError: 11,
}
"""Exit code of each layer's errors; 2 is wrong usage, 130 an interrupt, 1 a bug."""


def exit_code(error: Exception) -> int | None:
    """Returns the exit code of an error's layer, or None for an error of no layer: a bug."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), None)
