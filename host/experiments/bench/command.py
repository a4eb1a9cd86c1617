# SPDX-License-Identifier: Apache-2.0
"""``ornstein bench``: every figure is a ratio to a limit, a goal or a peer."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import CheckError, JsonOption, app, progress, remark, screen, write_json
from ornstein.host.compile.program import InputError

if TYPE_CHECKING:  # loading the benchmarks takes seconds, which ornstein --help must not
    from ornstein.host.experiments.bench.figures import Figure


@app.command(epilog="Example:  ornstein bench --json bench.json --compare yesterday.json")
def bench(
    json_file: JsonOption = None,
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/bench"),
    compare: Annotated[
        Path | None,
        typer.Option(help="A stored run of the same machine, instead of the project's own cycles."),
    ] = None,
) -> None:
    """Measure everything as a ratio to a limit or a peer, in one run of about ten minutes."""
    from ornstein.host.experiments.bench.figures import STORED, losses
    from ornstein.host.experiments.bench.figures import compare as changes
    from ornstein.host.experiments.bench.report import write_bench_page

    stored = _stored(compare or STORED)
    found = _measure()
    screen.print(_table(found))
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, [asdict(row) for row in found])
    remark(f"Report: {write_bench_page(found, output)}")
    change = Table("figure", "now over then")
    for name, ratio in changes(found, stored):
        change.add_row(name, f"{ratio:.3f}")
    screen.print(change)
    values = {row.name: row.value for row in found if row.value is not None}
    if lost := losses(values, stored):
        raise CheckError(f"{len(lost)} figures in cycles are worse than stored; {lost[0]}")


def _measure() -> "list[Figure]":
    """Runs all benchmarks, with a progress bar."""
    from ornstein.host.experiments.bench.run import bench as figures

    found = []
    with progress() as bar:
        task = bar.add_task("starting", total=None)
        for figure in figures(lambda what: bar.update(task, description=what)):
            found.append(figure)
            bar.console.print(f"measured {figure.name}", style="dim")
    return found


def _table(figures: "list[Figure]") -> Table:
    """Returns the table for the terminal, with four digits of every number."""
    table = Table("figure", "value", "unit", "reference", "ratio", "note")
    for row in figures:
        value, reference, ratio = (
            "-" if number is None else f"{number:.4g}"
            for number in (row.value, row.reference, row.ratio)
        )
        table.add_row(row.name, value, row.unit, reference, ratio, row.note)
    return table


def _stored(path: Path) -> list[dict]:
    """Reads the names and values of a stored run. Raises InputError if there are none."""
    try:
        rows = json.loads(path.read_text())
        return [{"name": row["name"], "value": row["value"]} for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(
            f"{path} holds no stored run; make one with: ornstein bench --json {path}"
        ) from None
