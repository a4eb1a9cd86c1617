# SPDX-License-Identifier: Apache-2.0
"""``ornstein study``: questions that the paper leaves open, with one study for each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ornstein.host.cli.app import (
    ActivationsOption,
    CheckError,
    JsonOption,
    ModelOption,
    SeedOption,
    SkipOption,
    app,
    errors,
    progress,
    remark,
    screen,
    show,
    write_json,
)
from ornstein.host.cli.skips import one_skip
from ornstein.host.models.model_file import DEFAULT_MODEL

if TYPE_CHECKING:  # loading the studies takes seconds, which ornstein --help must not
    from ornstein.host.experiments.studies.analysis import Study
    from ornstein.host.experiments.studies.catalogue import Answer
    from ornstein.host.experiments.studies.subject import TITLES, Subject


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
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    json_file: JsonOption = None,
) -> None:
    """Answer a question that the paper leaves open, by a sweep: a sentence, a table and a plot."""
    from ornstein.host.experiments.studies.catalogue import STUDIES
    from ornstein.host.experiments.studies.report import write_report
    from ornstein.host.experiments.studies.subject import Subject

    if listing:
        _list_studies()
        return
    if name != "all" and name not in STUDIES:
        raise typer.BadParameter(
            f"no study is called {name!r}; there are all, {', '.join(STUDIES)}"
        )
    chosen = list(STUDIES.values()) if name == "all" else [STUDIES[name]]
    subject = Subject.fit(one_skip(model, skip, activations))
    for program, reason in subject.left_out.items():
        line = f"warning: {TITLES[program]} cannot run on this network and is left out: {reason}"
        errors.print(line, markup=False, highlight=False, soft_wrap=True)
    options = {"draws": seeds, "seed": seed, "workers": workers, "scheduler": scheduler}
    answers = [_run(selected, subject, output, options) for selected in chosen]
    page = write_report(output, "report.html" if name == "all" else f"{name}.html", answers)
    write_json(json_file, {answer.study.name: answer.conclusion for answer in answers})
    remark(f"Wrote {page}")


def _list_studies() -> None:
    """Prints the studies with their questions."""
    from ornstein.host.experiments.studies.catalogue import STUDIES

    table = Table("study", "question", "points", "draws")
    for listed in STUDIES.values():
        table.add_row(listed.name, listed.question, str(len(listed.points)), str(listed.draws))
    screen.print(table)


def _run(selected: "Study", subject: "Subject", folder: Path, options: dict[str, Any]) -> "Answer":
    """Runs one study with a progress bar, and prints its answer.

    ``options`` are those of :func:`ornstein.host.experiments.studies.catalogue.run_study`.
    """
    from ornstein.host.experiments.studies.catalogue import run_study
    from ornstein.host.experiments.studies.report import threshold_grid
    from ornstein.host.experiments.studies.sweep import SweepError

    with progress() as bar:
        task = bar.add_task(f"study {selected.name}", total=len(selected.points))

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done)

        try:
            answer = run_study(selected, subject, folder, progress=advance, **options)
        except SweepError as error:
            raise CheckError(str(error)) from None
    show(threshold_grid(answer))
    said = f"{selected.name}: {answer.conclusion}"
    screen.print(said, soft_wrap=True, highlight=False)
    return answer
