# SPDX-License-Identifier: Apache-2.0
"""The digital conditioning interface: small networks that turn an input into biases.

An input is centred and scaled. Then every layer adds  expand' act(project' source)  to the bias of
its target module. Only the matrices are weights; constants for centring, scaling and offsets are
counted separately. See docs/physics.md, "Conditioning interface" and "Scores".

The fits below take encoder activations x (n, D_enc) as inputs, decoder activations y (n, D_dec) as
targets, both from the training set only, and an energy of two modules, encoder first. The decoder's
equilibrium mean is

    y_eq = S^-1 (b_dec - J' A^-1 b_enc),   S = B - J' A^-1 J,   M = [[A, J], [J', B]].

An energy of several pairs, e1, d1, e2, d2, ..., is fitted as a whole: x holds the activations of
all encoders side by side, y those of all decoders, and A, B and J are the blocks of M between all
encoders and all decoders.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ornstein.host.physics.couplings import standardise
from ornstein.host.physics.regression import Regression, reduced_rank, validated_ridge
from ornstein.sim.energy import Energy, EnergyError, Module

INPUT = "input"
"""Source of a layer that reads the centred and scaled input."""
BIAS = "bias:"
"""Prefix of the source of a layer that reads a module's bias as earlier layers have left it."""

_SILU_RIDGE = 1e-9
"""Relative ridge that keeps the solve for the second matrix of a SiLU network well posed."""
_SILU_DECAY = 1e-5
"""Weight decay of the SiLU fit, where a network that always answers the mean has a loss of 1."""
_SILU_ITERATIONS = 600
_LINEAR_REGIME = 0.1
"""Factor on hidden values with which the SiLU fit starts, so that SiLU is nearly linear."""
_PAPER_STEPS, _PAPER_BATCH, _PAPER_RATE = 4000, 64, 1e-3
"""Adam's steps, batch and rate for the paper's interface: 148 epochs of the default activations."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Adds expand' act(project' source) to the bias of ``target``.

    Attributes
    ----------
    source : "input" or "bias:<module>"
    project : (d_in, h)
    activation : "silu" or None
    expand : (h, units of the target)
    target : name of a module
    """

    source: str
    project: np.ndarray
    activation: str | None
    expand: np.ndarray
    target: str


