# SPDX-License-Identifier: Apache-2.0
"""Table, figures and page of ``ornstein learn --benchmark``."""

from pathlib import Path

from matplotlib.figure import Figure

from ornstein.host.experiments.learn.gradients import PAPER_ONE_SIDED, PAPER_SYMMETRIC
from ornstein.host.experiments.learn.row import CENTRED
from ornstein.host.experiments.learn.run import LearnBenchmark
from ornstein.host.pages.page import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)

COLUMNS = (
    "what",
    "chip",
    "mismatch",
    "kT",
    "read bits",
    "score",
    "before",
    "after",
    "error",
    "steps",
    "inputs",
    "cycles",
    "reads",
    "words",
    "host multiply-adds",
)
_NAMES = {
    ("float:exact", False): ("float, one nudge", ORANGE, "--"),
    ("float:exact", True): ("float, symmetric", ORANGE, "-"),
    ("model", False): ("integer model, one nudge", BLUE, "--"),
    ("model", True): ("integer model, symmetric", BLUE, "-"),
}
_FLOOR = 1e-6
"""Errors below this are drawn at it: float64 leaves no more."""


def write_learn_page(benchmark: LearnBenchmark, folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder``; returns the path of the page."""
    learned = [row for row in benchmark.rows if row["steps"] and row["score"] == CENTRED]
    summary = (
        f"{len(learned)} programs were learned on imperfect chips from the means that the chips "
        f"read out: the lowest centred cosine was {min(row['before'] for row in learned):.3f} "
        f"before and is {min(row['after'] for row in learned):.3f} after."
    )
    cosines = {row.symmetric: row.cosine for row in benchmark.gradients if row.device == "model"}
    rule = (
        f"The cosine of the measured gradient with the exact one is {cosines[False]:.4f} with one "
        f"nudge and {cosines[True]:.4f} with symmetric ones on the integer model at the strongest "
        f"nudge. The author of the paper reports {PAPER_ONE_SIDED} and +{PAPER_SYMMETRIC} for a "
        "substrate of this size (arXiv 2604.23806). In float64 one nudge has an error that grows "
        "with its strength, and symmetric ones have none, since a harmonic energy answers in "
        "proportion. On integers, weak nudges drown in the rounding of the states; with strong "
        "ones there is left the error of a relaxation that ends after finitely many steps."
    )
    costs = (
        "Each learned row is read through its own chip. The last two rows learn nothing: they "
        "measure the couplings of a chip with mismatch, and compute on the host, either an "
        "interface of 2,560 digital weights or a compensated factor for each connection."
    )
    section = Section(
        "Learning on the device",
        [costs, rule],
        [table(benchmark)],
        [_curves(benchmark), _gradients(benchmark)],
    )
    return write_page(folder, "Programs that learn the device they run on", summary, [section])


def table(benchmark: LearnBenchmark) -> Grid:
    """Returns all rows of the benchmark."""
    rows = [
        (
            row["what"],
            str(row["chip"]),
            row["mismatch"],
            row["kT"],
            None if row["read_bits"] is None else str(row["read_bits"]),
            row["score"],
            round(row["before"], 4),
            round(row["after"], 4),
            round(row["error"], 4),
            str(row["steps"]),
            f"{row['inputs']:,}",
            f"{row['cycles'] / 1e6:,.1f} M",
            f"{row['reads']:,}",
            f"{row['words']:,}",
            f"{row['multiplies'] / 1e6:,.2f} M",
        )
        for row in benchmark.rows
    ]
    return Grid("Scores of held-out activations and images, before and after", COLUMNS, rows)


@house_style
def _curves(benchmark: LearnBenchmark) -> Exhibit:
    """Returns the learning curves."""
    figure: Figure = new_figure(3.4)
    axes = figure.subplots()
    colours = {"mismatch": BLUE, "random": ORANGE}
    for name, curve in benchmark.curves.items():
        colour = colours.get(name.split()[0], GREEN if "dead" in name else GREY)
        axes.plot([row.step for row in curve], [row.loss for row in curve], color=colour, lw=1)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("validated loss, 1 - R2")
    caption = (
        "Validated loss while learning. Blue: mismatch; green: dead connections; orange: random "
        "start; grey: reads of few bits, and a temperature."
    )
    return Exhibit("curves", "Learning curves", figure, caption)


@house_style
def _gradients(benchmark: LearnBenchmark) -> Exhibit:
    """Returns the errors of the gradient over the strength of the nudges."""
    figure: Figure = new_figure(3.4)
    axes = figure.subplots()
    for (device, symmetric), (label, colour, line) in _NAMES.items():
        rows = [
            row
            for row in benchmark.gradients
            if row.device == device and row.symmetric == symmetric
        ]
        errors = [max(row.error, _FLOOR) for row in rows]
        axes.loglog([row.beta for row in rows], errors, line, color=colour, label=label)
    axes.set_xlabel("strength of the nudges, beta")
    axes.set_ylabel("relative error of the gradient")
    axes.legend()
    caption = (
        "Distance of the measured gradient from the exact one, over its length. Errors below "
        f"{_FLOOR:g} are drawn at it. Strong nudges are limited by the range of the biases."
    )
    return Exhibit("gradients", "Bias in beta", figure, caption)
