# SPDX-License-Identifier: Apache-2.0
"""Files of ncnn, read without it: layers of a .param file, and their weights in the .bin beside it.

A .param file is text: a magic number, the number of layers and of blobs, and one line a layer with
its type, its name, the blobs that it takes and gives out, and numbers by their index. The .bin file
holds the weights one after the other, in the order of the layers and with nothing that names them,
so how many each layer has must be known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SUFFIX = ".param"
_MAGIC = "7767517"
_CONVOLUTIONS = {"Convolution", "ConvolutionDepthWise", "Deconvolution", "DeconvolutionDepthWise"}
_FLOAT16, _FLOAT32 = 0x01306B47, 0x0002C056
"""Tags of weights in float16 and in float32; untagged ones, with a tag of 0, are float32 too."""
_FROM_BLOB = -233
"""Size of a Scale layer whose factors are a blob."""


class NcnnFileError(ValueError):
    """A file is not one of ncnn, or its weights are of a kind that is not read."""


@dataclass(frozen=True)
class NcnnLayer:
    """One line of a .param file.

    Attributes
    ----------
    type, name : of the layer
    inputs, outputs : names of its blobs; copies that a Split makes have the name of what is copied
    parameters : numbers by their index, as text
    """

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: dict[int, str]

    def number(self, index: int, default: int = 0) -> int:
        """Returns the integer at an index."""
        return int(self.parameters.get(index, default))

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of a convolution's kernel."""
        width = self.number(1)
        return self.number(11, width), width

    @property
    def stride(self) -> int:
        """Pixels from one application of a kernel to the next one in its row."""
        return self.number(3, 1)

    @property
    def weight_shape(self) -> tuple[int, ...] | None:
        """(out, in, height, width) of a convolution's weight, (out, in) of a linear layer's."""
        if self.type in _CONVOLUTIONS and self.number(6):
            out, (height, width) = self.number(0), self.kernel
            return out, self.number(6) // (out * height * width), height, width
        if self.type == "InnerProduct" and self.number(2):
            return self.number(0), self.number(2) // self.number(0)
        return None


def read_layers(path: Path) -> list[NcnnLayer]:
    """Returns the layers of a .param file in their order, without those that only copy a blob.

    Raises NcnnFileError, and OSError.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        if not lines or lines[0].strip() != _MAGIC:
            raise ValueError(f"its first line is not {_MAGIC}")
        count = int(lines[1].split()[0])
        layers = [_layer(line) for line in lines[2:] if line.strip()]
        if len(layers) != count:
            raise ValueError(f"it holds {len(layers)} layers and announces {count}")
    except (UnicodeDecodeError, IndexError, ValueError) as error:
        raise NcnnFileError(str(error)) from None
    return _without_copies(layers)


def _layer(line: str) -> NcnnLayer:
    kind, name, takes, gives, *rest = line.split()
    ends = int(takes), int(takes) + int(gives)
    numbers = (word.partition("=") for word in rest[ends[1] :])
    parameters = {int(index): value for index, _, value in numbers}
    return NcnnLayer(kind, name, tuple(rest[: ends[0]]), tuple(rest[ends[0] : ends[1]]), parameters)


def _without_copies(layers: list[NcnnLayer]) -> list[NcnnLayer]:
    original: dict[str, str] = {}
    kept = []
    for layer in layers:
        inputs = tuple(original.get(name, name) for name in layer.inputs)
        if layer.type == "Split":
            original |= dict.fromkeys(layer.outputs, inputs[0])
        else:
            kept.append(NcnnLayer(layer.type, layer.name, inputs, layer.outputs, layer.parameters))
    return kept


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Returns the weights of convolutions and linear layers, by names such as conv1.weight.

    ``path`` is the .param file. Raises NcnnFileError, also where the .bin file ends before the last
    layer or goes on behind it, as it does with a type of layer that is not known here.
    """
    data = _Weights(path.with_suffix(".bin").read_bytes())
    found = {}
    for layer in read_layers(path):
        if shape := layer.weight_shape:
            found[f"{layer.name}.weight"] = data.tagged(int(np.prod(shape))).reshape(shape)
        for size in _more_weights(layer):
            data.plain(size)
    if data.left:
        raise NcnnFileError(f"{data.left} bytes of the .bin file belong to no layer that is known")
    return found


def _more_weights(layer: NcnnLayer) -> Iterator[int]:
    """Gives the sizes of what follows a layer's weight in the file: float32 without a tag."""
    size = layer.number(0)
    if layer.type in _CONVOLUTIONS and layer.number(5):
        yield size
    elif layer.type == "InnerProduct" and layer.number(1):
        yield size
    elif layer.type == "BatchNorm":
        yield from (size,) * 4
    elif layer.type == "Scale" and size != _FROM_BLOB:
        yield from (size,) * (1 + layer.number(1))
    elif layer.type == "PReLU":
        yield size
    elif layer.type in ("InstanceNorm", "LayerNorm") and layer.number(2, 1):
        yield from (size,) * 2
    elif layer.type == "GroupNorm" and layer.number(3, 1):
        yield from (layer.number(1),) * 2
    elif layer.type == "MemoryData":
        yield int(np.prod([max(layer.number(index), 1) for index in (0, 1, 2, 11)]))


class _Weights:
    """A .bin file, read from its beginning."""

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """Bytes that have not been read."""
        return len(self._data) - self._at

    def plain(self, size: int) -> np.ndarray:
        """Returns float32 numbers."""
        return self._take(size, np.dtype("<f4"))

    def tagged(self, size: int) -> np.ndarray:
        """Returns numbers of the type that a tag before them names."""
        tag = int(self._take(1, np.dtype("<u4"))[0])
        if tag in (0, _FLOAT32):
            return self.plain(size)
        if tag != _FLOAT16:
            raise NcnnFileError("its weights are quantised; float32 and float16 are read")
        # float16 numbers fill up four bytes
        return self._take(size + size % 2, np.dtype("<f2"))[:size]

    def _take(self, size: int, kind: np.dtype) -> np.ndarray:
        if size * kind.itemsize > self.left:
            raise NcnnFileError("the .bin file ends before its last layer")
        values = np.frombuffer(self._data, kind, size, self._at)
        self._at += size * kind.itemsize
        return values
