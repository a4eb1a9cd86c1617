# SPDX-License-Identifier: Apache-2.0
"""Pages: self-contained HTML in one style, with the figures and tables that a command made.

A page loads nothing: styles and figures (inline SVG) are in it. Every figure is also written as
``figures/NAME.png``.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib import rc_context, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours: apart for every colour vision
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
)
GREY, SOFT, INK = "#9aa0a6", "#5f666d", "#22262b"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.8,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "ornstein",
}
WIDTH = 9.0  # inches: 900 pixels on a page
NONE = "-"

house_style = rc_context(STYLE)
"""Decorator of every function that draws: ``@house_style``."""


@dataclass(frozen=True)
class Exhibit:
    """A figure, its heading, and what it shows and says; the caption is computed from the data."""

    name: str
    heading: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Grid:
    """A table: its cells are texts, numbers or None. Columns of numbers stand to the right."""

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple]


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it: paragraphs, then figures, then tables."""

    heading: str
    paragraphs: list[str]
    grids: list[Grid] = field(default_factory=list)
    exhibits: list[Exhibit] = field(default_factory=list)


def new_figure(height: float) -> Figure:
    """An empty figure as wide as a page and ``height`` inches high, for a function decorated with
    `house_style`.

    Raises
    ------
    RuntimeError
        Called outside the house style, which would not reach what is drawn afterwards.
    """
    if rcParams["svg.hashsalt"] != STYLE["svg.hashsalt"]:
        raise RuntimeError(
            "a figure was asked for outside the house style: decorate the function that draws with "
            "@house_style (ornstein.host.pages.page)"
        )
    figure = Figure((WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_page(
    folder: Path, title: str, summary: str, sections: Iterable[Section], name: str = "report.html"
) -> Path:
    """Write the page ``folder/name`` and ``folder/figures/*.png``; the folder is made if need be.

    Parameters
    ----------
    title, summary
        Heading and the line below it.
    sections
        What the page shows, in order. Names of exhibits are unique on the page: they name the files
        of the figures.

    Returns
    -------
    Path of the page
    """
    sections = list(sections)
    return write_template(
        folder,
        "page.html",
        [exhibit for section in sections for exhibit in section.exhibits],
        name,
        title=title,
        summary=summary,
        sections=sections,
    )


def write_template(
    folder: Path, template: str, exhibits: Iterable[Exhibit], name: str = "report.html", **values
) -> Path:
    """Write a page from a template of this package, which extends ``base.html``.

    The template gets ``values`` and the figures as ``exhibits``, a dictionary by name that its
    macro ``show`` reads.

    Returns
    -------
    Path of the page
    """
    folder = Path(folder)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    shown = {}
    for exhibit in exhibits:
        (folder / "figures" / f"{exhibit.name}.png").write_bytes(_image(exhibit.figure, "png"))
        data = base64.b64encode(_image(exhibit.figure, "svg")).decode()
        shown[exhibit.name] = {
            **{key: getattr(exhibit, key) for key in ("name", "heading", "caption")},
            "source": f"data:image/svg+xml;base64,{data}",
        }
    environment = Environment(
        loader=PackageLoader("ornstein.host.pages", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "numeric": _numeric}
    path = folder / name
    path.write_text(
        environment.get_template(template).render(exhibits=shown, **values), encoding="utf-8"
    )
    return path


@house_style
def _image(figure: Figure, kind: str) -> bytes:
    """The figure as a file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format=kind,
        dpi=200,
        metadata={"Date": None} if kind == "svg" else {"Software": None},
    )
    return buffer.getvalue()


# ---- numbers as text -----------------------------------------------------------------------------


def short(value: float | None, digits: int = 3) -> str:
    """A quantity to so many digits, exponents as in 1e-5."""
    if value is None:
        return NONE
    text = f"{value + 0.0:.{digits}g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def cell(value: str | float | None) -> str:
    """A table's cell: counts with separators, other numbers to four digits, nothing as a dash."""
    if value is None:
        return NONE
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{value:,}"
    return short(float(value), 4) if isinstance(value, Real) else str(value)


def plain(text: str) -> str:
    """Text for a figure, in which a dollar sign is no formula."""
    return text.replace("$", r"\$")


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _numeric(grid: Grid, column: int) -> bool:
    """Whether a column holds numbers and nothing else."""
    values = [row[column] for row in grid.rows if row[column] is not None]
    return bool(values) and all(isinstance(value, Real) for value in values)
