# SPDX-License-Identifier: Apache-2.0
"""A trained network as files: two convolutions and their activations, read without PyTorch.

The folder written by ``ornstein train`` holds ``weights.safetensors`` and
``activations.safetensors``. Any other network comes in as a file of weights
(:mod:`ornstein.host.models.tensor_files`), the names of two layers, and a file of activations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ornstein.host.files.arrays import ArrayFileError, load_arrays
from ornstein.host.models.tensor_files import ModelFileError, TensorFile, brief, open_tensors
from ornstein.host.physics.outliers import find_outliers

WEIGHTS_FILE = "weights.safetensors"
ACTIVATIONS_FILE = "activations.safetensors"
WEIGHTS = Path(__file__).parent / "weights"
DEFAULT_MODEL = WEIGHTS / "default"
DEFAULT_LAYERS = "e1.conv1.weight", "d1.conv1.weight"
"""The skip at full resolution of the networks of ``ornstein train``."""
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""What a file of activations holds."""
LAYERS = "layers"
"""Array of an .npz of activations that names the encoder's and the decoder's layer."""


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
        encoder_layer: str | None = None,
        decoder_layer: str | None = None,
        activations: str | Path | None = None,
    ) -> "TrainedModel":
        """Reads a folder of ``ornstein train``, or a file of weights and ``activations``.

        Layers are named as :meth:`ornstein.host.models.tensor_files.TensorFile.find` takes them. By
        default they are those that the activations name, else :data:`DEFAULT_LAYERS`. Activations
        are as :func:`read_activations` reads them; the folder's own hold one array per part and
        block, e1_train for the block that e1.conv1.weight is in. Raises ModelFileError.
        """
        weights = open_weights(path)
        own = weights.path.with_name(ACTIVATIONS_FILE)
        if activations is None and (weights.path.name != WEIGHTS_FILE or not own.is_file()):
            raise ModelFileError(
                f"{path}: a file of weights needs its activations too; name them with "
                "--activations, and make them with ornstein capture"
            )
        source = open_activations(Path(activations) if activations else own)
        layers = _layers_of(source)
        if encoder_layer is None and layers is DEFAULT_LAYERS:
            _check_default(weights, source)
        names = weights.find(encoder_layer or layers[0]), weights.find(decoder_layer or layers[1])
        parts = {array: source.read(_array_name(source, array, names)) for array in ARRAYS}
        model = cls(
            *(_read_layer(weights, name) for name in names), **parts, provenance=weights.provenance
        )
        model._check(source.path, names)
        return model

    def _check(self, path: Path, layers: tuple[str, str]) -> None:
        """Raises ModelFileError unless the activations fit the layers and carry information."""
        for side, layer, weight in (("x", layers[0], self.W_enc), ("y", layers[1], self.W_dec)):
            for part in ("train", "test"):
                shape = getattr(self, f"{side}_{part}").shape
                if len(shape) != 2 or shape[1] != len(weight):
                    raise ModelFileError(
                        f"{path}: activations {side}_{part} have shape {shape}, expected "
                        f"(n, {len(weight)}) beside layer {layer} {weight.shape}"
                    )
        for part in ("train", "test"):
            counts = len(getattr(self, f"x_{part}")), len(getattr(self, f"y_{part}"))
            if counts[0] != counts[1]:
                raise ModelFileError(
                    f"{path}: {counts[0]} inputs x_{part} but {counts[1]} targets y_{part}"
                )
            if counts[0] < _FEWEST[part]:
                raise ModelFileError(
                    f"{path}: activations x_{part} have {counts[0]} rows; at least "
                    f"{_FEWEST[part]} are needed"
                )
        for side in "xy":
            if not np.ptp(getattr(self, f"{side}_train"), axis=0).any():
                raise ModelFileError(
                    f"{path}: activations {side}_train are the same in every row, so nothing can "
                    "be learned from them; capture them for inputs that differ"
                )


_FEWEST = {"train": 8, "test": 1}
"""Rows of activations that a fit, with a quarter held back for the ridge, and a score need."""


def without_outliers(model: TrainedModel) -> TrainedModel:
    """Returns the model without the training samples that reach much farther than the rest.

    A sample reaches as far as the largest of its inputs and targets, each centred on its median and
    divided by its standard deviation over all but the outermost hundredths. See
    :func:`ornstein.host.physics.outliers.find_outliers`.
    """
    found = find_outliers(
        np.hstack([_robust_standard(model.x_train), _robust_standard(model.y_train)])
    )
    if not found.any():
        return model
    return replace(model, x_train=model.x_train[~found], y_train=model.y_train[~found])


def _robust_standard(values: np.ndarray) -> np.ndarray:
    """The values (n, d) centred and scaled, column by column, so that few of them have no part in
    the scale.
    """
    low, middle, high = np.percentile(values, (1, 50, 99), axis=0)
    deviation = np.clip(values, low, high).std(axis=0)
    plain = values.std(axis=0)
    deviation = np.where(deviation > 0, deviation, np.where(plain > 0, plain, 1.0))
    return (values - middle) / deviation


