# SPDX-License-Identifier: Apache-2.0
"""``ornstein paper``: every experiment of the paper, in float64 and on the gateware."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from ornstein.host.cli.app import (
    ActivationsOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SkipOption,
    app,
    progress,
    remark,
    screen,
    write_json,
)
from ornstein.host.cli.skips import one_skip
from ornstein.host.models.model_file import DEFAULT_MODEL
from ornstein.sim.cores import cores
from ornstein.sim.toolchain import ToolError, install_command

if TYPE_CHECKING:
    from ornstein.host.experiments.common import Experiment


@app.command(epilog="Example:  ornstein paper --output build/paper")
def paper(
    device: DeviceOption = "rtl",
    output: Annotated[Path, typer.Option(help="Folder of results and report.")] = Path(
        "build/paper"
    ),
    model: ModelOption = DEFAULT_MODEL,
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    seed: SeedOption = 1,
    remake_untrained: Annotated[
        bool,
        typer.Option(
            "--remake-untrained",
            help="Make the untrained network again from its seed (needs the \\[train] extra).",
        ),
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Reproduce the paper's experiments in float64 and on the gateware, and what they lack."""
    from ornstein.host.experiments.common import documents, write_csv
    from ornstein.host.experiments.paper.report import write_paper
    from ornstein.host.experiments.paper.run import run_paper
    from ornstein.host.experiments.paper.subjects import TRAINED, Subject, load_untrained

    output.mkdir(parents=True, exist_ok=True)
    untrained = (
        load_untrained(_remade(output / "untrained_model"))
        if remake_untrained
        else load_untrained()
    )
    subjects = [Subject(TRAINED, one_skip(model, skip, activations)), untrained]
    with progress() as bar:
        task = bar.add_task("starting", total=None)

        def say(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        experiments, source = run_paper(subjects, device, seed, say, processes=cores())
    report = write_paper(experiments, str(source), output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, documents(experiments))
    write_csv(output / "results.csv", experiments)
    for experiment in experiments:
        _print(experiment)
    screen.print(f"Gateware: {source}.", highlight=False)
    remark(f"Report: {report}, results: {output / 'results.json'} and {output / 'results.csv'}")


def _print(experiment: "Experiment") -> None:
    """Prints the table of an experiment without its notes, and its conclusions."""
    from ornstein.host.experiments.paper.conclusions import paragraphs
    from ornstein.host.experiments.paper.report import COLUMNS, grid, heading
    from ornstein.host.pages.page import cell

    table = Table(
        title=heading(experiment), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in COLUMNS[:-1]:
        table.add_column(name, justify="left" if name in COLUMNS[:2] else "right", overflow="fold")
    for row in grid(experiment).rows:
        table.add_row(*map(cell, row[:-1]))
    screen.print(table)
    for paragraph in paragraphs(experiment):
        screen.print(paragraph, highlight=False)
    screen.print()


def _remade(folder: Path) -> Path:
    """Makes the untrained network again and returns its folder."""
    try:
        from ornstein.host.experiments.paper.untrained import save_untrained
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolError(
            "making the untrained network needs PyTorch; leave --remake-untrained out to use the "
            f"stored one, or install it with: {install_command('train')}"
        ) from None
    save_untrained(folder)
    return folder
