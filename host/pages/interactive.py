# SPDX-License-Identifier: Apache-2.0
"""Figures of matplotlib as plots of plotly that can be hovered and zoomed.

A figure of a report is drawn once, with matplotlib, and shown twice: as a picture beside the page,
and here as plots in the page. Each panel becomes a plot of its own, so that panels which stand side
by side on a screen stand below each other on a phone, each with its own ticks. What the house's
figures consist of is understood: lines, bars, histograms, error bars, scattered points, bands,
annotations, logarithmic and inverted axes, ticks with names, and legends. ``mpl_to_plotly`` of
plotly draws neither error bars, bands nor lines across a panel, and moves no panels.
"""

import html
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as Plot

DOTS = 100
"""Pixels of a page for an inch of a figure."""
_POINT = DOTS / 72
"""Pixels of a point."""
_LEAST, _LINE = 240, 22
"""Pixels of the height of a panel at least, and of a line of its legend."""
_NUMBER = 44
"""Pixels to the right of a plot with annotations: room for a number behind its longest bar."""
_LABEL, _TITLE = 26, 42
"""Characters of a tick's name, and of a horizontal axis', before it is broken into lines."""
_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
_ANCHORS = {"top": "top", "center": "middle"}
_MARKERS = {
    "o": "circle",
    ".": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "<": "triangle-left",
    "x": "x-thin-open",
    "+": "cross-thin-open",
    "|": "line-ns-open",
    "_": "line-ew-open",
}


@dataclass(frozen=True)
class Panel:
    """One plot, its title, and the height of its place on a page, in pixels; None for the usual
    one.
    """

    plot: "Plot"
    title: str = ""
    height: int | None = None


@dataclass(frozen=True)
class Entry:
    """What a legend says of one colour. ``line`` is the style of its line in CSS, None for an
    area; an area that is not ``filled`` has an edge alone.
    """

    text: str
    colour: str
    line: str | None
    filled: bool


def is_picture(figure: Figure) -> bool:
    """Returns whether a figure shows images, which a plot would not show better."""
    return any(axes.images for axes in figure.axes)


def columns(figure: Figure) -> int:
    """Returns how many panels of a figure stand side by side."""
    return max(_geometry(axes)[1] for axes in figure.axes)


def panels(figure: Figure) -> list[Panel]:
    """Returns the visible panels of a figure, row by row."""
    return [_panel(axes) for axes in figure.axes if axes.get_visible()]


def entries(figure: Figure) -> list[Entry]:
    """Returns what the legends of a figure say that belong to none of its panels."""
    return [
        _entry(text.get_text(), handle)
        for legend in figure.legends
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    ]


def _geometry(axes: Axes) -> tuple[int, int]:
    """Returns the numbers of rows and columns of the panels that these axes belong to."""
    place = axes.get_subplotspec()
    return place.get_gridspec().get_geometry() if place else (1, 1)


def _entry(text: str, handle: Any) -> Entry:
    """Returns an entry of a legend, whose handle is a line, the lines of error bars, or an area."""
    if isinstance(handle, Line2D):
        style = {"--": "dashed", ":": "dotted"}.get(str(handle.get_linestyle()), "solid")
        return Entry(plain_text(text), _hex(handle.get_color()), style, True)
    if isinstance(handle, LineCollection):
        return Entry(plain_text(text), _hex(handle.get_edgecolor()[0]), "solid", True)
    filled = _hex(handle.get_facecolor()) != "#ffffff"
    colour = handle.get_facecolor() if filled else handle.get_edgecolor()
    return Entry(plain_text(text), _hex(colour), None, filled)


# ---- a panel -------------------------------------------------------------------------------------


