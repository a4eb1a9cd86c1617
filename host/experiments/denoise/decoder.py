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

from ornstein.host.devices.device import Device
from ornstein.host.models.decoder_moments import DecoderMoments
from ornstein.host.models.network import full_size
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
    skips : encoder blocks that reach the decoder
    alignment : the energy, what drives it and its read-out
    step : the time step that the spectrum asks for
    kT, samples : temperature, and steps that are averaged
    """

    skips: tuple[str, ...]
    alignment: Alignment
    step: TimeStep
    kT: float = 0.0
    samples: int = 1

    @classmethod
    def fit(
        cls,
        encoders: dict[str, int],
        measured: DecoderMoments,
        *,
        rank: int = RANK,
        skips: tuple[str, ...] | None = None,
        tolerance: float = TOLERANCE,
        kT: float = 0.0,
        samples: int = 1,
    ) -> "SubstrateDecoder":
        """Fit couplings of a rank between some of the encoder blocks and the decoder.

        Parameters
        ----------
        encoders : units of every encoder block, in the order of the inputs that were measured
        skips : blocks that reach the decoder, by default all

        Raises EnergyError if the rank is out of range.
        """
        skips = tuple(encoders) if skips is None else skips
        ends = dict(zip(encoders, np.cumsum(list(encoders.values())), strict=True))
        columns = np.concatenate([np.arange(ends[s] - encoders[s], ends[s]) for s in skips])
        moments = measured.moments.select(columns)
        reaching = {block: encoders[block] for block in skips}
        decoders = {DECODER: len(moments.y_mean)}
        alignment = align(moments, reaching, decoders, rank, measured.ridge)
        step = choose_time_step([alignment.energy], tolerance=tolerance)
        return cls(skips, alignment, step, kT, samples)

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
        for index in range(len(next(iter(features.values())))):
            image = {name: part[index : index + 1] for name, part in features.items()}
            d1, beyond = self.relax(device, image, seed=seed + index)
            clipped += beyond
            parts.append(d1)
            progress()
        return np.concatenate(parts), clipped

    def decode_linearly(self, features: Features) -> np.ndarray:
        """What the linear map of the same rank answers, in float64."""
        height, width = full_size(features)
        return self.as_features(self.alignment.linear_map(self.inputs(features)), height, width)

    def without_couplings(self) -> "SubstrateDecoder":
        """The same decoder with its couplings zeroed: what is left is not the substrate's work."""
        bare = replace(self.alignment, energy=self.alignment.energy.without_couplings())
        return replace(self, alignment=bare)
