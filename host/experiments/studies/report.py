# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein study``: for each study its answer, a plot and a table of thresholds."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as MatplotlibAxis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ornstein.host.experiments.studies.analysis import Axis, Threshold, curve
from ornstein.host.experiments.studies.catalogue import Answer
from ornstein.host.experiments.studies.mixing import GAP, TRAINED
from ornstein.host.experiments.studies.mixing import STUDY as MIXING
from ornstein.host.experiments.studies.subject import (
    ALIGNED,
    DENOISER,
    FULL,
    PAPER,
    PROSE,
    TITLES,
    Score,
)
from ornstein.host.pages.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)

COLOURS = {FULL: BLUE, PAPER: PURPLE, ALIGNED: ORANGE, DENOISER: GREEN}
COLUMNS = 3
"""Panels side by side in a plot."""
PANEL = 2.7
"""Height of a panel in inches."""
DECADES, FEW_DECADES = 300, 30
"""Ratios of the ends of a logarithmic axis below which it has ticks at 1 and 3, and at 1, 2, 5."""


def write_report(folder: Path, name: str, answers: Iterable[Answer]) -> Path:
    """Writes ``folder/name`` with a section for each answer, and returns the path of the page."""
    answers = list(answers)
    title = "What the paper leaves open" if len(answers) > 1 else f"Study: {answers[0].study.name}"
    summary = PROSE("summary", names=[answer.study.name for answer in answers])
    return write_page(folder, title, summary, [section(answer) for answer in answers], name)


def section(answer: Answer) -> Section:
    """Returns what the page says about one study."""
    study = answer.study
    figure = times(answer) if study is MIXING else losses(answer)
    caption = PROSE("caption", floor=study.score.shown[0], method=study.method)
    exhibit = Exhibit(study.name, study.name.capitalize(), figure, caption)
    return Section(study.question, [answer.conclusion], [threshold_grid(answer)], [exhibit])


def threshold_grid(answer: Answer) -> Grid:
    """Returns where each program has lost the study's loss on each axis that has scores."""
    score = answer.study.score
    return Grid(
        PROSE("thresholds", study=answer.study.name, score=score.name, loss=score.loss),
        ("what", "program", "undisturbed", f"loses {score.lost} at", "from", "to"),
        [_row(row) for row in answer.lost],
    )


def _row(found: Threshold) -> tuple:
    """Returns the cells of one threshold."""
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
    """Draws the loss of score along each axis, with error bars and a line at what counts as lost.

    Where the rows have an expected score, its loss is drawn too.
    """
    axes = answer.study.axes
    lines = -(-len(axes) // COLUMNS)
    figure = new_figure(PANEL * lines + 0.4)
    panels = figure.subplots(lines, min(COLUMNS, len(axes)), squeeze=False)
    for panel, axis in zip(panels.flat, axes, strict=False):
        _losses(panel, axis, answer.rows, answer.study.score)
    for panel in panels.flat[len(axes) :]:
        panel.set_visible(False)
    _legend(figure, panels)
    return figure


@house_style
def times(answer: Answer) -> Figure:
    """Draws autocorrelation times beside theory along each axis, and losses of early read-outs."""
    figure = new_figure(2 * PANEL + 0.4)
    panels = figure.subplots(2, COLUMNS)
    for panel, axis in zip(panels.flat, answer.study.axes, strict=True):
        if any(answer.study.score.column in row for row in answer.rows if row["axis"] == axis.name):
            _losses(panel, axis, answer.rows, answer.study.score)
        else:
            _times(panel, axis, answer.rows)
    _legend(figure, panels)
    return figure


def _times(panel: Axes, axis: Axis, rows: list[dict]) -> None:
    """Draws the autocorrelation times of each program along one axis, and theory as a line."""
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


def _few_decades(direction: MatplotlibAxis) -> None:
    """Puts ticks between powers of ten on a logarithmic axis that is short, in plain numbers."""
    low, high = direction.get_view_interval()
    if high < DECADES * low:
        direction.set_major_locator(
            LogLocator(subs=(1, 2, 5) if high < FEW_DECADES * low else (1, 3))
        )
        direction.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        direction.set_minor_formatter(NullFormatter())


def _losses(panel: Axes, axis: Axis, rows: list[dict], score: Score) -> None:
    """Draws the loss of score of each program along one axis."""
    for program, colour in COLOURS.items():
        _plot(panel, curve(rows, axis, program, score), TITLES[program], colour, score)
    panel.axhline(score.loss, color=GREY, linewidth=1, linestyle="--", label=score.lost)
    panel.set_yscale("log")
    panel.set_ylim(*score.shown)
    panel.set_ylabel(f"loss of {score.name}")
    if not axis.linear:
        panel.set_xscale("log")
        _few_decades(panel.xaxis)
    elif all(float(row["value"]).is_integer() for row in rows if row["axis"] == axis.name):
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if axis.falling:
        panel.invert_xaxis()
    panel.set_xlabel(axis.label)


def _plot(panel: Axes, points: list[dict], label: str, colour: str, score: Score) -> None:
    """Draws the losses of one program; ``points`` are those of :func:`curve`."""
    if len(points) < 2:
        return
    base, along = points[0][score.column], points[1:]
    values, floor = [row["value"] for row in along], score.shown[0]
    lost = np.clip([base - row[score.column] for row in along], floor, None)
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
        law = np.clip([base - row["expected"] for row in along], floor, None)
        panel.plot(values, law, color=INK, linewidth=0.8, linestyle=":", label="law of the mean")


def _legend(figure: Figure, panels: np.ndarray) -> None:
    """Puts one legend above all panels."""
    entries = {}
    for panel in panels.flat:
        entries |= {
            label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
        }
    figure.legend(entries.values(), entries.keys(), loc="outside upper left", ncols=len(entries))