@dataclass(frozen=True, eq=False)
class Interface:
    """Layers that run in order and add to constant biases.

    Attributes
    ----------
    centre, scale : (d_in,); layers read (input - centre) / scale
    layers : in the order in which they run
    offset : constant biases (units,) by module, of every module that a layer reads or targets
    """

    centre: np.ndarray
    scale: np.ndarray
    layers: tuple[Layer, ...]
    offset: dict[str, np.ndarray]

    def check(self, modules: tuple[Module, ...]) -> None:
        """Raises EnergyError, which names the part, unless all shapes fit each other and these
        modules, and every number is finite.
        """
        size = self.centre.size
        widths = {INPUT: size} | {BIAS + name: value.size for name, value in self.offset.items()}
        units = {module.name: module.units for module in modules}
        parts: list[tuple[str, np.ndarray, tuple]] = [
            ("centre", self.centre, (size,)),
            ("scale", self.scale, (size,)),
        ]
        for name, value in self.offset.items():
            parts.append((f"the offset of module {name!r}", value, (units.get(name),)))
        for index, layer in enumerate(self.layers):
            if layer.activation not in (None, "silu") or layer.target not in self.offset:
                raise EnergyError(
                    f"layer {index} of the interface needs the activation silu or none and a "
                    f"target with an offset, not {layer.activation!r} and {layer.target!r}"
                )
            hidden = layer.project.shape[-1]
            width = widths.get(layer.source)
            parts.append((f"project of layer {index}", layer.project, (width, hidden)))
            parts.append((f"expand of layer {index}", layer.expand, (hidden, units[layer.target])))
        for what, array, shape in parts:
            if array.shape != shape or not np.isfinite(array).all():
                raise EnergyError(
                    f"{what} of the interface must be finite and of shape {shape}, not "
                    f"{array.shape}"
                )
        if not size or not (self.scale > 0).all():
            raise EnergyError("the interface needs one input or more, and positive scales")

    def standard(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs (n, d_in), centred and scaled."""
        return (np.asarray(inputs, float) - self.centre) / self.scale

    def __call__(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Biases (n, units) of every module in ``offset`` for inputs (n, d_in)."""
        standard = self.standard(inputs)
        biases = {
            name: np.tile(constant, (len(standard), 1)) for name, constant in self.offset.items()
        }
        for layer in self.layers:
            source = standard if layer.source == INPUT else biases[layer.source.removeprefix(BIAS)]
            hidden = source @ layer.project
            biases[layer.target] = (
                biases[layer.target] + (silu(hidden) if layer.activation else hidden) @ layer.expand
            )
        return biases

    @property
    def weights(self) -> int:
        """Number of matrix weights in all layers."""
        return sum(layer.project.size + layer.expand.size for layer in self.layers)

    @property
    def constants(self) -> int:
        """Number of constants that centre, scale or offset, vectors without effect left out."""
        return (
            _count(self.centre, 0)
            + _count(self.scale, 1)
            + sum(_count(v, 0) for v in self.offset.values())
        )


@dataclass(frozen=True, eq=False)
class Readout:
    """Affine map of each unit from the decoder's mean state to an activation: z * scale + offset.

    ``scale`` and ``offset`` are (D_dec,).
    """

    scale: np.ndarray
    offset: np.ndarray

    def __call__(self, mean: np.ndarray) -> np.ndarray:
        """Activations (n, D_dec) of mean states (n, D_dec)."""
        return mean * self.scale + self.offset

    @property
    def constants(self) -> int:
        """Number of scales and offsets, vectors without effect left out."""
        return _count(self.scale, 1) + _count(self.offset, 0)


def silu(value: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)), in a form that does not overflow."""
    return value * sigmoid(value)


def fit_closed_form(
    energy: Energy, x: np.ndarray, y: np.ndarray, encoder_rank: int = 4, transfer_rank: int = 16
) -> Interface:
    """The full interface by reduced-rank regression, without gradients.

    It has 2,560 weights at D = 64 and the default ranks. The encoder regresses the exact bias A x +
    J y at ``encoder_rank``. The transfer network is linear and reads the input. It is the
    regression of ``transfer_rank`` with the least error of y_eq *given that encoder*, so that it
    makes up for what the encoder's rank drops as far as it can. Ridges are chosen on a validation
    part of (x, y).

    For several pairs every module has its own layers of these ranks, which read the whole input. A
    decoder's layer then fits that decoder's rows of the exact S y_eq. Where S couples decoders,
    what the rank of one drops reaches the others, and nothing makes up for that.
    """
    return _full(
        energy,
        x,
        y,
        encoder_rank,
        lambda inputs, targets: _linear(inputs, targets, transfer_rank),
        None,
    )


def fit_silu(
    energy: Energy, x: np.ndarray, y: np.ndarray, encoder_rank: int = 4, transfer_rank: int = 16
) -> Interface:
    """The full interface with a transfer network D - ``transfer_rank`` - SiLU - D.

    It has as many weights as :func:`fit_closed_form`. L-BFGS starts from the closed form, scaled
    into the nearly linear middle of SiLU, and minimises the same error of y_eq with analytic
    gradients and a little weight decay.
    """

    def transfer(inputs: np.ndarray, targets: np.ndarray) -> Regression:
        return _train_silu(inputs, targets, _linear(inputs, targets, transfer_rank))

    return _full(energy, x, y, encoder_rank, transfer, "silu")


def fit_paper(
    energy: Energy,
    x: np.ndarray,
    y: np.ndarray,
    encoder_rank: int = 4,
    transfer_rank: int = 16,
    seed: int = 0,
) -> Interface:
    """The paper's interface, trained by gradients: the transfer network reads the encoder's output.

    Known from the paper are the shapes 64-4-64 (linear) and 64-16-SiLU-64, 2,560 weights without
    biases, and the oracle biases [A x; B y] as targets. Assumed here are raw inputs, uniform
    initial weights of PyTorch's default width, the mean squared error, 4,000 steps of Adam at rate
    1e-3 on batches of 64, and that the encoder is trained first and the transfer network on its
    output. Raises EnergyError unless the energy has two modules.
    """
    encoder, decoder = _two_modules(energy)
    matrix, slices = energy.matrix(), energy.slices
    rng = np.random.default_rng(seed)
    b_enc = x @ matrix[slices[encoder], slices[encoder]]
    b_dec = y @ matrix[slices[decoder], slices[decoder]]
    enc = _adam(x, b_enc, encoder_rank, None, rng)
    transfer = _adam(x @ enc[0] @ enc[1], b_dec, transfer_rank, "silu", rng)
    layers = (
        Layer(INPUT, enc[0], None, enc[1], encoder),
        Layer(BIAS + encoder, transfer[0], "silu", transfer[1], decoder),
    )
    offset = {module.name: np.zeros(module.units) for module in energy.modules}
    return Interface(np.zeros(x.shape[1]), np.ones(x.shape[1]), layers, offset)


def _full(
    energy: Energy,
    x: np.ndarray,
    y: np.ndarray,
    encoder_rank: int,
    fit_transfer: Callable[[np.ndarray, np.ndarray], Regression],
    activation: str | None,
) -> Interface:
    """Encoders by regression of the exact bias, then transfer networks by ``fit_transfer``.

    A transfer network is fitted to what the encoders leave over of the decoders' targets.
    """
    encoders, decoders = sides(energy)
    matrix, slices = energy.matrix(), energy.slices
    e, d = places(energy, encoders), places(energy, decoders)
    a, j = matrix[np.ix_(e, e)], matrix[np.ix_(e, d)]
    across = np.linalg.solve(a, j)
    schur = matrix[np.ix_(d, d)] - j.T @ across

    centre, scale = standardise(x)
    inputs = (x - centre) / scale
    exact = x @ a + y @ j.T
    enc = [
        _linear(inputs, part - part.mean(axis=0), encoder_rank)
        for part in split(energy, encoders, exact)
    ]
    b_enc = exact.mean(axis=0) + np.hstack([part(inputs) for part in enc])

    wanted = y + np.linalg.solve(schur, (b_enc @ across).T).T  # S^-1 b_dec for which y_eq = y
    layers = [
        Layer(INPUT, part.project, None, part.expand, name)
        for name, part in zip(encoders, enc, strict=True)
    ]
    offset = dict(zip(encoders, split(energy, encoders, exact.mean(axis=0)), strict=True))
    at = dict(zip(decoders, split(energy, decoders, np.arange(len(d))), strict=True))
    for name, rows in at.items():
        block, target = schur[np.ix_(rows, rows)], wanted[:, rows]
        for other in decoders:
            if other != name:
                from_other = schur[np.ix_(rows, at[other])] @ wanted[:, at[other]].T
                target = target + np.linalg.solve(block, from_other).T
        transfer = fit_transfer(inputs, target - target.mean(axis=0))
        hidden = inputs @ transfer.project
        produced = (silu(hidden) if activation else hidden) @ transfer.expand
        offset[name] = block @ (target - produced).mean(axis=0)
        layers.append(Layer(INPUT, transfer.project, activation, transfer.expand @ block, name))
    return Interface(centre, scale, tuple(layers), {name: offset[name] for name in slices})


def sides(energy: Energy) -> tuple[list[str], list[str]]:
    """Names of the encoders and of the decoders among modules e1, d1, e2, d2, ...

    Raises EnergyError unless the modules come in pairs.
    """
    names = [module.name for module in energy.modules]
    if len(names) % 2 or not names:
        raise EnergyError(
            f"this needs pairs of two modules, encoder then decoder, not {len(names)} modules"
        )
    return names[::2], names[1::2]


def places(energy: Energy, names: list[str]) -> np.ndarray:
    """Indices in z of the units of the named modules, one module after the other."""
    return np.concatenate([np.arange(energy.units)[energy.slices[name]] for name in names])


def split(energy: Energy, names: list[str], values: np.ndarray) -> list[np.ndarray]:
    """Values (..., units of all named modules), cut into a part (..., units) for each module."""
    units = {module.name: module.units for module in energy.modules}
    return np.split(values, np.cumsum([units[name] for name in names])[:-1], axis=-1)


def _linear(inputs: np.ndarray, targets: np.ndarray, rank: int) -> Regression:
    return reduced_rank(inputs, targets, rank, validated_ridge(inputs, targets, rank))


def _train_silu(x: np.ndarray, y: np.ndarray, start: Regression) -> Regression:
    """A SiLU network without biases, fitted to centred y. An offset has to correct its mean.

    For any ``project`` the best ``expand`` is a linear solve, so L-BFGS moves ``project`` only
    (variable projection). At the best ``expand`` the gradient is the partial one.
    """
    first = start.project * _LINEAR_REGIME
    variance, size = np.mean(y**2), np.mean(first**2)

    def best_expand(project: np.ndarray) -> np.ndarray:
        hidden = silu(x @ project)
        hidden -= hidden.mean(axis=0)
        gram = hidden.T @ hidden
        return np.linalg.solve(
            gram + _SILU_RIDGE * np.trace(gram) * np.eye(len(gram)), hidden.T @ y
        )

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        project = flat.reshape(first.shape)
        loss, (gradient, _) = loss_and_gradients(
            x, y, [project, best_expand(project)], "silu", centred=True
        )
        decay = _SILU_DECAY / size
        slope = gradient.ravel() / variance + 2 * decay * flat / flat.size
        return float(loss / variance + decay * np.mean(flat**2)), slope

    options = {
        "maxiter": _SILU_ITERATIONS,
        "maxfun": 2 * _SILU_ITERATIONS,
        "ftol": 1e-12,
        "gtol": 1e-9,
    }
    project = minimize(
        objective, first.ravel(), jac=True, method="L-BFGS-B", options=options
    ).x.reshape(first.shape)
    return Regression(project, best_expand(project))


def loss_and_gradients(
    x: np.ndarray,
    y: np.ndarray,
    weights: list[np.ndarray],
    activation: str | None,
    centred: bool = False,
) -> tuple[float, list[np.ndarray]]:
    """Mean squared error of act(x project) expand against y, and its two gradients.

    ``weights`` are [project, expand]. ``centred`` leaves out the mean error of each output, which
    an offset can correct.
    """
    project, expand = weights
    before = x @ project
    gate = sigmoid(before) if activation else 1.0
    hidden = before * gate
    error = hidden @ expand - y
    if centred:
        error -= error.mean(axis=0)
    scaled = 2 * error / error.size
    slope = gate * (1 + before * (1 - gate)) if activation else 1.0
    return float(np.mean(error**2)), [x.T @ (scaled @ expand.T * slope), hidden.T @ scaled]


def _adam(
    x: np.ndarray, y: np.ndarray, rank: int, activation: str | None, rng: np.random.Generator
) -> list[np.ndarray]:
    """Both weight matrices after training by Adam [Kingma and Ba 2015] on random batches.

    Adam has its usual constants 0.9, 0.999 and 1e-8.
    """
    shapes = (x.shape[1], rank), (rank, y.shape[1])
    weights = [rng.uniform(-1, 1, shape) / np.sqrt(shape[0]) for shape in shapes]
    first, second = [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    for step in range(1, _PAPER_STEPS + 1):
        batch = rng.integers(len(x), size=_PAPER_BATCH)
        _, gradients = loss_and_gradients(x[batch], y[batch], weights, activation)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, gradients, strict=True)]
        rate = _PAPER_RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = [
            w - rate * m / (np.sqrt(v) + 1e-8)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
    return weights


def sigmoid(value: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), in a form that does not overflow."""
    return 0.5 * (1 + np.tanh(value / 2))


def _two_modules(energy: Energy) -> tuple[str, str]:
    if len(energy.modules) != 2:
        raise EnergyError(
            f"this fit needs two modules, encoder then decoder, not {len(energy.modules)}"
        )
    return energy.modules[0].name, energy.modules[1].name


def _count(constants: np.ndarray, neutral: float) -> int:
    return 0 if np.all(constants == neutral) else constants.size
