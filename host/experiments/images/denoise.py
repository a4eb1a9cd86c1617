# SPDX-License-Identifier: Apache-2.0
"""Denoising: the noisy image is a bias, the substrate relaxes, and the pixels are read from its
mean state.

    b = gain * noisy + offset (constant for hidden units),    denoised = scale * <z> + centre,

all unit by unit. The energy is that of :mod:`ornstein.sim.energy` with one coupling M = 2 j2 I - F
F', F (units, 16), over the pixels and, if there are any, hidden units; with the quartic term M may
be indefinite. F, gain, offset, scale and centre are trained together for the error of the
equilibrium itself, whose gradient is one more linear solve: with H the Hessian at equilibrium and g
the gradient by z, dL/db = H^-1 g (implicit differentiation). Images are rows of 64 pixels in [0,
1].
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.experiments.images.digits import PIXELS, add_noise
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS, STOCHASTIC, Problem, relaxation_steps
from ornstein.sim.energy import Coupling, Energy, Module
from ornstein.sim.stages import Stage

RANK = 16
J2 = 0.5
J4 = 1 / 12
"""The curvature is 1 at rest and 1 + z^2: what the trained scales make of it is the nonlinearity.
"""
STIFFNESS, DEFINITE = 1.2, 0.98
"""Largest eigenvalue of F F' that training allows, against 2 j2, with and without the quartic term.
Beyond one M has directions in which only the quartic term holds the state back: the substrate
settles on ink or paper.
"""
DT = 0.25
STEPS, SAMPLES = 192, 16
"""Steps in which a quartic substrate relaxes, then steps averaged, which smooth the rounding."""
BATCH, RATE, CLIP = 128, 0.01, 2.0
"""Images in a training step, the rate that Adam starts with, and how much longer than usual a
gradient may be.
"""

_NEWTON_STEPS, _NEWTON_ERROR = 30, 1e-5
_FIELDS = ("factor", "gain", "offset", "scale", "centre")


@dataclass(frozen=True, eq=False)
class Denoiser:
    """Trained parameters of a substrate that denoises.

    Attributes
    ----------
    factor : F (units, rank), pixels first; gain, scale, centre : (64,); offset : (units,)
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
        """Hidden units."""
        return len(self.factor) - PIXELS

    @property
    def parameters(self) -> int:
        """All trained numbers: couplings and per-unit constants."""
        return sum(getattr(self, name).size for name in _FIELDS)

    def energy(self) -> Energy:
        """The substrate: module "pixels", and "hidden" if there are hidden units."""
        modules = (
            Module("pixels", PIXELS),
            *([Module("hidden", self.hidden)] if self.hidden else []),
        )
        factors = (self.factor[:PIXELS], *([self.factor[PIXELS:]] if self.hidden else []))
        mix = -np.ones((len(modules), len(modules), self.factor.shape[1]))
        return Energy(
            modules,
            (Coupling(tuple(module.name for module in modules), factors, mix),),
            J2,
            self.j4,
        )

    def problem(
        self, name: str, *, kT: float = 0.0, steps: int | None = None, samples: int = SAMPLES
    ) -> Problem:
        """The float program: relax ``steps`` steps, by default enough, average ``samples``, read
        the pixels.
        """
        energy = self.energy()
        if steps is None:
            steps = STEPS if self.j4 else relaxation_steps(energy, DT)
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
        """(n, units) for noisy images (n, 64): the inputs of the program."""
        driven = np.zeros((len(noisy), len(self.factor)))
        driven[:, :PIXELS] = noisy * self.gain
        return driven + self.offset

    def __call__(self, noisy: np.ndarray) -> np.ndarray:
        """Denoised images (n, 64) at :meth:`equilibrium`; with many wells the dynamics may settle
        in another.
        """
        return self.decode(self.equilibrium(self.biases(noisy)))

    def decode(self, state: np.ndarray) -> np.ndarray:
        """Images (n, 64) of states (n, units)."""
        return state[:, :PIXELS] * self.scale + self.centre

    def equilibrium(self, biases: np.ndarray) -> np.ndarray:
        """The minimum (n, units) of the energy next to where uncoupled units would settle, by
        Newton's method.
        """
        # without couplings, about: the root of z + 4 j4 z^3 = b up to a factor near one
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
        """Mean squared error and its gradients by field."""
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
        """H^-1 right for the Hessian H = diag(2 j2 + 12 j4 z^2) - F F' at every state, by
        Woodbury's identity.
        """
        units, rank = self.factor.shape
        softness = 1 / (2 * J2 + 12 * self.j4 * state**2)
        products = (self.factor[:, :, None] * self.factor[:, None]).reshape(units, -1)
        inner = np.eye(rank) - (softness @ products).reshape(-1, rank, rank)
        alone = right * softness
        return alone + softness * (
            np.linalg.solve(inner, (alone @ self.factor)[..., None])[..., 0] @ self.factor.T
        )


