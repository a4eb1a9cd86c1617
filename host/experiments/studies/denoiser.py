# SPDX-License-Identifier: Apache-2.0
"""The denoiser that the studies disturb: the default network, its decoder on the substrate."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ornstein.hdl.config import preset
from ornstein.host.compile.program import Program
from ornstein.host.devices.imperfect import open_imperfect
from ornstein.host.devices.imperfections import Chip
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
from ornstein.host.experiments.denoise.run import (
    FABRIC,
    TEST_NOISE_SEED,
    calibration_images,
    psnr,
)
from ornstein.host.models.data import add_noise, digits
from ornstein.host.models.decoder_moments import DecoderMoments
from ornstein.host.models.network import Network
from ornstein.host.models.pixel_decoder import Features

RANK, IMAGES = 16, 2
"""Modes of the coupling, and held-out digits whose 2,048 pixels are relaxed for one score."""


@dataclass(frozen=True, eq=False)
class Denoiser:
    """A network, its decoder as a substrate, and the images that score it.

    Attributes
    ----------
    clean : (n, height, width)
    features : of the noisy images
    calibration : of other noisy images, which set the ranges of the program's formats
    """

    network: Network
    decoder: SubstrateDecoder
    clean: np.ndarray
    features: Features
    calibration: Features

    @classmethod
    def load(cls) -> "Denoiser":
        """The default network with the first held-out digits. Raises ModelFileError."""
        network, measured, data = Network.load(), DecoderMoments.load(), digits()
        sigma = measured.provenance["sigma"]
        noisy = add_noise(data.test, sigma, TEST_NOISE_SEED)[:IMAGES]
        return cls(
            network,
            SubstrateDecoder.fit(network.encoders, measured, rank=RANK),
            data.test[:IMAGES],
            network.features(noisy),
            network.features(calibration_images(sigma, data)),
        )

    @cached_property
    def closed_form(self) -> np.ndarray:
        """Decoder features (n, channels, height, width) of the linear map that it relaxes to."""
        return self.decoder.decode_linearly(self.features)

    def psnr(self, d1: np.ndarray) -> float:
        """Mean peak signal-to-noise ratio in dB of the images made from decoder features."""
        return float(psnr(self.network.head(d1), self.clean).mean())

    @cached_property
    def program(self) -> Program:
        """The decoder's program at kT = 0."""
        return self.decoder.program_for(preset(FABRIC), self.calibration)

    def on_chip(self, chip: Chip) -> float:
        """The score of the integer model of a chip at kT = 0."""
        with open_imperfect(f"model:{FABRIC}", chip) as device:
            device.load(self.program)
            return self.psnr(self.decoder.relax(device, self.features, seed=1)[0])

    def heated(self, kT: float, samples: int, seed: int) -> float:
        """The score of the integer model at a temperature, of so many averaged steps."""
        decoder = replace(self.decoder, kT=kT, samples=samples)
        with ModelDevice(preset(FABRIC)) as device:
            device.load(decoder.program_for(preset(FABRIC), self.calibration))
            return self.psnr(decoder.relax(device, self.features, seed=seed)[0])
