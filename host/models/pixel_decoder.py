# SPDX-License-Identifier: Apache-2.0
"""A substrate as the decoder of a network: one relaxation for every pixel.

The features of the encoder blocks at a pixel drive encoder modules, couplings carry them to a
decoder module, and its means, centred and scaled, are the features that the network's head takes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, DeviceError, prediction_only
from ornstein.host.models.network import full_size, image_of, pixels
from ornstein.host.physics.interface import Readout
from ornstein.host.physics.problem import BIAS, Drive, Problem, equilibrium
from ornstein.host.physics.timestep import TimeStep
from ornstein.sim.energy import Energy

DECODER = "d1"
"""The decoder module, and the block of the network that it replaces."""

Features = dict[str, np.ndarray]
"""Outputs (n, channels, height, width) of the encoder blocks, by their names."""


def decoder_problem(
    name: str,
    energy: Energy,
    step: TimeStep,
    drive: Drive,
    readout: Readout,
    kT: float = 0.0,
    samples: int = 1,
) -> Problem:
    """The float program of a decoder: relax from zero, then read.

    Parameters
    ----------
    energy : encoder modules, and :data:`DECODER`
    step : of the relaxation
    drive : from the features to the biases of the encoder modules
    readout : from the means of the decoder module to the features that the head takes
    kT, samples : temperature, and steps that are averaged
    """
    return Problem(
        name=name,
        energies=(energy,),
        stages=equilibrium(step, kT=kT, samples=samples),
        dt=step.dt,
        entry=BIAS,
        drive=drive,
        readout=readout,
        target=DECODER,
    )


class PixelDecoder(ABC):
    """Runs the problem of a decoder on devices.

    Attributes
    ----------
    skips : encoder blocks that drive it, in the order of its inputs
    """

    skips: tuple[str, ...]

    @property
    @abstractmethod
    def problem(self) -> Problem:
        """The float program, see :func:`decoder_problem`."""

    def program_for(self, fabric: FabricConfig, features: Features) -> Program:
        """The program for a fabric; its ranges come from ``features`` like those to come.

        Raises ProgramError if it does not fit.
        """
        return compile_problem(self.problem, fabric, self.inputs(features))

    def inputs(self, features: Features) -> np.ndarray:
        """(n * height * width, units of the encoder modules): the features at every pixel."""
        return pixels(features, self.skips).astype(float)

    def inputs_within(self, program: Program, features: Features) -> tuple[np.ndarray, int]:
        """The inputs clipped to the range of the program, and how many values that changed."""
        inputs = self.inputs(features)
        inside = np.clip(inputs, *program.input_limits())
        return inside, int(np.count_nonzero(inside != inputs))

    def relax(
        self,
        device: Device,
        features: Features,
        *,
        seed: int,
        progress: Callable[[int], None] | None = None,
    ) -> tuple[np.ndarray, int]:
        """Decoder features (n, channels, height, width) from a device that holds the program.

        Also the number of features beyond the range of the program, which are clipped to it. The
        pixels of all images are one batch of jobs. ``progress`` is told how many more pixels are
        done.
        """
        if device.program is None:
            raise DeviceError("load the decoder's program before decoding")
        height, width = full_size(features)
        inputs, clipped = self.inputs_within(device.program, features)
        selection = prediction_only(self.problem)
        outputs = device.run(inputs, seed=seed, selection=selection, progress=progress)
        return self.as_features(outputs.prediction(self.problem), height, width), clipped

    def as_features(self, predictions: np.ndarray, height: int, width: int) -> np.ndarray:
        """Predictions (n * height * width, channels) as features that the head takes."""
        return image_of(predictions, height, width).astype(np.float32)
