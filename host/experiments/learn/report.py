# SPDX-License-Identifier: Apache-2.0
"""Table, figures and page of ``ornstein learn --benchmark``."""

from pathlib import Path

from matplotlib.figure import Figure

from ornstein.host.experiments.learn.claims import COSINES
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
CLAIMS = "row", "quantity", "paper", "float64", "gateware", "note"
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
        f"nudge. The author of the paper reports {COSINES[False]} and +{COSINES[True]} for a "
        "substrate of this size (arXiv 2604.23806). In float64 one nudge has an error that grows "
        "with its strength, and symmetric ones have none, since a harmonic energy answers in "
        "proportion. On integers, weak nudges drown in the rounding of the states; with strong "
        "ones there is left the error of a relaxation that ends after finitely many steps. Finite "
        "differences of the loss take two runs for every parameter; one slope of them, along the "
        "exact gradient, stands beside those of the nudges."
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
    claimed = Section(
        "The paper on training",
        [
            "What A. De reports in arXiv 2604.23806, float64 dynamics, and the integer model, "
            "which the gateware confirmed bit for bit on the first inputs of each program. The "
            "quartic program is a classifier of digits with random couplings."
        ],
        [claims_table(benchmark)],
    )
    sections = [section, claimed]
    return write_page(folder, "Programs that learn the device they run on", summary, sections)


def claims_table(benchmark: LearnBenchmark) -> Grid:
    """Returns the claims of the paper on training, beside float64 and the gateware."""
    rows = [
        (row.row, row.quantity, row.reference, row.float64, row.gateware, row.note)
        for row in benchmark.claims.results
    ]
    return Grid("Claims of the paper on training", CLAIMS, rows)


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
    """Returns the errors of the gradient over the strength of the nudges, those of the whole and
    those along the exact one, where finite differences stand beside them.
    """
    figure: Figure = new_figure(3.6)
    whole, along = figure.subplots(1, 2, sharey=True)
    for (device, symmetric), (label, colour, line) in _NAMES.items():
        rows = [
            row
            for row in benchmark.gradients
            if row.device == device and row.symmetric == symmetric
        ]
        betas = [row.beta for row in rows]
        whole.loglog(
            betas, [max(row.error, _FLOOR) for row in rows], line, color=colour, label=label
        )
        along.loglog(betas, [max(row.along, _FLOOR) for row in rows], line, color=colour)
    for device, colour in (("float:exact", ORANGE), ("model", BLUE)):
        best = min(row.along for row in benchmark.differences if row.device == device)
        along.axhline(
            max(best, _FLOOR), color=colour, ls=":", label=f"finite differences, {device}"
        )
    whole.set_ylabel("relative error")
    whole.set_title("of the gradient")
    along.set_title("of the slope along it")
    for axes in (whole, along):
        axes.set_xlabel("strength of the nudges, beta")
        axes.legend()
    caption = (
        "Left: distance of the measured gradient from the exact one, over its length. Right: error "
        "of the slope along the exact gradient, beside central differences of the loss at the best "
        f"of their steps. Errors below {_FLOOR:g} are drawn at it. Strong nudges are limited by "
        "the range of the biases."
    )
    return Exhibit("gradients", "Bias in beta", figure, caption)
