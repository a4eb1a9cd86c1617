# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ornstein.host.experiments.generate.scores import Judge, frechet
from ornstein.host.models.diffusion import diffusion_digits


@pytest.fixture(scope="module")
def data():
    return diffusion_digits()


@pytest.fixture(scope="module")
def judge(data):
    return Judge(data)


def test_the_distance_of_known_gaussians():
    """Diagonal covariances: |m - m'|^2 + sum (s - s')^2, singular or not."""
    one = np.array([1.0, 0.0, 2.0]), np.diag([4.0, 1.0, 0.0])
    other = np.array([0.0, 0.0, 2.0]), np.diag([1.0, 1.0, 9.0])
    assert frechet(one, other) == pytest.approx(1 + 1 + 0 + 9)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_the_distance_equals_the_matrix_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    a, b = (x @ x.T for x in rng.normal(size=(2, 5, 5)))
    expected = np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet((np.zeros(5), a), (np.zeros(5), b)) == pytest.approx(expected)


def test_training_digits_are_copies_and_near(data, judge):
    scores = judge.scores(data.train)
    assert scores.distance == pytest.approx(0, abs=1e-6)
    assert scores.copies == 1 and scores.nearest == pytest.approx(0, abs=1e-6)
    assert scores.imbalance < 0.01 and scores.recognised > 0.9


def test_held_out_digits_are_no_copies(data, judge):
    scores = judge.scores(data.test)
    assert scores.images == len(data.test)
    assert scores.copies <= 0.02 and judge.accuracy > 0.97
    assert 0 < scores.distance < 2 and scores.distance_error > 0


def test_noise_is_far_and_one_class_is_imbalanced(data, judge):
    noise = np.random.default_rng(0).uniform(size=(50, *data.train.shape[1:]))
    assert judge.scores(noise).distance > 20 * judge.scores(data.test).distance
    zeros = data.train[data.train_labels == 0]
    assert judge.scores(zeros).imbalance == pytest.approx(0.9, abs=0.02)
