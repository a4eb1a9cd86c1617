# SPDX-License-Identifier: Apache-2.0
"""What the commands share: the application, common options, and output.

Each other module of this package holds commands, which importing it registers; a command also
stands in :data:`ornstein.host.cli.commands.COMMANDS`. Nothing that takes long to load is imported
here, so that ``ornstein --help`` answers at once.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from ornstein.host.cli.commands import CommandGroup


class CheckError(RuntimeError):
    """A check failed; one line that says what was checked and what was found."""


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Run trained diffusion weights on a substrate that answers by relaxing to equilibrium.",
)
# what is printed holds names of the user's, in which brackets are not markup
errors = Console(stderr=True, markup=False)
_WIDTH = None if sys.stdout is not None and sys.stdout.isatty() else 140
screen = Console(width=_WIDTH, markup=False)
"""What was asked for; ``--quiet`` leaves it."""
remarks = Console(width=_WIDTH, markup=False)
"""Where results were written and what comes next; ``--quiet`` silences it."""


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        screen.print(f"ornstein {version('ornstein')}", highlight=False)
        raise typer.Exit


@app.callback()
def _common_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write machine-readable results to this file.")
]


def _devices(incomplete: str) -> list[str]:
    """Returns the device URIs that begin so, for shell completion."""
    from ornstein.hdl.config import PRESETS

    named = [f"{scheme}:{fabric}" for scheme in ("rtl", "model") for fabric in PRESETS]
    uris = ["rtl", "model", "float", "float:exact", "serial", *named]
    return [uri for uri in uris if uri.startswith(incomplete)]


DeviceOption = Annotated[
    str,
    typer.Option(
        help="Device URI: rtl, model, float, serial\\[:PORT]; see ornstein devices.",
        autocompletion=_devices,
    ),
]
WavesOption = Annotated[
    Path | None,
    typer.Option(
        "--waves",
        help="FST file for the waveforms of device rtl, with layouts for GTKWave and Surfer.",
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random number.")]
ModelOption = Annotated[
    Path,
    typer.Option(
        help="Folder of ornstein train, safetensors (or index of shards), state dict or ONNX file.",
        show_default="the model of this package",
    ),
]
ActivationsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--activations",
        help="Activations of a skip: .npz or folder of .npy with x_train, y_train, x_test, y_test "
        "(ornstein capture makes them); repeatable.",
        show_default="the folder's own",
    ),
]
SkipOption = Annotated[
    list[str] | None,
    typer.Option(
        "--skip",
        metavar="X:Y",
        help="Layers of encoder and decoder, see ornstein layers; repeatable.",
        show_default="those that the activations name, or e1.conv1:d1.conv1",
    ),
]


def traced(device: str, waves: Path | None) -> str:
    """Returns the URI of a device that writes its waveforms, if a file for them is given."""
    return device if waves is None else f"{device}?waves={waves}"


@contextmanager
def progress():
    """Gives a progress bar on standard error, so that outputs can go to standard output."""
    from ornstein.host.cli.progress import Report

    with Report(errors, quiet=remarks.quiet) as bar:
        yield bar


@contextmanager
def stages():
    """Gives a function ``say(what, done, total)`` that shows the progress of all stages ``what`` in
    one bar.
    """
    from ornstein.host.cli.progress import Report, staged

    with staged(Report(errors, quiet=remarks.quiet)) as say:
        yield say


def remark(text: str) -> None:
    """Prints where results were written or what comes next."""
    remarks.print(text, soft_wrap=True)


def note(text: str) -> None:
    """Prints what the user should know, but need not act upon, on standard error."""
    if not remarks.quiet:
        errors.print(f"note: {text}", highlight=False, soft_wrap=True)


def write_json(path: Path | None, document) -> None:
    """Writes ``document`` to ``path`` and makes its folder; does nothing if ``path`` is None."""
    if path is not None:
        from ornstein.host.files.replace import replacing

        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, text=True) as file:
            file.write(json.dumps(document, indent=1) + "\n")


def show(grid) -> None:
    """Prints a table of a page (:class:`ornstein.host.pages.page.Grid`)."""
    from ornstein.host.pages.page import cell

    table = Table(
        title=grid.caption,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in grid.columns:
        table.add_column(column, no_wrap=True)
    for row in grid.rows:
        table.add_row(*map(cell, row))
    screen.print(table)
