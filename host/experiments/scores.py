# SPDX-License-Identifier: Apache-2.0
"""The four scores of every table, and the reference rows they stand beside (spec, section 5)."""

from dataclasses import dataclass

import numpy as np

_SHUFFLE_SEED = 0


@dataclass(frozen=True)
class Scores:
    """Scores of predictions against targets, each at most 1; ``top1`` is a fraction of the inputs.

    ``cosine`` is the paper's: cosine per input after one global mean (a scalar) is subtracted,
    averaged over inputs. ``centred_cosine`` subtracts the training mean of every dimension instead,
    so that it sees the input only. ``r2`` is 1 minus the squared error over the squared error of
    the training mean. ``top1`` is how often the right target is the nearest of all targets by
    centred cosine.
    """

    cosine: float
    centred_cosine: float
    r2: float
    top1: float


def score(prediction: np.ndarray, target: np.ndarray, train_mean: np.ndarray) -> Scores:
    """Scores of ``prediction`` against ``target``, both (n, D), with ``train_mean`` (D,) of the
    training targets.

    The global mean is the scalar mean of ``train_mean``. The cosine with a zero vector counts as 0.
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
    """Reference row: the training mean as the answer to every input."""
    return score(np.tile(train_mean, (len(target), 1)), target, train_mean)


def shuffled(prediction: np.ndarray, target: np.ndarray, train_mean: np.ndarray) -> Scores:
    """Reference row: the same predictions, each against the target of another input (a fixed random
    cycle).
    """
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(target))
    wrong = np.empty_like(order)
    wrong[order] = np.roll(order, 1)
    return score(prediction, target[wrong], train_mean)


def _directions(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors, dtype=float), where=lengths > 0)
