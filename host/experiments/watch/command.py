# SPDX-License-Identifier: Apache-2.0
"""``ornstein watch``: shows a running device."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from ornstein.host.cli.app import DeviceOption, SeedOption, app, screen
from ornstein.host.compile.program import InputError
from ornstein.host.compile.program_file import load_program
from ornstein.host.devices.device import Device, open_device
from ornstein.sim.toolchain import ToolError, install_command

if TYPE_CHECKING:
    from ornstein.host.experiments.watch.run import Watch
    from ornstein.host.physics.problem import Problem

MOST_INPUTS = 1024
"""Inputs that are read of a file; they are watched again and again."""


@app.command(epilog="Example:  ornstein watch --device model")
def watch(
    program: Annotated[
        Path | None,
        typer.Argument(
            help="A program file, of one harmonic energy; needs --input.",
            show_default="the aligned skip of the package's network",
        ),
    ] = None,
    device: DeviceOption = "rtl",
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Inputs of the program: CSV, .npy, .npz or .safetensors.",
            metavar="FILE",
        ),
    ] = None,
    kT: Annotated[
        float | None,
        typer.Option("--kt", min=0, help="Temperature.", show_default="the program's, or 0.01"),
    ] = None,
    seed: SeedOption = 1,
) -> None:
    """Show a running device: relaxation, temperature, score and speed (needs the \\[watch] extra).

    Each time step is a job of its own whose states are read, with the steps of Euler-Maruyama.
    Press q to end.
    """
    if (program is None) != (source is None):
        raise typer.BadParameter("a PROGRAM and its --input belong together")
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        raise ToolError(
            "watch draws on a terminal, and this is none; ornstein run --json writes numbers to a "
            "file"
        )
    try:
        from ornstein.host.experiments.watch.app import WatchApp, rows
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the package {error.name} is missing; install it with: {install_command('watch')}"
        ) from None

    with open_device(device) as opened:
        watched = _watched(opened, program, source, kT, seed)
        shown = WatchApp(watched)
        error = shown.run()
        if error is not None:
            raise error
    if shown.reading is not None:
        for name, value in rows(shown.reading, watched):
            screen.print(f"{name:<22}{value}", markup=False, highlight=False)


def _watched(
    device: Device, program: Path | None, source: str | None, kT: float | None, seed: int
) -> "Watch":
    """Returns the device with a program of a file, or with that of the package's network."""
    from ornstein.host.experiments.watch.run import KT, Watch

    if program is not None and source is not None:
        problem = load_program(program).problem
        return Watch(device, problem, _inputs(source, problem), kT=kT, seed=seed)
    from ornstein.host.models.model_file import TrainedModel
    from ornstein.host.models.recipes import ours_aligned
    from ornstein.host.models.run import recipe_problem

    model = TrainedModel.load()
    return Watch(
        device,
        recipe_problem(ours_aligned(model)),
        model.x_test,
        targets=model.y_test,
        train_mean=model.y_train.mean(axis=0),
        kT=KT if kT is None else kT,
        seed=seed,
    )


def _inputs(source: str, problem: "Problem") -> np.ndarray:
    """Returns the first inputs (n, input_size) of a file. Raises InputError."""
    from ornstein.host.files.inputs import open_inputs

    rows: list[np.ndarray] = []
    with open_inputs(source, problem.input_size) as inputs:
        for block in inputs.blocks:
            rows.extend(block)
            if len(rows) >= MOST_INPUTS:
                break
    if not rows:
        raise InputError(f"there were no inputs in {source}")
    return np.array(rows[:MOST_INPUTS], float)
