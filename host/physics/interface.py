# SPDX-License-Identifier: Apache-2.0
"""The digital conditioning interface: small networks that turn an input into the biases of the
substrate.

An input is centred and scaled, then every layer adds  expand' act(project' source)  to the bias of
its target module. Only the matrices are weights; centring, scaling and offset constants are counted
beside them (spec, sections 1 and 5).

The fits below take encoder activations x (n, D_enc) as inputs and decoder activations y (n, D_dec)
as targets, from the training set only, and an energy of two modules, encoder first. In every one of
them the decoder's equilibrium mean is

    y_eq = S^-1 (b_dec - J' A^-1 b_enc),   S = B - J' A^-1 J,   M = [[A, J], [J', B]].

An energy of several pairs, e1, d1, e2, d2, ..., is fitted as one: x holds the activations of all
encoders side by side, y those of all decoders, and A, B and J are the blocks of M between all
encoders and all decoders.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from ornstein.host.physics.couplings import standardise
from ornstein.host.physics.regression import Regression, reduced_rank, validated_ridge
from ornstein.sim.energy import Energy, EnergyError

INPUT = "input"
BIAS = "bias:"  # prefix of a source that reads a module's bias as produced so far

_SILU_RIDGE = 1e-9  # keeps the solve for its second matrix well posed
_SILU_DECAY = 1e-5  # weight decay of the SiLU fit, beside a loss of 1 for answering the mean
_SILU_ITERATIONS = 600
_NEGLIGIBLE = 1e-9  # singular values below this share of the largest are rounding
_LINEAR_REGIME = 0.1  # hidden amplitude at which SiLU starts out nearly linear
_PAPER_STEPS, _PAPER_BATCH, _PAPER_RATE = (
    4000,
    64,
    1e-3,
)  # about 148 epochs of the default activations


@dataclass(frozen=True, eq=False)
class Layer:
    """Adds expand' act(project' source) to the bias of ``target``; project (d_in, h), expand (h,
    d_out).

    ``source`` is "input" or "bias:<module>"; ``activation`` is "silu" or None.
    """

    source: str
    project: np.ndarray
    activation: str | None
    expand: np.ndarray
    target: str


@dataclass(frozen=True, eq=False)
class Interface:
    """Layers applied in order to (input - centre) / scale, on top of constant ``offset`` biases
    (units,) per module.
    """

    centre: np.ndarray
    scale: np.ndarray
    layers: tuple[Layer, ...]
    offset: dict[str, np.ndarray]

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
        """Number of centring, scaling and offset constants; a vector that changes nothing is not
        counted.
        """
        return (
            _count(self.centre, 0)
            + _count(self.scale, 1)
            + sum(_count(v, 0) for v in self.offset.values())
        )


@dataclass(frozen=True, eq=False)
class Readout:
    """Affine map, unit by unit, from the decoder's mean state to activations: z * scale + offset,
    both (D_dec,).
    """

    scale: np.ndarray
    offset: np.ndarray

    def __call__(self, mean: np.ndarray) -> np.ndarray:
        """(n, D_dec) state units to (n, D_dec) activation units."""
        return mean * self.scale + self.offset

    @property
    def constants(self) -> int:
        """Number of scales and offsets, not counting a vector that changes nothing."""
        return _count(self.scale, 1) + _count(self.offset, 0)


def silu(value: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)), in a form that does not overflow."""
    return value * _sigmoid(value)


