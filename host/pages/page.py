# SPDX-License-Identifier: Apache-2.0
"""The one way to make a report: a self-contained HTML page in the house style, and its figures.

A report is made in three steps, all in the ``report.py`` of an experiment:

1. Functions turn results into an :class:`Exhibit` (a matplotlib figure with its caption) or a
   :class:`Grid` (a table, which a command also prints). A function that draws is decorated with
   `house_style` and begins with :func:`new_figure`.
2. Sentences come from ``templates/prose.jinja`` beside the ``report.py``, through
   :class:`ornstein.host.experiments.prose.Prose`, which fills in the numbers.
3. :class:`Section` objects put sentences, exhibits and grids in order, and :func:`write_page`
   writes them. A report with a layout of its own has a template in this package's ``templates``,
   which extends ``base.html``, and is written by :func:`write_template`.

A page loads nothing: its styles and its figures are part of it. A figure of matplotlib is also
written as ``figures/NAME.png``. In the page its panels are plots of plotly
(:mod:`ornstein.host.pages.interactive`), which can be hovered and zoomed; images stay a picture. A
page that has a plot holds plotly's script once, which adds 4.8 MB. Pages follow the reader's light
or dark scheme, begin with a list of their sections, and end with the version and the command that
made them.
"""

import base64
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader
from matplotlib import rc_context, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ornstein.host.pages.interactive import Panel, columns, entries, is_picture, panels, plain_text
from ornstein.host.pages.provenance import made_by

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

