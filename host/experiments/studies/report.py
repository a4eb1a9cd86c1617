# SPDX-License-Identifier: Apache-2.0
"""A study as a section of a page: its conclusion in a sentence, a plot, and where the score loses
one per cent.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ornstein.host.experiments.studies.analysis import LOSS, Axis, Threshold, curve
from ornstein.host.experiments.studies.catalogue import Answer
from ornstein.host.experiments.studies.mixing import GAP, TRAINED
from ornstein.host.experiments.studies.mixing import STUDY as MIXING
from ornstein.host.experiments.studies.subject import ALIGNED, FULL, PAPER, TITLES
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    sentence,
    write_page,
)

COLOURS = {FULL: BLUE, PAPER: PURPLE, ALIGNED: ORANGE}
_COLUMNS = 3
_PANEL = 2.7  # inches of height
_FLOOR = 1e-4
_ROOF = 1.3
_FEW, _FEWER = 300, 30


def write_report(folder: Path, name: str, answers: Iterable[Answer]) -> Path:
    """Write ``folder/name`` with a section for each answer; the path of the page."""
    answers = list(answers)
    title = "What the paper leaves open" if len(answers) > 1 else f"Study: {answers[0].study.name}"
    names = ", ".join(answer.study.name for answer in answers)
    return write_page(
        folder,
        title,
        f"A substrate that is not perfect: {names}. Scores are centred cosines on "
        f"held-out inputs, and 1 % is a fall of {LOSS:g}.",
        [section(answer) for answer in answers],
        name,
    )


def section(answer: Answer) -> Section:
    """What a page says about one study."""
    study = answer.study
    draw = times if study is MIXING else losses
    return Section(
        study.question,
        [answer.conclusion],
        [threshold_grid(answer)],
        [
            Exhibit(
                study.name,
                study.name.capitalize(),
                draw(answer),
                f"Losses of {_FLOOR:g} and less stand on the lower edge. {study.method}",
            )
        ],
    )


def threshold_grid(answer: Answer) -> Grid:
    """Where every program loses one per cent along every axis that has scores."""
    return Grid(
        f"{sentence(answer.study.name)}: where the centred cosine has fallen by {LOSS:g}; from and to are one "
        "standard error each way, by bootstrap over the draws",
        ("what", "program", "undisturbed", "loses 1 % at", "from", "to"),
        [_row(row) for row in answer.lost],
    )


def _row(found: Threshold) -> tuple:
    return (
        found.axis,
        TITLES[found.program],
        found.unperturbed,
        found.text(lambda value: f"{value:.3g}"),
        found.low,
        found.high,
    )


@house_style
def losses(answer: Answer) -> Figure:
    """Loss of score along every axis, a panel an axis, with error bars, the one-per-cent line and
    any law.
    """
    axes = answer.study.axes
    lines = -(-len(axes) // _COLUMNS)
    figure = new_figure(_PANEL * lines + 0.4)
    panels = figure.subplots(lines, min(_COLUMNS, len(axes)), squeeze=False)
    for panel, axis in zip(panels.flat, axes, strict=False):
        _losses(panel, axis, answer.rows)
    for panel in panels.flat[len(axes) :]:
        panel.set_visible(False)
    _legend(figure, panels)
    return figure


@house_style
def times(answer: Answer) -> Figure:
    """Autocorrelation times against what may set them, with theory as lines, and the loss of an
    early read-out.
    """
    figure = new_figure(2 * _PANEL + 0.4)
    panels = figure.subplots(2, _COLUMNS)
    for panel, axis in zip(panels.flat, answer.study.axes, strict=True):
        if any("centred" in row for row in answer.rows if row["axis"] == axis.name):
            _losses(panel, axis, answer.rows)
        else:
            _times(panel, axis, answer.rows)
    _legend(figure, panels)
    return figure


def _times(panel, axis: Axis, rows: list[dict]) -> None:
    across = "smallest_eigenvalue" if axis.name in (TRAINED, GAP) else "value"
    for program, colour in COLOURS.items():
        points = sorted(
            (row for row in rows if row["axis"] == axis.name and row["program"] == program),
            key=lambda row: row[across],
        )
        if points:
            values = [row[across] for row in points]
            panel.errorbar(
                values,
                [row["autocorrelation_time"] for row in points],
                yerr=[row["autocorrelation_time_error"] for row in points],
                fmt="o",
                color=colour,
                label=TITLES[program],
                markersize=3.5,
                elinewidth=1,
            )
            panel.plot(
                values,
                [row["theory"] for row in points],
                color=INK,
                linewidth=0.9,
                linestyle=":",
                marker="_",
                label="theory",
            )
    for name, direction in (("x", panel.xaxis), ("y", panel.yaxis)):
        panel.set(**{f"{name}scale": "log"})
        _few_decades(direction)
    panel.set_xlabel(axis.label)
    panel.set_ylabel("autocorrelation time")


def _few_decades(direction) -> None:
    """Ticks at 1, 2 and 5, or 1 and 3, in plain numbers along a logarithmic axis too short for
    powers of ten.
    """
    low, high = direction.get_view_interval()
    if high < _FEW * low:
        direction.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _FEWER * low else (1, 3)))
        direction.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        direction.set_minor_formatter(NullFormatter())


def _losses(panel, axis: Axis, rows: list[dict]) -> None:
    for program, colour in COLOURS.items():
        _plot(panel, curve(rows, axis, program), TITLES[program], colour)
    panel.axhline(LOSS, color=GREY, linewidth=1, linestyle="--", label="1 %")
    panel.set_yscale("log")
    panel.set_ylim(_FLOOR, _ROOF)
    panel.set_ylabel("loss of centred cosine")
    if not axis.linear:
        panel.set_xscale("log")
        _few_decades(panel.xaxis)
    elif all(float(row["value"]).is_integer() for row in rows if row["axis"] == axis.name):
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if axis.falling:
        panel.invert_xaxis()
    panel.set_xlabel(axis.label)


def _plot(panel, points: list[dict], label: str, colour: str) -> None:
    if len(points) < 2:
        return
    base, along = points[0]["centred"], points[1:]
    values = [row["value"] for row in along]
    lost = np.clip([base - row["centred"] for row in along], _FLOOR, None)
    panel.errorbar(
        values,
        lost,
        yerr=[row["error"] or 0 for row in along],
        fmt="o-",
        color=colour,
        label=label,
        markersize=3.5,
        linewidth=1.2,
        elinewidth=1,
    )
    if "expected" in along[0]:
        law = np.clip([base - row["expected"] for row in along], _FLOOR, None)
        panel.plot(values, law, color=INK, linewidth=0.8, linestyle=":", label="law of the mean")


def _legend(figure: Figure, panels) -> None:
    entries = {}
    for panel in panels.flat:
        entries |= {
            label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
    figure.legend(entries.values(), entries.keys(), loc="outside upper left", ncols=len(entries))
