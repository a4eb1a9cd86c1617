# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein bench``: all figures, and how cycles, samples and memory grow."""

from pathlib import Path

from ornstein.host.experiments.bench.figures import (
    CYCLES_PREFIX,
    MEMORY_PREFIX,
    SAMPLES_PREFIX,
    Figure,
)
from ornstein.host.experiments.bench.lanes import MIXED_SUFFIX
from ornstein.host.experiments.bench.peers import PEERS, crossing, units_of
from ornstein.host.experiments.prose import Prose
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

PROSE = Prose("ornstein.host.experiments.bench")


def write_bench_page(figures: list[Figure], folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder`` and returns the path of the page."""
    exhibits = [shown for shown in (cycles_exhibit(figures), peers_exhibit(figures)) if shown]
    growth = [Section("Growth", [], exhibits=exhibits)] if exhibits else []
    measured = Section("Figures", PROSE.paragraphs("method"), [figures_grid(figures)])
    return write_page(folder, "How fast it is", PROSE("summary"), [*growth, measured])


def figures_grid(figures: list[Figure]) -> Grid:
    """Returns a table with a row for each figure."""
    columns = ("figure", "value", "unit", "reference", "ratio", "note")
    rows = [(row.name, row.value, row.unit, row.reference, row.ratio, row.note) for row in figures]
    return Grid("All figures of the run", columns, rows)


@house_style
def cycles_exhibit(figures: list[Figure]) -> Exhibit | None:
    """Draws the cycles of a step against 4 D k / lanes; None if they were not measured."""
    cells = [
        (row.name, row.reference, row.value)
        for row in figures
        if row.name.startswith(CYCLES_PREFIX)
        and row.value is not None
        and row.reference is not None
    ]
    if not cells:
        return None
    figure = new_figure(4.6)
    axes = figure.subplots()
    bounds = [bound for _, bound, _ in cells]
    ends = [min(bounds) / 1.3, 1.3 * max(bounds)]
    axes.loglog(ends, ends, color=GREY, linewidth=1.2, label="bound")
    for colour, marker, label, mixed in (
        (BLUE, "o", "aligned skips", False),
        (ORANGE, "s", "with Gram terms", True),
    ):
        chosen = [cell for cell in cells if cell[0].endswith(MIXED_SUFFIX) == mixed]
        axes.loglog(
            [bound for _, bound, _ in chosen],
            [cycles for _, _, cycles in chosen],
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
    name, bound, cycles = max(cells, key=lambda cell: cell[2] / cell[1])
    farthest = PROSE("cycles", name=name.removeprefix(CYCLES_PREFIX), ratio=cycles / bound)
    return Exhibit("cycles", "Cycles grow as D k", figure, farthest)


@house_style
def peers_exhibit(figures: list[Figure]) -> Exhibit | None:
    """Draws samples a second and memory of the model and its peers over the units; None if they
    were not measured.
    """
    rows = [row for row in figures if row.name.startswith((SAMPLES_PREFIX, MEMORY_PREFIX))]
    if not any(row.value for row in rows):
        return None
    figure = new_figure(4.0)
    for axes, prefix, title in zip(
        figure.subplots(1, 2),
        (SAMPLES_PREFIX, MEMORY_PREFIX),
        ("independent samples a second", "largest resident memory, MiB"),
        strict=True,
    ):
        shown = [row for row in rows if row.name.startswith(prefix)]
        model = {units_of(row): row.value for row in shown if row.value is not None}
        axes.loglog(*zip(*sorted(model.items()), strict=True), "o-", color=BLUE, label="model")
        for peer, colour, marker in zip(PEERS, (ORANGE, GREY), "s^", strict=True):
            points = [
                (units_of(row), row.reference)
                for row in shown
                if row.name.startswith(prefix + peer) and row.reference is not None
            ]
            if points:
                axes.loglog(*zip(*points, strict=True), f"{marker}-", color=colour, label=peer)
        axes.set(xlabel="units", title=title)
        axes.legend()
    crossings = [(peer, crossing(figures, peer)) for peer in PEERS]
    return Exhibit("peers", "Beside the peers", figure, PROSE("peers", crossings=crossings))
