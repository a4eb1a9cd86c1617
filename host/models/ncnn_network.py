# SPDX-License-Identifier: Apache-2.0
"""Networks of ncnn (.param and .bin), run for the tensors between their layers. Needs ncnn.

A tensor is what ncnn calls a blob. An input that is a tensor of the network itself takes the place
of what the network would have computed, so that the layers behind it go on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ornstein.host.compile.program import InputError
from ornstein.host.models.capture import Inputs, Run, match_inputs
from ornstein.host.models.graph_skips import Graph, Node, Skip
from ornstein.host.models.ncnn_files import NcnnLayer
from ornstein.host.models.tensor_files import ModelFileError, brief, load_ncnn_layers

_OPERATIONS = {
    "Convolution": "Conv",
    "ConvolutionDepthWise": "Conv",
    "Deconvolution": "ConvTranspose",
    "DeconvolutionDepthWise": "ConvTranspose",
    "InnerProduct": "Gemm",
    "Concat": "Concat",
    "Interp": "Resize",
    "PixelShuffle": "DepthToSpace",
}
"""Operations of ONNX, by the type of a layer that is one of them whatever its numbers are."""
_RANKS = (1, 2, 3)
"""Axes that a blob may have."""


@dataclass(frozen=True, eq=False)
class NcnnNetwork:
    """A network that ncnn runs on the processor in float32.

    Attributes
    ----------
    path : of the .param file
    layers : of the network, in their order
    net : its ncnn.Net
    """

    path: Path
    layers: list[NcnnLayer]
    net: Any

    @classmethod
    def load(cls, path: Path) -> "NcnnNetwork":
        """Reads a .param file and the .bin file beside it. Raises ModelFileError."""
        layers = load_ncnn_layers(path)
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelFileError(f"{weights}: no such file; ncnn keeps the weights of {path} there")
        ncnn = _ncnn(path)
        net = ncnn.Net()
        for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{option}", False)
        net.opt.use_vulkan_compute = False
        net.opt.lightmode = False  # tensors are asked for one after the other
        if net.load_param(str(path)) or net.load_model(str(weights)):
            raise ModelFileError(f"{path}: ncnn cannot load it; is it complete?")
        return cls(path, layers, net)

    @property
    def inputs(self) -> list[str]:
        """Names of the tensors that the network takes."""
        return [name for layer in self.layers if layer.type == "Input" for name in layer.outputs]

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors that no layer takes."""
        taken = {name for layer in self.layers for name in layer.inputs}
        return [name for layer in self.layers for name in layer.outputs if name not in taken]

    @property
    def tensors(self) -> set[str]:
        """Names of all tensors that layers give out."""
        return {name for layer in self.layers for name in layer.outputs}

    def skips(self, inputs: Inputs) -> list[Skip]:
        """Returns the skips that the graph shows; shapes are those of a run on the first input."""
        names = sorted(self.tensors)
        run, fed = self.runner({name: values[:1] for name, values in inputs.items()}, names)
        shapes = {name: values.shape for name, values in run(fed, names).items()}
        weights = {
            f"{layer.name}.weight": shape
            for layer in self.layers
            if (shape := layer.weight_shape) is not None
        }
        nodes = [_node(layer) for layer in self.layers if layer.type != "Input"]
        return Graph(nodes, weights, self.inputs, self.outputs, shapes).skips()

    def runner(self, inputs: Inputs, tensors: Sequence[str]) -> tuple[Run, dict[str, np.ndarray]]:
        """Returns the network as a function, and the inputs as it takes them.

        ``inputs`` that are tensors between the layers replace them. Raises ModelFileError if the
        network lacks a tensor, InputError if inputs do not fit.
        """
        ncnn = _ncnn(self.path)
        for name in tensors:
            if name not in self.tensors:
                raise ModelFileError(
                    f"{self.path}: no layer gives out a tensor {name}; ornstein capture "
                    f"{self.path} --inputs FILE --list shows its skips, and its own text all names"
                )
        inner = {name: values for name, values in inputs.items() if name in self._inner}
        outer = {name: values for name, values in inputs.items() if name not in inner}
        fed = {
            name: values.astype(np.float32)
            for name, values in {**match_inputs(outer, self.inputs), **inner}.items()
        }
        for name, values in fed.items():
            self._check_shape(name, values.shape[1:])

        def run(chunk: Inputs, names: Sequence[str]) -> dict[str, np.ndarray]:
            count = len(next(iter(chunk.values())))
            rows = [
                self._run_one(ncnn, {name: values[row] for name, values in chunk.items()}, names)
                for row in range(count)
            ]
            return {name: np.stack([row[name] for row in rows]) for name in names}

        return run, fed

    @property
    def _inner(self) -> set[str]:
        return self.tensors - set(self.inputs)

    def _run_one(self, ncnn: Any, sample: Inputs, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns the tensors of one sample; ncnn has no axis for several."""
        # a Mat borrows the memory of its array, which must outlive the run
        arrays = {name: np.ascontiguousarray(values) for name, values in sample.items()}
        mats = {name: ncnn.Mat(values).clone() for name, values in arrays.items()}
        found = {}
        with self.net.create_extractor() as extractor:
            for name, mat in mats.items():
                extractor.input(name, mat)
            for name in names:
                status, mat = extractor.extract(name)
                if status or mat.empty():
                    raise InputError(
                        f"{self.path}: ncnn could not compute {name} from inputs of shapes "
                        f"{brief(str(v.shape) for v in sample.values())}; are they too small?"
                    )
                found[name] = np.array(mat)
        return found

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises InputError for a sample that the layers behind it would misread."""
        wanted = {
            layer.weight_shape[1]
            for layer in self.layers
            if layer.type == "Convolution" and name in layer.inputs and layer.weight_shape
        }
        if len(shape) not in _RANKS or (wanted and (len(shape) != 3 or shape[0] not in wanted)):
            channels = " or ".join(map(str, sorted(wanted))) or "channels"
            raise InputError(
                f"input {name} has shape {('n', *shape)}; the network takes "
                f"(n, {channels}, height, width)"
            )


def _ncnn(path: Path) -> Any:
    """Returns the package, which has no types. Raises ModelFileError where it is missing."""
    try:
        return import_module("ncnn")
    except ImportError:
        raise ModelFileError(f"{path}: running it needs ncnn; pip install ncnn") from None


def _node(layer: NcnnLayer) -> Node:
    """Returns a layer as an operation of ONNX."""
    operation = _OPERATIONS.get(layer.type, layer.type)
    if layer.type == "Eltwise" and layer.number(0) == 1:
        operation = "Add"
    elif layer.type == "BinaryOp" and layer.number(0) == 0:
        operation = "Add"
    elif layer.type == "Pooling":
        operation = "GlobalAveragePool" if layer.number(4) else "AveragePool"
    # the second blob of a crop only has the size that is cut to
    taken = layer.inputs[:1] if layer.type == "Crop" else layer.inputs
    weights = (f"{layer.name}.weight",) if layer.weight_shape else ()
    return Node(operation, layer.name, (*taken, *weights), layer.outputs, layer.stride)
