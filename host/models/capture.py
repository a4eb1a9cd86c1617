# SPDX-License-Identifier: Apache-2.0
"""Activations at the two sides of skips, from a network that onnxruntime or PyTorch runs.

As in the training of the default network, a unit is a channel and its activation the spatial mean.
A network is run by a function from named inputs, of some samples, to named tensors; :func:`capture`
runs it over all samples, takes the means, holds samples back, and :func:`save_activations` writes
what :mod:`ornstein.host.models.model_file` reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ornstein.host.compile.program import InputError
from ornstein.host.files.arrays import ArrayFileError, load_arrays
from ornstein.host.files.replace import replacing
from ornstein.host.models.graph_skips import Skip
from ornstein.host.models.model_file import ARRAYS, LAYERS
from ornstein.host.models.tensor_files import ModelFileError, brief, load_onnx

HELD_OUT = 64
"""Samples held out by default."""
Inputs = Mapping[str, np.ndarray]
"""Arrays (n, ...) by the name of an input."""
Run = Callable[[Inputs, Sequence[str]], Mapping[str, np.ndarray]]
"""From inputs of some samples, and the names of tensors, to those tensors."""


def capture(
    run: Run,
    inputs: Inputs,
    tensors: Sequence[str],
    batch: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Returns the spatial means (n, channels) of tensors (n, channels, ...), by their names.

    Parameters
    ----------
    run : the network
    inputs : all samples
    batch : samples in one run
    progress : is told (samples done, samples in all)

    Raises ModelFileError if a tensor has no channels or is not finite.
    """
    count = len(next(iter(inputs.values())))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in tensors}
    for first in range(0, count, batch):
        chunk = {name: values[first : first + batch] for name, values in inputs.items()}
        size = len(next(iter(chunk.values())))
        for name, values in run(chunk, tensors).items():
            if values.ndim < 2 or len(values) != size:
                raise ModelFileError(
                    f"tensor {name} has shape {values.shape} for {size} inputs; units are the "
                    "channels of (inputs, channels, ...)"
                )
            means = values.astype(float).mean(axis=tuple(range(2, values.ndim)))
            if not np.isfinite(means).all():
                raise ModelFileError(f"tensor {name} holds values that are not finite numbers")
            parts[name].append(means)
        if progress:
            progress(first + size, count)
    return {name: np.concatenate(rows) for name, rows in parts.items()}


def save_activations(
    path: Path,
    x: np.ndarray,
    y: np.ndarray,
    layers: tuple[str | None, str | None] = (None, None),
    held_out: int = HELD_OUT,
    seed: int = 0,
) -> None:
    """Writes an .npz of activations x (n, D_enc) and y (n, D_dec), float32.

    A permutation drawn from ``seed`` holds out samples for scores. The names of both layers are
    written if both are known. Raises InputError if too few samples are left to fit.
    """
    if not 1 <= held_out < len(x):
        raise InputError(f"{held_out} of {len(x)} inputs cannot be held out; give more inputs")
    order = np.random.default_rng(seed).permutation(len(x))
    test, train = order[:held_out], order[held_out:]
    parts = dict(zip(ARRAYS, (x[train], y[train], x[test], y[test]), strict=True))
    arrays: dict[str, Any] = {name: values.astype(np.float32) for name, values in parts.items()}
    if None not in layers:
        arrays[LAYERS] = np.array(layers)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_inputs(path: Path) -> dict[str, np.ndarray]:
    """Reads inputs: an .npz of arrays (n, ...) by the name of the input, or an .npy for a network
    of one input, which is then named "". Raises InputError.
    """
    try:
        arrays = load_arrays(path)
    except (OSError, ArrayFileError) as error:
        raise InputError(f"{path}: not a readable .npy or .npz file ({error})") from None
    for name, values in arrays.items():
        if not values.ndim or not len(values):
            raise InputError(f"{path}: {name or 'the array'} has no samples, shape {values.shape}")
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise InputError(f"{path}: {name or 'the array'} holds values that are not numbers")
    counts = {name: len(values) for name, values in arrays.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"{path}: its arrays have different numbers of samples, {counts}")
    return arrays


