# SPDX-License-Identifier: Apache-2.0
"""``ornstein noise``: the noise generators before statistics and standard tests."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    JsonOption,
    SeedOption,
    app,
    remark,
    screen,
    show,
    stages,
    write_json,
)


@app.command(epilog="Example:  ornstein noise --report build/noise --dieharder")
def noise(
    report: Annotated[Path, typer.Option(help="Folder of results and report.")] = Path(
        "build/noise"
    ),
    draws: Annotated[int, typer.Option(min=1 << 17, help="Draws of each of 16 generators.")] = 1
    << 20,
    dieharder: Annotated[
        bool, typer.Option("--dieharder", help="Add tests of Debian's dieharder: some minutes.")
    ] = False,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Judge the noise: moments, correlations, SP 800-22, and dieharder where it is installed."""
    from ornstein.host.experiments.noise.report import (
        correlation_grid,
        dieharder_sentence,
        moment_grid,
        test_grid,
        write_noise_page,
    )
    from ornstein.host.experiments.noise.run import examine_noise

    with stages() as say:
        result = examine_noise(seed, draws, dieharder, say)
    page = write_noise_page(result, report)
    for path in {report / "results.json", json_file} - {None}:
        write_json(path, result.document())
    for grid in (moment_grid(result), correlation_grid(result), test_grid(result)):
        show(grid)
    screen.print(dieharder_sentence(result), soft_wrap=True)
    remark(f"Report: {page}, results: {report / 'results.json'}")
