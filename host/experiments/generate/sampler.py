# SPDX-License-Identifier: Apache-2.0
"""Images from noise: a diffusion model's ancestral steps, whatever decodes and makes the noise.

From level sigma to the next one sigma', with D the denoised image, D0 that of the level before,
n standard normal noise, h = ln(sigma / sigma') and h0 the same of the step before,

    x' = (sigma' / sigma)^2 x + (1 - (sigma' / sigma)^2) D~ + sigma' sqrt(1 - (sigma' / sigma)^2) n,
    D~ = D + h / (2 h0) (D - D0).

With D in place of D~ this is the posterior of the forward process given D [Ho et al. 2020]; D~
makes it second order without another evaluation [DPM-Solver++(2M), Lu et al. 2022, arXiv
2211.01095]. Where the data are Gaussian, twelve first-order steps lose a third of their variance,
and these a few percent. The last level's denoised image is the result.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ornstein.host.models.diffusion import HALF_RANGE, MEAN, Decode, Diffusion

CHUNK = 64
"""Images whose pixels are one batch of jobs, which bounds memory: 30 MB of features."""


def host_noise(levels: int, count: int, side: int, seed: int) -> np.ndarray:
    """Standard normal noise (levels, count, side, side) of the host's generator.

    Each image has a generator of its own, so that its noise does not depend on ``count``.
    """
    return np.stack(
        [
            np.random.default_rng([seed, index]).standard_normal((levels, side, side))
            for index in range(count)
        ],
        axis=1,
    )


def sample(
    model: Diffusion,
    decode: Decode,
    levels: np.ndarray,
    start: np.ndarray,
    noise: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Images (n, side, side), nominally 0 to 1 and not clipped.

    Parameters
    ----------
    decode : see :data:`ornstein.host.models.diffusion.Decode`
    levels : noise levels in falling order
    start : (side, side) what the noise of the first level is added to, in the units of the network
    noise : (levels, n, side, side) standard normal
    progress : told (images denoised, images to denoise), each image counted once a level
    """
    count = noise.shape[1]
    done = 0

    def denoise(noisy: np.ndarray, sigma: float) -> np.ndarray:
        nonlocal done
        parts = []
        for first in range(0, count, CHUNK):
            parts.append(model.denoise(noisy[first : first + CHUNK], sigma, decode))
            done += len(parts[-1])
            if progress:
                progress(done, count * len(levels))
        return np.concatenate(parts)

    noisy = start + levels[0] * noise[0]
    before = step_before = None
    for drawn, (sigma, following) in zip(noise[1:], pairwise(levels), strict=True):
        clean, step, kept = (
            denoise(noisy, sigma),
            np.log(sigma / following),
            (following / sigma) ** 2,
        )
        ahead = clean
        if before is not None and step_before is not None:
            ahead = clean + step / (2 * step_before) * (clean - before)
        noisy = kept * noisy + (1 - kept) * ahead + following * np.sqrt(1 - kept) * drawn
        before, step_before = clean, step
    return MEAN + HALF_RANGE * denoise(noisy, levels[-1])
