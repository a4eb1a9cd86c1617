# SPDX-License-Identifier: Apache-2.0
"""Images in dB of a network from elsewhere whose decoder is a substrate.

The moments of the features at every pixel of the training images make the couplings. Held-out
images then go through the network's own encoder, the substrate, and the network's own head.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ornstein.host.compile.program import InputError
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
from ornstein.host.experiments.denoise.run import (
    CALIBRATION_IMAGES,
    LINEAR,
    NOISY,
    SUBSTRATE,
    ZEROED,
    Row,
    fabric_of,
    scored_row,
)
from ornstein.host.models.decoder_moments import DecoderMoments, measure
from ornstein.host.models.image_network import ImageNetwork, middle
from ornstein.host.models.network import rows
from ornstein.host.models.pixel_decoder import Features

NETWORK = "network"
"""Row of the network with its own decoder."""
SMALLEST = 7
"""Fewest pixels of an edge of an image that comes out, the window of the structural similarity."""

Progress = Callable[[str, int, int], None]


def score_images(
    network: ImageNetwork,
    noisy: np.ndarray,
    clean: np.ndarray,
    *,
    ranks: Sequence[int],
    held_out: int,
    device: str,
    seed: int = 1,
    progress: Progress | None = None,
) -> list[Row]:
    """Scores of the network, and of the substrate in place of its decoder.

    Parameters
    ----------
    noisy, clean : (n, channels, height, width), what goes into the network and what should come out
    ranks : of the coupling, in rising order
    held_out : images that are scored, drawn by ``seed``; the others make the couplings
    device : URI of the device that decodes
    progress : told (what, images or rows done, in all)

    Raises
    ------
    InputError
        The images do not fit each other or the network.
    ModelFileError
        The network has no such tensors, or they do not cover the decoder's pixels.
    EnergyError, ProgramError
        A rank is out of range, or the program does not fit the device.
    """
    _check(noisy, clean, held_out)
    say = progress or (lambda what, done, total: None)
    order = np.random.default_rng(seed).permutation(len(noisy))
    test, train = order[:held_out], order[held_out:]

    def values(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        features, target, _ = network.run(noisy[train[first:last]])
        return _inputs(features), rows(target)

    moments, ridge = measure(values, len(train), lambda n, of: say("measuring features", n, of))
    measured = DecoderMoments(moments, ridge, {})
    calibration, _, _ = network.run(noisy[train[:CALIBRATION_IMAGES]])
    features, _, images = network.run(noisy[test])
    size = images.shape[2], images.shape[3]
    if min(size) < SMALLEST:
        raise InputError(f"images of {size[0]} x {size[1]} pixels come out; give larger ones")
    wanted = middle(clean[test], size)
    found = [
        scored_row(NOISY, middle(noisy[test], size), wanted),
        scored_row(NETWORK, images, wanted),
    ]
    encoders = {name: part.shape[1] for name, part in features.items()}
    decoders = [SubstrateDecoder.fit(encoders, measured, rank=rank) for rank in ranks]
    total = 2 * len(ranks) + 1
    for number, decoder in enumerate(decoders):
        say("decoding", 2 * number, total)
        linear = network.head(noisy[test], decoder.decode_linearly(features))
        found.append(scored_row(LINEAR, linear, wanted, decoder.rank))
        decoded = _decoded(decoder, device, calibration, features, seed)
        found.append(_row(SUBSTRATE, network, noisy[test], wanted, device, decoder.rank, decoded))
    say("decoding", total - 1, total)
    bare = decoders[-1].without_couplings()
    decoded = _decoded(bare, device, calibration, features, seed)
    found.append(_row(ZEROED, network, noisy[test], wanted, device, bare.rank, decoded))
    say("decoding", total, total)
    return found


def _decoded(
    decoder: SubstrateDecoder, uri: str, calibration: Features, features: Features, seed: int
) -> tuple[np.ndarray, int, int | None]:
    """The relaxed features, how many inputs were clipped, and cycles of one image."""
    program = decoder.program_for(fabric_of(uri), calibration)
    with open_device(uri) as device:
        device.load(program)
        target, clipped = decoder.decode(device, features, seed=seed)
        clocked = device.config is not None
    pixels = target.shape[2] * target.shape[3]
    return target, clipped, round(program.input_cycles * pixels) if clocked else None


def _row(
    what: str,
    network: ImageNetwork,
    noisy: np.ndarray,
    wanted: np.ndarray,
    device: str,
    rank: int,
    decoded: tuple[np.ndarray, int, int | None],
) -> Row:
    target, clipped, cycles = decoded
    return scored_row(what, network.head(noisy, target), wanted, rank, device, cycles, clipped)


def _inputs(features: Features) -> np.ndarray:
    return np.concatenate([rows(part) for part in features.values()], axis=1)


def _check(noisy: np.ndarray, clean: np.ndarray, held_out: int) -> None:
    """Raises InputError unless there are as many clean images as noisy ones, and some to fit."""
    if noisy.ndim != 4 or clean.ndim != 4 or len(noisy) != len(clean):
        raise InputError(
            f"noisy images have shape {noisy.shape} and clean ones {clean.shape}; both must be "
            "(n, channels, height, width), with the same n"
        )
    if len(noisy) - held_out < 2:
        raise InputError(
            f"{held_out} of {len(noisy)} images cannot be held out; two at least make the couplings"
        )
