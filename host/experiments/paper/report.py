# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein paper``: every experiment with its conclusions, figures and numbers."""

from pathlib import Path

from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.paper.conclusions import paragraphs
from ornstein.host.experiments.paper.figures import exhibits
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.pages.page import Grid, Section, write_page

COLUMNS = ("row", "quantity", "paper", "float64", "gateware", "error", "note")


def write_paper(experiments: list[Experiment], gateware: str, folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder``.

    ``gateware`` says where the gateware column comes from.

    Returns
    -------
    Path of the page
    """
    summary = PROSE(
        "summary",
        numbers=sum(len(experiment.results) for experiment in experiments),
        experiments=len(experiments),
        gateware=gateware,
    )
    sections = [
        Section(
            heading(experiment),
            paragraphs(experiment),
            [grid(experiment)],
            exhibits(experiment),
        )
        for experiment in experiments
    ]
    return write_page(folder, "The paper, run", summary, sections)


def heading(experiment: Experiment) -> str:
    """Returns the letter and the title of an experiment."""
    return f"{experiment.key}. {experiment.title}"


def grid(experiment: Experiment) -> Grid:
    """Returns all results of an experiment as a table."""
    rows = [
        (
            result.row,
            result.quantity,
            result.reference,
            result.float64,
            result.gateware,
            result.error,
            result.note,
        )
        for result in experiment.results
    ]
    return Grid("", COLUMNS, rows)
