# SPDX-License-Identifier: Apache-2.0
"""The command line. Every error is one line; every layer has its exit code (:data:`EXIT_CODES`)."""

import sys

from ornstein.boards.build import BuildError
from ornstein.boards.flash import FlashError
from ornstein.hdl.config import ConfigError
from ornstein.host.commands import (  # noqa: F401 - importing a module of commands registers them
    CheckError,
    app,
    bench,
    build,
    demo,
    devices,
    errors,
    flash,
    hierarchy,
    images,
    paper,
    programs,
    study,
    train,
    verify,
)
from ornstein.host.data import DataError
from ornstein.host.device import DeviceError
from ornstein.host.energy import EnergyError
from ornstein.host.model_file import ModelFileError
from ornstein.host.problem import ProblemError
from ornstein.host.program import InputError, ProgramError
from ornstein.host.transport.base import LinkError
from ornstein.sim.toolchain import ToolError

EXIT_CODES: dict[type[Exception], int] = {
    DeviceError: 3,
    LinkError: 3,  # the device or the line to it
    ProgramError: 4,
    ProblemError: 4,
    EnergyError: 4,
    ConfigError: 4,  # the program, or its fit to a fabric
    InputError: 5,  # the inputs
    ModelFileError: 6,
    DataError: 6,  # trained weights, activations, data sets
    ToolError: 7,  # a tool outside Python
    CheckError: 8,  # a check that failed
    BuildError: 10,  # a bitstream
    FlashError: 11,  # a board that cannot be programmed
    OSError: 9,  # a file that cannot be written
}
"""Exit code of each layer's errors; 2 is wrong usage, 130 an interrupt, 1 a bug."""


def main() -> None:
    """Entry point of the ``ornstein`` command."""
    try:
        app()
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        errors.print(f"ornstein: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
