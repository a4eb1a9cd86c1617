# SPDX-License-Identifier: Apache-2.0
"""A substrate that removes noise, and its training. Images are rows of 64 pixels in [0, 1].

The noisy image is the bias of the pixels' units, the substrate relaxes, and the denoised image is
read from its mean state <z>:

    b = gain * noisy + offset,    denoised = scale * <z> + centre,

with constants for each unit; hidden units have a constant bias and are not read. The energy is that
of :mod:`ornstein.sim.energy` with M = 2 j2 I - F F', F (units, 16). With the quartic term M may be
indefinite.

F, gain, offset, scale and centre are trained together for the error of the equilibrium. Its
gradient takes one more linear solve: with H the Hessian of the energy at equilibrium and g the
gradient of the error L by z, dL/db = H^-1 g (implicit differentiation).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ornstein.host.experiments.images.digits import PIXELS, add_noise
from ornstein.host.learn.adam import Adam
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS, STOCHASTIC, Problem
from ornstein.host.physics.timestep import choose_time_step
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

RANK = 16
J2 = 0.5
J4 = 1 / 12
"""With these two an uncoupled unit has the curvature 1 + z^2. The trained scales decide how far z
moves, and so how nonlinear the substrate is."""
STIFFNESS, DEFINITE = 1.2, 0.98
"""Largest eigenvalue of F F' that training allows, relative to 2 j2, with and without the quartic
term. Above 1 there are directions in which only the quartic term holds the state back, so that the
substrate settles on either black or white."""
DT = 0.25
STEPS, SAMPLES = 192, 16
"""Steps in which a quartic substrate relaxes, and steps averaged after them, which smooths the
rounding of the state."""
BATCH, RATE, CLIP = 128, 0.01, 2.0
"""Images in a training step, the learning rate at the start, and how many times longer than usual a
gradient may be."""

_NEWTON_STEPS, _NEWTON_ERROR = 30, 1e-5
_FIELDS = ("factor", "gain", "offset", "scale", "centre")


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Trained parameters of a substrate that denoises.

    Attributes
    ----------
    factor : F (units, rank), pixels first
    gain, scale, centre : (64,)
    offset : (units,)
    j4 : quartic coefficient, 0 for a quadratic substrate
    """

    factor: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    j4: float

    @property
    def hidden(self) -> int:
        """Number of hidden units."""
        return len(self.factor) - PIXELS

    @property
    def parameters(self) -> int:
        """Number of all trained numbers: couplings and constants of units."""
        return sum(getattr(self, name).size for name in _FIELDS)

    def energy(self) -> Energy:
        """Returns the energy, with modules "pixels" and, if there are hidden units, "hidden"."""
        modules, factors = [Module("pixels", PIXELS)], [self.factor[:PIXELS]]
        if self.hidden:
            modules.append(Module("hidden", self.hidden))
            factors.append(self.factor[PIXELS:])
        names = tuple(module.name for module in modules)
        mix = -np.ones((len(modules), len(modules), self.factor.shape[1]))
        return Energy(tuple(modules), (Coupling(names, tuple(factors), mix),), J2, self.j4)

    def problem(
        self, name: str, *, kT: float = 0.0, steps: int | None = None, samples: int = SAMPLES
    ) -> Problem:
        """Returns the float problem, whose inputs are :meth:`biases` and whose answers are images.

        It relaxes for ``steps`` steps, by default as many as it takes, and averages ``samples``
        steps, all at temperature ``kT``.
        """
        energy = self.energy()
        if steps is None:
            steps = STEPS if self.j4 else choose_time_step([energy], tolerance=1e-3, dt=DT).steps
        return Problem(
            name=name,
            energies=(energy,),
            stages=(Stage(steps, kT), Stage(samples, kT, accumulate=True)),
            dt=DT,
            rounding=STOCHASTIC,
            entry=BIAS,
            readout=Readout(self.scale, self.centre),
            target="pixels",
        )

    def biases(self, noisy: np.ndarray) -> np.ndarray:
        """Returns the biases (n, units) of noisy images (n, 64)."""
        driven = np.zeros((len(noisy), len(self.factor)))
        driven[:, :PIXELS] = noisy * self.gain
        return driven + self.offset

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Returns denoised images (n, 64) at :meth:`equilibrium`.

        If the energy has several minima, the dynamics may settle in another one.
        """
        return self.decode(self.equilibrium(self.biases(noisy)))

    def decode(self, state: np.ndarray) -> np.ndarray:
        """Returns the images (n, 64) that are read from states (n, units)."""
        return state[:, :PIXELS] * self.scale + self.centre

    def equilibrium(self, biases: np.ndarray) -> np.ndarray:
        """Returns a minimum (n, units) of the energy, by Newton's method.

        It starts close to where uncoupled units would settle.
        """
        # about the root of z + 4 j4 z^3 = b, which is the equilibrium without couplings
        state = biases / (1 + 4 * self.j4 * np.cbrt(biases) ** 2)
        for _ in range(_NEWTON_STEPS):
            local = 2 * J2 * state + 4 * self.j4 * state * state * state
            residual = local - state @ self.factor @ self.factor.T - biases
            if np.abs(residual).max() < _NEWTON_ERROR:
                break
            state = state - self._solve(state, residual)
        return state

    def loss_and_gradients(
        self, noisy: np.ndarray, clean: np.ndarray
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Returns the mean squared error of denoised images (n, 64), and its gradient by field."""
        state = self.equilibrium(self.biases(noisy))
        pixels = state[:, :PIXELS]
        error = self.decode(state) - clean
        outer = 2 * error / error.size
        by_state = np.zeros_like(state)
        by_state[:, :PIXELS] = outer * self.scale
        by_bias = self._solve(state, by_state)
        gradients = {
            "factor": by_bias.T @ (state @ self.factor) + state.T @ (by_bias @ self.factor),
            "gain": np.sum(by_bias[:, :PIXELS] * noisy, axis=0),
            "offset": by_bias.sum(axis=0),
            "scale": np.sum(outer * pixels, axis=0),
            "centre": outer.sum(axis=0),
        }
        return float(np.mean(error**2)), gradients

    def _solve(self, state: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Returns H^-1 ``right`` for every state (n, units), by Woodbury's identity.

        H = diag(2 j2 + 12 j4 z^2) - F F' is the Hessian of the energy.
        """
        units, rank = self.factor.shape
        softness = 1 / (2 * J2 + 12 * self.j4 * state**2)
        products = (self.factor[:, :, None] * self.factor[:, None]).reshape(units, -1)
        inner = np.eye(rank) - (softness @ products).reshape(-1, rank, rank)
        uncoupled = right * softness
        projected = np.linalg.solve(inner, (uncoupled @ self.factor)[..., None])[..., 0]
        return uncoupled + softness * (projected @ self.factor.T)


def initial(images: np.ndarray, sigma: float, *, j4: float, scale: float) -> Denoiser:
    """Returns the denoiser from which training starts: the Wiener filter cut to rank 16.

    The states are ``scale`` times as large as the pixels. The posterior precision of the Wiener
    filter, 1 / sigma^2 + C^-1, is treated as one number except along the 16 leading directions of
    the covariance C of images (n, 64), where it is smaller.
    """
    mean = images.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(images.T))
    wiener = values / (values + sigma**2)
    rest = values[:-RANK].mean() / (values[:-RANK].mean() + sigma**2)
    strength = np.sqrt(np.clip(1 - rest / wiener[-RANK:], 0.05, 0.9))
    return Denoiser(
        vectors[:, -RANK:] * strength,
        np.full(PIXELS, rest * scale),
        -rest * scale * mean,
        np.full(PIXELS, 1 / scale),
        mean,
        j4,
    )


def with_hidden(denoiser: Denoiser, hidden: int, seed: int = 0) -> Denoiser:
    """Returns the denoiser with weakly coupled hidden units added, to be trained further."""
    rng = np.random.default_rng(seed)
    return replace(
        denoiser,
        factor=np.concatenate([denoiser.factor, 0.03 * rng.standard_normal((hidden, RANK))]),
        offset=np.concatenate([denoiser.offset, 0.5 * rng.standard_normal(hidden)]),
    )


def train(
    images: np.ndarray,
    sigma: float,
    start: Denoiser,
    *,
    steps: int,
    seed: int = 0,
    report: Callable[[int], None] | None = None,
) -> Denoiser:
    """Returns ``start`` after ``steps`` training steps that lower the mean squared error.

    Each step takes `BATCH` of the clean images (n, 64), adds fresh noise and updates all
    parameters by Adam [Kingma and Ba 2015]. The learning rate falls to zero along a cosine.
    ``report`` is told the number of steps done.

    The factor is F = sqrt(2 j2 STIFFNESS) A (I + A'A)^(-1/2), whose singular values are bounded for
    any A; A is what is trained.
    """
    rng = np.random.default_rng(seed)
    limit = np.sqrt(2 * J2 * (STIFFNESS if start.j4 else DEFINITE))
    trained = {name: getattr(start, name) for name in _FIELDS}
    trained["factor"] = _unbounded(start.factor / limit)
    adam = Adam(trained)
    usual = 0.0
    for step in range(1, steps + 1):
        clean = images[rng.integers(len(images), size=BATCH)]
        bounded, pull_back = _contraction(trained["factor"])
        denoiser = _with(start, trained, limit * bounded)
        _, gradients = denoiser.loss_and_gradients(add_noise(clean, sigma, rng), clean)
        gradients["factor"] = pull_back(limit * gradients["factor"])
        # Close to a bifurcation H is almost singular, and one image could undo all training.
        norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
        usual = 0.98 * usual + 0.02 * min(norm, CLIP * usual) if step > 1 else norm
        shrink = min(1.0, CLIP * usual / norm)
        gradients = {name: shrink * gradient for name, gradient in gradients.items()}
        adam.update(trained, gradients, RATE * np.cos(np.pi / 2 * step / steps) ** 2)
        if report:
            report(step)
    return _with(start, trained, limit * _contraction(trained["factor"])[0])


def _with(denoiser: Denoiser, trained: dict[str, np.ndarray], factor: np.ndarray) -> Denoiser:
    """Returns the denoiser with trained parameters, and the factor in place of the free one."""
    fields: dict[str, Any] = trained | {"factor": factor}
    return replace(denoiser, **fields)


def _unbounded(bounded: np.ndarray) -> np.ndarray:
    """Returns the A that :func:`_contraction` maps to ``bounded``, or close to it."""
    left, gains, right = np.linalg.svd(bounded, full_matrices=False)
    gains = np.minimum(gains, 0.995)  # beyond 1 there is no such A
    return (left * (gains / np.sqrt(1 - gains**2))) @ right


def _contraction(
    free: np.ndarray,
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Returns A (I + A'A)^(-1/2), whose singular values are below one, and its pull-back.

    The pull-back maps the gradient by the result to the gradient by A.
    """
    values, vectors = np.linalg.eigh(free.T @ free)
    root = 1 / np.sqrt(1 + values)
    # divided differences of (1 + k)^(-1/2) give the derivative of the matrix function [Daleckii
    # and Krein]
    slopes = -((root[:, None] * root) ** 2) / (root[:, None] + root)
    shrink = (vectors * root) @ vectors.T

    def pull_back(gradient: np.ndarray) -> np.ndarray:
        by_shrink = vectors.T @ (free.T @ gradient) @ vectors
        by_gram = vectors @ (slopes * (by_shrink + by_shrink.T) / 2) @ vectors.T
        return gradient @ shrink + 2 * free @ by_gram

    return free @ shrink, pull_back
