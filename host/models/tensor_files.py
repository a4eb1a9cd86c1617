# SPDX-License-Identifier: Apache-2.0
"""Files of named tensors as NumPy arrays: safetensors, PyTorch state dicts, ONNX, ncnn, .npz.

A file of shards comes in as its index, ``model.safetensors.index.json``, or as the folder of it.
PyTorch is imported for a PyTorch file only, and onnx for an ONNX file only.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy, so that safetensors reads it
import numpy as np
from safetensors import SafetensorError, safe_open

from ornstein.host.files.arrays import ArrayArchive, ArrayFileError
from ornstein.host.models import ncnn_files

INDEX_SUFFIX = ".safetensors.index.json"
PYTORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_NAMES_SHOWN = 6
"""Names that an error lists before it says how many more there are."""


class ModelFileError(ValueError):
    """A model file is missing, damaged or lacks what was asked for.

    The message is one line with the next step.
    """


@dataclass(frozen=True, eq=False)
class TensorFile:
    """An open file of named tensors.

    Attributes
    ----------
    path : for messages
    shapes : shape of every tensor by its name, in the order of the file
    load : returns a tensor as the file holds it
    provenance : how the file was made, {} if it does not say
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    load: Callable[[str], np.ndarray]
    provenance: dict

    def find(self, name: str) -> str:
        """Returns the full name of the tensor that ``name`` stands for.

        ``name`` may leave out a prefix, such as the ``module.`` of a wrapped network, or bring one
        that the file leaves out, and may leave out ``.weight`` at the end. Raises ModelFileError,
        with the nearest names, if there is none or more than one such tensor.
        """
        for wanted in (name, f"{name}.weight"):
            if wanted in self.shapes:
                return wanted
            found = [other for other in self.shapes if _ends_alike(wanted, other)]
            if len(found) == 1:
                return found[0]
            if found:
                raise ModelFileError(
                    f"{self.path}: layer {name} may be any of {brief(found)}; name it in full"
                )
        near = get_close_matches(name, self.shapes, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {brief(self.shapes)}"
        raise ModelFileError(f"{self.path}: no layer {name}; {hint}")

    def find_pair(self, skip: str) -> tuple[str, str]:
        """Returns the two names of ENCODER:DECODER. A name may hold colons itself."""
        parts = skip.split(":")
        pairs = [(":".join(parts[:i]), ":".join(parts[i:])) for i in range(1, len(parts))]
        if not pairs or not all(part for pair in pairs for part in pair):
            raise ModelFileError(f"{skip!r} is not a skip; write it as ENCODER:DECODER")
        for encoder, decoder in pairs[:-1]:
            try:
                return self.find(encoder), self.find(decoder)
            except ModelFileError:
                continue
        return self.find(pairs[-1][0]), self.find(pairs[-1][1])

    def read(self, name: str) -> np.ndarray:
        """Returns a tensor as float64. Raises ModelFileError if a value is not a finite number."""
        values = self.load(name)
        if values.dtype.kind not in "biuf" and not values.dtype.name.startswith(("bf", "float")):
            raise ModelFileError(f"{self.path}: {name} holds {values.dtype}, not numbers")
        numbers = values.astype(float)
        wrong = numbers.size - int(np.isfinite(numbers).sum())
        if wrong:
            overflow = "; did they overflow float16? save them as bfloat16 or float32"
            raise ModelFileError(
                f"{self.path}: {name} holds values that are not finite numbers, {wrong:,} of "
                f"{numbers.size:,}{overflow if values.dtype == np.float16 else ''}"
            )
        return numbers


def brief(names: Iterable[str]) -> str:
    """Returns the first few names in words, and how many more there are."""
    names = list(names)
    if not names:
        return "nothing"
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more:,} more; ornstein layers lists them" if more > 0 else shown


def open_tensors(path: Path) -> TensorFile:
    """Opens a file of any of the formats, or a folder with an index of shards.

    Raises ModelFileError.
    """
    if path.is_dir():
        path = _file_in(path)
    if not path.is_file():
        raise ModelFileError(
            f"{path}: no such file; train a model with `ornstein train` or name an existing one"
        )
    if path.name.endswith(INDEX_SUFFIX):
        return _open_shards(path)
    if path.suffix == ".npz":
        return _open_npz(path)
    if path.suffix == ".onnx":
        return _open_onnx(path)
    if path.suffix == ncnn_files.SUFFIX:
        return _open_ncnn(path)
    return _open_pytorch(path) if path.suffix in PYTORCH_SUFFIXES else _open_safetensors(path)


def _file_in(folder: Path) -> Path:
    """Returns the index of a folder's shards, or its only file of tensors."""
    for pattern in (f"*{INDEX_SUFFIX}", "*.safetensors", "*.onnx"):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            raise ModelFileError(
                f"{folder}: name one of its files, {brief(file.name for file in found)}"
            )
    raise ModelFileError(
        f"{folder}: a folder without weights, no such file as *.safetensors, *{INDEX_SUFFIX} or "
        "*.onnx; train a model with `ornstein train` or name an existing one"
    )


