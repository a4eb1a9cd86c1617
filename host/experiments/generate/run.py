# SPDX-License-Identifier: Apache-2.0
"""Generates digits with a diffusion model whose decoder relaxes on a device."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import FabricConfig, preset
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.devices.device import DeviceError, open_device
from ornstein.host.experiments.generate.noise import host_bits, noise_program, substrate_noise
from ornstein.host.experiments.generate.sampler import host_noise, sample
from ornstein.host.models.data import add_noise
from ornstein.host.models.diffusion import SIDE, Diffusion, centred, diffusion_digits
from ornstein.host.models.network import SKIPS
from ornstein.host.models.noise_levels import noise_levels
from ornstein.host.models.pixel_decoder import Features

FABRICS = ("reference", "ulx3s")
"""Fabrics tried for a device that names none, from small to large."""
EXACT = "float:exact"
"""The device that answers with the equilibrium in closed form."""
HOST, SUBSTRATE = "host", "substrate"
NOISES = (HOST, SUBSTRATE)
"""Where the noise of the ancestral steps comes from."""
CALIBRATION_IMAGES, CALIBRATION_SEED = 2, 1003
"""Training images at every noise level, whose pixels set the ranges of the program's formats."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Generated:
    """Generated images and what they cost.

    Attributes
    ----------
    images : (n, side, side), nominally 0 to 1 and not clipped
    device : URI of the device that decoded, with its fabric
    rank : modes of the coupling
    levels : noise levels, in units of half a pixel's range
    noise : where the noise came from, one of :data:`NOISES`
    seed : of the noise and of the device
    steps : time steps of one relaxation
    cycles : clock cycles of one image by the schedule, None for float64
    clipped : features beyond the range of the program's inputs, which were clipped
    host_bits : random bits that the host drew for one image
    """

    images: np.ndarray
    device: str
    rank: int
    levels: np.ndarray
    noise: str
    seed: int
    steps: int
    cycles: int | None
    clipped: int
    host_bits: int

    def results(self) -> dict:
        """Everything but the images, as results.json holds it."""
        return {
            "count": len(self.images),
            "device": self.device,
            "rank": self.rank,
            "levels": [round(float(level), 6) for level in self.levels],
            "noise": self.noise,
            "seed": self.seed,
            "steps": self.steps,
            "cycles_per_image": self.cycles,
            "clipped": self.clipped,
            "host_bits_per_image": self.host_bits,
        }


def generate(
    model: Diffusion,
    device: str,
    *,
    count: int,
    levels: np.ndarray | None = None,
    noise: str = HOST,
    noise_device: str | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> Generated:
    """Images of a model with a coupling, its decoder on the device of that URI.

    Parameters
    ----------
    device : ``model`` and ``rtl`` without a fabric take the first of :data:`FABRICS` with room
    count : number of images, 1 or more
    levels : noise levels in falling order, by default those of :func:`noise_levels`
    noise : one of :data:`NOISES`
    noise_device : URI of the device whose temperature makes the noise; None for ``device``
    progress : told (what, images done, images to do), each image counted once a level

    Raises
    ------
    ProgramError
        The device has no room for the decoder, or for the units of the noise.
    DeviceError
        The noise is to come from the closed form, which has no temperature.
    """
    coupling = model.coupling
    if coupling is None or count < 1:
        raise ValueError("needs a model with a coupling, and one image or more")
    levels = noise_levels() if levels is None else levels
    say = progress or (lambda what, done, total: None)
    features = calibration_features(model, levels)
    uri, program = fitting_program(model, device, features)
    if noise == HOST:
        made = host_noise(len(levels), count, SIDE, seed)
    else:
        made = _thermal_noise(noise_device or uri, program.config, len(levels), count, seed)
    clipped = 0
    with open_device(uri) as opened:
        opened.load(program)
        seeds = itertools.count(seed)

        def decode(features: Features, condition: np.ndarray) -> np.ndarray:
            nonlocal clipped
            d1, beyond = coupling.relax(opened, features, seed=next(seeds))
            clipped += beyond
            return d1

        images = sample(
            model,
            decode,
            levels,
            starting_image(),
            made,
            lambda done, total: say("generating", done, total),
        )
        clocked = opened.config is not None
    return Generated(
        images,
        uri,
        coupling.rank,
        levels,
        noise,
        seed,
        program.problem.steps,
        round(program.input_cycles * SIDE**2 * len(levels)) if clocked else None,
        clipped,
        host_bits(len(levels), SIDE) if noise == HOST else 0,
    )


def generate_on_host(
    model: Diffusion, count: int, seed: int, progress: Progress | None = None
) -> np.ndarray:
    """Images (n, side, side) of a U-Net, whose own decoder runs on the host."""
    levels = noise_levels()
    say = progress or (lambda what, done, total: None)
    return sample(
        model,
        model.network.decode,
        levels,
        starting_image(),
        host_noise(len(levels), count, SIDE, seed),
        lambda done, total: say("generating", done, total),
    )


def with_skips(model: Diffusion, skips: tuple[str, ...]) -> Diffusion:
    """The same model, the couplings of all other encoder blocks set to zero."""
    coupling = model.coupling
    if coupling is None:
        raise ValueError("needs a model with a coupling")
    kept = np.repeat([block in skips for block in SKIPS], [coupling.channels[b] for b in SKIPS])
    return replace(
        model, coupling=replace(coupling, encoder_modes=coupling.encoder_modes * kept[:, None])
    )


def starting_image() -> np.ndarray:
    """Mean (side, side) of the training digits, in the units of the network: the mean of what the
    forward process ends in.
    """
    return centred(diffusion_digits().train).mean(axis=0)


def calibration_features(model: Diffusion, levels: np.ndarray) -> Features:
    """Features of noisy training images at all levels."""
    clean = centred(diffusion_digits().train[:CALIBRATION_IMAGES])
    parts = [
        model.features(add_noise(clean, sigma, CALIBRATION_SEED + index), sigma)
        for index, sigma in enumerate(levels)
    ]
    return {block: np.concatenate([part[block] for part in parts]) for block in SKIPS}


def fitting_program(model: Diffusion, uri: str, features: Features) -> tuple[str, Program]:
    """The URI of a device, with its fabric, and the program of the model's decoder for it.

    Raises ProgramError if there is no room.
    """
    coupling = model.coupling
    assert coupling is not None  # callers have checked
    if uri not in ("model", "rtl"):
        with open_device(uri) as device:
            return uri, coupling.program_for(device.config or preset(FABRICS[-1]), features)
    for name in FABRICS[:-1]:
        try:
            return f"{uri}:{name}", coupling.program_for(preset(name), features)
        except ProgramError:
            continue  # the next one is larger
    return f"{uri}:{FABRICS[-1]}", coupling.program_for(preset(FABRICS[-1]), features)


def _thermal_noise(
    uri: str, fabric: FabricConfig, levels: int, count: int, seed: int
) -> np.ndarray:
    """Noise (levels, count, side, side) of a device's temperature, see :func:`generate`."""
    if uri == EXACT:
        raise DeviceError(f"{uri} has no temperature, so it makes no noise; name another device")
    with open_device(uri) as device:
        program = noise_program(device.config or fabric, SIDE**2)
        return substrate_noise(device, program, levels, count, SIDE, seed)
