# SPDX-License-Identifier: Apache-2.0
"""Noise levels of a diffusion model, and what its network sees of them.

The network is preconditioned as in EDM [Karras et al. 2022, arXiv 2206.00364, table 1]: with sigma
the noise and s the data's standard deviation, the denoised image is

    D(x; sigma) = s^2 / (sigma^2 + s^2) x
                  + sigma s / sqrt(sigma^2 + s^2) F(x / sqrt(sigma^2 + s^2)),

so that input and target of the network F have a variance of one at every level. The network is
told ln(sigma) / 4 as sines and cosines of several frequencies.
"""

from dataclasses import dataclass

import numpy as np

HIGHEST, LOWEST = 4.0, 0.05
"""Noise of the first and the last level, in units of half a pixel's range."""
LEVELS = 12
FREQUENCIES = 0.5 * np.arange(1, 9)
"""Of the sines and cosines, in periods over a change of ln(sigma) / 4 by one."""


def noise_levels(count: int = LEVELS) -> np.ndarray:
    """Standard deviations (count,) in falling order, in a geometric series.

    Raises ValueError for fewer than two levels.
    """
    if count < 2:
        raise ValueError(f"{count} noise levels: at least two are needed, the first and the last")
    return np.geomspace(HIGHEST, LOWEST, count)


def noise_features(sigma: np.ndarray) -> np.ndarray:
    """(n, 16) what the network is told of noise levels (n,), float32."""
    angles = 2 * np.pi * np.log(np.asarray(sigma, float))[:, None] / 4 * FREQUENCIES
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Preconditioning:
    """Scales around the network for data of a standard deviation; each takes noise levels (n,)."""

    deviation: float

    def skip(self, sigma):
        """Weight of the noisy image in the denoised one."""
        return self.deviation**2 / (sigma**2 + self.deviation**2)

    def output(self, sigma):
        """Weight of the network's output in the denoised image."""
        return sigma * self.deviation / (sigma**2 + self.deviation**2) ** 0.5

    def input(self, sigma):
        """Scale of the noisy image that the network sees."""
        return (sigma**2 + self.deviation**2) ** -0.5
