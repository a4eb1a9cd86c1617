# SPDX-License-Identifier: Apache-2.0
"""Plots hold the numbers of the figures that they are made from, panel by panel."""

import numpy as np
import pytest
from matplotlib.patches import Patch

from ornstein.host.pages.interactive import columns, entries, panels
from ornstein.host.pages.page import BLUE, INK, ORANGE, house_style, new_figure


@house_style
def drawn(draw, count=1):
    """The panels of a figure as dictionaries of plotly, after ``draw`` was given its axes."""
    figure = new_figure(3)
    draw(*figure.subplots(1, count, squeeze=False)[0])
    return [panel.plot.to_plotly_json() for panel in panels(figure)]


def test_lines_and_markers():
    def draw(axes):
        axes.semilogy([1, 2], [0.1, 10], "--", color=BLUE, label="line")
        axes.plot([1], [1], "o", color=ORANGE, markerfacecolor="none", label="ring")
        axes.plot([], [], color=INK, label="theory")
        axes.axhline(0.5, color=INK)
        axes.set(xlim=(0, 4), ylim=(0.01, 100), xlabel="step")
        axes.legend()

    (plot,) = drawn(draw)
    line, ring, theory, across = plot["data"]
    assert (list(line["x"]), list(line["y"])) == ([1, 2], [0.1, 10])
    assert line["line"]["dash"] == "dash" and line["line"]["color"] == BLUE
    assert ring["marker"]["symbol"] == "circle-open" and ring["mode"] == "markers"
    assert list(theory["x"]) == [None] and theory["showlegend"]
    np.testing.assert_allclose(across["x"], [0, 4])
    np.testing.assert_allclose(across["y"], [0.5, 0.5])
    assert not across["showlegend"]
    assert plot["layout"]["yaxis"]["type"] == "log"
    np.testing.assert_allclose(plot["layout"]["yaxis"]["range"], [-2, 2])
    assert plot["layout"]["xaxis"]["title"]["text"] == "step"


def test_bars_with_errors():
    def draw(axes):
        axes.barh([0, 1], [2, 3], 0.5, color=BLUE, xerr=[0.1, 0.2], label="bars")
        axes.set_yticks([0, 1], ["a <b>", "a name that is longer than its place"])
        axes.invert_yaxis()
        axes.set_xlabel("a title that is wider than a plot on a phone can be")

    (plot,) = drawn(draw)
    (bars,) = plot["data"]
    assert bars["type"] == "bar" and bars["orientation"] == "h"
    assert [list(bars[key]) for key in ("x", "y", "base")] == [[2, 3], [0, 1], [0, 0]]
    np.testing.assert_allclose(bars["error_x"]["array"], [0.1, 0.2])
    assert plot["layout"]["xaxis"]["title"]["text"].count("<br>") == 1
    axis = plot["layout"]["yaxis"]
    assert axis["range"][0] > axis["range"][1]
    assert list(axis["ticktext"]) == ["a &lt;b&gt;", "a name that is longer than<br>its place"]


def test_bars_on_a_logarithmic_axis_end_where_they_should():
    def draw(axes):
        axes.barh([0], [0.99], left=0.01)
        axes.set_xscale("log")

    (plot,) = drawn(draw)
    assert list(plot["data"][0]["x"]) == [1] and "base" not in plot["data"][0]


def test_error_bars_bands_and_points():
    def draw(axes):
        axes.fill_between([0, 1], [0, 0], [1, 2], color=BLUE, alpha=0.25)
        axes.axhspan(3, 4, color=ORANGE, linewidth=0)
        axes.errorbar([0, 1], [5, 6], yerr=[1, 2], fmt="o", capsize=2, label="measured")
        axes.scatter([0, 1], [2, np.nan], s=4, color=ORANGE, label="points")
        axes.set(xlim=(-1, 2))
        axes.legend()

    (plot,) = drawn(draw)
    band, span, points, measured = plot["data"]
    corners = set(zip(np.round(band["x"], 6), np.round(band["y"], 6), strict=True))
    assert {(0, 0), (0, 1), (1, 0), (1, 2)} <= corners
    assert band["fillcolor"] == "rgba(0,114,178,0.25)"
    assert min(span["x"]) == pytest.approx(-1) and max(span["x"]) == pytest.approx(2)
    assert min(span["y"]) == pytest.approx(3) and max(span["y"]) == pytest.approx(4)
    assert list(measured["error_y"]["array"]) == [1, 2] and measured["name"] == "measured"
    assert list(points["y"]) == [2, None] and points["showlegend"]


def test_annotations_stand_where_they_stood():
    def draw(axes):
        axes.set(xscale="log", xlim=(1, 100), ylim=(0, 1))
        axes.annotate("M$^{-2}$", (10, 0.5), (3, 0), textcoords="offset points", va="center")
        axes.annotate("edge", (0, 0.2), xycoords=axes.get_yaxis_transform(), ha="right")

    (plot,) = drawn(draw)
    inside, edge = plot["layout"]["annotations"]
    assert (inside["x"], inside["xref"], inside["text"]) == (1, "x", "M<sup>-2</sup>")
    assert inside["xshift"] > 3 and inside["yanchor"] == "middle"
    assert (edge["x"], edge["xref"], edge["yref"]) == (0, "paper", "y")


@house_style
def test_panels_are_plots_of_their_own_and_share_a_legend():
    figure = new_figure(4)
    upper, lower = figure.subplots(2, 2, sharey=True)
    for axes in (*upper, lower[0]):
        axes.plot([0, 1], [0, 1], label="shared")
    upper[0].set_title("First", loc="left")
    lower[1].set_visible(False)
    hollow = Patch(facecolor="white", edgecolor=BLUE, label="hollow")
    figure.legend(handles=[*upper[0].lines, hollow])
    made = panels(figure)
    assert [panel.title for panel in made] == ["First", "", ""]
    assert columns(figure) == 2 and all(panel.height == 240 for panel in made)
    line, area = entries(figure)
    assert (line.text, line.line) == ("shared", "solid")
    assert (area.text, area.colour, area.line, area.filled) == ("hollow", BLUE, None, False)
