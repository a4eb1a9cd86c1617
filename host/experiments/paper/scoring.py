# SPDX-License-Identifier: Apache-2.0
"""The paper's own score, all scores with their errors, and agreement with a reported number."""

import numpy as np

from ornstein.host.experiments.scores import QUANTITIES, jackknife, score


def agrees(value: float, paper: float, error: float, decimals: int = 4) -> bool:
    """Returns whether a value is within two errors of a number rounded to so many decimals."""
    return abs(value - paper) <= 2 * error + 0.5 * 10.0**-decimals


def script_cosine(prediction: np.ndarray, target: np.ndarray) -> float:
    """Returns the paper's score as its script computes it, of (n, D) each.

    Both lose their own global mean (a scalar each); the cosines of the n rows are averaged.
    """
    a, b = prediction - prediction.mean(), target - target.mean()
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(
        np.mean(np.divide(np.sum(a * b, axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0))
    )


def scored(
    prediction: np.ndarray, target: np.ndarray, train_mean: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Returns (value, standard error over the inputs) of every one of QUANTITIES.

    The cosine is :func:`script_cosine`.
    """

    def values(kept: np.ndarray) -> np.ndarray:
        scores = score(prediction[kept], target[kept], train_mean)
        cosine = script_cosine(prediction[kept], target[kept])
        return np.array([cosine, scores.centred_cosine, scores.r2, scores.top1])

    found, errors = values(np.arange(len(target))), jackknife(values, len(target))
    return {
        name: (float(value), float(error))
        for name, value, error in zip(QUANTITIES, found, errors, strict=True)
    }
