# SPDX-License-Identifier: Apache-2.0
"""What a study is, and where along each of its axes the score has lost a given amount."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from ornstein.host.experiments.studies.subject import COSINE, IDEAL, TITLES, Score

_RESAMPLES = 300
_CONFIDENCE = 0.68  # of the interval of a threshold: one standard error each way


@dataclass(frozen=True)
class Axis:
    """One thing that a study varies.

    Attributes
    ----------
    name : what the column ``axis`` of the rows holds
    label : text at the horizontal axis of the plot, with the unit
    falling : whether the score falls with a falling value (such as bits), not with a rising one
    linear : whether the value is shown and interpolated on a linear scale, not on a logarithmic one
    """

    name: str
    label: str
    falling: bool = False
    linear: bool = False


@dataclass(frozen=True)
class Study:
    """A question, the points that are measured, and how the answer follows from them.

    Attributes
    ----------
    points : the parameters of each point; each has a ``program``, an ``axis`` and a ``value``
    measure : ``measure(subject, generators, program, axis, value)`` returns the results of a point
    conclude : returns one sentence from the rows, which are parameters and results of each point
    method : what was run, on which device, and where the errors come from
    draws : number of random draws of each point, unless the user asks for another
    score : what the points are scored by
    """

    name: str
    question: str
    axes: tuple[Axis, ...]
    points: tuple[dict, ...]
    measure: Callable[..., dict]
    conclude: Callable[[list[dict]], str]
    method: str
    draws: int
    score: Score = COSINE


@dataclass(frozen=True)
class Threshold:
    """Where the score of a program has fallen by its ``loss`` along an axis.

    Attributes
    ----------
    unperturbed : score of the undisturbed program
    value : interpolated between the points around it; None if the score has not fallen that far at
        any point, and equal to ``first`` if it has at all of them
    first, last : the values tried that disturb least and most
    low, high : one standard error down and up, by bootstrap over the draws; None if nothing was
        drawn
    """

    axis: str
    program: str
    unperturbed: float
    value: float | None
    first: float
    last: float
    low: float | None = None
    high: float | None = None

    def text(self, unit: Callable[[float], str]) -> str:
        """Returns the value as ``unit`` writes it, or that it lies beyond the values tried."""
        if self.value is None:
            return f"not even {unit(self.last)}"
        return ("before " if self.value == self.first else "") + unit(self.value)


def curve(rows: list[dict], axis: Axis, program: str, score: Score = COSINE) -> list[dict]:
    """Returns the undisturbed point of a program, then its rows on an axis.

    They are sorted from the value that disturbs least to the one that disturbs most.
    """
    ideal = [row for row in rows if row["program"] == program and row["axis"] == IDEAL]
    chosen = [
        row
        for row in rows
        if row["program"] == program
        and row["axis"] == axis.name
        and row.get(score.column) is not None
    ]
    return ideal[:1] + sorted(chosen, key=lambda row: row["value"], reverse=axis.falling)


def thresholds(rows: list[dict], axes: tuple[Axis, ...], score: Score = COSINE) -> list[Threshold]:
    """Returns the threshold of each program on each axis that has scores."""
    found = []
    for axis in axes:
        for program in TITLES:
            points = curve(rows, axis, program, score)
            if len(points) > 1:
                found.append(_threshold(points[0], points[1:], axis, program, score.loss))
    return found


def _threshold(ideal: dict, along: list[dict], axis: Axis, program: str, loss: float) -> Threshold:
    """Returns the threshold of a program from its undisturbed point and its points on an axis."""
    scale = _Scale(np.array([row["value"] for row in along], float), axis.linear, loss)
    draws = [np.asarray(row["scores"]) for row in (ideal, *along)]
    base = float(draws[0].mean())
    value = low = high = None
    if any(base - scores.mean() > loss for scores in draws[1:]):
        value = scale.value(scale.crossing(*draws))
        if min(len(scores) for scores in draws[1:]) > 1:
            low, high = _interval(scale, draws)
    first, last = float(scale.values[0]), float(scale.values[-1])
    return Threshold(axis.name, program, base, value, first, last, low, high)


def _interval(scale: "_Scale", draws: list[np.ndarray]) -> tuple[float, float]:
    """Returns one standard error down and up of a threshold, by bootstrap over the draws."""
    if len(draws[0]) == 1:  # bootstrap takes no sample of one
        draws = [np.repeat(draws[0], 2), *draws[1:]]
    interval = bootstrap(
        draws,
        scale.crossing,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return scale.value(interval.low), scale.value(interval.high)


class _Scale:
    """The values of an axis in order, and their positions on its linear or logarithmic scale.

    ``loss`` is the fall of the score that counts as lost.
    """

    def __init__(self, values: np.ndarray, linear: bool, loss: float) -> None:
        self.values, self.linear, self.loss = values, linear, loss
        self.positions = values if linear else np.log(values)

    def crossing(self, *scores: np.ndarray) -> float:
        """Returns the position at which the mean score first falls by ``loss``.

        ``scores`` are the draws of the undisturbed point, then those of each value. If the mean
        never falls that far, the position is the last one.
        """
        means = np.array([np.mean(draws) for draws in scores])
        lost = means[0] - means[1:]
        beyond = np.flatnonzero(lost > self.loss)
        if not len(beyond):
            return float(self.positions[-1])
        first = beyond[0]
        if first == 0:
            return float(self.positions[0])
        before, after = self.positions[first - 1], self.positions[first]
        share = (self.loss - lost[first - 1]) / (lost[first] - lost[first - 1])
        return float(before + share * (after - before))

    def value(self, position: float) -> float:
        """Returns the value at a position: one of ``values`` exactly if the position is its own."""
        nearest = np.argmin(np.abs(self.positions - position))
        if self.positions[nearest] == position:
            return float(self.values[nearest])
        return float(position if self.linear else np.exp(position))


def sentence_of(
    rows: list[dict],
    axes: tuple[Axis, ...],
    unit: Callable[[float], str],
    score: Score = COSINE,
) -> dict[str, str]:
    """Returns for each axis where each program has lost the score's ``loss``.

    Example: "12 % (full interface), 3 % (aligned skip)".
    """
    found: dict[str, list[Threshold]] = {axis.name: [] for axis in axes}
    for threshold in thresholds(rows, axes, score):
        found[threshold.axis].append(threshold)
    return {axis: _phrase(group, unit) for axis, group in found.items()}


def _phrase(group: list[Threshold], unit: Callable[[float], str]) -> str:
    """Returns the thresholds of all programs on one axis as one phrase."""
    if group and all(threshold.value is None for threshold in group):
        return f"{group[0].text(unit)} (any program)"
    return ", ".join(f"{threshold.text(unit)} ({TITLES[threshold.program]})" for threshold in group)


def percent(value: float) -> str:
    """Returns a share as a percentage of two digits."""
    return f"{100 * value:.2g} %"


def with_losses(rows: list[dict], score: Score = COSINE) -> list[dict]:
    """Returns the rows, with the ``loss`` of those that have a score.

    It is how far the score has fallen below that of the undisturbed program.
    """
    ideal = {row["program"]: row[score.column] for row in rows if row["axis"] == IDEAL}
    return [
        {**row, "loss": ideal[row["program"]] - row[score.column]}
        if row.get(score.column) is not None
        else row
        for row in rows
    ]
