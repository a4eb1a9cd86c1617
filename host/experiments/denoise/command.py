# SPDX-License-Identifier: Apache-2.0
"""``ornstein denoise``: noisy images in, clean images out, with the decoder on the substrate."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    JsonOption,
    SeedOption,
    app,
    errors,
    remark,
    show,
    stages,
    write_json,
)
from ornstein.host.models.model_file import DEFAULT_MODEL

SigmaOption = Annotated[
    float, typer.Option(min=0.0, help="Noise of the benchmark's and of the training images.")
]


@app.command(
    epilog="Examples:  ornstein denoise noisy.png --output clean.png\n\n"
    "ornstein denoise --benchmark --output build/denoise"
)
def denoise(
    source: Annotated[
        Path | None, typer.Argument(help="A grey PNG, an .npy of images, or a folder of them.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The image or folder to write; the benchmark's folder.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device URI: model, rtl, serial[:PORT]; see ornstein devices.")
    ] = "model",
    fabric: Annotated[str, typer.Option(help="Fabric of the devices model and rtl.")] = "ulx3s",
    rank: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Modes of the coupling.",
            show_default="32, in the benchmark 16, 32 and 64",
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(help="Encoder block that reaches the decoder; repeat it. Default: all three."),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(help="Share of the distance from equilibrium left at the first read.")
    ] = 5e-3,
    model: Annotated[Path, typer.Option(help="Folder of ornstein train.")] = DEFAULT_MODEL,
    benchmark: Annotated[
        bool, typer.Option("--benchmark", help="Score every decoder on held-out digits.")
    ] = False,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="Measure the moments of the model's features again, some minutes."
        ),
    ] = False,
    sigma: SigmaOption = 0.1,
    images: Annotated[
        int | None, typer.Option(min=1, help="Held-out images of the benchmark; default all 64.")
    ] = None,
    kt: Annotated[float, typer.Option(min=0.0, help="Temperature kT of every relaxation.")] = 0.0,
    samples: Annotated[int, typer.Option(min=1, help="Steps that a relaxation averages.")] = 1,
    gateware: Annotated[
        bool, typer.Option(help="Decode one image of the benchmark on the gateware too.")
    ] = True,
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Remove noise from images with a trained network whose decoder relaxes on the substrate."""
    from ornstein.host.experiments.denoise.decoder import RANK
    from ornstein.host.models.network import Network

    network = Network.load(model)
    if refit:
        _refit(network, model, sigma)
    if benchmark:
        folder = output or Path("build/denoise")
        options = {
            "device": _uri(device, fabric),
            "sigma": sigma,
            "images": images,
            "kT": kt,
            "samples": samples,
            "seed": seed,
            **({} if rank is None else {"ranks": (rank,)}),
            **({} if gateware else {"gateware": None}),
        }
        _benchmark(network, model, folder, options, json_file)
    elif source is not None and output is not None:
        options = {
            "rank": rank or RANK,
            "skips": checked_skips(skip),
            "tolerance": tolerance,
            "kT": kt,
            "samples": samples,
        }
        _images(network, model, source, output, _uri(device, fabric), seed, options)
    elif not refit:
        raise typer.BadParameter(
            "name images and an --output, or ask for --benchmark or --refit", param_hint="SOURCE"
        )


def _uri(device: str, fabric: str) -> str:
    """The device URI, with the fabric where the user named a bare model or rtl."""
    return f"{device}:{fabric}" if device in ("model", "rtl") else device


def _refit(network, model: Path, sigma: float) -> None:
    from ornstein.host.models.data import digits
    from ornstein.host.models.decoder_moments import TRAIN_NOISE_SEED, DecoderMoments

    with stages() as say:
        DecoderMoments.measure(
            network,
            digits().train,
            sigma,
            TRAIN_NOISE_SEED,
            lambda done, total: say("measuring features", done, total),
        ).save(model)


def _benchmark(network, model, folder, options, json_file) -> None:
    """``options`` are those of :func:`ornstein.host.experiments.denoise.run.run_benchmark`."""
    from ornstein.host.experiments.denoise.report import table, write_denoise_page
    from ornstein.host.experiments.denoise.run import run_benchmark
    from ornstein.host.models.data import digits
    from ornstein.host.models.decoder_moments import DecoderMoments

    folder.mkdir(parents=True, exist_ok=True)
    with stages() as say:
        result = run_benchmark(
            network,
            DecoderMoments.load(model),
            digits(),
            **options,
            progress=say,
        )
    page = write_denoise_page(result, folder)
    for path in {folder / "results.json", json_file} - {None}:
        write_json(path, result.results())
    show(table(result))
    remark(f"Report: {page}, results: {folder / 'results.json'}")


