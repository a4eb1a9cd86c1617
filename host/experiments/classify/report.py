# SPDX-License-Identifier: Apache-2.0
"""Table, figure and page of ``ornstein classify``."""

from pathlib import Path

from matplotlib.figure import Figure

from ornstein.host.experiments.classify.run import AVERAGED, ClassifyResult
from ornstein.host.pages.page import (
    BLUE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)

COLUMNS = "what", "device", "parameters", "parameter bits", "read bits", "accuracy", "error"


def write_classify_page(result: ClassifyResult, folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder``; returns the path of the page."""
    best = next(row for row in result.rows if row.what.startswith("substrate, trained"))
    summary = (
        f"A substrate with quartic units, trained on {best.device} by symmetric nudges, tells "
        f"{best.accuracy:.1%} of {best.images:,} held-out images of {result.data} apart, with a "
        f"standard error of {best.error:.1%}."
    )
    for row in result.rows:
        if row.what == AVERAGED:
            summary += f" {row.accuracy:.1%} come of answers averaged over moved copies."
    text = (
        f"Training took {result.inputs:,} relaxations, {result.cycles / 1e6:,.0f} million clock "
        "cycles of the fabric by the schedule. At kT = 0 means are states, and their products the "
        "correlations of equilibrium propagation. The sweeps round the trained factors, and read "
        "the class units through converters; nothing is trained again for them."
    )
    section = Section("Classes", [text], [table(result)], [_curve(result)])
    return write_page(folder, "Classes told apart by the substrate", summary, [section])


def table(result: ClassifyResult) -> Grid:
    """Returns all rows."""
    rows = [
        (
            row.what,
            row.device or "-",
            f"{row.parameters:,}",
            None if row.parameter_bits is None else str(row.parameter_bits),
            None if row.read_bits is None else str(row.read_bits),
            round(row.accuracy, 4),
            round(row.error, 4),
        )
        for row in result.rows
    ]
    return Grid(f"Share of held-out images of {result.data} told right", COLUMNS, rows)


@house_style
def _curve(result: ClassifyResult) -> Exhibit:
    """Returns the accuracy while training."""
    figure: Figure = new_figure(3.0)
    axes = figure.subplots()
    steps, shares = zip(*result.curve, strict=True)
    axes.plot(steps, shares, "o-", color=BLUE)
    axes.set_xlabel("step")
    axes.set_ylabel("accuracy, validation")
    return Exhibit("curve", "While training", figure, "Images that nothing is learned from.")