def fit_closed_form(
    energy: Energy, x: np.ndarray, y: np.ndarray, encoder_rank: int = 4, transfer_rank: int = 16
) -> Interface:
    """The full interface by reduced-rank regression, no gradients: 2,560 weights at D = 64 and the
    default ranks.

    The encoder regresses the exact bias A x + J y at ``encoder_rank``. The transfer network, linear
    and reading the input, is the rank-``transfer_rank`` regression with the least error of y_eq
    *given that encoder*, so what the encoder's rank drops is made up for as far as possible. Ridges
    come from a validation part of (x, y).

    Of several pairs every module has layers of these ranks of its own, which read the whole input.
    A decoder's ranks then fit its own rows of the exact S y_eq; where S couples decoders, what one
    of them drops reaches the others and is not made up for.
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
    """The same budget with a SiLU transfer network, D - ``transfer_rank`` - SiLU - D, trained by
    L-BFGS.

    It starts from the closed form, run in the nearly linear middle of SiLU, and minimises the same
    error of y_eq with analytic gradients and a little weight decay.
    """

    def transfer(inputs: np.ndarray, targets: np.ndarray) -> Regression:
        return _train_silu(inputs, targets, _linear(inputs, targets, transfer_rank))

    return _full(energy, x, y, encoder_rank, transfer, "silu")


def fit_encoder(
    energy: Energy, x: np.ndarray, y: np.ndarray, readout: Readout, encoder_rank: int = 4
) -> Interface:
    """The encoder alone, 512 weights at D = 64, b_dec = 0: the substrate decodes.

    y_eq is then a linear response P b_enc with P a block of M^-1 of the skip's rank. The encoder is
    the rank- ``encoder_rank`` map with the least error of ``readout(y_eq)``: targets are projected
    on the range of P, regressed, and the regression is pulled back through P. Of several pairs the
    fit is one, of ``encoder_rank`` for each encoder. Inputs x need not be the encoders' activations
    here.
    """
    encoders, decoders = sides(energy)
    inverse = np.linalg.inv(energy.matrix())
    response = (
        readout.scale[:, None] * inverse[np.ix_(places(energy, decoders), places(energy, encoders))]
    )
    left, gains, right = np.linalg.svd(response, full_matrices=False)
    rank = int(np.sum(gains > gains[0] * len(gains) * np.finfo(float).eps))
    centre, scale = standardise(x)
    fit = _linear(
        (x - centre) / scale, (y - readout.offset) @ left[:, :rank], encoder_rank * len(encoders)
    )
    expand = (fit.expand / gains[:rank]) @ right[:rank]
    layers = tuple(
        Layer(INPUT, part.project, None, part.expand, name)
        for name, part in _parts(energy, encoders, fit.project, expand).items()
    )
    offset = {module.name: np.zeros(module.units) for module in energy.modules}
    return Interface(centre, scale, layers, offset)


def fit_paper(
    energy: Energy,
    x: np.ndarray,
    y: np.ndarray,
    encoder_rank: int = 4,
    transfer_rank: int = 16,
    seed: int = 0,
) -> Interface:
    """The paper's own interface, gradient-trained as drawn: the transfer network reads the
    encoder's output.

    Known from the paper: the shapes 64-4-64 (linear) and 64-16-SiLU-64, 2,560 weights without
    biases, and the oracle biases [A x; B y] as targets. Assumed here: raw inputs, uniform initial
    weights of PyTorch's default width, mean squared error, 4,000 steps of Adam at rate 1e-3 on
    batches of 64, encoder first and the transfer network on its output.
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
    """Encoder by regression to the exact bias, then a transfer network by ``fit_transfer`` to the
    decoder's error.
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
        own, target = schur[np.ix_(rows, rows)], wanted[:, rows]
        for other in (other for other in decoders if other != name):
            target = (
                target
                + np.linalg.solve(own, schur[np.ix_(rows, at[other])] @ wanted[:, at[other]].T).T
            )
        transfer = fit_transfer(inputs, target - target.mean(axis=0))
        hidden = inputs @ transfer.project
        produced = (silu(hidden) if activation else hidden) @ transfer.expand
        offset[name] = own @ (target - produced).mean(axis=0)
        layers.append(Layer(INPUT, transfer.project, activation, transfer.expand @ own, name))
    return Interface(centre, scale, tuple(layers), {name: offset[name] for name in slices})


def sides(energy: Energy) -> tuple[list[str], list[str]]:
    """Names of the encoders and of the decoders of e1, d1, e2, d2, ... Raises EnergyError unless
    they come in pairs.
    """
    names = [module.name for module in energy.modules]
    if len(names) % 2 or not names:
        raise EnergyError(
            f"this needs pairs of two modules, encoder then decoder, not {len(names)} modules"
        )
    return names[::2], names[1::2]


def places(energy: Energy, names: list[str]) -> np.ndarray:
    """Where the units of the modules ``names`` lie in z, one module after the other."""
    return np.concatenate([np.arange(energy.units)[energy.slices[name]] for name in names])


def split(energy: Energy, names: list[str], values: np.ndarray) -> list[np.ndarray]:
    """Values (..., units of all ``names``) module by module."""
    units = {module.name: module.units for module in energy.modules}
    return np.split(values, np.cumsum([units[name] for name in names])[:-1], axis=-1)


def _parts(
    energy: Energy, names: list[str], project: np.ndarray, expand: np.ndarray
) -> dict[str, Regression]:
    """One map onto several modules as a map for each, with no more hidden units than its module's
    modes need.
    """
    parts = {}
    for name, part in zip(names, split(energy, names, expand), strict=True):
        left, gains, right = np.linalg.svd(part, full_matrices=False)
        rank = int(np.sum(gains > _NEGLIGIBLE * gains[0]))
        if rank < len(part):
            narrowed = project @ left[:, :rank]
            peaks = np.abs(narrowed).max(axis=0)
            parts[name] = Regression(
                narrowed / peaks, (peaks * gains[:rank])[:, None] * right[:rank]
            )
        else:
            parts[name] = Regression(project, part)
    return parts


def _linear(inputs: np.ndarray, targets: np.ndarray, rank: int) -> Regression:
    return reduced_rank(inputs, targets, rank, validated_ridge(inputs, targets, rank))


def _train_silu(x: np.ndarray, y: np.ndarray, start: Regression) -> Regression:
    """SiLU network without biases fitted to centred y; the constant it leaves over is the caller's
    offset.

    For any ``project`` the best ``expand`` is a linear solve, so L-BFGS moves ``project`` only
    (variable projection); at the best ``expand`` the gradient is the partial one.
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
        return loss / variance + decay * np.mean(
            flat**2
        ), gradient.ravel() / variance + 2 * decay * flat / flat.size

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
    """Mean squared error of act(x project) expand against y, and its gradients by the two weight
    matrices.

    ``centred`` leaves out the mean error per output, which an offset constant takes away.
    """
    project, expand = weights
    before = x @ project
    gate = _sigmoid(before) if activation else 1.0
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
    """Both weight matrices after minibatch Adam [Kingma and Ba 2015] with its usual constants 0.9,
    0.999, 1e-8.
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


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(value / 2))


def _two_modules(energy: Energy) -> tuple[str, str]:
    if len(energy.modules) != 2:
        raise EnergyError(
            f"this fit needs two modules, encoder then decoder, not {len(energy.modules)}"
        )
    return energy.modules[0].name, energy.modules[1].name


def _count(constants: np.ndarray, neutral: float) -> int:
    return 0 if np.all(constants == neutral) else constants.size
