# SPDX-License-Identifier: Apache-2.0
"""``ornstein hierarchy``: several skips on one substrate."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    ActivationsOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SkipOption,
    app,
    remark,
    screen,
    show,
    stages,
    write_json,
)
from ornstein.host.models.model_file import DEFAULT_MODEL, load_skips


@app.command(epilog="Example:  ornstein hierarchy --output build/hierarchy")
def hierarchy(
    device: Annotated[
        str,
        typer.Option(help="Device URI; its fabric must hold all modules, 384 units by default."),
    ] = "rtl:wide",
    output: Annotated[Path, typer.Option(help="Folder of results and report.")] = Path(
        "build/hierarchy"
    ),
    model: ModelOption = DEFAULT_MODEL,
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Relax several skips of a U-Net at once, and the shape of Stable Diffusion 1.5."""
    from ornstein.host.experiments.common import documents, write_csv
    from ornstein.host.experiments.hierarchy.levels import DEFAULT_SKIPS, Levels
    from ornstein.host.experiments.hierarchy.report import (
        conclusions,
        error_grid,
        score_grid,
        size_grid,
        write_hierarchy_page,
    )
    from ornstein.host.experiments.hierarchy.run import run_hierarchy

    skips = skip or (() if activations else DEFAULT_SKIPS)
    levels = Levels.of(load_skips(model, skips, activations or ()))
    with stages() as say:
        result = run_hierarchy(levels, device, seed, say)
    experiments = result.experiments()
    report = write_hierarchy_page(result, output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, documents(experiments))
    write_csv(output / "results.csv", experiments)
    show(score_grid(result))
    if result.large:
        show(size_grid(result.large))
        show(error_grid(result.large))
    for sentence in conclusions(result):
        screen.print(sentence, highlight=False)
    remark(f"Report: {report}, results: {output / 'results.json'} and {output / 'results.csv'}")
