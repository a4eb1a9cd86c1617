# SPDX-License-Identifier: Apache-2.0
"""Training of a diffusion model for the substrate that will run its decoder. Needs PyTorch.

The network is a U-Net conditioned on the noise level. Its decoder is either the U-Net's own blocks
or the equilibrium of a substrate: the features of all encoder blocks at a pixel drive encoder
modules, one coupling of rank k carries them to the decoder module, and the head makes the image
from the decoder's means. The training differentiates through that equilibrium, as
quantization-aware training does through a number format, so encoders, coupling and head are made
for each other.

With J = STRENGTH A B' / |A B'|_2 the energy of :mod:`ornstein.host.physics.alignment` has
M = 2 j2 [[I, -J], [-J', I]], and its decoder relaxes to (I - J'J)^-1 J' x. Every J has singular
values of at most STRENGTH < 1, so M is positive definite at every step of the training.
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

from ornstein.host.models.data import Images
from ornstein.host.models.diffusion import COUPLING_FILE, DEVIATION, SUBSTRATE, UNET, centred
from ornstein.host.models.model_file import WEIGHTS_FILE
from ornstein.host.models.noise_levels import (
    FREQUENCIES,
    HIGHEST,
    LOWEST,
    Preconditioning,
    noise_features,
)
from ornstein.host.models.unet import Encoder, ResBlock, UNet
from ornstein.host.physics.alignment import STRENGTH
from ornstein.host.physics.couplings import signed

CONDITION = 64
"""Numbers that tell every block the noise level."""
LOG_SPREAD = 1.2
"""Standard deviation of ln(sigma) in the training [Karras et al. 2022, table 1]; its mean is that
of the first and the last level."""
_EPSILON = 1e-5
"""What is added to a feature's variance before its root is taken."""
_MOMENTUM = 0.01
"""Weight of one batch in the running mean and variance of the features."""


class NoiseEmbedding(nn.Module):
    """What every block is told of the noise level, (n, CONDITION)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * len(FREQUENCIES), CONDITION)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.silu(self.linear(features))


class ConditionedUNet(UNet):
    """The U-Net with its own decoder, told the noise level."""

    def __init__(self, base: int):
        super().__init__(base, CONDITION)
        self.embedding = NoiseEmbedding()

    def forward(self, noisy: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Returns the network's output for scaled images (n, 1, side, side) and the features
        (n, 16) of their noise levels.
        """
        return super().forward(noisy, self.embedding(condition))


