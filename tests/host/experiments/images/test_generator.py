# SPDX-License-Identifier: Apache-2.0
"""A substrate that generates: noise levels, training, and the same bits on gateware."""

import numpy as np
import pytest
from sklearn.svm import SVC

from ornstein.host.experiments.images import generator as generators
from ornstein.host.experiments.images.digits import CLASSES, PIXELS
from ornstein.host.experiments.images.generator import BLOCKS, CENTRE, HOT, LEAK, PER_BLOCK
from ornstein.host.experiments.images.measures import nearest, spread


def test_noise_falls_by_one_ratio_a_step_so_that_one_leak_fits_all_blocks():
    steps = generators.deviations()
    assert len(steps) == BLOCKS * PER_BLOCK + 1 and steps[0] == HOT
    np.testing.assert_allclose((steps[1:] / steps[:-1]) ** 2, 1 - LEAK)
    # given a clean image at zero, the noise after a step has the variance left by its mean and its
    # own
    before, after = steps[0] ** 2, steps[1] ** 2
    kept = (after / before) ** 2 * before
    assert after - kept == pytest.approx(after * (before - after) / before)


def test_training_finds_the_gaussian_that_made_the_images():
    """For one narrow Gaussian a class, and no quartic term, S is known: leak C (C + sigma^2)^-1."""
    rng = np.random.default_rng(0)
    deviations = np.zeros(PIXELS)
    deviations[:3] = 0.6, 0.4, 0.3
    labels = np.arange(1500) % CLASSES
    images = CENTRE + rng.standard_normal((len(labels), PIXELS)) * deviations
    j4, generators.J4 = generators.J4, 0.0
    try:
        generator = generators.train(images, labels)
    finally:
        generators.J4 = j4
    for block in range(BLOCKS):
        made = (generator.vectors[block] * generator.strengths[block]) @ generator.vectors[block].T
        steps = generators.deviations()[block * PER_BLOCK : (block + 1) * PER_BLOCK] ** 2
        expected = np.mean(
            [LEAK * deviations**2 / (deviations**2 + step) for step in steps], axis=0
        )
        np.testing.assert_allclose(made.diagonal()[:3], expected[:3], atol=0.15 * LEAK)


def test_every_block_is_positive_definite_and_the_program_runs_32_steps_after_the_noise(parameters):
    problem = parameters.generator.problem().check()
    assert min(energy.eigenvalues()[0] for energy in problem.energies) > 0
    assert problem.steps - problem.stages[0].steps == BLOCKS * PER_BLOCK
    assert [stage.energy for stage in problem.stages] == [0, *range(BLOCKS), BLOCKS - 1]
    assert problem.stages[-1].kT == 0 and problem.samples == 1


@pytest.fixture(scope="module")
def generated(parameters, answer):
    labels = np.tile(np.arange(CLASSES), 30)
    generator = parameters.generator
    problem = generator.problem()
    calibration = generator.inputs(np.tile(np.arange(CLASSES), 7))
    return (
        labels,
        problem,
        answer("model", problem, generator.inputs(labels), calibration),
        calibration,
    )


def test_generated_digits_are_recognised_and_differ(generated, digits):
    labels, problem, outputs, _ = generated
    classifier = SVC(C=10).fit(digits.train, digits.train_labels)
    assert classifier.score(digits.test, digits.test_labels) > 0.98
    made = problem.decode(outputs.mean)
    assert np.mean(classifier.predict(made) == labels) >= 0.95
    assert (
        spread(made, labels) > 0.1 and nearest(made, digits.train).min() > 0.05
    )  # neither one image nor copies
    assert outputs.counters["state_saturations"] == outputs.counters["rank_saturations"] == 0


def test_the_gateware_generates_bit_for_bit_like_the_model(generated, parameters, answer):
    labels, problem, outputs, calibration = generated
    made = answer("rtl", problem, parameters.generator.inputs(labels[:20]), calibration)
    np.testing.assert_array_equal(made.sums, outputs.sums[:20])
