# SPDX-License-Identifier: Apache-2.0
"""Images from noise: a diffusion model's ancestral steps, whatever decodes and makes the noise.

From level sigma to the next one sigma', with D the denoised image and n standard normal noise,

    x' = D + (sigma' / sigma)^2 (x - D) + sigma' sqrt(1 - (sigma' / sigma)^2) n,

the posterior of the forward process given D [Ho et al. 2020, in the variables of Karras et al.
2022]. The last level's denoised image is the result.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ornstein.host.models.diffusion import MEAN, Decode, Diffusion

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
    noise: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Images (n, side, side), nominally 0 to 1 and not clipped.

    Parameters
    ----------
    decode : see :data:`ornstein.host.models.diffusion.Decode`
    levels : noise levels in falling order
    noise : (levels, n, side, side) standard normal; the first makes the image to start from
    progress : told (images denoised, images to denoise), each image counted once a level
    """
    count = noise.shape[1]
    noisy = levels[0] * noise[0]
    done, total = 0, count * len(levels)

    def denoise(sigma: float) -> np.ndarray:
        nonlocal done
        parts = []
        for first in range(0, count, CHUNK):
            parts.append(model.denoise(noisy[first : first + CHUNK], sigma, decode))
            done += len(parts[-1])
            if progress:
                progress(done, total)
        return np.concatenate(parts)

    for step, (sigma, following) in enumerate(pairwise(levels)):
        clean, kept = denoise(sigma), (following / sigma) ** 2
        noisy = clean + kept * (noisy - clean) + following * np.sqrt(1 - kept) * noise[step + 1]
    return MEAN + denoise(levels[-1])
