# SPDX-License-Identifier: Apache-2.0
"""The four scores of every table, their errors, and the reference rows beside them.

``docs/physics.md``, section "Scores", says what each score sees.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np

COSINE, CENTRED, R2, TOP1 = "cosine", "centred cosine", "R2", "top-1"
QUANTITIES = (COSINE, CENTRED, R2, TOP1)
"""Names of the four scores in tables, in the order of :class:`Scores`."""

_SHUFFLE_SEED = 0
_ROUNDING = 1e-12
"""Standard errors below this are those of equal numbers that differ in their last bit."""


@dataclass(frozen=True)
class Scores:
    """Scores of predictions against targets, each at most 1; ``top1`` is a fraction of the inputs.

    Attributes
    ----------
    cosine : the paper's score: one global mean (a scalar) is subtracted, and the cosines of all
        inputs are averaged
    centred_cosine : the same after the training mean of every dimension is subtracted. What every
        input has in common does not count.
    r2 : 1 minus the squared error over the squared error of the training mean
    top1 : how often the right target is the nearest of all targets by centred cosine
    """

    cosine: float
    centred_cosine: float
    r2: float
    top1: float


def score(prediction: np.ndarray, target: np.ndarray, train_mean: np.ndarray) -> Scores:
    """Returns the scores of ``prediction`` against ``target``, both (n, D).

    ``train_mean`` (D,) is the mean of the training targets, and the global mean is the mean of its
    entries. The cosine with a zero vector counts as 0.
    """
    level = train_mean.mean()
    centred_prediction, centred_target = prediction - train_mean, target - train_mean
    similarity = _directions(centred_prediction) @ _directions(centred_target).T
    return Scores(
        cosine=float(
            np.mean(np.sum(_directions(prediction - level) * _directions(target - level), axis=1))
        ),
        centred_cosine=float(np.mean(np.diag(similarity))),
        r2=float(1 - np.sum((prediction - target) ** 2) / np.sum(centred_target**2)),
        top1=float(np.mean(similarity.argmax(axis=1) == np.arange(len(target)))),
    )


def constant_mean(target: np.ndarray, train_mean: np.ndarray) -> Scores:
    """Returns the scores of the training mean as the answer to every input."""
    return score(np.tile(train_mean, (len(target), 1)), target, train_mean)


def shuffled(prediction: np.ndarray, target: np.ndarray, train_mean: np.ndarray) -> Scores:
    """Returns the scores of each prediction against the target of another input.

    The inputs are exchanged along a fixed random cycle.
    """
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(target))
    wrong = np.empty_like(order)
    wrong[order] = np.roll(order, 1)
    return score(prediction, target[wrong], train_mean)


def jackknife(statistic: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """Returns the standard errors (m,) of a statistic over ``count`` inputs.

    Each input is left out in turn. ``statistic`` returns the values (m,) for the indices of the
    inputs that are kept.
    """
    indices = np.arange(count)
    values = np.array([statistic(np.delete(indices, index)) for index in indices])
    errors = np.std(values, axis=0) * np.sqrt(count - 1)
    return np.where(errors < _ROUNDING, 0.0, errors)


def score_errors(
    prediction: np.ndarray,
    target: np.ndarray,
    train_mean: np.ndarray,
    other: np.ndarray | None = None,
) -> Scores:
    """Returns the standard error of every score over the inputs.

    With ``other`` predictions (n, D) it is the standard error of the lead over their scores.
    """

    def values(kept: np.ndarray) -> np.ndarray:
        found = np.array(astuple(score(prediction[kept], target[kept], train_mean)))
        if other is not None:
            found -= astuple(score(other[kept], target[kept], train_mean))
        return found

    return Scores(*jackknife(values, len(target)).tolist())


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors, dtype=float), where=lengths > 0)