class SubstrateUNet(Encoder):
    """The same encoders and a second block at quarter resolution, one coupling of rank ``rank`` as
    the decoder, and the head.

    Of the last block's channels, four at a time are the four pixels of one channel at half
    resolution, so that each of them has features of its own.
    """

    def __init__(self, base: int, rank: int):
        super().__init__(base, CONDITION)
        self.bottleneck2 = ResBlock(4 * base, 4 * base, CONDITION)
        self.decoder = Equilibrium((base, 2 * base, base), base, rank)
        self.head = nn.Conv2d(base, 1, 3, padding=1)
        self.embedding = NoiseEmbedding()

    def forward(self, noisy: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """See :meth:`ConditionedUNet.forward`."""
        level = self.embedding(condition)
        e1, e2, middle = self.encode(noisy, level)
        fine = F.pixel_shuffle(self.bottleneck2(middle, level), 2)
        return self.head(F.silu(self.decoder((e1, e2, fine))))


class Equilibrium(nn.Module):
    """Means of a decoder module in equilibrium with encoder modules that the features drive.

    Attributes
    ----------
    standard : centring and scaling of the features of each encoder block
    encoder_factor, decoder_factor : A (features, rank) and B (units, rank)
    gain, offset : (units,) of the read-out
    """

    def __init__(self, channels: tuple[int, ...], units: int, rank: int):
        super().__init__()
        self.channels = channels
        self.standard = nn.ModuleList(
            nn.BatchNorm2d(size, _EPSILON, _MOMENTUM, affine=False) for size in channels
        )
        # J does not depend on the size of A and B, but how fast they turn does
        self.encoder_factor = nn.Parameter(torch.randn(sum(channels), rank) / sum(channels) ** 0.5)
        self.decoder_factor = nn.Parameter(torch.randn(units, rank) / units**0.5)
        self.gain = nn.Parameter(torch.full((units,), 2.0))
        self.offset = nn.Parameter(torch.zeros(units))

    def coupling(self) -> torch.Tensor:
        """J (features, units), its largest singular value STRENGTH."""
        product = self.encoder_factor @ self.decoder_factor.T
        return STRENGTH * product / torch.linalg.matrix_norm(product, 2)

    def forward(self, features: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The read-out (n, units, side, side) of features, the first at full resolution."""
        coupling = self.coupling()
        inverse = torch.eye(coupling.shape[1]) - coupling.T @ coupling
        response = torch.linalg.solve(inverse, coupling.T)
        means = torch.zeros(())
        side = features[0].shape[2]
        for values, standard, part in zip(
            features, self.standard, response.split(self.channels, 1), strict=True
        ):
            carried = F.conv2d(standard(values), part[:, :, None, None])
            factor = side / carried.shape[2]
            means = means + (F.interpolate(carried, scale_factor=factor) if factor > 1 else carried)
        return self.gain[:, None, None] * means + self.offset[:, None, None]

    @torch.no_grad()
    def arrays(self) -> dict[str, np.ndarray]:
        """What :class:`ornstein.host.models.diffusion.TrainedCoupling` holds, float32."""
        rank = self.encoder_factor.shape[1]
        left, values, right = np.linalg.svd(self.coupling().double().numpy(), full_matrices=False)
        right = right[:rank].T
        v = signed(right)
        arrays = {
            "encoder_modes": left[:, :rank] * np.sign(np.sum(v * right, axis=0)),
            "strengths": values[:rank],
            "decoder_modes": v,
            "centre": self._statistic("running_mean"),
            "deviation": np.sqrt(self._statistic("running_var") + _EPSILON),
            "gain": self.gain.numpy(),
            "offset": self.offset.numpy(),
        }
        return {name: np.ascontiguousarray(a, np.float32) for name, a in arrays.items()}

    def _statistic(self, name: str) -> np.ndarray:
        """A running statistic of all features."""
        return torch.cat([standard.get_buffer(name) for standard in self.standard]).numpy()


def train(
    images: Images,
    decoder: str,
    rank: int = 16,
    base: int = 32,
    epochs: int = 60,
    batch: int = 32,
    rate: float = 2e-3,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[ConditionedUNet | SubstrateUNet, list[float]]:
    """Trains a diffusion model on ``images.train``; both kinds of decoder in the same way.

    Noise levels are drawn from a log-normal distribution. Adam under a one-cycle rate with peak
    ``rate`` minimises the error of EDM, the mean squared error of the network's own output. In the
    second half of the epochs the centring and scaling of the features are constants, as they are on
    the device.

    Parameters
    ----------
    decoder : "unet" or "substrate"
    rank : of the substrate's coupling
    progress : is told (epoch, loss) after every epoch

    Returns
    -------
    The network, and the loss of every epoch
    """
    torch.manual_seed(seed)
    net: ConditionedUNet | SubstrateUNet
    net = ConditionedUNet(base) if decoder == UNET else SubstrateUNet(base, rank)
    # PyTorch's type hints do not know this argument of Module.to.
    net = cast(Any, net).to(memory_format=torch.channels_last)
    clean = torch.from_numpy(centred(images.train).astype(np.float32)).unsqueeze(1)
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    steps = epochs * -(-len(clean) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    losses = []
    for epoch in range(epochs):
        net.train(epoch < epochs // 2)
        total = 0.0
        for index in torch.randperm(len(clean)).split(batch):
            loss = _loss(net, clean[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(index)
        losses.append(total / len(clean))
        if progress:
            progress(epoch + 1, losses[-1])
    return net.eval(), losses


def _loss(net: ConditionedUNet | SubstrateUNet, clean: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the network's output at noise levels drawn for clean images."""
    middle = np.log(HIGHEST * LOWEST) / 2
    levels = torch.exp(middle + LOG_SPREAD * torch.randn(len(clean)))
    condition = torch.from_numpy(noise_features(levels.numpy()))
    sigma, scales = levels[:, None, None, None], Preconditioning(DEVIATION)
    noisy = clean + sigma * torch.randn_like(clean)
    target = (clean - scales.skip(sigma) * noisy) / scales.output(sigma)
    scaled = (scales.input(sigma) * noisy).contiguous(memory_format=torch.channels_last)
    return F.mse_loss(net(scaled, condition), target)


def save(
    path: str | Path,
    net: ConditionedUNet | SubstrateUNet,
    images: Images,
    losses: list[float],
    seed: int,
    command: str,
) -> None:
    """Writes the network, and a substrate's coupling, into folder ``path`` with their provenance.

    Weights are float16, the coupling float32.
    """
    provenance = {
        "command": command,
        "data": images.name,
        "decoder": UNET if isinstance(net, ConditionedUNet) else SUBSTRATE,
        "base": net.base,
        "seed": seed,
        "epochs": len(losses),
        "losses": [round(loss, 5) for loss in losses],
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
        name: np.ascontiguousarray(value.half().numpy())
        for name, value in net.state_dict().items()
        if not name.startswith("decoder.")
    }
    save_file(weights, path / WEIGHTS_FILE, metadata)
    if isinstance(net, SubstrateUNet):
        save_file(net.decoder.arrays(), path / COUPLING_FILE, metadata)