def load_skips(
    path: str | Path = DEFAULT_MODEL,
    skips: Sequence[str] = (),
    activations: Sequence[str | Path] = (),
) -> list[TrainedModel]:
    """Reads one model for every skip of a network, in the order given.

    Parameters
    ----------
    skips : ENCODER:DECODER, the names of two layers; none for the layers that the activations name
    activations : one file for each skip; none for a folder of ``ornstein train``

    Raises ModelFileError, also if there are several of both but not as many.
    """
    count = max(len(skips), len(activations), 1)
    if skips and activations and len(skips) != len(activations):
        raise ModelFileError(
            f"{len(skips)} skips but {len(activations)} files of activations; name one file for "
            "each skip, in the same order"
        )
    weights = open_weights(path)
    layers = [weights.find_pair(skip) for skip in skips] or [(None, None)] * count
    files = list(activations) or [None] * count
    return [
        TrainedModel.load(path, *names, file) for names, file in zip(layers, files, strict=True)
    ]


def open_weights(path: str | Path) -> TensorFile:
    """Opens the weights of a folder of ``ornstein train``, or another file or folder of weights.

    Raises ModelFileError.
    """
    path = Path(path)
    own = path / WEIGHTS_FILE
    return open_tensors(own if own.is_file() else path)


def open_activations(path: Path) -> TensorFile:
    """Opens activations: an .npz or safetensors file of the :data:`ARRAYS`, or a folder with one
    .npy file for each. Raises ModelFileError.
    """
    if not path.is_dir():
        return open_tensors(path)
    missing = [f"{name}.npy" for name in ARRAYS if not (path / f"{name}.npy").is_file()]
    if missing:
        raise ModelFileError(f"{path}: a folder of activations lacks {brief(missing)}")
    arrays = {}
    for name in ARRAYS:
        try:
            (arrays[name],) = load_arrays(path / f"{name}.npy").values()
        except (OSError, ArrayFileError) as error:
            raise ModelFileError(f"{path / name}.npy: not a readable array ({error})") from None
    shapes = {name: array.shape for name, array in arrays.items()}
    return TensorFile(path, shapes, arrays.__getitem__, {})


def _layers_of(activations: TensorFile) -> tuple[str, str]:
    """Returns the layers that activations name, or the default ones."""
    if LAYERS not in activations.shapes:
        return DEFAULT_LAYERS
    names = [str(name) for name in activations.load(LAYERS).ravel()]
    if len(names) != 2 or not all(names):
        raise ModelFileError(
            f"{activations.path}: the array {LAYERS} must name the encoder's and the decoder's "
            "layer; name them with --skip ENCODER:DECODER"
        )
    return names[0], names[1]


def _check_default(weights: TensorFile, activations: TensorFile) -> None:
    """Raises ModelFileError, with the layers to choose from, unless the weights have the default
    ones.
    """
    if all(layer in weights.shapes for layer in DEFAULT_LAYERS):
        return
    layers = {name: shape for name, shape in weights.shapes.items() if len(shape) in (2, 4)}
    fitting = []
    for array, side in (("x_train", "ENCODER"), ("y_train", "DECODER")):
        channels = activations.shapes.get(array, (0,))[-1]
        names = [name for name, shape in layers.items() if shape[0] == channels]
        fitting.append(f"{side} may be {brief(names or layers)}")
    raise ModelFileError(
        f"{weights.path}: name the layers at both ends of the skip with --skip ENCODER:DECODER; "
        f"{', and '.join(fitting)}"
    )


def _array_name(source: TensorFile, array: str, layers: tuple[str, str]) -> str:
    """Returns the name of x_train and so on in the file, which may be that of a block: e1_train."""
    side, part = array.split("_")
    block = layers["xy".index(side)].partition(".")[0]
    for name in (array, f"{block}_{part}"):
        if name in source.shapes:
            return name
    raise ModelFileError(
        f"{source.path}: no array {array} or {block}_{part}; it holds {brief(source.shapes)}"
    )


def _read_layer(weights: TensorFile, name: str) -> np.ndarray:
    """Returns the weights (out, in, kh, kw) or (out, in) of a layer."""
    shape = weights.shapes[name]
    if len(shape) not in (2, 4):
        raise ModelFileError(
            f"{weights.path}: layer {name} has shape {shape}; name a convolution's weight"
        )
    values = weights.read(name)
    if not values.any():
        raise ModelFileError(
            f"{weights.path}: the weights of layer {name} are all zero; name a trained layer"
        )
    return values


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Returns all arrays of a file as float64, and its provenance. Raises ModelFileError."""
    file = open_tensors(path)
    return {name: file.read(name) for name in file.shapes}, file.provenance
