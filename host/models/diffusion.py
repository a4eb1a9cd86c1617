# SPDX-License-Identifier: Apache-2.0
"""A diffusion model whose decoder may be a substrate, read and evaluated without PyTorch.

The networks are those of :mod:`ornstein.host.models.diffusion_training`. Encoders and head are
evaluated in NumPy; what decodes is the network's own decoder or a device, at the caller's choice.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from ornstein.host.models.data import Images, digits
from ornstein.host.models.model_file import WEIGHTS, WEIGHTS_FILE, ModelFileError, read_arrays
from ornstein.host.models.network import DECODER_BLOCKS, SECOND, SKIPS, Network, block_layers
from ornstein.host.models.noise_levels import Preconditioning, noise_features
from ornstein.host.models.pixel_decoder import DECODER, Features, PixelDecoder, decoder_problem
from ornstein.host.physics.alignment import aligned_energy
from ornstein.host.physics.interface import Readout, silu
from ornstein.host.physics.problem import Drive, Problem
from ornstein.host.physics.timestep import choose_time_step

UNET, SUBSTRATE = "unet", "substrate"
DECODERS = (UNET, SUBSTRATE)
"""What a diffusion model can be trained with as its decoder."""
RANKS = (16, 32)
"""Ranks of the substrates that were trained for this package."""
COUPLING_FILE = "coupling.safetensors"
SIDE, HELD_OUT = 16, 360
"""Pixels per edge of the digits, and digits that no training sees."""
MEAN, HALF_RANGE = 0.305, 0.5
"""Mean of the training digits' pixels, and the unit of the network's images and noise levels."""
DEVIATION = 0.64
"""Standard deviation of the training digits' pixels in that unit, for the preconditioning."""

Decode = Callable[[Features, np.ndarray], np.ndarray]
"""Decoder features (n, channels, height, width) from the encoder's and the blocks' condition."""


def diffusion_digits() -> Images:
    """The digits of the diffusion models; the held-out ones are those of ``ornstein images``."""
    return digits(side=SIDE, held_out=HELD_OUT)


def centred(images: np.ndarray) -> np.ndarray:
    """Images from 0 to 1 in the units of the network."""
    return (images - MEAN) / HALF_RANGE


def trained_model(decoder: str, rank: int | None = None) -> Path:
    """Folder of the model of this package with that decoder.

    Raises ModelFileError if there is none of that rank.
    """
    name = f"generator-{decoder}" + (f"-{rank}" if decoder == SUBSTRATE else "")
    if not (WEIGHTS / name).is_dir():
        raise ModelFileError(
            f"this package has no trained substrate of rank {rank}, but of "
            f"{' and '.join(map(str, RANKS))}; train one with: "
            f"ornstein train --decoder {decoder} --rank {rank} --output FOLDER, and name it by "
            "--model FOLDER"
        )
    return WEIGHTS / name


@dataclass(frozen=True, eq=False)
class TrainedCoupling(PixelDecoder):
    """A decoder that was trained as a substrate.

    Attributes
    ----------
    channels : units of the encoder modules, by encoder block in the order of :data:`SKIPS`
    encoder_modes, decoder_modes : U (features, rank) and V (units, rank), orthonormal columns
    strengths : S, (rank,)
    centre, deviation : (features,) of the features that drive the encoder modules
    gain, offset : (units,) of the read-out
    """

    channels: dict[str, int]
    encoder_modes: np.ndarray
    strengths: np.ndarray
    decoder_modes: np.ndarray
    centre: np.ndarray
    deviation: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    skips = SKIPS

    @classmethod
    def load(cls, folder: Path, channels: dict[str, int]) -> "TrainedCoupling":
        """Read the coupling of a model's folder, whose encoder blocks have those channels.

        Raises ModelFileError, naming the array, and EnergyError if the strengths reach 1.
        """
        path = folder / COUPLING_FILE
        arrays, _ = read_arrays(path)
        for name in (f.name for f in fields(cls) if f.name != "channels"):
            if name not in arrays:
                raise ModelFileError(
                    f"{path}: no array {name}; ornstein train --decoder substrate writes it"
                )
        rank, inputs, units = len(arrays["strengths"]), sum(channels.values()), channels["e1"]
        expected = {
            "encoder_modes": (inputs, rank),
            "strengths": (rank,),
            "decoder_modes": (units, rank),
            "centre": (inputs,),
            "deviation": (inputs,),
            "gain": (units,),
            "offset": (units,),
        }
        for name, shape in expected.items():
            if arrays[name].shape != shape:
                raise ModelFileError(
                    f"{path}: array {name} has shape {arrays[name].shape}, expected {shape} beside "
                    f"encoder blocks of {', '.join(map(str, channels.values()))} channels"
                )
        coupling = cls(channels, **{name: arrays[name] for name in expected})
        coupling.problem.check()
        return coupling

    @property
    def rank(self) -> int:
        """Modes of the coupling."""
        return len(self.strengths)

    @cached_property
    def problem(self) -> Problem:
        """Relax at zero temperature, with the time step that the spectrum asks for, then read."""
        decoders = {DECODER: len(self.decoder_modes)}
        energy = aligned_energy(
            self.channels, decoders, self.encoder_modes, self.decoder_modes, self.strengths
        )
        return decoder_problem(
            f"trained decoder of rank {self.rank}",
            energy,
            choose_time_step([energy]),
            Drive(self.skips, self.centre, self.deviation / (2 * energy.j2)),
            Readout(self.gain, self.offset),
        )


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A network for all noise levels.

    Attributes
    ----------
    network : the encoders and the head, and the network's own decoder if it has one
    coupling : the substrate that is its decoder, None for a U-Net
    provenance : how the network was made
    """

    network: Network
    coupling: TrainedCoupling | None
    provenance: dict

    @classmethod
    def load(cls, folder: str | Path) -> "Diffusion":
        """Read a folder of ``ornstein train --decoder``.

        Raises ModelFileError, naming the first layer or array that is missing.
        """
        folder = Path(folder)
        arrays, provenance = read_arrays(folder / WEIGHTS_FILE)
        own = "d1.conv1.weight" in arrays
        needed = [f"{name}.{kind}" for name in ("stem", "head") for kind in ("weight", "bias")]
        for block in (*SKIPS, *(DECODER_BLOCKS if own else (SECOND,))):
            needed += block_layers(block, "shift")
        needed += ["embedding.linear.weight", "embedding.linear.bias"]
        network = Network.of(
            arrays,
            needed,
            f"{folder / WEIGHTS_FILE}",
            "ornstein generate takes networks of ornstein train --decoder",
        )
        coupling = None if own else TrainedCoupling.load(folder, network.encoders)
        return cls(network, coupling, provenance)

    def denoise(self, noisy: np.ndarray, sigma: float, decode: Decode) -> np.ndarray:
        """Denoised images for noisy ones (n, height, width), in the units of the network."""
        scales = Preconditioning(DEVIATION)
        output = self.network.head(decode(self.features(noisy, sigma), self.condition(sigma)))
        return scales.skip(sigma) * noisy + scales.output(sigma) * output

    def features(self, noisy: np.ndarray, sigma: float) -> Features:
        """Features of noisy images (n, height, width) at a noise level."""
        scaled = Preconditioning(DEVIATION).input(sigma) * noisy
        return self.network.features(scaled, self.condition(sigma))

    def condition(self, sigma: float) -> np.ndarray:
        """What every block is told of a noise level."""
        return silu(self.network.linear("embedding.linear", noise_features(np.array([sigma]))[0]))
