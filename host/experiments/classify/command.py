# SPDX-License-Identifier: Apache-2.0
"""``ornstein classify``: classes told apart by a substrate that is trained on the device."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import JsonOption, SeedOption, app, remark, show, stages, write_json


@app.command(
    epilog="Examples:  ornstein classify\n\n"
    "ornstein classify --images mnist --device model:wide --hidden 128"
)
def classify(
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of IDX files, such as MNIST's or Fashion-MNIST's.",
            show_default="the digits of scikit-learn",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device URI to train on; see ornstein devices.")
    ] = "model",
    hidden: Annotated[int, typer.Option(min=1, help="Hidden units.")] = 64,
    rank: Annotated[int, typer.Option(min=1, help="Modes from pixels to hidden units.")] = 32,
    steps: Annotated[int, typer.Option(min=1, help="Steps, each of three phases.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 64,
    rate: Annotated[float, typer.Option(min=1e-6, help="Learning rate of the first step.")] = 0.008,
    softmax: Annotated[
        float,
        typer.Option(
            min=1e-3,
            help="Temperature of the softmax, in units of a class's target.",
        ),
    ] = 0.25,
    training_images: Annotated[
        int | None,
        typer.Option(min=20, help="Images to train on, drawn by the seed.", show_default="all"),
    ] = None,
    moved: Annotated[
        bool, typer.Option(help="Turn, scale and shift images a little while training.")
    ] = True,
    output: Annotated[Path, typer.Option(help="Folder of results and report.")] = Path(
        "build/classify"
    ),
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Train a substrate with quartic units to tell images apart, on the device that answers."""
    from ornstein.host.experiments.classify.classifier import Training
    from ornstein.host.experiments.classify.report import table, write_classify_page
    from ornstein.host.experiments.classify.run import run_classify

    training = Training(
        steps=steps, batch=batch, rate=rate, softmax=softmax, moved=moved, seed=seed
    )
    with stages() as say:
        result = run_classify(
            training,
            device=device,
            folder=images,
            limit=training_images,
            hidden=hidden,
            rank=rank,
            progress=say,
        )
    page = write_classify_page(result, output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, result.results())
    show(table(result))
    remark(f"Report: {page}, results: {output / 'results.json'}")
