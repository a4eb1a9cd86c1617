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
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, DeviceError, prediction_only
from ornstein.host.models.decoder_moments import DecoderMoments
from ornstein.host.models.network import SKIPS, Network, image_of, pixels
from ornstein.host.physics.alignment import Alignment, align
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.moments import Moments
from ornstein.host.physics.problem import BIAS, Drive, Problem
from ornstein.host.physics.regression import Regression, reduced_rank_of
from ornstein.host.physics.timestep import TOLERANCE, TimeStep, choose_time_step
from ornstein.sim.stages import Stage

DECODER = "d1"
RANK = 32


@dataclass(frozen=True, eq=False)
class SubstrateDecoder:
    """The decoder of a network as an energy, fitted from the moments of the network's features.

    Attributes
    ----------
    network : the encoder and the head
    moments : of the features of ``skips`` and of the decoder at a pixel
    ridge : relative ridge of the fit
    skips : encoder blocks that reach the decoder
    alignment : the energy and its read-out gain
    step : the time step that the spectrum asks for
    kT, samples : temperature, and steps that are averaged
    """

    network: Network
    moments: Moments
    ridge: float
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
        alignment = align(moments, encoders, DECODER, rank, measured.ridge)
        step = choose_time_step([alignment.energy], tolerance=tolerance)
        return cls(network, moments, measured.ridge, skips, alignment, step, kT, samples)

    @cached_property
    def problem(self) -> Problem:
        """The float program: relax, then read."""
        energy = self.alignment.energy
        leak = 2 * energy.j2
        burn_in = (Stage(self.step.burn_in, self.kT),) if self.step.burn_in else ()
        return Problem(
            name=f"decoder of rank {self.rank} from {', '.join(self.skips)}",
            energies=(energy,),
            stages=(*burn_in, Stage(self.samples, self.kT, accumulate=True)),
            dt=self.step.dt,
            entry=BIAS,
            drive=Drive(self.skips, self.moments.x_mean, self.moments.x_deviation / leak),
            readout=Readout(self.alignment.gain * self.moments.y_deviation, self.moments.y_mean),
            target=DECODER,
        )

    @property
    def rank(self) -> int:
        """Modes of the coupling."""
        return len(self.alignment.singular_values)

    @cached_property
    def linear_map(self) -> Regression:
        """The regression that the couplings carry, without a substrate: standardised to centred."""
        return reduced_rank_of(self.moments, self.rank, self.ridge)

    def compile(self, fabric: FabricConfig, images: np.ndarray) -> Program:
        """The program for a fabric; its ranges come from noisy ``images`` (n, height, width).

        Raises ProgramError if it does not fit.
        """
        return compile_problem(self.problem, fabric, self.inputs(self.network.features(images)))

    def inputs(self, features: dict[str, np.ndarray]) -> np.ndarray:
        """(n * height * width, units of the encoder modules): the features at every pixel."""
        return pixels(features, self.skips).astype(float)

    def inputs_within(
        self, program: Program, features: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, int]:
        """The inputs clipped to the range of the program, and how many values that changed."""
        inputs = self.inputs(features)
        inside = np.clip(inputs, *program.input_limits())
        return inside, int(np.count_nonzero(inside != inputs))

    def decode(
        self,
        device: Device,
        features: dict[str, np.ndarray],
        *,
        seed: int,
        progress: Callable[[], None] = lambda: None,
    ) -> tuple[np.ndarray, int]:
        """Decoder features (n, channels, height, width) from a device that holds the program.

        Also the number of features beyond the range of the program, which are clipped to it.
        ``progress`` is called after every image.
        """
        count, _, height, width = features["e1"].shape
        program = device.program
        if program is None:
            raise DeviceError("load the decoder's program before decoding")
        parts, clipped = [], 0
        for index in range(count):
            image = {name: part[index : index + 1] for name, part in features.items()}
            inputs, beyond = self.inputs_within(program, image)
            clipped += beyond
            outputs = device.run(inputs, seed=seed + index, selection=prediction_only(self.problem))
            parts.append(outputs.prediction(self.problem))
            progress()
        return self.as_features(np.concatenate(parts), height, width), clipped

    def as_features(self, predictions: np.ndarray, height: int, width: int) -> np.ndarray:
        """Predictions (n * height * width, channels) as features that the head takes."""
        return image_of(predictions, height, width).astype(np.float32)

    def decode_linearly(self, features: dict[str, np.ndarray]) -> np.ndarray:
        """What the linear map of the same rank answers, in float64."""
        height, width = features["e1"].shape[2:]
        standard = (self.inputs(features) - self.moments.x_mean) / self.moments.x_deviation
        return self.as_features(self.linear_map(standard) + self.moments.y_mean, height, width)

    def without_couplings(self) -> "SubstrateDecoder":
        """The same decoder with its couplings zeroed: what is left is not the substrate's work."""
        bare = Alignment(
            self.alignment.energy.without_couplings(),
            self.alignment.gain,
            self.alignment.singular_values,
        )
        return replace(self, alignment=bare)
