# SPDX-License-Identifier: Apache-2.0
"""The figures of "Other decoders" on the page of results: what else could decode on the substrate.

All decoders are fitted to the same training images of the default network and scored on the same
held-out ones, in decibels. The float64 map of each is scored on all of them, the integer model of
the fabric on the first few. Run as

    python docs/decoder_variants.py
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ornstein.hdl.config import FabricConfig, preset
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
from ornstein.host.experiments.denoise.run import (
    FABRIC,
    TEST_NOISE_SEED,
    calibration_images,
    psnr,
)
from ornstein.host.models.data import add_noise, digits
from ornstein.host.models.decoder_moments import TRAIN_NOISE_SEED, DecoderMoments, measure
from ornstein.host.models.network import SKIPS, Network, pixels, rows
from ornstein.host.models.pixel_decoder import Features

TRAINING, HELD_OUT, RELAXED = 96, 64, 2
"""Training images, and held-out images that score the float64 map and the integer model."""
RANKS = (16, 64)
SHIFTS = {"above": (-1, 0), "below": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Neighbours of a pixel, by rows and columns."""
PLAIN, NEIGHBOURS, OWN_D2, RECTIFIED = (
    "all three skips",
    "the four neighbours of e1 too",
    "d2 as a module of its own",
    "the same, d2 rectified",
)


@dataclass(frozen=True)
class Row:
    """One decoder.

    Attributes
    ----------
    exact : PSNR in dB of the held-out images, decoded in float64
    gap : by how much the first few of them differ on the integer model, in dB
    cycles : of the fabric's clock for one image
    """

    what: str
    rank: int
    exact: float
    gap: float
    cycles: int


@dataclass(frozen=True)
class Images:
    """Features of the encoder, and outputs of the network's own d2 and d1, of noisy images."""

    features: Features
    own: Features

    @classmethod
    def of(cls, network: Network, noisy: np.ndarray) -> "Images":
        features = network.features(noisy)
        return cls(features, network.decoder_blocks(features))


def neighbours(e1: np.ndarray) -> Features:
    """The features (n, channels, height, width) of every pixel's neighbours, edges repeated."""
    padded = np.pad(e1, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    height, width = e1.shape[2:]
    return {
        f"e1 {name}": padded[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]
        for name, (down, right) in SHIFTS.items()
    }


def fitted(inputs: Features, target: np.ndarray, rank: int) -> SubstrateDecoder:
    """The aligned decoder of a rank from features to the outputs (n, channels, height, width)."""

    def values(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        part = {name: array[first:last] for name, array in inputs.items()}
        return pixels(part, (*inputs,)), rows(target[first:last])

    moments, ridge = measure(values, len(target))
    sizes = {name: array.shape[1] for name, array in inputs.items()}
    return SubstrateDecoder.fit(sizes, DecoderMoments(moments, ridge, {}), rank=rank)


Decode = Callable[[SubstrateDecoder, Features], np.ndarray]
"""Outputs of a decoder for features: in float64, or relaxed on a device."""


class Chain:
    """Decoders of one variant and rank, in the order in which they relax.

    Parameters
    ----------
    training : images that they are fitted to
    """

    def __init__(self, what: str, rank: int, training: Images):
        self.what = what
        self.d2: SubstrateDecoder | None = None
        if what in (OWN_D2, RECTIFIED):
            self.d2 = fitted(self.at_half(training), training.own["d2"], rank)
        self.d1 = fitted(self.inputs(training, exactly), training.own["d1"], rank)

    @staticmethod
    def at_half(images: Images) -> Features:
        """What d2 reads."""
        return {name: images.features[name] for name in ("e2", "bottleneck")}

    def inputs(self, images: Images, decode: Decode) -> Features:
        """What d1 reads; d2 has been decoded before."""
        if self.d2 is None:
            more = neighbours(images.features["e1"]) if self.what == NEIGHBOURS else {}
            return {**{name: images.features[name] for name in SKIPS}, **more}
        d2 = decode(self.d2, self.at_half(images))
        if self.what == RECTIFIED:
            readout = self.d2.alignment.readout
            d2 = np.maximum(d2, readout.offset[:, None, None])  # a wall at a state of zero
        return {"e1": images.features["e1"], "d2": d2}

    def decoded(self, images: Images, decode: Decode) -> np.ndarray:
        """d1 of images."""
        return decode(self.d1, self.inputs(images, decode))


def exactly(decoder: SubstrateDecoder, features: Features) -> np.ndarray:
    """The linear map that a decoder relaxes to, in float64."""
    return decoder.decode_linearly(features)


class OnModel:
    """Relaxes decoders on the integer model of a fabric, and counts the cycles.

    Parameters
    ----------
    calibration : by decoder, what sets the ranges of its program
    """

    def __init__(self, fabric: FabricConfig, calibration: dict[SubstrateDecoder, Features]):
        self.fabric, self.calibration, self.cycles = fabric, calibration, 0.0

    def __call__(self, decoder: SubstrateDecoder, features: Features) -> np.ndarray:
        program = decoder.program_for(self.fabric, self.calibration[decoder])
        with ModelDevice(self.fabric) as device:
            device.load(program)
            found, _ = decoder.relax(device, features, seed=1)
        self.cycles += program.input_cycles * found[:, 0].size
        return found


def variants(
    kinds: tuple[str, ...] = (PLAIN, NEIGHBOURS, OWN_D2, RECTIFIED),
    ranks: tuple[int, ...] = RANKS,
    training: int = TRAINING,
    held_out: int = HELD_OUT,
    relaxed: int = RELAXED,
) -> list[Row]:
    """All variants at all ranks, from so many images."""
    network, data, fabric = Network.load(), digits(), preset(FABRIC)
    sigma = DecoderMoments.load().provenance["sigma"]
    trained = Images.of(network, add_noise(data.train, sigma, TRAIN_NOISE_SEED)[:training])
    calibrating = Images.of(network, calibration_images(sigma, data))
    clean = data.test[:held_out]
    noisy = add_noise(data.test, sigma, TEST_NOISE_SEED)[:held_out]
    scored, few = Images.of(network, noisy), Images.of(network, noisy[:relaxed])

    def score(d1: np.ndarray) -> float:
        return float(psnr(network.head(d1), clean[: len(d1)]).mean())

    found = []
    for what in kinds:
        for rank in ranks:
            chain = Chain(what, rank, trained)
            calibration = {chain.d1: chain.inputs(calibrating, exactly)}
            if chain.d2 is not None:
                calibration[chain.d2] = chain.at_half(calibrating)
            device = OnModel(fabric, calibration)
            exact = chain.decoded(scored, exactly)
            gap = score(chain.decoded(few, device)) - score(exact[:relaxed])
            found.append(Row(what, rank, score(exact), gap, round(device.cycles / relaxed)))
    return found


if __name__ == "__main__":
    for row in variants():
        print(
            f"{row.what:32} rank {row.rank:2}: {row.exact:.2f} dB in float64, "
            f"{row.gap:+.2f} dB on the integer model, {row.cycles:,} cycles an image"
        )
