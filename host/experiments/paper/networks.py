# SPDX-License-Identifier: Apache-2.0
"""The paper's conditioning networks, trained as its script trains them, in NumPy.

The details are known from run_experiments.py of aditixde/thermodynamic-diffusion-inference: 256
inputs in one batch, mean squared error, Adam at rate 3e-3 with an L2 penalty of 1e-4 added to the
gradient, 200 to 400 steps, weights and biases drawn uniformly within 1 / sqrt(fan-in). The random
numbers are NumPy's, not PyTorch's, so a network here is another draw of the same.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ornstein.host.physics.interface import BIAS, INPUT, Interface, Layer, sigmoid

BATCH = 256
RATE, PENALTY = 3e-3, 1e-4
SWEEP_STEPS, ENCODER_STEPS, MLP_STEPS, TRANSFER_STEPS = 200, 300, 300, 400


@dataclass(frozen=True, eq=False)
class Network:
    """Dense layers with SiLU between them, or with nothing between them if ``linear``.

    ``biases`` are zero if the network has none.
    """

    matrices: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]
    linear: bool
    has_biases: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Returns the outputs (n, d_out) of inputs (n, d_in)."""
        return _forward(self.matrices, self.biases, self.linear, x)[0]

    @property
    def parameters(self) -> int:
        """Number of trained weights, biases included if the network has them."""
        trained = [*self.matrices, *self.biases] if self.has_biases else self.matrices
        return sum(weight.size for weight in trained)


def train(
    x: np.ndarray,
    y: np.ndarray,
    widths: tuple[int, ...],
    steps: int,
    rng: np.random.Generator,
    *,
    linear: bool = False,
    biases: bool = True,
) -> Network:
    """Returns a network with layers of ``widths``, fitted to x and y, (n, ...) each, in one batch.

    ``widths`` includes the input and the output. ``biases`` says whether layers have any.
    """
    pairs = list(pairwise(widths))
    matrices = [rng.uniform(-1, 1, pair) / np.sqrt(pair[0]) for pair in pairs]
    offsets = [
        rng.uniform(-1, 1, out) / np.sqrt(into) if biases else np.zeros(out) for into, out in pairs
    ]
    trained = [*matrices, *offsets] if biases else matrices
    first, second = ([np.zeros_like(weight) for weight in trained] for _ in range(2))
    for step in range(1, steps + 1):
        slopes = gradients(matrices, offsets, linear, x, y)[: len(trained)]
        rate = RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for weight, slope, m, v in zip(trained, slopes, first, second, strict=True):
            slope = slope + PENALTY * weight
            m += 0.1 * (slope - m)
            v += 0.001 * (slope**2 - v)
            weight -= rate * m / (np.sqrt(v) + 1e-8)
    return Network(tuple(matrices), tuple(offsets), linear, biases)


def gradients(matrices, biases, linear: bool, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Returns the gradients of the mean squared error by every matrix, then by every bias."""
    out, hidden = _forward(matrices, biases, linear, x)
    error = 2 * (out - y) / out.size
    by_matrix, by_bias = [], [error.sum(axis=0)]
    for layer, matrix in zip(reversed(hidden), reversed(matrices), strict=False):
        by_matrix.insert(0, layer.output.T @ error)
        error = error @ matrix.T
        if layer.gate is not None:
            error = error * layer.gate * (1 + layer.before * (1 - layer.gate))
        by_bias.insert(0, error.sum(axis=0))
    by_matrix.insert(0, x.T @ error)
    return by_matrix + by_bias


class _Hidden(NamedTuple):
    """What a hidden layer gave before its activation, its output, and the ratio of the two, which
    is None without an activation. All are (n, width)."""

    before: np.ndarray
    output: np.ndarray
    gate: np.ndarray | None


def _forward(matrices, biases, linear: bool, x: np.ndarray) -> tuple[np.ndarray, list[_Hidden]]:
    """Returns the output, and every hidden layer."""
    hidden = []
    for matrix, bias in zip(matrices[:-1], biases[:-1], strict=True):
        before = x @ matrix + bias
        gate = None if linear else sigmoid(before)
        x = before if gate is None else before * gate
        hidden.append(_Hidden(before, x, gate))
    return x @ matrices[-1] + biases[-1], hidden


@dataclass(frozen=True, eq=False)
class Conditioning:
    """The paper's interface: a linear encoder, and a transfer network that reads its output."""

    encoder: Network
    transfer: Network

    @property
    def parameters(self) -> int:
        """Number of trained weights of both networks."""
        return self.encoder.parameters + self.transfer.parameters

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Returns biases (n, D_enc + D_dec) for activations x (n, D_enc)."""
        b_enc = self.encoder(x)
        return np.hstack([b_enc, self.transfer(b_enc)])

    def interface(self, encoder: str, decoder: str) -> Interface:
        """Returns the same as an interface of the fabric, for modules of these names.

        It reads what :meth:`inputs` returns. A hidden unit's bias is the weight of one more input
        that is always 1; networks without biases have no such input.
        """
        (down, up), (down_bias, up_bias) = self.encoder.matrices, self.encoder.biases
        (hidden, out), (hidden_bias, out_bias) = self.transfer.matrices, self.transfer.biases
        if not self.encoder.has_biases:
            layers = (
                Layer(INPUT, down, None, up, encoder),
                Layer(BIAS + encoder, hidden, "silu", out, decoder),
            )
        else:
            through = up @ hidden
            layers = (
                Layer(INPUT, np.vstack([down, down_bias]), None, up, encoder),
                Layer(
                    INPUT,
                    np.vstack(
                        [down @ through, down_bias @ through + up_bias @ hidden + hidden_bias]
                    ),
                    "silu",
                    out,
                    decoder,
                ),
            )
        size = len(layers[0].project)
        return Interface(
            np.zeros(size), np.ones(size), layers, {encoder: up_bias, decoder: out_bias}
        )

    def inputs(self, x: np.ndarray) -> np.ndarray:
        """Returns the input of :meth:`interface` for activations x (n, D)."""
        return np.hstack([x, np.ones((len(x), 1))]) if self.encoder.has_biases else x


def train_conditioning(
    x: np.ndarray,
    b_enc: np.ndarray,
    b_dec: np.ndarray,
    seed: int,
    *,
    biases: bool = True,
    bottleneck: int = 4,
    hidden: int = 16,
) -> Conditioning:
    """Trains the paper's interface on the first 256 activations x (n, D_enc).

    The targets are oracle biases (n, D_enc) and (n, D_dec). As in the script, the transfer network
    is trained on the oracle's encoder biases and run on the encoder's.
    """
    rng = np.random.default_rng(seed)
    x, b_enc, b_dec = x[:BATCH], b_enc[:BATCH], b_dec[:BATCH]
    fit = partial(train, rng=rng, biases=biases)
    size_in, size_enc, size_dec = x.shape[1], b_enc.shape[1], b_dec.shape[1]
    return Conditioning(
        fit(x, b_enc, (size_in, bottleneck, size_enc), ENCODER_STEPS, linear=True),
        fit(b_enc, b_dec, (size_enc, hidden, size_dec), TRANSFER_STEPS),
    )
