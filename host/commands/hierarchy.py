"""``ornstein hierarchy``: several skips on one substrate."""

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from ornstein.host.commands import CheckError, JsonOption, ModelOption, SeedOption, app, progress, screen, write_json
from ornstein.host.model_file import DEFAULT_MODEL


@app.command(epilog="Example:  ornstein hierarchy --output build/hierarchy")
def hierarchy(device: Annotated[str, typer.Option(help="Device URI; its fabric must hold 384 units.")] = "rtl:wide",
              output: Annotated[Path, typer.Option(help="Folder of results and report.")] = Path("build/hierarchy"),
              model: ModelOption = DEFAULT_MODEL, seed: SeedOption = 1, json_file: JsonOption = None) -> None:
    """Relax both skips of the U-Net at once, scored by module, and the shape of Stable Diffusion 1.5."""
    from ornstein.host.demo import DemoError
    from ornstein.host.hierarchy import run_hierarchy
    from ornstein.host.hierarchy_page import conclusions, error_grid, score_grid, size_grid, write_hierarchy_page
    from ornstein.host.page import cell
    from ornstein.host.paper.results import documents, write_csv

    with progress() as bar:
        tasks: dict[str, int] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        try:
            result = run_hierarchy(model, device, seed, say)
        except DemoError as error:
            raise CheckError(str(error)) from None
    experiments = result.experiments()
    report = write_hierarchy_page(result, output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, documents(experiments))
    write_csv(output / "results.csv", experiments)
    for grid in (score_grid(result), size_grid(result.large), error_grid(result.large)):
        table = Table(title=grid.caption, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False,
                      collapse_padding=True)
        for column in grid.columns:
            table.add_column(column, no_wrap=True)
        for row in grid.rows:
            table.add_row(*map(cell, row))
        screen.print(table)
    for sentence in conclusions(result):
        screen.print(sentence, highlight=False)
    screen.print(f"Report: {report}, results: {output / 'results.json'} and {output / 'results.csv'}", soft_wrap=True)
