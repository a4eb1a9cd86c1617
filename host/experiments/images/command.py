# SPDX-License-Identifier: Apache-2.0
"""``ornstein images``: denoising and generation of digits, one unit for each pixel."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    DeviceOption,
    JsonOption,
    SeedOption,
    app,
    remark,
    screen,
    show,
    stages,
    write_json,
)


@app.command(epilog="Example:  ornstein images --output build/images")
def images(
    device: DeviceOption = "rtl",
    output: Annotated[Path, typer.Option(help="Folder of results and report.")] = Path(
        "build/images"
    ),
    per_class: Annotated[int, typer.Option(min=2, help="Digits to generate of each class.")] = 100,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Train afresh, some five minutes, and keep the parameters in the output folder.",
        ),
    ] = False,
    parameters: Annotated[
        Path | None, typer.Option(help="Parameters of an earlier --train.")
    ] = None,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Remove noise from images of digits and generate new ones, beside the best linear filter and a
    Gaussian.
    """
    from ornstein.host.experiments.common import documents, write_csv
    from ornstein.host.experiments.images.digits import load_images
    from ornstein.host.experiments.images.parameters import PARAMETERS, Parameters, train_all
    from ornstein.host.experiments.images.report import (
        conclusions,
        denoising_grid,
        generation_grid,
        write_images_page,
    )
    from ornstein.host.experiments.images.run import run_images

    output.mkdir(parents=True, exist_ok=True)
    with stages() as say:
        if train:
            parameters = output / PARAMETERS.name
            train_all(load_images(), say).save(parameters)
        trained = Parameters.load(parameters or PARAMETERS)
        result = run_images(trained, device, per_class=per_class, seed=seed, progress=say)
    report = write_images_page(result, output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, documents(result.experiments, "reference"))
    write_csv(output / "results.csv", result.experiments, "reference")
    for grid in (denoising_grid(result), generation_grid(result)):
        show(grid)
    for paragraph in conclusions(result):
        screen.print(paragraph, highlight=False)
    remark(f"Report: {report}, results: {output / 'results.json'} and {output / 'results.csv'}")
