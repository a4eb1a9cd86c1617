# SPDX-License-Identifier: Apache-2.0
"""How good generated digits are: distances to the training digits, and what a classifier says.

Images are rows (n, pixels), clipped to [0, 1] as a picture is.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap
from sklearn.neural_network import MLPClassifier

from ornstein.host.experiments.images.measures import nearest
from ornstein.host.models.data import Images

HIDDEN = 64
"""Hidden units of the classifier, whose activations are the features of the Fréchet distance."""
CONFIDENT = 0.95
"""Probability of its class from which an image counts as recognised."""
COPY = 1.0
"""Percentile of the held-out digits' distances to their nearest training digit: a generated image
that is nearer counts as a copy."""
RESAMPLES = 100
"""Bootstrap resamples of an error bar."""
_EPOCHS = 200


@dataclass(frozen=True)
class ImageScores:
    """The scores of one source of images.

    Attributes
    ----------
    images : how many were scored
    distance, distance_error : Fréchet distance to the training digits in the classifier's features,
        and its standard error by bootstrap
    pixel_distance, pixel_error : the same in pixels, in units of squared pixel ranges
    recognised : share of the images whose class has a probability of :data:`CONFIDENT` at least
    imbalance : total variation distance between the shares of the classes and those of training: 0
        if they are the same, at most 1
    nearest : mean distance to the nearest training digit, root mean square over the pixels
    copies : share of the images that are nearer to one than :data:`COPY` percent of real ones
    """

    images: int
    distance: float
    distance_error: float
    pixel_distance: float
    pixel_error: float
    recognised: float
    imbalance: float
    nearest: float
    copies: float


class Judge:
    """Scores images against the training digits.

    The classifier is a perceptron of scikit-learn with :data:`HIDDEN` rectified units, trained here
    on the training digits with a fixed seed.
    """

    def __init__(self, data: Images):
        self.train = _rows(data.train)
        self.classes = np.bincount(data.train_labels) / len(data.train_labels)
        self.classifier = MLPClassifier((HIDDEN,), max_iter=_EPOCHS, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it stops after the epochs it was told
            self.classifier.fit(self.train, data.train_labels)
        held_out = _rows(data.test)
        self.accuracy = float(self.classifier.score(held_out, data.test_labels))
        self.copy_limit = float(np.percentile(nearest(held_out, self.train), COPY))
        self._features, self._pixels = _moments(self.features(self.train)), _moments(self.train)

    def features(self, images: np.ndarray) -> np.ndarray:
        """(n, HIDDEN) activations of the classifier's hidden units."""
        weights, biases = self.classifier.coefs_[0], self.classifier.intercepts_[0]
        return np.maximum(images @ weights + biases, 0)

    def scores(self, images: np.ndarray, *, clip: bool = True) -> ImageScores:
        """The scores of images (n, side, side), clipped to the range of a pixel if ``clip``."""
        rows = np.clip(_rows(images), 0, 1) if clip else _rows(images)
        probabilities = np.asarray(self.classifier.predict_proba(rows))
        found = np.bincount(probabilities.argmax(axis=1), minlength=len(self.classes)) / len(rows)
        distances = nearest(rows, self.train)
        return ImageScores(
            len(rows),
            *_distance(self.features(rows), self._features),
            *_distance(rows, self._pixels),
            float(np.mean(probabilities.max(axis=1) >= CONFIDENT)),
            float(np.abs(found - self.classes).sum() / 2),
            float(distances.mean()),
            float(np.mean(distances < self.copy_limit)),
        )


def _distance(values: np.ndarray, reference: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """The Fréchet distance of values (n, size) to a mean and covariance, and its error."""

    def statistic(index: np.ndarray) -> float:
        return frechet(_moments(values[index]), reference)

    everything = np.arange(len(values))
    found = bootstrap(
        (everything,),
        statistic,
        n_resamples=RESAMPLES,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return statistic(everything), float(found.standard_error)


def frechet(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> float:
    """Fréchet distance of two Gaussians of given mean and covariance [Dowson and Landau 1982].

    |m - m'|^2 + tr C + tr C' - 2 tr (C C')^(1/2); the last trace is the sum of the singular values
    of C^(1/2) C'^(1/2), which is stable where covariances are singular.
    """
    (mean, covariance), (other_mean, other_covariance) = one, other
    product = _root(covariance) @ _root(other_covariance)
    overlap = np.linalg.svd(product, compute_uv=False).sum()
    shift = np.sum((mean - other_mean) ** 2)
    return float(shift + np.trace(covariance) + np.trace(other_covariance) - 2 * overlap)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return values.mean(axis=0), np.cov(values.T)


def _rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