def _images(network, model, source, output, uri, seed, options) -> None:
    """Denoise the files one by one; a file that cannot be read is named, and the rest done.

    ``options`` are those of :meth:`SubstrateDecoder.fit`.
    """
    from ornstein.host.devices.device import open_device
    from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
    from ornstein.host.experiments.denoise.files import (
        check_size,
        image_files,
        outputs_for,
        read_images,
        write_images,
    )
    from ornstein.host.experiments.denoise.run import calibration_images, fabric_of
    from ornstein.host.models.data import DataError
    from ornstein.host.models.decoder_moments import DecoderMoments
    from ornstein.host.models.network import EDGE_MULTIPLE

    measured = DecoderMoments.load(model)
    decoder = SubstrateDecoder.fit(network.encoders, measured, **options)
    pairs = list(outputs_for(source, image_files(source), output))
    calibration = network.features(calibration_images(measured.provenance["sigma"]))
    program = decoder.program_for(fabric_of(uri), calibration)
    if source.is_dir():
        output.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    with stages() as say, open_device(uri) as device:
        device.load(program)
        done, total = 0, len(pairs)  # a file may hold several images

        def advance() -> None:
            nonlocal done
            done += 1
            say("denoising", done, total)

        for path, target in pairs:
            try:
                image = read_images(path)
                check_size(image, EDGE_MULTIPLE)
                total += len(image.pixels) - 1
                features = network.features(image.pixels)
                d1, clipped = decoder.decode(device, features, seed=seed, progress=advance)
                write_images(target, network.head(d1), image.single)
            except DataError as error:
                failures.append(str(error))
                total -= 1
                continue
            if clipped:
                errors.print(
                    f"ornstein: {path}: {clipped} features were beyond the program's range and "
                    "were clipped",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
    if len(failures) == 1 == len(pairs):
        raise DataError(failures[0])
    for failure in failures:
        errors.print(f"ornstein: {failure}", markup=False, highlight=False, soft_wrap=True)
    remark(f"Wrote {len(pairs) - len(failures)} of {len(pairs)} to {output}")
    if failures:
        raise DataError(f"{len(failures)} of {len(pairs)} files could not be denoised")


def checked_skips(names: list[str] | None) -> tuple[str, ...]:
    """The skips in the network's order. Raises typer.BadParameter naming those there are."""
    from ornstein.host.models.network import SKIPS

    for name in names or ():
        if name not in SKIPS:
            raise typer.BadParameter(
                f"no encoder block is called {name!r}; there are {', '.join(SKIPS)}",
                param_hint="--skip",
            )
    return tuple(skip for skip in SKIPS if not names or skip in names)


@app.command(
    "score-images",
    epilog="Example:  ornstein score-images net.param --inputs noisy.npy --clean clean.npy "
    "--source e1 --source e2=2 --target d1",
)
def score_images_command(
    network: Annotated[Path, typer.Argument(help="ONNX file, or .param file of ncnn.")],
    inputs: Annotated[
        Path, typer.Option(help=".npy of noisy images (n, channels, height, width).")
    ],
    clean: Annotated[Path, typer.Option(help=".npy of what should come out, as many images.")],
    source: Annotated[
        list[str],
        typer.Option(help="Tensor of the encoder; NAME=2 for half the resolution; repeat it."),
    ],
    target: Annotated[str, typer.Option(help="Tensor that the decoder block gives out.")],
    rank: Annotated[
        list[int] | None, typer.Option(min=1, help="Modes of the coupling; repeat it. Default 32.")
    ] = None,
    held_out: Annotated[int, typer.Option(min=1, help="Images held out for scores.")] = 16,
    device: Annotated[
        str, typer.Option(help="Device URI: model, rtl, float:exact, serial\\[:PORT].")
    ] = "model:ulx3s",
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Score a network's images in dB with its decoder on the substrate."""
    from ornstein.host.compile.program import InputError
    from ornstein.host.experiments.denoise.decoder import RANK
    from ornstein.host.experiments.denoise.foreign import score_images
    from ornstein.host.experiments.denoise.report import table_of
    from ornstein.host.models.capture import OnnxNetwork, read_inputs
    from ornstein.host.models.image_network import ImageNetwork, Source
    from ornstein.host.models.ncnn_files import SUFFIX
    from ornstein.host.models.ncnn_network import NcnnNetwork

    arrays = []
    for path in (inputs, clean):
        read = read_inputs(path)
        if set(read) != {""}:
            raise InputError(f"{path}: an .npz; one array of images is needed, as an .npy")
        arrays.append(read[""])
    kind = NcnnNetwork if network.suffix == SUFFIX else OnnxNetwork
    sources = tuple(Source.parse(text) for text in source)
    cut = ImageNetwork(kind.load(network), sources, target)
    with stages() as say:
        found = score_images(
            cut,
            *arrays,
            ranks=sorted(set(rank or (RANK,))),
            held_out=held_out,
            device=device,
            seed=seed,
            progress=say,
        )
    write_json(json_file, [asdict(row) for row in found])
    show(table_of(f"{network.name}, {held_out} held-out images", found))
