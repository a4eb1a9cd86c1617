# SPDX-License-Identifier: Apache-2.0
"""The float reference: Langevin dynamics of any energy in float64, and the theory of its time step.

    dz = -(M z + 4 j4 z^3 - b) dt + sqrt(2 kT) dW

Euler-Maruyama draws one normal R_n in a step. Leimkuhler-Matthews uses (R_n + R_n+1) / 2, which
samples every harmonic energy without an error of the time step. See docs/physics.md, "Energy and
dynamics".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ornstein.sim.energy import Energy
from ornstein.sim.stages import LM, Stage


class NormalSource(Protocol):
    """Something that draws standard normals, such as :class:`numpy.random.Generator`."""

    def standard_normal(self, shape: tuple[int, ...], /) -> np.ndarray:
        """Returns normals of that shape."""
        ...


@dataclass
class Trajectory:
    """What a schedule has accumulated.

    Attributes
    ----------
    mean, second : (n, units) averages of the states and of their squares
    samples : (n, kept, units) states that ``thin`` has kept
    final : (n, units) states after the last step
    """

    mean: np.ndarray
    second: np.ndarray
    samples: np.ndarray
    final: np.ndarray


def relax(
    energies: tuple[Energy, ...],
    biases: np.ndarray,
    stages: tuple[Stage, ...],
    *,
    dt: float,
    integrator: str,
    initial: np.ndarray,
    rng: NormalSource,
    progress: Callable[[int], None] | None = None,
) -> Trajectory:
    """Run the stages from ``initial`` (n, units) under biases (n, bias_sets, units), in steps of
    ``dt`` or what a stage makes of it.

    ``progress`` is called after every step with the number of steps done since its last call, 1.
    """
    state = np.array(initial, float)
    total, squares, kept, count = np.zeros_like(state), np.zeros_like(state), [], 0
    previous = rng.standard_normal(state.shape)
    for stage in stages:
        energy = energies[stage.energy]
        matrix, force = energy.matrix(), biases[:, stage.bias]
        of_stage = stage.time_step(dt)
        amplitude = np.sqrt(2 * stage.kT * of_stage)
        for step in range(stage.steps):
            drift = force - state @ matrix
            if energy.j4:
                drift -= 4 * energy.j4 * state**3
            state = state + of_stage * drift
            if stage.kT:
                drawn = rng.standard_normal(state.shape)
                state += amplitude * ((previous + drawn) / 2 if integrator == LM else drawn)
                previous = drawn
            if stage.accumulate:
                total += state
                squares += state**2
                count += 1
            if stage.thin and (step + 1) % stage.thin == 0:
                kept.append(state.copy())
            if progress:
                progress(1)
    samples = np.stack(kept, axis=1) if kept else np.zeros((len(state), 0, state.shape[1]))
    return Trajectory(total / max(count, 1), squares / max(count, 1), samples, state)


def stationary_covariance(
    matrix: np.ndarray, *, kT: float, dt: float, integrator: str
) -> np.ndarray:
    """Covariance (units, units) of the states of a harmonic energy, exact in discrete time.

    It is kT M^-1 for Leimkuhler-Matthews and kT M^-1 (1 - dt M / 2)^-1 for Euler-Maruyama.
    """
    exact = kT * np.linalg.inv(matrix)
    return (
        exact if integrator == LM else exact @ np.linalg.inv(np.eye(len(matrix)) - dt * matrix / 2)
    )


def mean_error(matrix: np.ndarray, *, kT: float, dt: float, samples: int) -> np.ndarray:
    """Standard error (units,) of a mean over ``samples`` consecutive steps in equilibrium.

    States are correlated over 1 / (dt lambda) steps. The integral of their autocovariance kT /
    lambda exp(-lambda |t|) over all t gives the variance 2 kT (M^-2)_ii / (N dt) of an average of
    N steps, if N dt lambda >> 1.
    """
    inverse = np.linalg.inv(matrix)
    return np.sqrt(2 * kT * (inverse @ inverse).diagonal() / (samples * dt))


def average_variance(
    rates: np.ndarray, kT: float, dt: float, steps: int, integrator: str
) -> np.ndarray:
    """Variance (m,) of the average of consecutive equilibrium states, exact in discrete time.

    ``rates`` are the eigenvalues (m,) of the modes, and ``steps`` states are averaged. With a = 1 -
    dt lambda the autocovariance is C_k = C_1 a^(k - 1). Euler-Maruyama has C_0 = kT / lambda / (1 -
    dt lambda / 2) and C_1 = a C_0. Leimkuhler-Matthews, whose neighbouring steps share a normal,
    has C_0 = kT / lambda and C_1 = a C_0 + kT dt / 2. For many steps both approach 2 kT /
    (lambda^2 N dt).
    """
    a = 1 - dt * rates
    if integrator == LM:
        now = kT / rates
        following = a * now + kT * dt / 2
    else:
        now = kT / rates / (1 - dt * rates / 2)
        following = a * now
    pairs = (steps * (1 - a) - (1 - a**steps)) / (1 - a) ** 2
    return (steps * now + 2 * following * pairs) / steps**2


def covariance_error(covariance: np.ndarray, samples: float) -> float:
    """Expected relative Frobenius error of a covariance estimated from independent normals."""
    trace, square = np.trace(covariance), np.sum(covariance**2)
    return float(np.sqrt((square + trace**2) / samples / square))
