# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein hierarchy``: scores module by module, relaxation, and the large shape."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ornstein.host.experiments.hierarchy.large import (
    ECP5_BLOCK_RAMS,
    LEADING,
    MEASURED_LEADING,
    MEASURED_SPECTRUM,
    SPECTRUM,
    Large,
)
from ornstein.host.experiments.hierarchy.run import Hierarchy, Relaxation, Row
from ornstein.host.experiments.prose import Prose
from ornstein.host.models.recipes import ALIGNED, FULL, RANK, UNLINKED, ZEROED
from ornstein.host.pages.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)
from ornstein.host.physics.couplings import LINK

PROSE = Prose("ornstein.host.experiments.hierarchy")
COLOURS = {
    "e": (GREEN, PURPLE, ORANGE, GREY),
    "d": (BLUE, ORANGE, GREEN, PURPLE),
}
"""Colours of encoders and decoders by level; further levels begin again."""
NEAR = 0.05
"""Relative distance at which a module counts as close to equilibrium."""
SCORE_COLUMNS = (
    "program",
    "module",
    "cosine",
    "centred\ncosine",
    "float64",
    "R2",
    "top-1",
    "weights +\nconstants",
    "steps",
    "samples",
    "cycles\nan input",
    "device",
)


def write_hierarchy_page(result: Hierarchy, folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder``, which is made if need be.

    Returns
    -------
    Path of the page
    """
    sections = [_scores(result)]
    if result.relaxation:
        sections.append(_relaxation(result))
    if result.large:
        sections.append(_large(result.large))
    summary = PROSE("summary", device=result.device, levels=len(_decoders(result)))
    return write_page(folder, "A hierarchy on one substrate", summary, sections)


def _decoders(result: Hierarchy) -> list[str]:
    """Returns the names of the decoders, level 1 first."""
    return list(dict.fromkeys(row.module for row in result.rows))


def _colour(module: str) -> str:
    colours = COLOURS[module[0]]
    return colours[(int(module[1:]) - 1) % len(colours)]


def score_grid(result: Hierarchy) -> Grid:
    """Returns the score table: a line for each program and decoder."""
    return Grid(
        "Held-out inputs at kT = 0 unless said; the column float64 is the centred cosine of the "
        "closed form",
        SCORE_COLUMNS,
        [_score_cells(row) for row in result.rows],
    )


def _score_cells(row: Row) -> tuple:
    """Returns the cells under :data:`SCORE_COLUMNS`."""
    shown = row.gateware or row.float64
    scores = (shown.cosine, shown.centred_cosine, row.float64.centred_cosine, shown.r2, shown.top1)
    return (
        row.recipe,
        row.module,
        *(round(value, 4) for value in scores),
        None if row.weights is None else f"{row.weights:,} + {row.constants:,}",
        row.steps,
        row.samples,
        None if row.cycles is None else round(row.cycles),
        row.device,
    )


def size_grid(large: Large) -> Grid:
    """Returns what the large hierarchy takes of its fabric."""
    rows: list[tuple] = [
        (f"{name} words", used, available) for name, (used, available) in large.words.items()
    ]
    rows += [
        ("units", large.units, large.fabric.state_depth * large.fabric.unit_lanes),
        ("block RAMs of an ECP5-85F, by formula", large.block_rams, ECP5_BLOCK_RAMS),
        ("cycles a step, bound 4 sum(D) k / lanes beside", round(large.cycles), round(large.bound)),
    ]
    return Grid(
        f"{large.units:,} units, rank {large.rank}, on the {large.fabric.lanes} lanes of fabric "
        f"{large.fabric.name}",
        ("what", "taken", "there is"),
        rows,
    )


def error_grid(large: Large) -> Grid:
    """Returns how far every module of the large hierarchy is from its closed form."""
    return Grid(
        "Distance of the mean state from the closed form, relative to its length",
        (
            "module",
            "integer model, kT = 0",
            f"of it, {large.fabric.factor_width}-bit couplings",
            "without couplings",
        ),
        [
            (name, error, large.coefficients[name], large.uncoupled[name])
            for name, error in large.error.items()
        ],
    )


def conclusions(result: Hierarchy) -> list[str]:
    """Returns what the numbers say, a sentence or two each."""
    centred: dict[tuple[str, str], dict[str, float]] = {}
    for row in result.rows:
        if row.gateware and not row.kT:
            scores = centred.setdefault((row.key, row.variant), {})
            scores[row.module] = row.gateware.centred_cosine
    sentences = [
        PROSE(
            "couplings",
            kind=kind,
            linked=centred[key, ""],
            zeroed=centred[key, ZEROED],
            unlinked=centred[key, UNLINKED],
        )
        for key, kind in ((ALIGNED, "aligned"), (FULL, "bilinear"))
        if {(key, ""), (key, ZEROED), (key, UNLINKED)} <= set(centred)
    ]
    gain, error = result.gain
    sentences.append(PROSE("link", norms=result.links, gain=gain, error=error))
    compared = {row.recipe for row in result.rows if row.equals_model}
    if compared:
        sentences.append(PROSE("bits", programs=len(compared), device=result.device))
    sentences += [
        PROSE("failure", recipe=name, reason=reason) for name, reason in result.failures.items()
    ]
    return sentences


# ---- scores --------------------------------------------------------------------------------------


def _scores(result: Hierarchy) -> Section:
    exhibit = Exhibit(
        "hierarchy_scores",
        "Centred cosine by module",
        _score_figure(result.rows),
        PROSE("scores_caption"),
    )
    method = PROSE("method", rank=RANK, interface=result.interface_ranks)
    paragraphs = [method, *conclusions(result)]
    heading = "Scores, module by module"
    return Section(heading, paragraphs, [score_grid(result)], [exhibit])


@house_style
def _score_figure(rows: list[Row]) -> Figure:
    names = list(dict.fromkeys(row.recipe for row in rows if row.gateware))
    modules = list(dict.fromkeys(row.module for row in rows))
    figure = new_figure(0.9 + 0.21 * len(modules) * len(names))
    axes = figure.subplots()
    thickness = 0.76 / len(modules)
    for place, module in enumerate(modules):
        offset = thickness * (place - (len(modules) - 1) / 2)
        members = [row for row in rows if row.module == module and row.gateware]
        heights = np.array([names.index(row.recipe) for row in members]) + offset
        _score_bars(axes, module, members, heights, 0.9 * thickness)
    axes.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.12), xlabel="centred cosine")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=len(modules))
    return figure


def _score_bars(
    axes: Axes, module: str, rows: list[Row], heights: np.ndarray, thickness: float
) -> None:
    values = [row.gateware.centred_cosine if row.gateware else np.nan for row in rows]
    errors = [row.error.centred_cosine if row.error else 0.0 for row in rows]
    axes.barh(
        heights,
        values,
        thickness,
        color=_colour(module),
        label=module,
        xerr=errors,
        error_kw={"elinewidth": 1, "ecolor": INK},
    )
    exact = [row.float64.centred_cosine for row in rows]
    axes.plot(exact, heights, "|", color=INK, markersize=9)
    for value, error, height in zip(values, errors, heights, strict=True):
        axes.annotate(
            f"{value:.4f}",
            (max(value, 0) + error, height),
            (8, 0),
            va="center",
            textcoords="offset points",
            fontsize=8,
        )


# ---- relaxation ----------------------------------------------------------------------------------


def _relaxation(result: Hierarchy) -> Section:
    names = dict.fromkeys(curve.recipe for curve in result.relaxation)
    paragraphs = [
        PROSE("relaxation", bits=result.fabric.factor_width),
        *(
            _relaxed(name, [curve for curve in result.relaxation if curve.recipe == name])
            for name in names
        ),
    ]
    exhibit = Exhibit(
        "hierarchy_relaxation",
        "Distance from equilibrium",
        _relaxation_figure(result),
        PROSE("relaxation_caption", device=result.device),
    )
    return Section("Relaxation, module by module", paragraphs, [], [exhibit])


def _relaxed(recipe: str, curves: list[Relaxation]) -> str:
    return PROSE(
        "relaxed",
        recipe=recipe,
        near=NEAR,
        steps_to=[(curve.module, int(np.argmax(curve.measured < NEAR)) + 1) for curve in curves],
        steps=len(curves[0].measured),
        remaining=[(curve.module, curve.measured[-1]) for curve in curves],
    )


@house_style
def _relaxation_figure(result: Hierarchy) -> Figure:
    names = list(dict.fromkeys(curve.recipe for curve in result.relaxation))
    levels = max(int(curve.module[1:]) for curve in result.relaxation)
    figure = new_figure(2.8 * len(names))
    grid = figure.subplots(len(names), levels, sharey=True, sharex="row", squeeze=False)
    for curve in result.relaxation:
        axes = grid[names.index(curve.recipe), int(curve.module[1:]) - 1]
        count = np.arange(1, len(curve.measured) + 1)
        axes.plot(count, curve.measured, color=_colour(curve.module), label=curve.module)
        axes.plot(count, curve.theory, "--", color=INK, linewidth=1)
        axes.set(yscale="log", ylim=(5e-4, 1.5), title=f"{curve.recipe}, level {curve.module[1:]}")
    for axes in grid.flat:
        axes.plot([], [], "--", color=INK, linewidth=1, label="theory")
        axes.legend(ncols=3 if levels < 3 else 1, loc="upper right")
    for axes in grid[-1]:
        axes.set_xlabel("step")
    for axes in grid[:, 0]:
        axes.set_ylabel("relative distance")
    return figure


# ---- the large shape -----------------------------------------------------------------------------


def _large(large: Large) -> Section:
    paragraphs = PROSE.paragraphs(
        "large",
        large=large,
        spectrum=SPECTRUM,
        leading=LEADING,
        measured_spectrum=MEASURED_SPECTRUM,
        measured=MEASURED_LEADING,
        link=LINK,
    )
    exhibit = Exhibit(
        "hierarchy_large",
        "Distance from the closed form",
        _large_figure(large),
        PROSE("large_caption", bits=large.fabric.factor_width),
    )
    grids = [size_grid(large), error_grid(large)]
    return Section("The shape of Stable Diffusion 1.5", paragraphs, grids, [exhibit])


@house_style
def _large_figure(large: Large) -> Figure:
    figure = new_figure(3.2)
    axes = figure.subplots()
    positions = np.arange(len(large.error))
    for values, colour, marker, label in (
        (large.uncoupled, GREY, "s", "without couplings"),
        (large.error, BLUE, "o", "integer model"),
        (large.coefficients, ORANGE, "D", f"{large.fabric.factor_width}-bit couplings alone"),
    ):
        axes.plot(positions, list(values.values()), marker, color=colour, label=label)
    axes.set(yscale="log", xticks=positions, ylabel="relative distance", ylim=(None, 3))
    axes.set_xticklabels(large.error)
    axes.legend(ncols=3, loc="upper center")
    return figure