def match_inputs(inputs: Inputs, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the inputs under the names that a network takes. Raises InputError."""
    if set(inputs) == {""}:
        if len(names) != 1:
            raise InputError(
                f"the network takes the inputs {brief(names)}; give an .npz that names them"
            )
        return {names[0]: inputs[""]}
    if set(inputs) != set(names):
        raise InputError(f"the network takes {brief(names)}, but the file holds {brief(inputs)}")
    return dict(inputs)


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """An ONNX file that onnxruntime runs on the processor.

    Attributes
    ----------
    path : of the file
    model : its onnx.ModelProto
    """

    path: Path
    model: Any

    @classmethod
    def load(cls, path: Path) -> "OnnxNetwork":
        """Reads a file. Raises ModelFileError."""
        return cls(path, load_onnx(path))

    @property
    def tensors(self) -> set[str]:
        """Names of all tensors that nodes of the graph give out."""
        return {name for node in self.model.graph.node for name in node.output if name}

    def skips(self) -> list[Skip]:
        """Returns the skips that the graph shows, the innermost first."""
        from ornstein.host.models.graph_skips import Graph

        return Graph.of_onnx(self.model).skips()

    @property
    def inputs(self) -> list[str]:
        """Names of the tensors that go into the graph."""
        weights = {tensor.name for tensor in self.model.graph.initializer}
        return [value.name for value in self.model.graph.input if value.name not in weights]

    @property
    def outputs(self) -> list[str]:
        """Names of the tensors that come out of the graph."""
        return [value.name for value in self.model.graph.output]

    def runner(self, inputs: Inputs, tensors: Sequence[str]) -> tuple[Run, dict[str, np.ndarray]]:
        """Returns the network as a function, and the inputs as it takes them.

        ``inputs`` that are tensors within the graph replace what it computes. Raises ModelFileError
        if the graph lacks a tensor or cannot be run, InputError if inputs do not fit.
        """
        try:
            import onnxruntime
        except ImportError:
            raise ModelFileError(
                f"{self.path}: capturing needs onnxruntime; pip install onnxruntime"
            ) from None
        replaced = [name for name in inputs if name in self.tensors]
        session = self._session(onnxruntime, tensors, replaced)
        types = {value.name: value for value in session.get_inputs()}
        fed = {
            name: values.astype(_NUMPY_TYPES.get(types[name].type, np.float32))
            for name, values in match_inputs(inputs, list(types)).items()
        }
        for name in set(fed) - set(replaced):
            _check_shape(name, fed[name].shape, types[name].shape)

        def run(chunk: Inputs, names: Sequence[str]) -> dict[str, np.ndarray]:
            try:
                return dict(zip(names, session.run(list(names), dict(chunk)), strict=True))
            except Exception as error:  # onnxruntime reports through types of its own module
                raise ModelFileError(
                    f"{self.path}: onnxruntime stopped ({str(error).splitlines()[0]})"
                ) from None

        return run, fed

    def _session(self, onnxruntime: Any, tensors: Sequence[str], replaced: Sequence[str]) -> Any:
        """Returns a session that gives out the tensors, which need not be outputs of the graph, and
        takes those that are ``replaced``.
        """
        from onnx import TensorProto, ValueInfoProto, helper

        known = self.tensors
        for name in tensors:
            if name not in known:
                raise ModelFileError(
                    f"{self.path}: its graph has no tensor {name}; ornstein capture {self.path} "
                    "--list shows its skips"
                )
        outputs = {value.name for value in self.model.graph.output}
        model = type(self.model)()
        model.CopyFrom(self.model)
        for name in replaced:
            for node in model.graph.node:
                node.output[:] = [f"{n} as computed" if n == name else n for n in node.output]
            model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        model.graph.output.extend(
            ValueInfoProto(name=name) for name in dict.fromkeys(tensors) if name not in outputs
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings about the graph's style are not for its user
        try:
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime reports through types of its own module
            raise ModelFileError(
                f"{self.path}: onnxruntime cannot run it ({str(error).splitlines()[0]})"
            ) from None


_NUMPY_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


def _check_shape(name: str, shape: tuple[int, ...], wanted: Sequence[int | str | None]) -> None:
    """Raises InputError unless an array (n, ...) has the sizes that a graph fixes."""
    fits = len(shape) == len(wanted) and all(
        size == want
        for size, want in zip(shape[1:], wanted[1:], strict=True)
        if isinstance(want, int)
    )
    if not fits:
        sizes = ", ".join(map(str, wanted))
        raise InputError(f"input {name} has shape {shape}; the network takes ({sizes})")
