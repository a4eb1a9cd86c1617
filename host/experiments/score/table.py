# SPDX-License-Identifier: Apache-2.0
"""The table of a skip's scores on a terminal."""

from rich import box
from rich.table import Table

from ornstein.host.cli.app import errors, screen
from ornstein.host.experiments.score.run import NetworkScores


def show_scores(title: str, scores: NetworkScores) -> None:
    """Prints a table and its warnings."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("answers", overflow="fold")
    for name in ("centred", "R2", "top-1", "cosine", "weights", "steps"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for row in scores.rows:
        found = row.scores
        cells = (
            ["-"] * 4
            if found is None
            else [
                f"{found.centred_cosine:.4f}",
                f"{found.r2:.4f}",
                f"{found.top1:.0%}",
                f"{found.cosine:.4f}",
            ]
        )
        counts = ("-" if value is None else f"{value:,}" for value in (row.weights, row.steps))
        where = f", on {row.device}" if row.device else ""
        table.add_row(row.name, *cells, *counts, f"{row.note}{where}")
    screen.print(table, markup=False)
    for warning in scores.warnings:
        errors.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
