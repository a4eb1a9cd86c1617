# SPDX-License-Identifier: Apache-2.0
"""``ornstein study``: what the paper leaves open, one study a question."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import (
    CheckError,
    JsonOption,
    ModelOption,
    SeedOption,
    app,
    progress,
    screen,
    show,
    write_json,
)
from ornstein.host.models.model_file import DEFAULT_MODEL


@app.command(epilog="Example:  ornstein study converters --output build/studies")
def study(
    name: Annotated[str, typer.Argument(help="A study, or all; see --list.")] = "all",
    listing: Annotated[
        bool, typer.Option("--list", help="List the studies and what they ask.")
    ] = False,
    output: Annotated[
        Path, typer.Option(help="Folder of CSV, JSON and report; points found there are kept.")
    ] = Path("build/studies"),
    workers: Annotated[
        int, typer.Option(min=0, help="Local Dask processes; 0 runs in this one.")
    ] = 2,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, instead.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Random draws of a point; the study's own number otherwise."),
    ] = None,
    seed: SeedOption = 0,
    model: ModelOption = DEFAULT_MODEL,
    json_file: JsonOption = None,
) -> None:
    """Answer a question that the paper leaves open: a sweep with a plot and its conclusion in one
    sentence.
    """
    from ornstein.host.experiments.studies.catalogue import STUDIES, run_study
    from ornstein.host.experiments.studies.report import threshold_grid, write_report
    from ornstein.host.experiments.studies.subject import Subject
    from ornstein.host.experiments.studies.sweep import SweepError
    from ornstein.host.models.model_file import TrainedModel

    if listing:
        table = Table("study", "question", "points", "draws")
        for each in STUDIES.values():
            table.add_row(each.name, each.question, str(len(each.points)), str(each.draws))
        screen.print(table)
        return
    if name != "all" and name not in STUDIES:
        raise typer.BadParameter(
            f"no study is called {name!r}; there are all, {', '.join(STUDIES)}"
        )
    subject = Subject.fit(TrainedModel.load(model))
    answers = []
    for each in STUDIES.values() if name == "all" else [STUDIES[name]]:
        with progress() as bar:
            task = bar.add_task(f"study {each.name}", total=len(each.points))
            try:
                answers.append(
                    run_study(
                        each,
                        subject,
                        output,
                        draws=seeds,
                        seed=seed,
                        workers=workers,
                        scheduler=scheduler,
                        progress=lambda done, total, bar=bar, task=task: bar.update(
                            task, completed=done
                        ),
                    )
                )
            except SweepError as error:
                raise CheckError(str(error)) from None
        show(threshold_grid(answers[-1]))
        screen.print(
            f"[bold]{each.name}[/bold]: {answers[-1].conclusion}", soft_wrap=True, highlight=False
        )
    page = write_report(output, "report.html" if name == "all" else f"{name}.html", answers)
    write_json(json_file, {answer.study.name: answer.conclusion for answer in answers})
    screen.print(f"Wrote {page}", soft_wrap=True)
