# SPDX-License-Identifier: Apache-2.0
"""The commands, one module a group; this file holds what they share. Each module's functions are
registered on import.

Libraries that take long to load are imported inside a command, so that ``ornstein --help`` answers
at once.
"""

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


class CheckError(RuntimeError):
    """Something that was checked is not as it must be."""


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Run trained diffusion weights on a substrate that answers by relaxing to equilibrium.",
)
errors = Console(stderr=True)
screen = Console(width=None if sys.stdout.isatty() else 140)

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write machine-readable results to this file.")
]
DeviceOption = Annotated[
    str, typer.Option(help="Device URI: rtl, model, float, serial[:PORT]; see ornstein devices.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random number.")]
ModelOption = Annotated[
    Path, typer.Option(help="Folder of ornstein train, or a safetensors or PyTorch state dict.")
]


@contextmanager
def progress():
    """A progress bar on standard error, so that outputs can go to standard output."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    ) as bar:
        yield bar


@contextmanager
def stages():
    """A progress bar for each stage of a job, which it reports to the ``say(what, done, total)``
    that this gives.
    """
    with progress() as bar:
        tasks: dict[str, int] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield say


def write_json(path: Path | None, document) -> None:
    """Write ``document`` to ``path``, making its folder; nothing where the user asked for
    no file.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")


def show(grid) -> None:
    """Print a table of a page (:class:`ornstein.host.pages.page.Grid`)."""
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
