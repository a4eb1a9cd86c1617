# SPDX-License-Identifier: Apache-2.0
"""``ornstein train``: trains the networks that run on the substrate."""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import JsonOption, SeedOption, app, progress, remark, write_json
from ornstein.sim.toolchain import ToolError, install_command


@app.command(
    epilog="Examples:  ornstein train --data digits --sigma 0.1 --epochs 12 --output build/model"
    "\n\nornstein train --decoder substrate --rank 16 --output build/substrate-16"
)
def train(
    data: Annotated[
        str, typer.Option(help="digits (of scikit-learn), or a folder of MNIST IDX files.")
    ] = "digits",
    sigma: Annotated[
        float, typer.Option(min=0.0, help="Standard deviation of the noise to remove.")
    ] = 0.1,
    decoder: Annotated[
        str | None,
        typer.Option(
            help="Train a diffusion model of digits for all noise levels instead, its decoder a "
            "substrate or that of the unet."
        ),
    ] = None,
    rank: Annotated[
        int, typer.Option(min=1, help="Modes of the coupling of a substrate's decoder.")
    ] = 16,
    base: Annotated[
        int | None,
        typer.Option(
            min=8,
            help="Channels at full resolution, a multiple of 8; default 64, with --decoder 32.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the data; default 12, with --decoder 60."),
    ] = None,
    seed: SeedOption = 0,
    output: Annotated[Path, typer.Option(help="Folder for the trained network.")] = Path(
        "build/model"
    ),
    json_file: JsonOption = None,
) -> None:
    """Train the paper's U-Net as a denoiser, or a diffusion model whose decoder is a substrate
    (needs the \\[train] extra).
    """
    if decoder is None:
        losses = _train_denoiser(data, sigma, base or 64, epochs or 12, seed, output)
        following = f"ornstein demo --model {output}"
    else:
        losses = _train_diffusion(data, decoder, rank, base or 32, epochs or 60, seed, output)
        following = f"ornstein generate --model {output}"
    write_json(json_file, {"output": str(output), "losses": losses})
    remark(f"Wrote {output}; final loss {losses[-1]:.3e}. Next: {following}")


def _train_denoiser(
    data: str, sigma: float, base: int, epochs: int, seed: int, output: Path
) -> list[float]:
    """The loss of every epoch; the network is in the folder ``output``."""
    from ornstein.host.models.data import digits, mnist

    with _pytorch():
        from ornstein.host.models import unet
    images = digits() if data == "digits" else mnist(data)
    command = (
        f"ornstein train --data {Path(data).name} --sigma {sigma:g} --base {base} "
        f"--epochs {epochs} --seed {seed}"
    )
    with _training(images.name, epochs) as advance:
        net, losses = unet.train(
            images, sigma=sigma, base=base, epochs=epochs, seed=seed, progress=advance
        )
    unet.save_model(output, net, images, sigma, losses, seed, command)
    return losses


def _train_diffusion(
    data: str, decoder: str, rank: int, base: int, epochs: int, seed: int, output: Path
) -> list[float]:
    """The loss of every epoch; the network is in the folder ``output``."""
    from ornstein.host.models.diffusion import DECODERS, SUBSTRATE, diffusion_digits

    if decoder not in DECODERS:
        raise typer.BadParameter(
            f"no decoder is called {decoder!r}; there are {', '.join(DECODERS)}",
            param_hint="--decoder",
        )
    if data != "digits":
        raise typer.BadParameter(
            "diffusion models are trained on scikit-learn's digits only", param_hint="--data"
        )
    if decoder == SUBSTRATE and rank > base:
        raise typer.BadParameter(
            f"rank {rank} is more than the decoder's {base} units", param_hint="--rank"
        )
    with _pytorch():
        from ornstein.host.models import diffusion_training
    images = diffusion_digits()
    command = f"ornstein train --decoder {decoder}"
    command += f" --rank {rank}" if decoder == SUBSTRATE else ""
    command += f" --base {base} --epochs {epochs} --seed {seed}"
    with _training(images.name, epochs) as advance:
        net, losses = diffusion_training.train(
            images, decoder, rank, base, epochs, seed=seed, progress=advance
        )
    diffusion_training.save(output, net, images, losses, seed, command)
    return losses


@contextmanager
def _pytorch():
    """Raises ToolError, with the command that installs it, where PyTorch is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolError(
            f"training needs PyTorch; install it with: {install_command('train')}"
        ) from None


@contextmanager
def _training(name: str, epochs: int):
    """Gives a function that is told (epoch, loss) and shows both."""
    with progress() as bar:
        task = bar.add_task(f"training on {name}", total=epochs)

        def advance(epoch: int, loss: float) -> None:
            bar.update(task, completed=epoch, description=f"training on {name}, loss {loss:.2e}")

        yield advance
