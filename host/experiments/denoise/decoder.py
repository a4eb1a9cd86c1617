# SPDX-License-Identifier: Apache-2.0
"""A trained network whose decoder is a substrate: one relaxation for every pixel.

The encoder's features at a pixel drive the encoder modules, the couplings of the aligned recipe
(:mod:`ornstein.host.physics.alignment`) carry them to the decoder module, and the network's own
head makes the image from the relaxed decoder. No digital weight is left between encoder and head:
the host centres and scales what goes in and what comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device
from ornstein.host.models.decoder_moments import DecoderMoments
from ornstein.host.models.network import SKIPS, Network
from ornstein.host.models.pixel_decoder import DECODER, Features, PixelDecoder, decoder_problem
from ornstein.host.physics.alignment import Alignment, align
from ornstein.host.physics.problem import Problem
from ornstein.host.physics.timestep import TOLERANCE, TimeStep, choose_time_step

RANK = 32


@dataclass(frozen=True, eq=False)
class SubstrateDecoder(PixelDecoder):
    """The decoder of a network as an energy, fitted from the moments of the network's features.

    Attributes
    ----------
    network : the encoder and the head
    skips : encoder blocks that reach the decoder
    alignment : the energy, what drives it and its read-out
    step : the time step that the spectrum asks for
    kT, samples : temperature, and steps that are averaged
    """

    network: Network
    skips: tuple[str, ...]
    alignment: Alignment
    step: TimeStep
    kT: float = 0.0
    samples: int = 1

    @classmethod
    def fit(
        cls,
        network: Network,
        measured: DecoderMoments,
        *,
        rank: int = RANK,
        skips: tuple[str, ...] = SKIPS,
        tolerance: float = TOLERANCE,
        kT: float = 0.0,
        samples: int = 1,
    ) -> "SubstrateDecoder":
        """Fit couplings of a rank between some of the encoder blocks and the decoder.

        Raises EnergyError if the rank is out of range.
        """
        sizes = {block: network.channels[block] for block in SKIPS}
        ends = dict(zip(sizes, np.cumsum(list(sizes.values())), strict=True))
        columns = np.concatenate([np.arange(ends[s] - sizes[s], ends[s]) for s in skips])
        moments = measured.moments.select(columns)
        encoders = {block: sizes[block] for block in skips}
        decoders = {DECODER: len(moments.y_mean)}
        alignment = align(moments, encoders, decoders, rank, measured.ridge)
        step = choose_time_step([alignment.energy], tolerance=tolerance)
        return cls(network, skips, alignment, step, kT, samples)

    @cached_property
    def problem(self) -> Problem:
        """The float program: relax, then read."""
        return decoder_problem(
            f"decoder of rank {self.rank} from {', '.join(self.skips)}",
            self.alignment.energy,
            self.step,
            self.alignment.drive,
            self.alignment.readout,
            self.kT,
            self.samples,
        )

    @property
    def rank(self) -> int:
        """Modes of the coupling."""
        return len(self.alignment.singular_values)

    def compile(self, fabric: FabricConfig, images: np.ndarray) -> Program:
        """The program for a fabric; its ranges come from noisy ``images`` (n, height, width).

        Raises ProgramError if it does not fit.
        """
        return self.program_for(fabric, self.network.features(images))

    def decode(
        self,
        device: Device,
        features: Features,
        *,
        seed: int,
        progress: Callable[[], None] = lambda: None,
    ) -> tuple[np.ndarray, int]:
        """Decoder features (n, channels, height, width) from a device that holds the program.

        Also the number of features beyond the range of the program, which are clipped to it.
        ``progress`` is called after every image.
        """
        parts, clipped = [], 0
        for index in range(len(features["e1"])):
            image = {name: part[index : index + 1] for name, part in features.items()}
            d1, beyond = self.relax(device, image, seed=seed + index)
            clipped += beyond
            parts.append(d1)
            progress()
        return np.concatenate(parts), clipped

    def decode_linearly(self, features: Features) -> np.ndarray:
        """What the linear map of the same rank answers, in float64."""
        height, width = features["e1"].shape[2:]
        return self.as_features(self.alignment.linear_map(self.inputs(features)), height, width)

    def without_couplings(self) -> "SubstrateDecoder":
        """The same decoder with its couplings zeroed: what is left is not the substrate's work."""
        bare = replace(self.alignment, energy=self.alignment.energy.without_couplings())
        return replace(self, alignment=bare)
