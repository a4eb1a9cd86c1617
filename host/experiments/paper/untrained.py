# SPDX-License-Identifier: Apache-2.0
"""The untrained network of the paper's own script, D = 128, made again from its seed.

This is what the author's script (github.com/aditixde/thermodynamic-diffusion-inference,
run_experiments.py) builds where it does not train: four input channels, convolution before
GroupNorm, bilinear upsampling, PyTorch's default initial weights from seed 42, and 256 + 64 images
of pure noise from seed 0. Layers are made in the script's order, so the weights are the same bits.
The trained denoiser of :mod:`ornstein.host.models.unet` follows the paper's text instead. Needs
PyTorch.
"""

import json
import platform
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import nn

from ornstein.host.experiments.paper.subjects import SIGNS_NAME
from ornstein.host.models.model_file import ACTIVATIONS_FILE, WEIGHTS_FILE
from ornstein.host.physics.couplings import gram, gram_factors

COMMAND = "ornstein paper --remake-untrained"
CHANNELS = 128
TRAIN, TEST = 256, 64
_NET_SEED, _INPUT_SEED = 42, 0


class _Block(nn.Module):
    """Convolution, GroupNorm, SiLU, convolution, GroupNorm, beside a shortcut; SiLU of the sum."""

    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(8, channels_out), nn.GroupNorm(8, channels_out)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns the block's output (n, channels_out, side, side)."""
        hidden = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x)))))
        return F.silu(hidden + self.shortcut(x))


class UntrainedNet(nn.Module):
    """Stem, e1, e2, bottleneck, d2, d1 with channels 1:2:4 from ``channels``; two skips."""

    def __init__(self, channels: int = CHANNELS):
        super().__init__()
        one, two, four = channels, 2 * channels, 4 * channels
        self.stem = nn.Conv2d(4, one, 3, padding=1)
        self.e1, self.e2, self.bottleneck = _Block(one, one), _Block(one, two), _Block(two, four)
        self.d2, self.d1 = _Block(four + two, two), _Block(two + one, one)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns spatial means (n, channels) of e1 and of d1.

        Images are (n, 4, side, side), and 4 divides side.
        """

        def up(x):
            return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

        e1 = self.e1(F.silu(self.stem(images)))
        e2 = self.e2(F.avg_pool2d(e1, 2))
        middle = self.bottleneck(F.avg_pool2d(e2, 2))
        d2 = self.d2(torch.cat([up(middle), e2], 1))
        d1 = self.d1(torch.cat([up(d2), e1], 1))
        return e1.mean((2, 3)), d1.mean((2, 3))


def make_net() -> UntrainedNet:
    """Returns the network with the script's weights."""
    torch.manual_seed(_NET_SEED)
    return UntrainedNet().eval()


def square_weight(weight: torch.Tensor) -> np.ndarray:
    """Returns the first D columns of a convolution's flattened weight (D, in * kh * kw).

    Its Gram matrix reads no more.
    """
    return np.ascontiguousarray(weight.detach().reshape(len(weight), -1)[:, : len(weight)].numpy())


def script_signs(weights: dict[str, np.ndarray], columns: int = 64) -> np.ndarray:
    """Returns the sign (columns,) of every mode of the script's skip relative to our convention.

    The script takes whatever signs the float32 singular value decomposition of each Gram matrix
    comes with. The result is int8.
    """
    relative = np.ones(columns)
    for weight in weights.values():
        matrix = torch.from_numpy(weight)
        left, _, _ = torch.linalg.svd(matrix.T @ matrix / 4)
        relative *= np.sign(
            np.sum(left[:, :columns].numpy() * gram_factors(gram(weight), columns), axis=0)
        )
    return relative.astype(np.int8)


@torch.no_grad()
def save_untrained(path: str | Path) -> None:
    """Writes weights and activations in float32, with their provenance, into a folder.

    :meth:`ornstein.host.models.model_file.TrainedModel.load` reads it.
    """
    net = make_net()
    torch.manual_seed(_INPUT_SEED)
    images = torch.randn(TRAIN + TEST, 4, 32, 32)
    x, y = (torch.cat(parts).numpy() for parts in zip(*map(net, images.split(32)), strict=True))
    provenance = {
        "command": COMMAND,
        "data": "noise",
        "base": CHANNELS,
        "net_seed": _NET_SEED,
        "input_seed": _INPUT_SEED,
        "weights": "untrained, PyTorch's default initialisation; first D columns of the flattened "
        "convolutions",
        "source": "network and inputs as in run_experiments.py of "
        "aditixde/thermodynamic-diffusion-inference",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    metadata = {"provenance": json.dumps(provenance)}
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    weights = {
        f"{name}.conv1.weight": square_weight(getattr(net, name).conv1.weight)
        for name in ("e1", "d1")
    }
    save_file({**weights, SIGNS_NAME: script_signs(weights)}, path / WEIGHTS_FILE, metadata)
    parts = {"train": slice(TRAIN), "test": slice(TRAIN, None)}
    save_file(
        {
            f"{block}_{part}": np.ascontiguousarray(values[where])
            for block, values in (("e1", x), ("d1", y))
            for part, where in parts.items()
        },
        path / ACTIVATIONS_FILE,
        metadata,
    )
