# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein bench``: the figures, and the cycles of a step against their bound."""

from pathlib import Path

from ornstein.host.experiments.bench.run import CYCLES, MIXED, Figure
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    ORANGE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)


def write_bench_page(figures: list[Figure], folder: Path) -> Path:
    """Write report.html and figures/*.png into ``folder``; the path of the page."""
    columns = ("figure", "value", "unit", "reference", "ratio", "note")
    rows = [(row.name, row.value, row.unit, row.reference, row.ratio, row.note) for row in figures]
    measured = Section(
        "Figures",
        [
            "A ratio is the value over its reference: a limit, a goal or a peer. Seconds depend "
            "on the machine, cycles do not."
        ],
        [Grid("All figures of the run", columns, rows)],
    )
    exhibit = cycles_exhibit(figures)
    grown = [Section("Growth", [], [], [exhibit])] if exhibit else []
    return write_page(
        folder, "How fast it is", "Measured in one run; cycles before seconds.", [*grown, measured]
    )


@house_style
def cycles_exhibit(figures: list[Figure]) -> Exhibit | None:
    """Cycles of a step against 4 D k / lanes, or None where they were not measured."""
    cells = [row for row in figures if row.name.startswith(CYCLES) and row.value is not None]
    if not cells:
        return None
    figure = new_figure(4.6)
    axes = figure.subplots()
    ends = [min(row.reference for row in cells) / 1.3, 1.3 * max(row.reference for row in cells)]
    axes.loglog(ends, ends, color=GREY, linewidth=1.2, label="bound")
    for colour, marker, label, mixed in (
        (BLUE, "o", "aligned skips", False),
        (ORANGE, "s", "with Gram terms", True),
    ):
        chosen = [row for row in cells if row.name.endswith(MIXED) == mixed]
        axes.loglog(
            [row.reference for row in chosen],
            [row.value for row in chosen],
            marker,
            color=colour,
            markersize=5,
            label=label,
        )
    axes.set(
        xlabel="4 D k / lanes: the cycles that the multiplies alone take",
        ylabel="cycles of a step, measured",
        title="Cycles of a step against the bound",
    )
    axes.legend(loc="upper left")
    worst = max(cells, key=lambda row: row.ratio)
    return Exhibit(
        "cycles",
        "Cycles grow as D k",
        figure,
        "One input, one time step, on the gateware; D from 64 to 1,280 (summed over pairs of modules), "
        "rank 16 and 64, 2 to 8 modules, 8 to 128 lanes. The farthest from the bound is "
        f"{worst.name.removeprefix(CYCLES)}, {worst.ratio:.3f} times it.",
    )