def initial(images: np.ndarray, sigma: float, *, j4: float, scale: float) -> Denoiser:
    """Where training starts: the Wiener filter cut to rank 16, in states ``scale`` times as large
    as the pixels.

    Its posterior precision 1 / sigma^2 + C^-1 is one number off the 16 leading directions of C and
    less on them.
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
    """The same denoiser with weakly coupled hidden units, to be trained further."""
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
    """Minimise the mean squared error on clean images (n, 64) plus fresh noise in every step, from
    ``start``.

    Adam [Kingma and Ba 2015] on batches of `BATCH`, its rate falling to zero along a cosine. The
    factor is F = sqrt(2 j2 STIFFNESS) A (I + A'A)^(-1/2), whose singular values are bounded for any
    A. ``report`` is told the steps done.
    """
    rng = np.random.default_rng(seed)
    limit = np.sqrt(2 * J2 * (STIFFNESS if start.j4 else DEFINITE))
    left, gains, right = np.linalg.svd(start.factor / limit, full_matrices=False)
    gains = np.minimum(gains, 0.995)
    free = {name: getattr(start, name) for name in _FIELDS} | {
        "factor": (left * (gains / np.sqrt(1 - gains**2))) @ right
    }
    first, second = ({name: np.zeros_like(value) for name, value in free.items()} for _ in range(2))
    usual = 0.0
    for step in range(1, steps + 1):
        clean = images[rng.integers(len(images), size=BATCH)]
        bounded, pull_back = _contraction(free["factor"])
        denoiser = replace(start, **free | {"factor": limit * bounded})
        _, gradients = denoiser.loss_and_gradients(add_noise(clean, sigma, rng), clean)
        gradients["factor"] = pull_back(limit * gradients["factor"])
        # near a bifurcation H is almost singular, and one image could throw everything off course
        norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
        usual = 0.98 * usual + 0.02 * min(norm, CLIP * usual) if step > 1 else norm
        shrink = min(1.0, CLIP * usual / norm)
        rate = (
            RATE
            * np.cos(np.pi / 2 * step / steps) ** 2
            * np.sqrt(1 - 0.999**step)
            / (1 - 0.9**step)
        )
        for name, gradient in gradients.items():
            gradient = shrink * gradient
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            free[name] = free[name] - rate * first[name] / (np.sqrt(second[name]) + 1e-12)
        if report:
            report(step)
    return replace(start, **free | {"factor": limit * _contraction(free["factor"])[0]})


def _contraction(free: np.ndarray):
    """A (I + A'A)^(-1/2), whose singular values are below one, and the function that pulls a
    gradient back to A.
    """
    values, vectors = np.linalg.eigh(free.T @ free)
    root = 1 / np.sqrt(1 + values)
    # divided differences of (1 + k)^(-1/2): the derivative of a matrix function (Daleckii and
    # Krein)
    slopes = -((root[:, None] * root) ** 2) / (root[:, None] + root)
    shrink = (vectors * root) @ vectors.T

    def pull_back(gradient):
        by_shrink = vectors.T @ (free.T @ gradient) @ vectors
        by_gram = vectors @ (slopes * (by_shrink + by_shrink.T) / 2) @ vectors.T
        return gradient @ shrink + 2 * free @ by_gram

    return free @ shrink, pull_back
