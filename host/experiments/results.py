# SPDX-License-Identifier: Apache-2.0
"""Numbers in three columns, paper, float64 and gateware, each with its error, and the files that
hold them.
"""

import csv
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from ornstein.host.experiments.scores import score

COSINE, CENTRED, R2, TOP1 = "cosine", "centred cosine", "R2", "top-1"
QUANTITIES = (COSINE, CENTRED, R2, TOP1)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    """One number: what the paper says, what float64 gives and what the gateware gives.

    ``error`` is the standard error of the float64 and gateware columns; what it is taken over, and
    why the columns differ by more, is in ``note``. A column that does not apply is None.
    """

    experiment: str
    row: str
    quantity: str
    paper: float | None = None
    float64: float | None = None
    gateware: float | None = None
    error: float | None = None
    note: str = ""


@dataclass
class Experiment:
    """An experiment's results, what they say in words, and the arrays behind its figures."""

    letter: str
    title: str
    paragraphs: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, row: str, quantity: str, **values) -> Result:
        """Append a result and return it; numbers are made plain floats."""
        plain = {
            key: value if isinstance(value, str) or value is None else float(value)
            for key, value in values.items()
        }
        self.results.append(Result(self.letter, row, quantity, **plain))
        return self.results[-1]

    def find(self, row: str, quantity: str) -> Result:
        """The result of that row and quantity. KeyError if there is none."""
        for result in self.results:
            if (result.row, result.quantity) == (row, quantity):
                return result
        raise KeyError((row, quantity))


def agrees(value: float, paper: float, error: float, decimals: int = 4) -> bool:
    """Whether a value is within two errors of the paper's, which is rounded to so many decimals."""
    return abs(value - paper) <= 2 * error + 0.5 * 10.0**-decimals


def script_cosine(prediction: np.ndarray, target: np.ndarray) -> float:
    """The paper's score as its script computes it, of (n, D) each.

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
    """Every one of QUANTITIES as (value, standard error over the inputs by the jackknife)."""

    def values(kept: np.ndarray) -> np.ndarray:
        scores = score(prediction[kept], target[kept], train_mean)
        return np.array(
            [
                script_cosine(prediction[kept], target[kept]),
                scores.centred_cosine,
                scores.r2,
                scores.top1,
            ]
        )

    count = len(target)
    everything = np.arange(count)
    without = np.array([values(np.delete(everything, index)) for index in range(count)])
    errors = np.sqrt((count - 1) / count * np.sum((without - without.mean(axis=0)) ** 2, axis=0))
    errors[errors < 1e-12] = 0  # of equal numbers, but for the last bit
    return {
        name: (float(value), float(error))
        for name, value, error in zip(QUANTITIES, values(everything), errors, strict=True)
    }


def documents(experiments: list[Experiment]) -> list[dict]:
    """All results as results.json holds them."""
    return [asdict(result) for experiment in experiments for result in experiment.results]


def write_csv(path: Path, experiments: list[Experiment]) -> None:
    """All results as a table with a header; empty where a column does not apply."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Result)])
        writer.writeheader()
        writer.writerows(documents(experiments))
