# SPDX-License-Identifier: Apache-2.0
"""``ornstein train``: trains the U-Net whose weights give the couplings."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import JsonOption, SeedOption, app, progress, screen, write_json
from ornstein.sim.toolchain import ToolError


@app.command(
    epilog="Example:  ornstein train --data digits --sigma 0.1 --epochs 12 --output build/model"
)
def train(
    data: Annotated[
        str, typer.Option(help="digits (of scikit-learn), or a folder of MNIST IDX files.")
    ] = "digits",
    sigma: Annotated[
        float, typer.Option(min=0.0, help="Standard deviation of the noise to remove.")
    ] = 0.1,
    base: Annotated[
        int, typer.Option(min=8, help="Channels at full resolution, a multiple of 8.")
    ] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the data.")] = 12,
    seed: SeedOption = 0,
    output: Annotated[Path, typer.Option(help="Folder for weights and activations.")] = Path(
        "build/model"
    ),
    json_file: JsonOption = None,
) -> None:
    """Train the paper's U-Net as a denoiser, and write its weights (needs the \\[train] extra)."""
    from ornstein.host.models.data import digits, mnist

    try:
        from ornstein.host.models import unet
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ToolError(
            "training needs PyTorch; install it with: pip install 'ornstein[train]'"
        ) from None
    images = digits() if data == "digits" else mnist(data)
    command = (
        f"ornstein train --data {Path(data).name} --sigma {sigma:g} --base {base} "
        f"--epochs {epochs} --seed {seed}"
    )
    with progress() as bar:
        task = bar.add_task(f"training on {images.name}", total=epochs)
        net, losses = unet.train(
            images,
            sigma=sigma,
            base=base,
            epochs=epochs,
            seed=seed,
            progress=lambda epoch, loss: bar.update(
                task, completed=epoch, description=f"training on {images.name}, loss {loss:.2e}"
            ),
        )
    output.mkdir(parents=True, exist_ok=True)
    unet.save_model(output, net, images, sigma, losses, seed, command)
    write_json(json_file, {"output": str(output), "losses": losses})
    screen.print(
        f"Wrote {output}; final loss {losses[-1]:.3e}. Next: ornstein demo --model {output}",
        soft_wrap=True,
    )
