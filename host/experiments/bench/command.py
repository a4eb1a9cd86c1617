# SPDX-License-Identifier: Apache-2.0
"""``ornstein bench``: every figure a ratio."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ornstein.host.cli.app import JsonOption, app, progress, screen, write_json
from ornstein.host.compile.program import InputError


@app.command(epilog="Example:  ornstein bench --json bench.json --compare yesterday.json")
def bench(
    json_file: JsonOption = None,
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/bench"),
    compare: Annotated[Path | None, typer.Option(help="A stored run of the same machine.")] = None,
) -> None:
    """Measure everything as a ratio to a limit or a peer, in one run of about ten minutes."""
    from ornstein.host.experiments.bench import run as benchmarks
    from ornstein.host.experiments.bench.report import write_bench_page

    stored = _stored(compare) if compare else None
    found = []
    with progress() as bar:
        task = bar.add_task("starting", total=None)
        for figure in benchmarks.bench(lambda what: bar.update(task, description=what)):
            found.append(figure)
            bar.console.print(f"measured {figure.name}", style="dim")
    table = Table("figure", "value", "unit", "reference", "ratio", "note")
    for row in found:
        numbers = [
            "-" if number is None else f"{number:.4g}"
            for number in (row.value, row.reference, row.ratio)
        ]
        table.add_row(row.name, numbers[0], row.unit, *numbers[1:], row.note)
    screen.print(table)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, [asdict(row) for row in found])
    screen.print(f"Report: {write_bench_page(found, output)}", soft_wrap=True)
    if stored is not None:
        change = Table("figure", "now over then")
        for name, ratio in benchmarks.compare(found, stored):
            change.add_row(name, f"{ratio:.3f}")
        screen.print(change)


def _stored(path: Path) -> list[dict]:
    try:
        rows = json.loads(path.read_text())
        return [{"name": row["name"], "value": row["value"]} for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(
            f"{path} holds no stored run; make one with: ornstein bench --json {path}"
        ) from None
