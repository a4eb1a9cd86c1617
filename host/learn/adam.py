# SPDX-License-Identifier: Apache-2.0
"""Adam [Kingma and Ba 2015] for parameters that are held by name."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

_MEAN, _SQUARE = 0.9, 0.999
"""Shares of the old averages of gradients and of their squares that a step keeps."""


class Adam:
    """Moments of the gradients, as Adam keeps them."""

    def __init__(self, parameters: Mapping[Any, np.ndarray], *, square: float = _SQUARE) -> None:
        self.steps, self.square = 0, square
        self.first: dict[Hashable, np.ndarray] = {
            name: np.zeros_like(value) for name, value in parameters.items()
        }
        self.second = {name: np.zeros_like(value) for name, value in self.first.items()}

    def update(
        self, parameters: dict[Any, np.ndarray], gradients: Mapping[Any, np.ndarray], rate: float
    ) -> None:
        """Replaces each parameter after one step of the learning rate ``rate``."""
        self.steps += 1
        corrected = rate * np.sqrt(1 - self.square**self.steps) / (1 - _MEAN**self.steps)
        for name, gradient in gradients.items():
            self.first[name] = _MEAN * self.first[name] + (1 - _MEAN) * gradient
            self.second[name] = self.square * self.second[name] + (1 - self.square) * gradient**2
            change = corrected * self.first[name] / (np.sqrt(self.second[name]) + 1e-12)
            parameters[name] = parameters[name] - change
