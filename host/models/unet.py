# SPDX-License-Identifier: Apache-2.0
"""The paper's denoising U-Net: its topology, its training and its activations. Needs PyTorch.

The network maps a noisy image to the clean one. It has a stem, the residual blocks e1, e2,
bottleneck, d2 and d1, and two skips, with channels 1:2:4 over 32x32, 16x16 and 8x8 pixels. The
substrate works on the spatial means of the block outputs: encoder activations x and decoder
activations y of the same resolution.

A trained network is written as two safetensors files, which
:mod:`ornstein.host.models.model_file` reads without PyTorch.
"""

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

from ornstein.host.models.data import Images, add_noise
from ornstein.host.models.model_file import ACTIVATIONS_FILE, WEIGHTS_FILE

STAGES = ("e1", "e2", "d2", "d1")
"""Blocks whose spatial means are kept."""
_GROUPS = 8
"""Groups of every GroupNorm."""
_TRAIN_NOISE_SEED, _TEST_NOISE_SEED = 1001, 1002
"""Seeds of the noise on the images whose activations are kept."""


class ResBlock(nn.Module):
    """Two times GroupNorm, SiLU and a 3x3 convolution, beside a shortcut.

    The shortcut is a 1x1 convolution if the channel count changes. ``conv1.weight`` (channels_out,
    channels_in, 3, 3) is the convolution whose Gram matrix becomes a module's coupling. A block
    with a ``condition`` of so many numbers adds a linear map of it to the first convolution's
    channels.
    """

    def __init__(self, channels_in: int, channels_out: int, condition: int = 0):
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(_GROUPS, channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.shortcut = (
            nn.Identity()
            if channels_in == channels_out
            else nn.Conv2d(channels_in, channels_out, 1)
        )
        if condition:
            self.shift = nn.Linear(condition, channels_out)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Returns the block's output (n, channels_out, h, w) for x (n, channels_in, h, w) and, in a
        conditioned block, ``condition`` (n, numbers).
        """
        hidden = self.conv1(F.silu(self.norm1(x)))
        if condition is not None:
            hidden = hidden + self.shift(condition)[:, :, None, None]
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(hidden)))


class Encoder(nn.Module):
    """The stem and the encoder blocks, with ``base`` channels at full resolution."""

    def __init__(self, base: int, condition: int = 0):
        super().__init__()
        self.base = base
        self.stem = nn.Conv2d(1, base, 3, padding=1)
        self.e1 = ResBlock(base, base, condition)
        self.e2 = ResBlock(base, 2 * base, condition)
        self.bottleneck = ResBlock(2 * base, 4 * base, condition)

    def encode(
        self, noisy: torch.Tensor, condition: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns the outputs of e1, e2 and bottleneck for noisy images (n, 1, side, side).

        The side must be divisible by 4.
        """
        e1 = self.e1(self.stem(noisy), condition)
        e2 = self.e2(F.avg_pool2d(e1, 2), condition)
        return e1, e2, self.bottleneck(F.avg_pool2d(e2, 2), condition)


class UNet(Encoder):
    """A denoiser of one-channel images with ``base`` channels at full resolution.

    64 channels give modules of D = 64 units.
    """

    def __init__(self, base: int = 64, condition: int = 0):
        super().__init__(base, condition)
        self.d2 = ResBlock(4 * base + 2 * base, 2 * base, condition)
        self.d1 = ResBlock(2 * base + base, base, condition)
        self.head = nn.Conv2d(base, 1, 3, padding=1)

    def stages(
        self, noisy: torch.Tensor, condition: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Returns the outputs of the blocks in STAGES for noisy images (n, 1, side, side).

        The side must be divisible by 4.
        """
        e1, e2, middle = self.encode(noisy, condition)
        d2 = self.d2(torch.cat([F.interpolate(middle, scale_factor=2.0), e2], 1), condition)
        d1 = self.d1(torch.cat([F.interpolate(d2, scale_factor=2.0), e1], 1), condition)
        return {"e1": e1, "e2": e2, "d2": d2, "d1": d1}

    def forward(self, noisy: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Returns denoised images of the shape of ``noisy``, (n, 1, side, side)."""
        return self.head(F.silu(self.stages(noisy, condition)["d1"]))


def train(
    images: Images,
    sigma: float = 0.1,
    base: int = 64,
    epochs: int = 12,
    batch: int = 64,
    rate: float = 1e-3,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[UNet, list[float]]:
    """Trains a denoiser on ``images.train``, with fresh noise of deviation ``sigma`` every epoch.

    Adam under a one-cycle rate with peak ``rate`` minimises the mean squared error per pixel. The
    same seed, versions and number of threads give the same network.

    Parameters
    ----------
    progress : is told (epoch, loss) after every epoch

    Returns
    -------
    The network, and the loss of every epoch
    """
    torch.manual_seed(seed)
    # PyTorch's type hints do not know this argument of Module.to.
    net: UNet = cast(Any, UNet(base)).to(memory_format=torch.channels_last)
    clean = torch.from_numpy(images.train.astype(np.float32)).unsqueeze(1)
    steps = -(-len(clean) // batch)
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps)
    losses = []
    for epoch in range(epochs):
        total = 0.0
        for index in torch.randperm(len(clean)).split(batch):
            target = clean[index]
            noisy = (target + sigma * torch.randn_like(target)).contiguous(
                memory_format=torch.channels_last
            )
            loss = F.mse_loss(net(noisy), target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(index)
        losses.append(total / len(clean))
        if progress:
            progress(epoch + 1, losses[-1])
    return net, losses


@torch.no_grad()
def activations(
    net: UNet, images: np.ndarray, sigma: float, seed: int, batch: int = 64
) -> dict[str, np.ndarray]:
    """Returns the spatial means of every stage, float32 (n, channels), by its name.

    Noise is drawn once for each of the ``images`` (n, side, side).
    """
    net.eval()
    noisy = torch.from_numpy(add_noise(images, sigma, seed).astype(np.float32)).unsqueeze(1)
    parts = [
        net.stages(chunk.contiguous(memory_format=torch.channels_last))
        for chunk in noisy.split(batch)
    ]
    return {
        stage: torch.cat([part[stage].mean((2, 3)) for part in parts]).numpy() for stage in STAGES
    }


def save_model(
    path: str | Path,
    net: UNet,
    images: Images,
    sigma: float,
    losses: list[float],
    seed: int,
    command: str,
) -> None:
    """Writes the network and its activations into folder ``path``.

    Weights are rounded to float16 first and the activations are computed with the rounded weights,
    so the two files belong to each other exactly. Both carry the provenance as metadata: command,
    seed, data, versions, epochs, losses.
    """
    rounded = {name: value.half() for name, value in net.state_dict().items()}
    net.load_state_dict({name: value.float() for name, value in rounded.items()})
    provenance = {
        "command": command,
        "data": images.name,
        "sigma": sigma,
        "base": net.base,
        "seed": seed,
        "epochs": len(losses),
        "losses": [round(loss, 7) for loss in losses],
        "noise_seeds": [_TRAIN_NOISE_SEED, _TEST_NOISE_SEED],
        "weights": "float16; activations computed with the rounded weights",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    metadata = {"provenance": json.dumps(provenance)}
    kept = {}
    for part, source, noise_seed in (
        ("train", images.train, _TRAIN_NOISE_SEED),
        ("test", images.test, _TEST_NOISE_SEED),
    ):
        for stage, values in activations(net, source, sigma, noise_seed).items():
            kept[f"{stage}_{part}"] = values
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    weights = {name: np.ascontiguousarray(value.numpy()) for name, value in rounded.items()}
    save_file(weights, path / WEIGHTS_FILE, metadata)
    save_file(kept, path / ACTIVATIONS_FILE, metadata)
