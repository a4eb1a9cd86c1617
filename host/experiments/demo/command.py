# SPDX-License-Identifier: Apache-2.0
"""``ornstein demo``: the main job."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    ActivationsOption,
    DeviceOption,
    JsonOption,
    ModelOption,
    SeedOption,
    SkipOption,
    app,
    remark,
    screen,
    stages,
    write_json,
)
from ornstein.host.cli.skips import one_skip
from ornstein.host.models.model_file import DEFAULT_MODEL


@app.command(epilog="Example:  ornstein demo --output build/demo")
def demo(
    device: DeviceOption = "rtl",
    output: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("build/demo"),
    model: ModelOption = DEFAULT_MODEL,
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Run every recipe on held-out inputs, from trained weights to scores."""
    from ornstein.host.experiments.demo.report import print_table, write_report
    from ornstein.host.experiments.demo.run import run_demo

    trained = one_skip(model, skip, activations)
    with stages() as say:
        result = run_demo(trained, device=device, seed=seed, progress=say)
    output.mkdir(parents=True, exist_ok=True)
    report = write_report(result, output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, result.results())
    print_table(result, screen)
    remark(f"Report: {report}, results: {output / 'results.json'}")
