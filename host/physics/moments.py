# SPDX-License-Identifier: Apache-2.0
"""Means and second moments of activations: all that a linear fit needs of any number of samples."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of inputs x (n, D_in) and targets y (n, D_out).

    Attributes
    ----------
    count : n
    x_mean, x_deviation : (D_in,); a constant input has deviation 1
    y_mean, y_deviation : (D_out,); a constant target has deviation 1
    gram : (D_in, D_in), mean of the products of standardised inputs
    cross : (D_in, D_out), mean of the products of standardised inputs and centred targets
    """

    count: int
    x_mean: np.ndarray
    x_deviation: np.ndarray
    y_mean: np.ndarray
    y_deviation: np.ndarray
    gram: np.ndarray
    cross: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> "Moments":
        """Moments of one set of samples."""
        return MomentSums.of(x, y).moments()

    def select(self, columns: np.ndarray) -> "Moments":
        """The moments of some of the inputs only; ``columns`` are their positions."""
        return Moments(
            self.count,
            self.x_mean[columns],
            self.x_deviation[columns],
            self.y_mean,
            self.y_deviation,
            self.gram[np.ix_(columns, columns)],
            self.cross[columns],
        )


@dataclass(frozen=True, eq=False)
class MomentSums:
    """Sums over samples, which add up over parts: float64 throughout."""

    count: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> "MomentSums":
        """Sums of one part, x (n, D_in) and y (n, D_out)."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        return cls(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y, np.sum(y**2, axis=0))

    def __add__(self, other: "MomentSums") -> "MomentSums":
        return MomentSums(
            self.count + other.count,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )

    def moments(self) -> Moments:
        """Means, deviations and second moments of all samples."""
        x_mean, y_mean = self.x / self.count, self.y / self.count
        covariance = self.xx / self.count - np.outer(x_mean, x_mean)
        x_deviation = _deviation(np.diag(covariance))
        return Moments(
            self.count,
            x_mean,
            x_deviation,
            y_mean,
            _deviation(self.yy / self.count - y_mean**2),
            covariance / np.outer(x_deviation, x_deviation),
            (self.xy / self.count - np.outer(x_mean, y_mean)) / x_deviation[:, None],
        )


def _deviation(variance: np.ndarray) -> np.ndarray:
    return np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), 1.0)
