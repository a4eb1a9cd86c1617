# SPDX-License-Identifier: Apache-2.0
"""The commands: where each of them is, and what it does in one line.

Importing this module imports no command. Only the one that is asked for is imported, so that
``ornstein --help`` and shell completion answer at once.
"""

from collections.abc import Mapping
from functools import wraps
from importlib import import_module
from numbers import Real
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_command_name

_CLI = "ornstein.host.cli"
_EXPERIMENTS = "ornstein.host.experiments"


class Place(NamedTuple):
    """The module that registers a command, and the first paragraph of the command's docstring."""

    module: str
    summary: str


COMMANDS = {
    "demo": Place(
        f"{_EXPERIMENTS}.demo.command",
        "Run every recipe on held-out inputs, from trained weights to scores.",
    ),
    "compile": Place(f"{_CLI}.programs", "Compile trained weights into a program file."),
    "inspect": Place(
        f"{_CLI}.programs",
        "Show what a program file holds: its fabric, schedule and layout, and the range report.",
    ),
    "run": Place(
        f"{_CLI}.programs",
        "Run inputs through a program, and write each block of outputs as soon as it is there.",
    ),
    "watch": Place(
        f"{_EXPERIMENTS}.watch.command",
        "Show a running device: relaxation, temperature, score and speed (needs the \\[watch] "
        "extra).",
    ),
    "load": Place(
        f"{_CLI}.programs",
        "Load a program onto a device, and compare what the device's memories then hold with it.",
    ),
    "score": Place(
        f"{_EXPERIMENTS}.score.command",
        "Score programs of a network's skips on held-out activations, beside honest baselines.",
    ),
    "layers": Place(
        f"{_CLI}.networks",
        "List the layers of a network that can stand at either end of a skip, with their shapes.",
    ),
    "capture": Place(
        f"{_CLI}.networks",
        "Run a network and keep the activations at both sides of a skip: spatial means of "
        "channels.",
    ),
    "train": Place(
        f"{_CLI}.train",
        "Train the paper's U-Net as a denoiser, or a diffusion model whose decoder is a substrate "
        "(needs the \\[train] extra).",
    ),
    "denoise": Place(
        f"{_EXPERIMENTS}.denoise.command",
        "Remove noise from images with a trained network whose decoder relaxes on the substrate.",
    ),
    "score-images": Place(
        f"{_EXPERIMENTS}.denoise.command",
        "Score a network's images in dB with its decoder on the substrate.",
    ),
    "learn": Place(
        f"{_CLI}.learn",
        "Learn a program's couplings on a device from its own answers, so that it fits its faults.",
    ),
    "classify": Place(
        f"{_EXPERIMENTS}.classify.command",
        "Train a substrate with quartic units to tell images apart, on the device that answers.",
    ),
    "generate": Place(
        f"{_EXPERIMENTS}.generate.command",
        "Make images of digits from noise with a network whose decoder relaxes on the substrate.",
    ),
    "paper": Place(
        f"{_EXPERIMENTS}.paper.command",
        "Reproduce the paper's experiments in float64 and on the gateware, and what they lack.",
    ),
    "images": Place(
        f"{_EXPERIMENTS}.images.command",
        "Remove noise from images of digits and generate new ones, beside the best linear filter "
        "and a Gaussian.",
    ),
    "hierarchy": Place(
        f"{_EXPERIMENTS}.hierarchy.command",
        "Relax several skips of a U-Net at once, and the shape of Stable Diffusion 1.5.",
    ),
    "study": Place(
        f"{_EXPERIMENTS}.studies.command",
        "Answer a question that the paper leaves open, by a sweep: a sentence, a table and a plot.",
    ),
    "bench": Place(
        f"{_EXPERIMENTS}.bench.command",
        "Measure everything as a ratio to a limit or a peer, in one run of about ten minutes.",
    ),
    "noise": Place(
        f"{_EXPERIMENTS}.noise.command",
        "Judge the noise: moments, correlations, SP 800-22, and dieharder where it is installed.",
    ),
    "devices": Place(
        f"{_CLI}.devices", "List what can run programs: device URIs, fabrics and serial ports."
    ),
    "doctor": Place(
        f"{_CLI}.devices",
        "Check this installation: tools, model, ports, and the gateware against the integer model.",
    ),
    "selftest": Place(
        f"{_CLI}.flash",
        "Test a device's memories, lanes, noise and arithmetic, and name what is broken.",
    ),
    "build": Place(
        f"{_CLI}.build",
        "Build a board's bitstream with Yosys and nextpnr from PyPI (needs the \\[synth] extra).",
    ),
    "flash": Place(
        f"{_CLI}.flash", "Write a board's finished build to the board with the board's programmer."
    ),
    "verify": Place(
        f"{_CLI}.verify",
        "Simulate a board's netlist and link gate by gate, and compare with the integer model.",
    ),
    "cosim": Place(
        f"{_CLI}.cosim",
        "Simulate the gateware under cocotb, bit for bit against the integer model and in "
        "equilibrium against the float reference (needs the \\[cosim] extra).",
    ),
    "verilog": Place(
        f"{_CLI}.verilog",
        "Write a fabric's Verilog for any toolchain, and its register map as JSON, C and SVD.",
    ),
}
"""Every command, in the order of ``ornstein --help``."""


def load_command(name: str) -> TyperCommand:
    """Imports the command of that name, one of :data:`COMMANDS`, and returns it."""
    from ornstein.host.cli.app import app
    from ornstein.host.cli.common_options import add_common_options
    from ornstein.host.pages.provenance import made_within

    import_module(COMMANDS[name].module)
    info = next(
        info
        for info in app.registered_commands
        if info.callback and name == (info.name or get_command_name(info.callback.__name__))
    )
    command = get_command_from_info(
        info, pretty_exceptions_short=False, rich_markup_mode=app.rich_markup_mode
    )
    assert isinstance(command, TyperCommand) and command.callback is not None
    call = command.callback

    @wraps(call)
    def named(**options: Any) -> Any:
        with made_within(["ornstein", name, *command_words(command, options)]):
            return call(**options)

    command.callback = named
    add_common_options(command)
    return command


def command_words(command: TyperCommand, values: Mapping[str, Any]) -> list[str]:
    """Returns the words behind the name of a command that give its parameters these values.

    Defaults are named too, the seed among them. Paths are left out.
    """
    arguments, options = [], []
    for parameter in command.params:
        value = values.get(parameter.name or "")
        given = value if isinstance(value, (list, tuple)) else [value]
        words = [str(one) for one in given if isinstance(one, (str, Real))]
        if parameter.param_type_name == "argument":
            arguments += words
            continue
        option = max(parameter.opts, key=len)
        if isinstance(value, bool):
            options += [option] if value else parameter.secondary_opts[:1]
        else:
            options += [part for word in words for part in (option, word)]
    return arguments + options


class CommandGroup(TyperGroup):
    """The group of all :data:`COMMANDS`."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | None:
        return _DeferredCommand(cmd_name) if cmd_name in COMMANDS else None

    def invoke(self, ctx: typer.Context) -> Any:
        from ornstein.sim.caches import library_caches

        with library_caches():
            return super().invoke(ctx)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:
        # the names that a misspelt one is compared with
        self.commands = {name: _DeferredCommand(name) for name in COMMANDS}
        return super().resolve_command(ctx, args)


class _DeferredCommand(TyperCommand):
    """Stands for a command, with its name and summary, until it is called."""

    def __init__(self, name: str):
        super().__init__(name, help=COMMANDS[name].summary)

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        return load_command(self.name or "").make_context(*arguments, **extra)
