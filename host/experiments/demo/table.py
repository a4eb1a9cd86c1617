# SPDX-License-Identifier: Apache-2.0
"""The rows of a demo in groups, and its table for a terminal."""

from itertools import compress

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ornstein.host.experiments.demo.run import Demo, Row
from ornstein.host.experiments.prose import count, percent, score_text
from ornstein.host.models.recipes import ORACLES, OURS
from ornstein.host.pages.page import NONE, short

REFERENCES, PAPERS, MAIN = "References", "The paper's recipes", "Ours"
CONTROLS = "Controls: ours without couplings"
ELSEWHERE = "Ours in float64 and at temperature"
GROUPS = (REFERENCES, PAPERS, MAIN, CONTROLS, ELSEWHERE)
"""Headings of the groups of rows, in the order of the table."""

WIDE = 120
"""Columns of a terminal from which the table gives the device a column of its own."""
NARROW = 100
"""Columns of a terminal below which the table keeps only the columns of :data:`BRIEF`."""
BRIEF = ("centred\ncosine", "R2", "top-1", "weights", "kT")
HEADINGS = (
    "cosine",
    "centred\ncosine",
    "R2",
    "top-1",
    "weights",
    "kT",
    "dt",
    "steps",
    "samples",
    "cycles",
    "satur-\nations",
)


def is_ours(row: Row) -> bool:
    """Returns whether a row shows one of our programs itself, not a control of it."""
    return row.key in OURS and not row.variant


def is_main(demo: Demo, row: Row) -> bool:
    """Returns whether a row shows one of our programs on the demo's device at kT = 0."""
    return is_ours(row) and row.device == demo.device and not row.kT


def group(demo: Demo, row: Row) -> str:
    """Returns the heading under which a row stands."""
    if is_main(demo, row):
        return MAIN
    if row.device is None or row.key in ORACLES:
        return REFERENCES
    if is_ours(row):
        return ELSEWHERE
    return CONTROLS if row.key in OURS else PAPERS


def groups(demo: Demo) -> list[tuple[str, list[Row]]]:
    """Returns the rows by heading, without headings that have none."""
    found = [(title, [row for row in demo.rows if group(demo, row) == title]) for title in GROUPS]
    return [(title, rows) for title, rows in found if rows]


def find(demo: Demo, key: str, variant: str = "", device: str | None = None) -> Row | None:
    """Returns the row of a recipe at kT = 0 on ``device``, or the one that needs no device.

    The default is the demo's device. None if there is no such row.
    """
    for row in demo.rows:
        if (row.key, row.variant) == (key, variant) and not row.kT:
            if row.device in (device or demo.device, None):
                return row
    return None


def print_table(demo: Demo, console: Console) -> None:
    """Prints the rows to ``console``.

    Below :data:`WIDE` columns the device stands beside the recipe, below :data:`NARROW` only the
    columns of :data:`BRIEF` are kept.
    """
    wide, narrow = console.width >= WIDE, console.width < NARROW
    table = Table(box=box.SIMPLE_HEAD, padding=0, header_style="bold", show_edge=False)
    table.add_column("recipe", overflow="fold")
    if wide:
        table.add_column("device", no_wrap=True)
    kept = [not narrow or heading in BRIEF for heading in HEADINGS]
    for heading in compress(HEADINGS, kept):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, rows in groups(demo):
        for row in rows:
            name = Text(row.recipe)
            if not wide and row.device:
                name.append(f" [{row.device}]", "not bold dim")
            table.add_row(
                name,
                *([Text(row.device or NONE)] if wide else []),
                *compress(_cells(row, 4 if wide else 3), kept),
                style="bold cyan" if is_ours(row) else None,
            )
        table.add_section()
    console.print(table)
    for failure in demo.failures:
        line = f"{failure.recipe} [{failure.device}] cannot run: {failure.reason}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(row: Row, digits: int) -> tuple[str, ...]:
    """Returns the texts under :data:`HEADINGS`."""
    return (
        score_text(row.cosine, digits),
        score_text(row.centred_cosine, digits),
        score_text(row.r2, digits),
        percent(row.top1),
        count(row.weights),
        short(row.kT),
        short(row.dt, 4),
        count(row.steps),
        count(row.samples),
        _scaled(row.cycles),
        count(row.saturations),
    )


def _scaled(value: int | None) -> str:
    """Returns a count, in three digits if it is large, as 9.62M."""
    if value is None or value < 100_000:
        return count(value)
    unit, size = next(
        (unit, size)
        for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
        if value >= size
    )
    return f"{value / size:.3g}{unit}"