# Colours of Okabe and Ito, which every kind of colour vision tells apart.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9"
GREY, SOFT, INK = "#9aa0a6", "#5f666d", "#22262b"
STYLE: dict[Any, Any] = {  # keys of matplotlib's rcParams
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
THEME = {INK: "--ink", "#000000": "--ink", SOFT: "--soft", "#ffffff": "--card"}
"""Colours of figures that change between a light and a dark page, and the page's names of them."""
WIDTH = 9.0  # inches: 900 pixels on a page
NONE = "-"

house_style = rc_context(STYLE)
"""Decorator of every function that draws: ``@house_style``."""


@dataclass(frozen=True)
class Exhibit:
    """A figure with its heading and its caption, which is computed from the data.

    ``name`` is unique on a page: it names the file of the figure. A figure of plotly takes its
    colours from the page: its layout names none.
    """

    name: str
    heading: str
    figure: "Figure | Plot"
    caption: str


@dataclass(frozen=True)
class Grid:
    """A table whose cells are texts, numbers or None. Columns of numbers are aligned to the right.

    Each row has as many cells as there are ``columns``.
    """

    caption: str
    columns: tuple[str, ...]
    rows: list[tuple]


@dataclass(frozen=True)
class Section:
    """A heading and what follows it: paragraphs, then figures, then tables."""

    heading: str
    paragraphs: list[str]
    grids: list[Grid] = field(default_factory=list)
    exhibits: list[Exhibit] = field(default_factory=list)


def new_figure(height: float) -> Figure:
    """Returns an empty figure as wide as a page and ``height`` inches high.

    Raises
    ------
    RuntimeError
        The caller is not decorated with `house_style`, so the style would not reach what it draws.
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
    """Writes a page of sections as ``folder/name``, and ``folder/figures/*.png``.

    The folder is made if it does not exist.

    Parameters
    ----------
    title, summary
        The heading of the page and the line below it.
    sections
        What the page shows, in order.

    Returns
    -------
    Path of the page
    """
    sections = list(sections)
    exhibits = [exhibit for section in sections for exhibit in section.exhibits]
    return write_template(
        folder, "page.html", exhibits, name, title=title, summary=summary, sections=sections
    )


def write_template(
    folder: Path,
    template: str,
    exhibits: Iterable[Exhibit],
    name: str = "report.html",
    **values: Any,
) -> Path:
    """Writes a page from a template as ``folder/name``, and ``folder/figures/*.png``.

    The folder is made if it does not exist.

    Parameters
    ----------
    template
        Name of a file in the folder ``templates`` of this package, which extends ``base.html``.
    exhibits
        The figures that the template places with ``show``.
    values
        What the template reads by name; ``title`` and ``summary`` stand at the top of the page.

    Returns
    -------
    Path of the page
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shown = {exhibit.name: _shown(exhibit, folder / "figures") for exhibit in exhibits}
    plots = any("panels" in parts for parts in shown.values())
    script = _plotly_script() if plots else ""
    page = (
        _environment()
        .get_template(template)
        .render(exhibits=shown, made=made_by(), script=script, theme=THEME, **values)
    )
    path = folder / name
    path.write_text(_with_contents(page), encoding="utf-8")
    return path


def _shown(exhibit: Exhibit, folder: Path) -> dict[str, Any]:
    """Returns what a template needs of a figure; writes the picture of one of matplotlib."""
    parts = {key: getattr(exhibit, key) for key in ("name", "heading", "caption")}
    figure = exhibit.figure
    if not isinstance(figure, Figure):
        return parts | {"columns": 1, "panels": [(Panel(figure), _plot(figure))]}
    folder.mkdir(exist_ok=True)
    (folder / f"{exhibit.name}.png").write_bytes(_image(figure, "png"))
    if is_picture(figure):
        data = base64.b64encode(_image(figure, "svg")).decode()
        # only labels become too small to read on a phone
        labelled = any(axes.axison for axes in figure.axes)
        return parts | {"source": f"data:image/svg+xml;base64,{data}", "labelled": labelled}
    return parts | {
        "title": plain_text(figure.get_suptitle()),
        "legend": entries(figure),
        "columns": columns(figure),
        "panels": [(panel, _plot(panel.plot)) for panel in panels(figure)],
    }


def _plot(figure: "Plot") -> str:
    """Returns a figure of plotly as JSON that can stand in a page: no tag can end it."""
    return (figure.to_json(engine="json") or "").replace("<", "\\u003c")


def _plotly_script() -> str:
    """Returns the script that draws figures of plotly."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


_HEADING = re.compile(r"<h2>(.*?)</h2>", re.S)


def _with_contents(page: str) -> str:
    """Returns a page whose sections can be linked to, with a list of them in place of the mark
    ``<!-- contents -->``; a page of one section has no list.
    """
    head, body = page.split("<!-- contents -->")
    titles = _HEADING.findall(body)
    numbers = iter(range(1, len(titles) + 1))
    body = _HEADING.sub(lambda found: f'<h2 id="section-{next(numbers)}">{found[1]}</h2>', body)
    if len(titles) < 2:
        return head + body
    items = "\n".join(
        f'<li><a href="#section-{number}">{title}</a></li>'
        for number, title in enumerate(titles, 1)
    )
    return f'{head}<nav aria-label="Contents"><ol>\n{items}\n</ol></nav>{body}'


def _environment() -> Environment:
    """Returns the reader of templates, with the filters that tables need."""
    environment = Environment(
        loader=PackageLoader("ornstein.host.pages", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "numeric": _numeric, "paint": _paint}
    return environment


def _paint(colour: str) -> str:
    """Returns a colour of a figure in the page's CSS."""
    return f"var({THEME[colour]})" if colour in THEME else colour


@house_style
def _image(figure: Figure, kind: str) -> bytes:
    """Returns the figure as a file of that kind; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()


# ---- numbers as text -----------------------------------------------------------------------------


def short(value: float | None, digits: int = 3) -> str:
    """Returns a number rounded to so many digits, with exponents as in 1e-5; None is a dash."""
    if value is None:
        return NONE
    text = f"{value + 0.0:.{digits}g}"  # + 0.0 makes -0.0 a 0
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def cell(value: Any) -> str:
    """Returns the text of a table's cell.

    Integers have separators, other numbers four digits; booleans are yes or no, None is a dash.
    """
    if value is None:
        return NONE
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    return short(float(value), 4) if isinstance(value, Real) else str(value)


def plain(text: str) -> str:
    """Returns the text for a figure, with dollar signs that do not start a formula."""
    return text.replace("$", r"\$")


def sentence(text: str) -> str:
    """Returns the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _numeric(grid: Grid, column: int) -> bool:
    """Returns whether a column holds numbers and nothing else."""
    values = [row[column] for row in grid.rows if row[column] is not None]
    return bool(values) and all(isinstance(value, Real) for value in values)
