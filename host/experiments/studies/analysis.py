# SPDX-License-Identifier: Apache-2.0
"""What a study is, and where along each of its axes the score loses one per cent."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from ornstein.host.experiments.studies.subject import IDEAL, PROGRAMS, TITLES

LOSS = 0.01
"""Fall of the centred cosine below that of the undisturbed program that counts as lost."""
_RESAMPLES = 300
_CONFIDENCE = 0.68  # of the interval of a threshold: one standard error each way


@dataclass(frozen=True)
class Axis:
    """One thing that a study varies.

    Attributes
    ----------
    name : as in the column ``axis``
    label : of the plot's horizontal axis, with the unit
    falling : the score suffers as the value falls (bits), not as it rises
    linear : the value is shown, and interpolated, on a linear scale, not on a logarithmic one
    """

    name: str
    label: str
    falling: bool = False
    linear: bool = False


@dataclass(frozen=True)
class Study:
    """A question, its points, and what the answer reads off them.

    Attributes
    ----------
    measure : ``measure(subject, generators, program, axis, value, ...)``, the results of one point
    conclude : one sentence from the rows
    method : what was run, on which device, and where its errors come from
    draws : random draws of a point, unless the user asks for another number
    """

    name: str
    question: str
    axes: tuple[Axis, ...]
    points: tuple[dict, ...]
    measure: Callable[..., dict]
    conclude: Callable[[list[dict]], str]
    method: str
    draws: int


@dataclass(frozen=True)
class Threshold:
    """Where a program's score has fallen by LOSS along an axis.

    ``value`` is None if it has not within the values tried, from the gentlest, ``first``, to the
    harshest, ``last``; it is ``first`` if it had fallen there already. ``low`` and ``high`` are one
    standard error each way, by bootstrap over the draws; None where nothing was drawn.
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
        """The value, or that it lies beyond what was tried."""
        if self.value is None:
            return f"not even {unit(self.last)}"
        return ("before " if self.value == self.first else "") + unit(self.value)


def curve(rows: list[dict], axis: Axis, program: str) -> list[dict]:
    """The undisturbed point, then the rows of an axis from the gentlest value to the harshest."""
    ideal = [row for row in rows if row["program"] == program and row["axis"] == IDEAL]
    chosen = [
        row
        for row in rows
        if row["program"] == program and row["axis"] == axis.name and row.get("centred") is not None
    ]
    return ideal[:1] + sorted(chosen, key=lambda row: row["value"], reverse=axis.falling)


def thresholds(rows: list[dict], axes: tuple[Axis, ...]) -> list[Threshold]:
    """Of every axis that has scores, and every program on it."""
    found = []
    for axis in axes:
        for program in PROGRAMS:
            ideal, *along = curve(rows, axis, program) or [None]
            if along:
                found.append(_threshold(ideal, along, axis, program))
    return found


def _threshold(ideal: dict, along: list[dict], axis: Axis, program: str) -> Threshold:
    values = np.array([row["value"] for row in along], float)
    scale = values if axis.linear else np.log(values)

    def crossing(*scores: np.ndarray) -> float:
        """Position on the scale at which the mean first falls by LOSS; the harshest value if it
        never does.
        """
        means = np.array([np.mean(draws) for draws in scores])
        lost = means[0] - means[1:]
        beyond = np.flatnonzero(lost > LOSS)
        if not len(beyond):
            return scale[-1]
        first = beyond[0]
        if first == 0:
            return scale[0]
        share = (LOSS - lost[first - 1]) / (lost[first] - lost[first - 1])
        return float(scale[first - 1] + share * (scale[first] - scale[first - 1]))

    def worth(position: float) -> float:
        nearest = np.argmin(np.abs(scale - position))
        return float(
            values[nearest]
            if scale[nearest] == position
            else position
            if axis.linear
            else np.exp(position)
        )

    draws = [np.asarray(row["scores"]) for row in (ideal, *along)]
    base = float(draws[0].mean())
    reached = any(base - scores.mean() > LOSS for scores in draws[1:])
    value = worth(crossing(*draws)) if reached else None
    low = high = None
    if reached and min(len(scores) for scores in draws[1:]) > 1:
        moving = draws if len(draws[0]) > 1 else [np.repeat(draws[0], 2), *draws[1:]]
        interval = bootstrap(
            moving,
            crossing,
            n_resamples=_RESAMPLES,
            confidence_level=_CONFIDENCE,
            vectorized=False,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = worth(interval.low), worth(interval.high)
    return Threshold(
        axis.name, program, base, value, float(values[0]), float(values[-1]), low, high
    )


def sentence_of(
    rows: list[dict], axes: tuple[Axis, ...], unit: Callable[[float], str]
) -> dict[str, str]:
    """For every axis: where each program loses one per cent, as "12 % (full interface), ..."."""
    found: dict[str, list[Threshold]] = {axis.name: [] for axis in axes}
    for threshold in thresholds(rows, axes):
        found[threshold.axis].append(threshold)
    return {
        axis: f"{group[0].text(unit)} (any program)"
        if group and all(t.value is None for t in group)
        else ", ".join(f"{t.text(unit)} ({TITLES[t.program]})" for t in group)
        for axis, group in found.items()
    }


def percent(value: float) -> str:
    """A share as a percentage to two digits."""
    return f"{100 * value:.2g} %"


def with_losses(rows: list[dict]) -> list[dict]:
    """The rows, each that has a score with its ``loss`` against that of the undisturbed program."""
    ideal = {row["program"]: row["centred"] for row in rows if row["axis"] == IDEAL}
    return [
        {**row, "loss": ideal[row["program"]] - row["centred"]}
        if row.get("centred") is not None
        else row
        for row in rows
    ]
