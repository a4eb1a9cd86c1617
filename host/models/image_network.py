# SPDX-License-Identifier: Apache-2.0
"""A network from images to images, cut open where a substrate takes the place of its decoder.

Anything that is run by named tensors can be cut: an ONNX file, or one of ncnn. Tensors of the
encoder go out, the features of a decoder block come back in, and the layers behind that block, the
head, make the image.
"""

from dataclasses import dataclass

import numpy as np

from ornstein.host.compile.program import InputError
from ornstein.host.models.capture import OnnxNetwork
from ornstein.host.models.ncnn_network import NcnnNetwork
from ornstein.host.models.network import upsampled
from ornstein.host.models.pixel_decoder import Features
from ornstein.host.models.tensor_files import ModelFileError


@dataclass(frozen=True)
class Source:
    """A tensor of the encoder.

    Attributes
    ----------
    name : of the tensor (n, channels, height, width)
    factor : edge length of the decoder block's pixels over that of this tensor's, in whole numbers
    """

    name: str
    factor: int

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Reads NAME, or NAME=FACTOR. Raises ModelFileError."""
        name, _, factor = text.rpartition("=")
        if not name:
            return cls(text, 1)
        if not factor.isdecimal() or int(factor) < 1:
            raise ModelFileError(
                f"{text!r} is no tensor; write NAME, or NAME=2 for one of half the resolution"
            )
        return cls(name, int(factor))


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """A network of one input and one output, both images (n, channels, height, width).

    The output may be smaller than the input, as it is without padding. Pixels are aligned by their
    centres.

    Attributes
    ----------
    network : runs it
    sources : tensors of the encoder that reach the decoder
    target : name of the decoder block's tensor
    """

    network: OnnxNetwork | NcnnNetwork
    sources: tuple[Source, ...]
    target: str

    @property
    def output(self) -> str:
        """Name of the tensor of the image. Raises ModelFileError if there is more than one."""
        outputs = self.network.outputs
        if len(outputs) != 1:
            raise ModelFileError(
                f"{self.network.path}: gives out {', '.join(outputs)}; a network of one image is "
                "needed"
            )
        return outputs[0]

    def run(self, images: np.ndarray) -> tuple[Features, np.ndarray, np.ndarray]:
        """Runs the whole network on images (n, channels, height, width).

        Returns
        -------
        The sources' features at the pixels of the target, the target (n, channels, h, w), and the
        images that come out
        """
        names = [source.name for source in self.sources]
        found = self._runner({"": images}, [*names, self.target, self.output])
        target = found[self.target]
        if target.ndim != 4:
            raise ModelFileError(
                f"tensor {self.target} has shape {target.shape}; a decoder block gives out "
                "(n, channels, height, width)"
            )
        size = target.shape[2:]
        features = {s.name: aligned(found[s.name], s, size) for s in self.sources}
        return features, target, found[self.output]

    def head(self, images: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Images that come out when ``target`` takes the place of the decoder block's features."""
        (name,) = self._input_names()
        return self._runner({name: images, self.target: target}, [self.output])[self.output]

    def _input_names(self) -> list[str]:
        names = self.network.inputs
        if len(names) != 1:
            raise ModelFileError(
                f"{self.network.path}: takes {', '.join(names)}; a network of one image is needed"
            )
        return names

    def _runner(self, inputs: Features, tensors: list[str]) -> Features:
        run, fed = self.network.runner(inputs, tensors)
        return dict(run(fed, tensors))


def aligned(values: np.ndarray, source: Source, size: tuple[int, int]) -> np.ndarray:
    """Features (n, channels, h, w) repeated to full resolution and cut to the middle ``size``.

    Raises ModelFileError if they do not cover it.
    """
    if values.ndim == 4:
        cut = _cut(upsampled(values, source.factor), size)
        if cut is not None:
            return cut
    raise ModelFileError(
        f"tensor {source.name} has shape {values.shape}, which {source.factor} times as large does "
        f"not cover {size[0]} x {size[1]} pixels; give its factor, as in {source.name}=2"
    )


def middle(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of images (n, channels, height, width). Raises InputError if they are smaller."""
    cut = _cut(images, size)
    if cut is None:
        raise InputError(
            f"images of {images.shape[2]} x {images.shape[3]} pixels are smaller than those that "
            f"come out, {size[0]} x {size[1]}"
        )
    return cut


def _cut(images: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """The middle of images (n, channels, height, width); None if they are smaller."""
    margins = [have - want for have, want in zip(images.shape[2:], size, strict=True)]
    if min(margins) < 0:
        return None
    top, left = (margin // 2 for margin in margins)
    return images[:, :, top : top + size[0], left : left + size[1]]
