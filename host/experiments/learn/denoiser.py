# SPDX-License-Identifier: Apache-2.0
"""The denoiser of ``ornstein denoise`` on an imperfect chip, which learns it from its own answers.

What is learned from are pixels of noisy training images: the features of the network's encoder, and
what the network's own decoder makes of them. Held-out images are scored in dB.
"""

import numpy as np

from ornstein.hdl.config import preset
from ornstein.host.devices.imperfect import ImperfectDevice
from ornstein.host.devices.imperfections import Chip
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.denoise.decoder import SubstrateDecoder
from ornstein.host.experiments.denoise.run import (
    FABRIC,
    TEST_NOISE_SEED,
    calibration_images,
    scored_row,
)
from ornstein.host.experiments.learn.arithmetic import learned_multiplies
from ornstein.host.experiments.learn.row import DECIBELS, Row
from ornstein.host.learn.learner import Learner, Settings, Validation
from ornstein.host.models.data import add_noise, digits
from ornstein.host.models.decoder_moments import TRAIN_NOISE_SEED, DecoderMoments
from ornstein.host.models.network import Network, pixels

RANK, SIGMA = 16, 0.1
TRAINING_IMAGES, TRAINING_PIXELS = 16, 4096
"""Images whose pixels are learned from, and how many of these pixels, drawn at random."""
TEST_IMAGES = 8


def learned_denoiser(
    chip: Chip, settings: Settings, *, images: int = TEST_IMAGES
) -> tuple[Row, list[Validation]]:
    """Returns the row of a chip, scored on so many held-out images, and the validations."""
    network, data = Network.load(), digits()
    decoder = SubstrateDecoder.fit(network.encoders, DecoderMoments.load(), rank=RANK)
    config = preset(FABRIC)
    program = decoder.program_for(config, network.features(calibration_images(SIGMA, data)))
    train = network.features(add_noise(data.train[:TRAINING_IMAGES], SIGMA, TRAIN_NOISE_SEED))
    inputs, _ = decoder.inputs_within(program, train)
    targets = pixels({"d1": network.decode(train)}, ("d1",)).astype(float)
    drawn = np.random.default_rng(settings.seed).permutation(len(inputs))[:TRAINING_PIXELS]
    clean = data.test[:images]
    test = network.features(add_noise(data.test, SIGMA, TEST_NOISE_SEED)[:images])
    held_out, _ = decoder.inputs_within(program, test)

    with ImperfectDevice(ModelDevice(config), chip, "model") as device:
        learner = Learner(program, device, inputs[drawn], targets[drawn], settings)

        def scored() -> tuple[float, float]:
            """The mean in dB over the held-out images, and its standard error."""
            features = decoder.as_features(learner.answers(held_out), *clean[0].shape)
            row = scored_row("", network.head(features), clean)
            return row.psnr, row.psnr_error or 0.0

        before, _ = scored()
        learner.run()
        learner.take_best()
        after = scored()
    row = Row(
        f"denoiser of rank {RANK}",
        chip.seed,
        chip.connections.mismatch,
        chip.connections.dead,
        program.problem.kT,
        chip.read_converter.bits,
        before,
        *after,
        settings.steps,
        device.answered,
        round(device.answered * program.input_cycles),
        device.answered * program.problem.energy.units,
        sum(found.words for found in learner.history),
        learned_multiplies(learner, program),
        learner.saturations,
        DECIBELS,
    )
    return row, learner.history