def _panel(axes: Axes) -> Panel:
    """Returns one panel as a plot."""
    import plotly.graph_objects as go

    legend = axes.get_legend()
    named = {text.get_text() for text in legend.get_texts()} if legend else set()
    traces = [*_bands(axes), *_bars(axes), *_points(axes), *_lines(axes)]
    seen = set()
    for trace in traces:
        name = trace.get("name")
        trace["showlegend"] = name in named and name not in seen
        seen.add(name)
        if name is not None:
            trace |= {"name": _text(name), "legendgroup": name}
    vertical = _axis(axes, "y")
    plot = go.Figure(data=traces)
    plot.update_layout(
        barmode="overlay",
        hovermode="closest",
        annotations=[
            _annotation(axes, text) for text in axes.texts if isinstance(text, Annotation)
        ],
        xaxis=_axis(axes, "x"),
        yaxis=vertical,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 1,
            "yanchor": "bottom",
            "font": {"size": 11},
            "itemsizing": "constant" if any(axes.collections) else "trace",
        },
        margin={"l": 10, "r": _NUMBER if axes.texts else 16, "t": 10, "b": 10},
    )
    title = plain_text(axes.get_title(loc="left") or axes.get_title())
    broken = any("<br>" in name for name in vertical.get("ticktext", ()))
    return Panel(plot, title, _height(axes, len(named), broken))


