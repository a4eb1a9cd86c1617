# SPDX-License-Identifier: Apache-2.0
"""A trained network as files: two convolutions and their activations, read without PyTorch.

The folder written by ``ornstein train`` holds ``weights.safetensors`` and
``activations.safetensors``. Any other network comes in as a safetensors or PyTorch state dict, the
names of two layers and an .npz of activations.
"""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

WEIGHTS_FILE = "weights.safetensors"
ACTIVATIONS_FILE = "activations.safetensors"
WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = WEIGHTS / "default"

_PYTORCH_SUFFIXES = (".pt", ".pth", ".bin")


class ModelFileError(ValueError):
    """A model file is missing, damaged or lacks what was asked for.

    The message is one line with the next step.
    """


class Activations(Protocol):
    """Activations that recipes are fitted to and scored on, float64, in the network's own units.

    Attributes
    ----------
    x_train, x_test : (n, D_enc) inputs, the encoder's activations
    y_train, y_test : (n, D_dec) targets, the decoder's activations
    """

    @property
    def x_train(self) -> np.ndarray: ...
    @property
    def y_train(self) -> np.ndarray: ...
    @property
    def x_test(self) -> np.ndarray: ...
    @property
    def y_test(self) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """The weights of two convolutions and the activations behind them: what a substrate is made of.

    Attributes
    ----------
    W_enc, W_dec : float64 weights (out, in, kh, kw) or (out, in) of the encoder's and the decoder's
        convolution
    x_train, y_train, x_test, y_test : see :class:`Activations`; D is the number of output channels
    provenance : how the network was made, {} if its files do not say
    """

    W_enc: np.ndarray
    W_dec: np.ndarray
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    provenance: dict

    @classmethod
    def load(
        cls,
        path: str | Path = DEFAULT_MODEL,
        encoder_layer: str = "e1.conv1.weight",
        decoder_layer: str = "d1.conv1.weight",
        activations: str | Path | None = None,
    ) -> "TrainedModel":
        """Reads a folder of ``ornstein train``, or a state dict file and ``activations``.

        A file of activations (.npz or safetensors) holds x_train, y_train, x_test and y_test, or,
        as the folder's own does, one array per part and block: e1_train for the block that
        ``encoder_layer`` e1.conv1.weight is in. Raises ModelFileError.
        """
        path = Path(path)
        weights_path = path / WEIGHTS_FILE if path.is_dir() else path
        if activations is None and not path.is_dir():
            raise ModelFileError(
                f"{path}: a state dict needs its activations too; name an .npz of them"
            )
        activations_path = Path(activations) if activations else path / ACTIVATIONS_FILE
        weights, provenance = read_arrays(weights_path, (encoder_layer, decoder_layer))
        arrays, _ = read_arrays(activations_path)
        blocks = {"x": encoder_layer.partition(".")[0], "y": decoder_layer.partition(".")[0]}
        parts = {
            f"{side}_{part}": _pick(arrays, activations_path, f"{side}_{part}", f"{block}_{part}")
            for side, block in blocks.items()
            for part in ("train", "test")
        }
        model = cls(weights[encoder_layer], weights[decoder_layer], **parts, provenance=provenance)
        model._check(path, {"W_enc": encoder_layer, "W_dec": decoder_layer})
        return model

    def _check(self, path: Path, layers: dict[str, str]) -> None:
        for weight, side in (("W_enc", "x"), ("W_dec", "y")):
            shape = getattr(self, weight).shape
            if len(shape) not in (2, 4):
                raise ModelFileError(
                    f"{path}: layer {layers[weight]} has shape {shape}; name a convolution's weight"
                )
            for part in ("train", "test"):
                found = getattr(self, f"{side}_{part}").shape
                if len(found) != 2 or found[1] != shape[0]:
                    raise ModelFileError(
                        f"{path}: activations {side}_{part} have shape {found}, expected "
                        f"(n, {shape[0]}) beside layer {layers[weight]} {shape}"
                    )
        for part in ("train", "test"):
            counts = len(getattr(self, f"x_{part}")), len(getattr(self, f"y_{part}"))
            if counts[0] != counts[1]:
                raise ModelFileError(
                    f"{path}: {counts[0]} inputs x_{part} but {counts[1]} targets y_{part}"
                )


def _pick(arrays: dict[str, np.ndarray], path: Path, *names: str) -> np.ndarray:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise ModelFileError(
        f"{path}: no array {' or '.join(names)}; it holds {', '.join(sorted(arrays)) or 'nothing'}"
    )


def read_arrays(
    path: Path, names: tuple[str, ...] | None = None
) -> tuple[dict[str, np.ndarray], dict]:
    """Returns the arrays of a file as float64, all or those in ``names``, and its provenance.

    Raises ModelFileError.
    """
    if not path.is_file():
        raise ModelFileError(
            f"{path}: no such file; train a model with `ornstein train` or name an existing one"
        )
    if path.suffix == ".npz":
        arrays, provenance = _read_npz(path, names), {}
    elif path.suffix in _PYTORCH_SUFFIXES:
        arrays, provenance = _read_pytorch(path, names), {}
    else:
        arrays, provenance = _read_safetensors(path, names)
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
            raise ModelFileError(f"{path}: array {name} holds values that are not finite numbers")
    return {name: array.astype(float) for name, array in arrays.items()}, provenance


def _read_safetensors(
    path: Path, names: tuple[str, ...] | None
) -> tuple[dict[str, np.ndarray], dict]:
    try:
        with safe_open(path, framework="np") as file:
            wanted = _found(path, names, list(file.keys()))
            arrays = {name: file.get_tensor(name) for name in wanted}
            provenance = json.loads((file.metadata() or {}).get("provenance", "{}"))
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path}: not a readable safetensors file of float16, 32 or 64 ({error})"
        ) from None
    return arrays, provenance


def _read_npz(path: Path, names: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            return {name: file[name] for name in _found(path, names, list(file))}
    except (OSError, ValueError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{path}: not a readable .npz file ({error}); is it complete?"
        ) from None


def _read_pytorch(path: Path, names: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ModelFileError(
            f"{path}: a PyTorch file needs the [train] extra; or save it as safetensors"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch.load reports damage through exceptions of many unrelated types
        raise ModelFileError(
            f"{path}: not a readable PyTorch state dict ({str(error).splitlines()[0]})"
        ) from None
    if not isinstance(state, dict):
        raise ModelFileError(
            f"{path}: holds a {type(state).__name__}, not a state dict; save net.state_dict()"
        )
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: tensors[name].double().numpy() for name in _found(path, names, list(tensors))}


def _found(path: Path, names: tuple[str, ...] | None, available: list[str]) -> list[str]:
    for name in names or ():
        if name not in available:
            raise ModelFileError(
                f"{path}: no layer {name}; it has {', '.join(sorted(available)) or 'none'}"
            )
    return list(names) if names else available
