# SPDX-License-Identifier: Apache-2.0
"""The paper's denoising U-Net in NumPy: what stays on the host when the substrate decodes.

The topology is that of :mod:`ornstein.host.models.unet`, which trains the network and needs
PyTorch; this module evaluates its weights without PyTorch, in float32. Arrays of features are
(n, channels, height, width). A network for all noise levels has blocks that take a condition, a
vector that tells them the level; to those of the paper's denoiser it is None.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ornstein.host.models.model_file import DEFAULT_MODEL, WEIGHTS_FILE, ModelFileError, read_arrays
from ornstein.host.physics.interface import silu

GROUPS = 8
"""Groups of every group normalisation."""
NORM_EPSILON = 1e-5
"""What PyTorch's GroupNorm adds to a variance before its root is taken."""
SKIPS = ("e1", "e2", "bottleneck")
"""Encoder blocks whose features the decoder reads, from full to quarter resolution."""
DECODER_BLOCKS = ("d2", "d1")
"""Blocks that the substrate replaces."""
SECOND = "bottleneck2"
"""A second block at quarter resolution, which a network that was trained for a substrate has. Four
of its channels at a time are the four pixels of one channel at half resolution."""
SCALE = {"e1": 1, "e2": 2, "bottleneck": 4, SECOND: 4, "d2": 2, "d1": 1}
"""Edge length of an image over that of a block's features."""
EDGE_MULTIPLE = 4
"""Both edges of an image are halved twice."""
_CHUNK = 8
"""Images evaluated at once, which bounds memory: some 100 MB at 64 channels of 32 x 32."""