def _height(axes: Axes, named: int, broken: bool) -> int:
    """Returns the pixels of a panel's height: those of the figure, a line of a legend for each name
    in a narrow panel and for three in a wide one, and a quarter more where the names of ticks take
    two lines.
    """
    rows, columns = _geometry(axes)
    figure: Any = axes.figure  # matplotlib's types allow a part of a figure too
    height = figure.get_figheight() / rows * DOTS * (1.25 if broken else 1)
    lines = named if columns > 1 else -(-named // 3)
    return round(max(height, _LEAST)) + lines * _LINE


def _axis(axes: Axes, name: str) -> dict[str, Any]:
    """Returns the layout of one axis."""
    axis = getattr(axes, f"{name}axis")
    low, high = getattr(axes, f"get_{name}lim")()
    logarithmic = axis.get_scale() == "log"
    title = _wrapped(axis.get_label_text(), _TITLE) if name == "x" else _text(axis.get_label_text())
    found: dict[str, Any] = {
        "type": "log" if logarithmic else "linear",
        "range": list(np.log10([low, high])) if logarithmic else [low, high],
        "title": {"text": title, "font_size": 12, "standoff": 8},
        "showgrid": axis.get_gridlines()[0].get_visible(),
        "zeroline": False,
        "tickfont": {"size": 11},
        "hoverformat": ".4~g",
        "exponentformat": "power",
    }
    if logarithmic and (decades := abs(found["range"][1] - found["range"][0])) > 2.5:
        found["dtick"] = -(-int(decades) // 5)  # powers of ten alone
    locator = axis.get_major_locator()
    if isinstance(locator, (FixedLocator, StrCategoryLocator)):
        places = [place for place in locator() if min(low, high) <= place <= max(low, high)]
        names = axis.get_major_formatter().format_ticks(places)
        found |= {"tickvals": places, "ticktext": [_wrapped(text) for text in names]}
    if name == "y" and axes.get_aspect() == 1:
        found |= {"scaleanchor": "x", "constrain": "domain"}
    return found


# ---- what is drawn -------------------------------------------------------------------------------


def _bands(axes: Axes) -> list[dict[str, Any]]:
    """Returns the areas between curves or limits as filled outlines."""
    bars = {patch for bar in axes.containers if isinstance(bar, BarContainer) for patch in bar}
    areas = [
        (area, path, area.get_facecolor()[0])
        for area in axes.collections
        if isinstance(area, PolyCollection)
        for path in area.get_paths()
    ] + [
        (patch, patch.get_path(), patch.get_facecolor())
        for patch in axes.patches
        if patch not in bars
    ]
    return [
        _outline(axes, area.get_transform().transform(path.vertices), colour, area)
        for area, path, colour in areas
    ]


def _outline(axes: Axes, corners: np.ndarray, colour: Any, artist: Any) -> dict[str, Any]:
    """Returns an area from its corners on the canvas."""
    x, y = axes.transData.inverted().transform(corners).T
    red, green, blue, alpha = to_rgba(colour)
    shade = f"rgba({round(255 * red)},{round(255 * green)},{round(255 * blue)},{alpha:.3g})"
    return {
        "type": "scatter",
        "x": _numbers(x),
        "y": _numbers(y),
        "mode": "lines",
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": shade,
        "hoverinfo": "skip",
        "name": _label(artist),
    }


def _bars(axes: Axes) -> list[dict[str, Any]]:
    """Returns the bars. On a logarithmic axis they begin at the edge of the plot."""
    found = []
    for bars in axes.containers:
        if not isinstance(bars, BarContainer):
            continue
        flat = bars.orientation == "horizontal"
        along, across = ("x", "y") if flat else ("y", "x")
        boxes = np.array([(*b.get_xy(), b.get_width(), b.get_height()) for b in bars.patches])
        start, size = (boxes[:, 0], boxes[:, 2]) if flat else (boxes[:, 1], boxes[:, 3])
        side, thickness = (boxes[:, 1], boxes[:, 3]) if flat else (boxes[:, 0], boxes[:, 2])
        logarithmic = getattr(axes, f"get_{along}scale")() == "log"
        first = bars.patches[0]
        edge = to_rgba(first.get_edgecolor())
        bar: dict[str, Any] = {
            "type": "bar",
            "orientation": "h" if flat else "v",
            along: _numbers(start + size if logarithmic else size),
            across: _numbers(side + thickness / 2),
            "width": _numbers(thickness),
            "marker": {
                "color": [_hex(patch.get_facecolor()) for patch in bars.patches],
                "line": {"color": _hex(edge), "width": first.get_linewidth() if edge[3] else 0},
            },
            "name": _label(bars),
        }
        if not logarithmic:
            bar["base"] = _numbers(start)
        if bars.errorbar is not None:
            bar |= _errors(bars.errorbar)
        found.append(bar)
    return found


def _points(axes: Axes) -> list[dict[str, Any]]:
    """Returns the scattered points."""
    return [
        {
            "type": "scatter",
            "x": _numbers(np.asarray(points.get_offsets())[:, 0]),
            "y": _numbers(np.asarray(points.get_offsets())[:, 1]),
            "mode": "markers",
            "marker": {
                "color": _hex(points.get_facecolor()[0]),
                "opacity": points.get_alpha() or 1,
                "size": float(np.sqrt(points.get_sizes()[0])) * _POINT,
            },
            "name": _label(points),
        }
        for points in axes.collections
        if isinstance(points, PathCollection)
    ]


def _lines(axes: Axes) -> list[dict[str, Any]]:
    """Returns lines and markers, with the error bars that belong to them."""
    bars = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    caps = {cap for each in bars for cap in each.lines[1]}
    own = {each.lines[0]: each for each in bars if each.lines[0] is not None}
    found = []
    for line in axes.lines:
        if line in caps:
            continue
        trace = _line(axes, line)
        if line in own:
            trace |= _errors(own[line]) | {"name": _label(own[line])}
        found.append(trace)
    return found


def _line(axes: Axes, line: Line2D) -> dict[str, Any]:
    """Returns a line without error bars; one across the whole panel ends at its limits."""
    x, y = np.asarray(line.get_xydata(), float).reshape(-1, 2).T
    if line.get_transform() != axes.transData and len(x):
        corners = line.get_transform().transform(np.column_stack([x, y]))
        x, y = axes.transData.inverted().transform(corners).T
    marker = _MARKERS.get(str(line.get_marker()))
    dash = _DASHES.get(str(line.get_linestyle()))
    trace: dict[str, Any] = {
        "type": "scatter",
        "x": _numbers(x) or [None],  # a line without points can stand in a legend all the same
        "y": _numbers(y) or [None],
        "mode": "+".join([*(["lines"] if dash else []), *(["markers"] if marker else [])]),
        "cliponaxis": line.get_clip_on(),
        "name": _label(line),
    }
    if dash:
        trace["line"] = {
            "color": _hex(line.get_color()),
            "width": line.get_linewidth() * _POINT,
            "dash": dash,
        }
    if marker:
        hollow = str(line.get_markerfacecolor()) == "none" and not marker.endswith("-open")
        size = line.get_markersize() * (0.5 if line.get_marker() == "." else 1) * _POINT
        fill = line.get_color() if hollow else line.get_markerfacecolor()
        trace["marker"] = {
            "symbol": f"{marker}-open" if hollow else marker,
            "color": _hex(line.get_color() if marker.endswith("-open") else fill),
            "size": size,
            "line": {
                "width": line.get_markeredgewidth() * _POINT,
                "color": _hex(line.get_markeredgecolor()),
            },
        }
    return trace


def _errors(bars: ErrorbarContainer) -> dict[str, Any]:
    """Returns the error bars of a trace; they are as long on both sides."""
    found: dict[str, Any] = {}
    directions = [name for name in "xy" if getattr(bars, f"has_{name}err")]
    for name, lines in zip(directions, bars.lines[2], strict=True):
        ends = np.array([segment[:, "xy".index(name)] for segment in lines.get_segments()])
        found[f"error_{name}"] = {
            "type": "data",
            "array": _numbers((ends[:, 1] - ends[:, 0]) / 2),
            "color": _hex(lines.get_edgecolor()[0]),
            "thickness": 1.2,
            "width": 3,
        }
    return found


def _annotation(axes: Axes, text: Annotation) -> dict[str, Any]:
    """Returns a text at a place of the data, or of the panel."""
    coordinates: Any = text.xycoords
    if coordinates == axes.get_yaxis_transform():
        coordinates = "axes fraction", "data"
    pair = (coordinates, coordinates) if isinstance(coordinates, str) else coordinates
    shift = text.xyann if text.anncoords == "offset points" else (0, 0)
    found: dict[str, Any] = {"showarrow": False, "text": _styled(text, _text(text.get_text()))}
    for name, place, coordinate, offset in zip("xy", text.xy, pair, shift, strict=True):
        logarithmic = getattr(axes, f"get_{name}scale")() == "log"
        inside = coordinate == "data"
        found[name] = float(np.log10(place)) if inside and logarithmic else float(place)
        found[f"{name}ref"] = name if inside else "paper"
        found[f"{name}shift"] = offset * _POINT
    if found["xref"] == "paper" and text.get_horizontalalignment() == "right":
        found["text"] = _styled(text, _wrapped(text.get_text()))  # among the names of ticks
    found["xanchor"] = text.get_horizontalalignment()
    found["yanchor"] = {"top": "top", "center": "middle"}.get(
        text.get_verticalalignment(), "bottom"
    )
    found["font"] = {"size": 11, "color": _hex(text.get_color())}
    return found


# ---- texts, colours and numbers ------------------------------------------------------------------


def _label(artist: Any) -> str | None:
    """Returns what a legend calls an artist, None for one that it does not name."""
    label = str(artist.get_label())
    return None if label.startswith("_") or label == "None" else label


def plain_text(text: str) -> str:
    """Returns a text of matplotlib without its marks, on one line."""
    return re.sub(r"\$[\^_]\{?([^{}$]+)\}?\$", r"\1", text).replace(r"\$", "$").replace("\n", " ")


def _text(text: str) -> str:
    """Returns a text of matplotlib in the marks of plotly."""
    raised = re.sub(r"\$\^\{?([^{}$]+)\}?\$", r"<sup>\1</sup>", html.escape(text, quote=False))
    return raised.replace(r"\$", "$").replace("\n", "<br>")


def _wrapped(text: str, most: int = _LABEL) -> str:
    """Returns a name in lines of at most so many characters, if its words allow."""
    return "<br>".join(map(_text, textwrap.wrap(text, most, break_long_words=False)))


def _styled(text: Annotation, found: str) -> str:
    """Returns what an annotation says in its weight and style."""
    if text.get_fontweight() == "bold":
        found = f"<b>{found}</b>"
    return f"<i>{found}</i>" if text.get_fontstyle() == "italic" else found


def _hex(colour: Any) -> str:
    """Returns a colour without its opacity, for any value that matplotlib's artists answer."""
    return to_hex(colour)


def _numbers(values: Any) -> list[float | None]:
    """Returns numbers of six digits; what is not finite is None."""
    return [
        float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, float)
    ]
