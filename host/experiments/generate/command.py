# SPDX-License-Identifier: Apache-2.0
"""``ornstein generate``: digits from noise, with the decoder on the substrate."""

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


@app.command(
    epilog="Examples:  ornstein generate --count 64 --output build/digits\n\n"
    "ornstein generate --benchmark --output build/generate"
)
def generate(
    count: Annotated[
        int | None,
        typer.Option(help="Images to make; default 64, for each row of the benchmark 1,000."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder of images, results and report.")] = Path(
        "build/generate"
    ),
    device: Annotated[
        str,
        typer.Option(
            help="Device URI: model, rtl, float:exact, serial\\[:PORT]; model and rtl take the "
            "smallest of their fabrics with room unless one is named."
        ),
    ] = "model",
    rank: Annotated[
        int | None, typer.Option(help="Modes of the coupling: 16 (default) or 32.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of ornstein train --decoder substrate.")
    ] = None,
    levels: Annotated[int, typer.Option(help="Noise levels, at least two.")] = 12,
    noise: Annotated[
        str,
        typer.Option(help="Where noise comes from: host, or substrate for its own temperature."),
    ] = "host",
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Score all generators, ours at ranks 16 and 32.")
    ] = False,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Make images of digits from noise with a network whose decoder relaxes on the substrate."""
    from ornstein.host.experiments.generate.run import NOISES
    from ornstein.host.models.data import DataError

    for value, least, option in ((count, 1, "--count"), (levels, 2, "--levels")):
        if value is not None and value < least:
            raise typer.BadParameter(f"{value} is less than {least}", param_hint=option)
    if noise not in NOISES:
        raise typer.BadParameter(
            f"no noise is called {noise!r}; there are {', '.join(NOISES)}", param_hint="--noise"
        )
    if rank is not None and model is not None:
        raise typer.BadParameter(
            "the rank of a model of your own is in its files", param_hint="--rank"
        )
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: is a file; name a folder for the images")
    if benchmark:
        _benchmark(count or 1000, output, device, seed, json_file)
    else:
        _images(count or 64, output, device, rank or 16, model, levels, noise, seed, json_file)


def _images(count, output, device, rank, folder, levels, noise, seed, json_file) -> None:
    """Makes the images first and then writes all files."""
    from ornstein.host.experiments.denoise.files import write_images
    from ornstein.host.experiments.generate.report import sheet, write_generate_page
    from ornstein.host.experiments.generate.run import generate
    from ornstein.host.models.diffusion import SUBSTRATE, Diffusion, trained_model
    from ornstein.host.models.model_file import ModelFileError
    from ornstein.host.models.noise_levels import noise_levels

    trained = Diffusion.load(folder or trained_model(SUBSTRATE, rank))
    if trained.coupling is None:
        raise ModelFileError(
            f"{folder}: its decoder is a U-Net's, not a substrate; train one with: ornstein train "
            "--decoder substrate"
        )
    with stages() as say:
        made = generate(
            trained,
            device,
            count=count,
            levels=noise_levels(levels),
            noise=noise,
            seed=seed,
            progress=say,
        )
    output.mkdir(parents=True, exist_ok=True)
    write_images(output / "images.npy", made.images, single=False)
    write_images(output / "sheet.png", sheet(made.images)[None], single=True)
    page = write_generate_page(made, output)
    results = {**made.results(), "model": trained.provenance}
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, results)
    remark(
        f"{count} images on {made.device}: {output / 'sheet.png'}, {output / 'images.npy'}, "
        f"report: {page}"
    )


def _benchmark(count, output, device, seed, json_file) -> None:
    from ornstein.host.experiments.generate.benchmark import run_benchmark
    from ornstein.host.experiments.generate.report import conclusions, table, write_benchmark_page
    from ornstein.host.models.diffusion import (
        RANKS,
        SUBSTRATE,
        UNET,
        Diffusion,
        diffusion_digits,
        trained_model,
    )

    with stages() as say:
        result = run_benchmark(
            Diffusion.load(trained_model(UNET)),
            {rank: Diffusion.load(trained_model(SUBSTRATE, rank)) for rank in RANKS},
            diffusion_digits(),
            count=count,
            device=device,
            seed=seed,
            progress=say,
        )
    page = write_benchmark_page(result, output)
    for path in {output / "results.json", json_file} - {None}:
        write_json(path, result.results())
    show(table(result))
    for paragraph in conclusions(result):
        screen.print(paragraph, highlight=False)
    remark(f"Report: {page}, results: {output / 'results.json'}")