def _open_safetensors(path: Path) -> TensorFile:
    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
            provenance = json.loads((file.metadata() or {}).get("provenance", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not a readable safetensors file ({_first_line(error)})"
        ) from None

    def load(name: str) -> np.ndarray:
        try:
            with safe_open(path, framework="np") as file:
                return file.get_tensor(name)
        except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
            raise ModelFileError(f"{path}: {name} cannot be read ({_first_line(error)})") from None

    return TensorFile(path, shapes, load, provenance)


def _open_shards(path: Path) -> TensorFile:
    try:
        places = json.loads(path.read_text())["weight_map"]
        names = {path.parent / file for file in places.values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"{path}: not a readable index of shards ({_first_line(error)})"
        ) from None
    missing = sorted(file.name for file in names if not file.is_file())
    if missing:
        raise ModelFileError(f"{path}: its shards {brief(missing)} are not beside it")
    shards = {file.name: _open_safetensors(file) for file in names}
    lost = [name for name, file in places.items() if name not in shards[Path(file).name].shapes]
    if lost:
        raise ModelFileError(f"{path}: its shards do not hold {brief(lost)}; is one out of date?")
    shapes = {name: shards[Path(file).name].shapes[name] for name, file in places.items()}
    return TensorFile(path, shapes, lambda name: shards[Path(places[name]).name].load(name), {})


def _open_npz(path: Path) -> TensorFile:
    def load(name: str) -> np.ndarray:
        try:
            with path.open("rb") as file:
                return ArrayArchive(file).read(name)
        except (OSError, ArrayFileError) as error:
            raise ModelFileError(f"{path}: {name} cannot be read ({_first_line(error)})") from None

    try:
        with path.open("rb") as file:
            archive = ArrayArchive(file)
            shapes = {name: archive.header(name).shape for name in archive.names}
    except (OSError, ArrayFileError) as error:
        raise ModelFileError(f"{path}: not a readable .npz file ({_first_line(error)})") from None
    return TensorFile(path, shapes, load, {})


def _open_pytorch(path: Path) -> TensorFile:
    try:
        import torch
    except ImportError:
        raise ModelFileError(
            f"{path}: a PyTorch file needs PyTorch; pip install torch, or save it as safetensors"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load reports damage through exceptions of unrelated types
        raise ModelFileError(
            f"{path}: not a readable PyTorch state dict ({_first_line(error)})"
        ) from None
    if not isinstance(state, dict):
        raise ModelFileError(
            f"{path}: holds a {type(state).__name__}, not a state dict; save net.state_dict()"
        )
    tensors = _flattened(state, torch.Tensor)
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    return TensorFile(path, shapes, lambda name: tensors[name].double().numpy(), {})


def _flattened(state: dict, kind: type, prefix: str = "") -> dict:
    """Returns the tensors of a state dict; a checkpoint holds several as dicts inside a dict."""
    found = {}
    for name, value in state.items():
        if isinstance(value, dict):
            found |= _flattened(value, kind, f"{prefix}{name}.")
        elif isinstance(value, kind):
            found[f"{prefix}{name}"] = value
    return found


def _open_onnx(path: Path) -> TensorFile:
    from onnx.numpy_helper import to_array

    stored = {tensor.name: tensor for tensor in load_onnx(path).graph.initializer}
    shapes = {name: tuple(tensor.dims) for name, tensor in stored.items()}
    return TensorFile(path, shapes, lambda name: to_array(stored[name]), {})


def load_onnx(path: Path):
    """Returns the onnx.ModelProto of a file. Raises ModelFileError."""
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        import onnx
    except ImportError:
        raise ModelFileError(f"{path}: an ONNX file needs onnx; pip install onnx") from None
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx report damage through unrelated types
        raise ModelFileError(f"{path}: not a readable ONNX file ({_first_line(error)})") from None
    if not model.graph.node:
        raise ModelFileError(f"{path}: not a readable ONNX file (it has no graph)")
    return model


def _open_ncnn(path: Path) -> TensorFile:
    load_ncnn_layers(path)
    try:
        return _in_memory(path, ncnn_files.read_weights(path))
    except (ValueError, ArithmeticError, OSError) as error:  # sizes that make no array too
        raise ModelFileError(f"{path}: its weights cannot be read ({_first_line(error)})") from None


def load_ncnn_layers(path: Path) -> list[ncnn_files.NcnnLayer]:
    """Returns the layers of an ncnn .param file. Raises ModelFileError."""
    try:
        return ncnn_files.read_layers(path)
    except (ncnn_files.NcnnFileError, OSError) as error:
        raise ModelFileError(
            f"{path}: not a readable .param file of ncnn ({_first_line(error)})"
        ) from None


def _in_memory(path: Path, arrays: dict[str, np.ndarray]) -> TensorFile:
    shapes = {name: array.shape for name, array in arrays.items()}
    return TensorFile(path, shapes, arrays.__getitem__, {})


def _ends_alike(name: str, other: str) -> bool:
    """Whether one of the names is the other behind a prefix; "weight" alone is no name."""
    return other.endswith(f".{name}") or ("." in other and name.endswith(f".{other}"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