@dataclass(frozen=True, eq=False)
class Network:
    """Weights of a trained denoiser by the names that PyTorch gives them, float32."""

    weights: dict[str, np.ndarray]

    @classmethod
    def load(cls, path: str | Path = DEFAULT_MODEL) -> "Network":
        """Read a denoiser: a folder of ``ornstein train``, or its weights file.

        Raises ModelFileError, naming the first layer that a network of this topology would have.
        """
        path = Path(path)
        file = path / WEIGHTS_FILE if path.is_dir() else path
        arrays, _ = read_arrays(file)
        needed = ["stem.weight", "stem.bias", "head.weight", "head.bias"]
        for block in (*SKIPS, *DECODER_BLOCKS):
            needed += block_layers(block)
        return cls.of(
            arrays, needed, f"{file}", "ornstein denoise takes networks of ornstein train"
        )

    @classmethod
    def of(
        cls, arrays: dict[str, np.ndarray], needed: list[str], file: str, remedy: str
    ) -> "Network":
        """The network of some arrays. Raises ModelFileError, with the name of the file and the
        remedy, for the first of the ``needed`` layers that is missing.
        """
        for name in needed:
            if name not in arrays:
                raise ModelFileError(f"{file}: no layer {name}; {remedy}")
        return cls({name: array.astype(np.float32) for name, array in arrays.items()})

    @property
    def channels(self) -> dict[str, int]:
        """Channels of the output of every block that the network has."""
        names = {block: f"{block}.conv2.weight" for block in SCALE}
        return {b: len(self.weights[name]) for b, name in names.items() if name in self.weights}

    @property
    def encoders(self) -> dict[str, int]:
        """Channels of the features of the blocks in :data:`SKIPS`, in their order."""
        channels = self.channels
        found = {block: channels[block] for block in SKIPS}
        if SECOND in channels:
            found["bottleneck"] = channels[SECOND] // 4
        return found

    def features(
        self, images: np.ndarray, condition: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Outputs of the blocks in :data:`SKIPS` for images (n, height, width).

        In a network with the block :data:`SECOND`, that one's stand in place of the bottleneck's.

        Raises ValueError unless height and width are multiples of four.
        """
        if images.ndim != 3 or images.shape[1] % EDGE_MULTIPLE or images.shape[2] % EDGE_MULTIPLE:
            raise ValueError(f"images of shape {images.shape} must be (n, 4 a, 4 b)")
        parts = [self._encode(chunk, condition) for chunk in _chunks(images)]
        return {block: np.concatenate([part[block] for part in parts]) for block in SKIPS}

    def decode(
        self, features: dict[str, np.ndarray], condition: np.ndarray | None = None
    ) -> np.ndarray:
        """The network's own d1, (n, channels, height, width), from the encoder's features."""
        return self.decoder_blocks(features, condition)["d1"]

    def decoder_blocks(
        self, features: dict[str, np.ndarray], condition: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Outputs of the blocks in :data:`DECODER_BLOCKS` from the encoder's features."""
        parts = []
        for first in range(0, len(features["e1"]), _CHUNK):
            e1, e2, middle = (features[block][first : first + _CHUNK] for block in SKIPS)
            d2 = self._block("d2", np.concatenate([upsampled(middle, 2), e2], axis=1), condition)
            joined = np.concatenate([upsampled(d2, 2), e1], axis=1)
            parts.append({"d2": d2, "d1": self._block("d1", joined, condition)})
        return {block: np.concatenate([part[block] for part in parts]) for block in DECODER_BLOCKS}

    def head(self, d1: np.ndarray) -> np.ndarray:
        """Images (n, height, width) from the last block's features."""
        return np.concatenate([self._convolution("head", silu(chunk)) for chunk in _chunks(d1)])[
            :, 0
        ]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Denoised images (n, height, width)."""
        return self.head(self.decode(self.features(images)))

    def multiplications(self) -> dict[str, int]:
        """Multiplications per pixel of the input image, by block; normalisations are left out."""
        counts = {name: self.weights[f"{name}.weight"].size for name in ("stem", "head")}
        for block in self.channels:
            size = sum(
                self.weights[name].size
                for layer in ("conv1", "conv2", "shortcut")
                if (name := f"{block}.{layer}.weight") in self.weights
            )
            counts[block] = size // SCALE[block] ** 2
        return counts

    def _encode(self, images: np.ndarray, condition: np.ndarray | None) -> dict[str, np.ndarray]:
        stem = self._convolution("stem", images[:, None].astype(np.float32))
        e1 = self._block("e1", stem, condition)
        e2 = self._block("e2", pooled(e1), condition)
        middle = self._block("bottleneck", pooled(e2), condition)
        if SECOND in self.channels:
            middle = shuffled(self._block(SECOND, middle, condition))
        return {"e1": e1, "e2": e2, "bottleneck": middle}

    def _block(self, block: str, x: np.ndarray, condition: np.ndarray | None) -> np.ndarray:
        """Normalisation, SiLU and convolution, twice, beside the shortcut."""
        hidden = self._convolution(f"{block}.conv1", silu(self._norm(f"{block}.norm1", x)))
        if condition is not None:
            hidden = hidden + self.linear(f"{block}.shift", condition)[:, None, None]
        hidden = self._convolution(f"{block}.conv2", silu(self._norm(f"{block}.norm2", hidden)))
        if f"{block}.shortcut.weight" in self.weights:
            x = self._convolution(f"{block}.shortcut", x)
        return x + hidden

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        """A linear layer of a vector (n,)."""
        return self.weights[f"{name}.weight"] @ x + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        groups = x.reshape(len(x), GROUPS, -1)
        mean, variance = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
        scaled = ((groups - mean) / np.sqrt(variance + NORM_EPSILON)).reshape(x.shape)
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return scaled * weight[:, None, None] + bias[:, None, None]

    def _convolution(self, name: str, x: np.ndarray) -> np.ndarray:
        """A convolution of odd size with zeros around the image."""
        weight = self.weights[f"{name}.weight"]
        out, _, size, _ = weight.shape
        count, _, height, width = x.shape
        margin = size // 2
        padded = np.pad(x, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        windows = sliding_window_view(padded, (size, size), axis=(2, 3))
        # one product for each image: its sums are then rounded alike however many there are
        columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(count, height * width, -1)
        result = columns @ weight.reshape(out, -1).T + self.weights[f"{name}.bias"]
        return result.reshape(count, height, width, out).transpose(0, 3, 1, 2)


def block_layers(block: str, *more: str) -> list[str]:
    """Names of the weights that a block has at least; ``more`` layers beside those of the paper."""
    layers = ("norm1", "conv1", "norm2", "conv2", *more)
    return [f"{block}.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def pooled(x: np.ndarray) -> np.ndarray:
    """Means of two by two pixels."""
    n, channels, height, width = x.shape
    return x.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


def upsampled(x: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel ``factor`` times in both directions: nearest neighbour."""
    return x.repeat(factor, axis=2).repeat(factor, axis=3)


def shuffled(x: np.ndarray) -> np.ndarray:
    """(n, channels / 4, 2 height, 2 width): four channels at a time as the pixels of a patch of two
    by two [Shi et al. 2016, arXiv 1609.05158].
    """
    n, channels, height, width = x.shape
    patches = x.reshape(n, channels // 4, 2, 2, height, width).transpose(0, 1, 4, 2, 5, 3)
    return patches.reshape(n, channels // 4, 2 * height, 2 * width)


def full_size(features: dict[str, np.ndarray]) -> tuple[int, int]:
    """(height, width) of the finest of some features."""
    return max(part.shape[2:] for part in features.values())


def pixels(features: dict[str, np.ndarray], blocks: tuple[str, ...] = SKIPS) -> np.ndarray:
    """(n * height * width, channels): the features of ``blocks`` at every pixel of the finest one.

    Coarser features are repeated up to full resolution; columns follow the order of ``blocks``.
    """
    height, _ = full_size(features)
    parts = [upsampled(features[b], height // features[b].shape[2]) for b in blocks]
    return np.concatenate([rows(part) for part in parts], axis=1)


def rows(features: np.ndarray) -> np.ndarray:
    """(n, channels, height, width) as one row a pixel."""
    return features.transpose(0, 2, 3, 1).reshape(-1, features.shape[1])


def image_of(pixel_rows: np.ndarray, height: int, width: int) -> np.ndarray:
    """The inverse of :func:`rows`: (n, channels, height, width)."""
    return pixel_rows.reshape(-1, height, width, pixel_rows.shape[1]).transpose(0, 3, 1, 2)


def _chunks(x: np.ndarray):
    for first in range(0, len(x), _CHUNK):
        yield x[first : first + _CHUNK]
