# SPDX-License-Identifier: Apache-2.0
"""The figures of the demo's report, each with a caption that is computed from what it shows."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ornstein.host.experiments.demo.run import (
    COEFFICIENTS,
    ROUNDING,
    TIME_STEP,
    Demo,
    ErrorShare,
    Need,
    Row,
)
from ornstein.host.experiments.demo.table import (
    CONTROLS,
    MAIN,
    PAPERS,
    REFERENCES,
    group,
    groups,
    is_main,
    is_ours,
)
from ornstein.host.experiments.prose import Prose, count, score_text
from ornstein.host.models.recipes import ALIGNED, FULL
from ornstein.host.models.run import LOSS
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SOFT,
    Exhibit,
    house_style,
    new_figure,
    plain,
    short,
)

PROSE = Prose("ornstein.host.experiments.demo")
COLOURS = {FULL: BLUE, ALIGNED: ORANGE}
R2_FLOOR = -1.0
"""Bars of R2 below this are cut."""
SETTLED = 0.05
"""Relative deviation within which a relaxation counts as being at its floor."""


@house_style
def exhibits(demo: Demo) -> list[Exhibit]:
    """Returns every figure that the demo has the data of, in the order of the page."""
    makers: tuple[Callable[[Demo], Exhibit | None], ...] = (
        _scores,
        _targets,
        _errors,
        _needs,
        _relaxation,
        _covariance,
    )
    return [exhibit for exhibit in (maker(demo) for maker in makers) if exhibit]


def attribution(demo: Demo) -> list[tuple[str, list[ErrorShare]]]:
    """Returns the error shares by the name of their recipe."""
    return [
        (name, [share for share in demo.errors if share.recipe == name])
        for name in dict.fromkeys(share.recipe for share in demo.errors)
    ]


# ---- scores --------------------------------------------------------------------------------------


def _scores(demo: Demo) -> Exhibit | None:
    if not demo.rows:
        return None
    rows, heights, headings, bottom = _layout(groups(demo))
    figure = new_figure(0.9 + 0.265 * bottom)
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values in (
        (left, [row.centred_cosine for row in rows]),
        (right, [row.r2 for row in rows]),
    ):
        for row, value, height in zip(rows, values, heights, strict=True):
            _score_bar(axes, demo, row, value, height)
    _score_axes(left, right, rows, heights)
    _score_labels(left, demo, rows, heights, headings)
    _score_legend(figure, demo, rows)
    return Exhibit("scores", "Scores of every row", figure, _scores_caption(demo, rows))


def _layout(
    grouped: list[tuple[str, list[Row]]],
) -> tuple[list[Row], list[float], list[tuple[float, str]], float]:
    """Returns all rows, the height of each, the headings with theirs, and the lowest height."""
    rows, heights, headings, height = [], [], [], 0.0
    for title, members in grouped:
        headings.append((height, title))
        for row in members:
            height += 1
            rows.append(row)
            heights.append(height)
        height += 1.35
    return rows, heights, headings, height


def _colour(row: Row) -> str:
    return COLOURS.get(row.key, BLUE)


def _score_bar(axes: Axes, demo: Demo, row: Row, value: float, height: float) -> None:
    shown = max(value, R2_FLOOR)
    if group(demo, row) in (REFERENCES, PAPERS):
        axes.barh(height, shown, 0.72, color=GREY)
    elif is_ours(row):
        axes.barh(height, shown, 0.72, color=_colour(row))
    else:
        axes.barh(height, shown, 0.72, facecolor="white", edgecolor=_colour(row), linewidth=1.3)
    axes.annotate(
        score_text(value),
        (max(shown, 0), height),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        fontweight="bold" if is_main(demo, row) else "normal",
    )
    if value < R2_FLOOR:
        axes.plot(
            R2_FLOOR + 0.05,
            height,
            marker="<",
            markersize=5,
            color="white",
            markeredgecolor=INK,
            markeredgewidth=0.8,
        )


def _score_labels(
    axes: Axes,
    demo: Demo,
    rows: list[Row],
    heights: list[float],
    headings: list[tuple[float, str]],
) -> None:
    axes.set_yticks(heights, [plain(_row_label(row, demo)) for row in rows])
    axes.set_ylim(heights[-1] + 0.8, -0.6)
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if is_main(demo, row) else "normal")
    for height, title in headings:
        axes.annotate(
            plain(title),
            (0, height),
            (-6, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            style="italic",
            color=SOFT,
        )


def _row_label(row: Row, demo: Demo) -> str:
    """Returns the name of a row, with device and temperature where they are not the usual ones. The
    demo's fabric is left out: there is not room for three lines.
    """
    if row.device is None or (not row.kT and row.device == demo.device):
        return row.recipe
    device = row.device.removesuffix(f":{demo.fabric.name}") if demo.fabric else row.device
    temperature = f", kT {short(row.kT)}" if row.kT else ""
    return f"{row.recipe} ({device}{temperature})"


def _score_axes(left: Axes, right: Axes, rows: list[Row], heights: list[float]) -> None:
    low = min(0.0, *(row.centred_cosine for row in rows))
    left.set(title="Centred cosine", xlim=(low - 0.02 if low < 0 else low, 1.22))
    left.set_xticks([0, 0.25, 0.5, 0.75, 1])
    lowest = min(0.0, *(row.r2 for row in rows))
    low = max(R2_FLOOR, lowest)
    title = f"R2, cut at {R2_FLOOR:g}" if lowest < R2_FLOOR else "R2"
    right.set(title=title, xlim=(low - 0.03 if low < 0 else low, 1.42))
    right.set_xticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= low])
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.spines["left"].set_visible(False)


def _score_legend(figure: Figure, demo: Demo, rows: list[Row]) -> None:
    handles = [Patch(color=GREY, label="reference or paper's recipe")]
    for key, colour in COLOURS.items():
        name = next((row.recipe for row in rows if row.key == key and is_ours(row)), None)
        if name:
            handles.append(Patch(color=colour, label=plain(name)))
    if any(group(demo, row) == CONTROLS for row in rows):
        handles.append(Patch(facecolor="white", edgecolor=INK, label="control"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)


def _scores_caption(demo: Demo, rows: list[Row]) -> str:
    def best(title: str) -> Row | None:
        members = [row for row in rows if group(demo, row) == title]
        return max(members, key=lambda row: row.centred_cosine, default=None)

    return PROSE(
        "scores_caption",
        cut=sum(value < R2_FLOOR for row in rows for value in (row.centred_cosine, row.r2)),
        floor=R2_FLOOR,
        device=demo.device,
        best=best(MAIN),
        rival=best(PAPERS),
    )


# ---- targets -------------------------------------------------------------------------------------


def _targets(demo: Demo) -> Exhibit | None:
    if demo.target is None or demo.centre is None or not demo.predictions:
        return None
    figure = new_figure(4.9 if len(demo.predictions) > 1 else 6)
    target = demo.target - demo.centre
    outputs = {key: answer - demo.centre for key, answer in demo.predictions.items()}
    reach = 1.05 * max(np.abs(values).max() for values in (target, *outputs.values()))
    names = {row.key: row.recipe for row in demo.rows if is_ours(row)}
    panels = []
    subplots = figure.subplots(1, len(outputs), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (key, output) in zip(subplots, outputs.items(), strict=True):
        r2 = 1 - np.sum((output - target) ** 2) / np.sum(target**2)
        panels.append((names.get(key, key), r2))
        _target_panel(axes, target, output, COLOURS[key], r2, reach)
        axes.set_title(plain(names.get(key, key)))
    subplots[0].set_ylabel("output, centred")
    caption = PROSE("targets_caption", device=demo.device, panels=panels)
    return Exhibit("targets", "Target against output", figure, caption)


def _target_panel(
    axes: Axes, target: np.ndarray, output: np.ndarray, colour: str, r2: float, reach: float
) -> None:
    axes.plot([-reach, reach], [-reach, reach], color=INK, linewidth=0.9, label="y = x")
    axes.scatter(
        target,
        output,
        s=5,
        color=colour,
        alpha=0.3,
        linewidths=0,
        rasterized=True,
        label=f"R2 = {score_text(r2)}, {target.size:,} values",
    )
    axes.set(xlabel="target, centred", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    legend = axes.legend(loc="upper left", handletextpad=0.5)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)


# ---- errors --------------------------------------------------------------------------------------


def _errors(demo: Demo) -> Exhibit | None:
    if not demo.errors:
        return None
    recipes = attribution(demo)
    stages = _stages(recipes)
    positive = [share.error for share in demo.errors if share.error > 0]
    low = 10.0 ** np.floor(np.log10(min(positive)) - 0.3) if positive else 1e-3
    figure = new_figure(1.2 + 0.29 * len(stages) * (len(recipes) + 0.6))
    axes = figure.subplots()
    for number, (_, shares) in enumerate(recipes):
        offset = (number - (len(recipes) - 1) / 2) * 0.8 / len(recipes)
        _error_bars(axes, shares, stages, offset, 0.8 / len(recipes), low)
    axes.set_xscale("log")
    axes.set_xlim(low, 6 * max(positive, default=1.0))
    labels = [
        f"{plain(stage)} (covariance)" if stage == TIME_STEP else plain(stage) for stage in stages
    ]
    axes.set_yticks(range(len(stages)), labels)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set(
        title="Error of each stage by itself",
        xlabel="rms deviation / spread of the centred targets",
    )
    figure.legend(
        handles=[
            Patch(color=COLOURS.get(shares[0].key, GREY), label=plain(name))
            for name, shares in recipes
        ],
        loc="outside lower center",
        ncols=len(recipes),
    )
    largest = [(name, _largest(shares), _largest(shares, fixed=True)) for name, shares in recipes]
    caption = PROSE(
        "errors_caption",
        recipes=[
            (name, worst, fixed if fixed and fixed is not worst and fixed.error > 0 else None)
            for name, worst, fixed in largest
        ],
    )
    return Exhibit("errors", "Where the error comes from", figure, caption)


def _error_bars(
    axes: Axes,
    shares: list[ErrorShare],
    stages: list[str],
    offset: float,
    height: float,
    low: float,
) -> None:
    """Draws the bars of one recipe, which start at ``low`` since the scale is logarithmic."""
    colour = COLOURS.get(shares[0].key, GREY)
    errors = {share.stage: share.error for share in shares}
    for number, stage in enumerate(stages):
        error = errors.get(stage)
        if error is not None and error > 0:
            axes.barh(number + offset, error - low, 0.88 * height, left=low, color=colour)
        axes.annotate(
            "does not apply" if error is None else short(error),
            (max(error or 0, low), number + offset),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK if error else SOFT,
        )


def _largest(shares: list[ErrorShare], fixed: bool = False) -> ErrorShare | None:
    """Returns the largest share, of the two that fixed-point numbers cause if ``fixed``."""
    members = [share for share in shares if not fixed or share.stage in (COEFFICIENTS, ROUNDING)]
    return max(members, key=lambda share: share.error, default=None)


def _stages(recipes: list[tuple[str, list[ErrorShare]]]) -> list[str]:
    """Returns the stages in the order of the longest list, then any that it lacks."""
    longest_first = sorted((shares for _, shares in recipes), key=len, reverse=True)
    return list(dict.fromkeys(share.stage for shares in longest_first for share in shares))


# ---- temperature ---------------------------------------------------------------------------------


def _needs(demo: Demo) -> Exhibit | None:
    if not demo.needs:
        return None
    figure = new_figure(4.3)
    axes = figure.subplots()
    for key in dict.fromkeys(need.key for need in demo.needs):
        needs = sorted((need for need in demo.needs if need.key == key), key=lambda need: need.kT)
        colour, temperatures = COLOURS.get(key, GREY), [need.kT for need in needs]
        axes.loglog(
            temperatures,
            [need.samples for need in needs],
            "o-",
            color=colour,
            markersize=5,
            label=plain(needs[0].recipe),
        )
        burn_in = max(need.burn_in for need in needs)
        axes.loglog(
            temperatures,
            [need.burn_in for need in needs],
            ":",
            color=colour,
            linewidth=1.5,
            label=f"its steps before averaging, {count(burn_in)}",
        )
    axes.set(
        title=f"Steps to average for {LOSS:g} of centred cosine",
        xlabel="kT",
        ylabel="averaged steps",
    )
    axes.legend(loc="upper left")
    return Exhibit("needs", "What temperature costs", figure, _needs_caption(demo))


def _needs_caption(demo: Demo) -> str:
    hottest = max(need.kT for need in demo.needs)
    needs = sorted(
        (need for need in demo.needs if need.kT == hottest), key=lambda need: need.samples
    )
    least, most = (needs[0], needs[-1]) if len(needs) > 1 else (None, None)
    return PROSE(
        "needs_caption",
        asked=LOSS,
        hottest=hottest,
        least=least,
        most=most,
        reach=_reach(demo, least, most) if least and most else None,
    )


def _reach(demo: Demo, least: Need, most: Need) -> tuple[float, float] | None:
    """Returns how far the states of both recipes reach, if that explains which one needs more."""
    reach = {
        name: max(abs(row.low), abs(row.high))
        for name, rows in demo.ranges.items()
        for row in rows
        if row.name == "state"
    }
    found = reach.get(least.recipe), reach.get(most.recipe)
    if found[0] is None or found[1] is None or found[0] <= found[1]:
        return None
    return found[0], found[1]


# ---- dynamics ------------------------------------------------------------------------------------


def _relaxation(demo: Demo) -> Exhibit | None:
    if demo.distance is None or demo.distance_theory is None or not len(demo.distance):
        return None
    measured, theory = np.asarray(demo.distance), np.asarray(demo.distance_theory)
    floor = float(np.median(measured[-max(1, len(measured) // 4) :]))
    settled = _settled(measured, floor)
    followed = theory > 3 * floor if settled else theory > 0
    caption = PROSE(
        "relaxation_caption",
        steps=len(measured),
        followed=int(followed.sum()),
        gap=np.abs(measured[followed] / theory[followed] - 1).max(initial=0.0),
        floor=floor,
        settled=settled,
    )
    figure = _relaxation_figure(measured, theory, floor if settled else None, demo.device)
    return Exhibit("relaxation", "Relaxation", figure, caption)


def _settled(measured: np.ndarray, floor: float) -> int | None:
    """Returns the step from which a distance stays close to its floor, None if it never does."""
    away = np.flatnonzero(np.abs(measured - floor) > SETTLED * floor)
    first = int(away[-1]) + 2 if len(away) else 1
    return first if floor > 0 and first <= len(measured) else None


def _relaxation_figure(
    measured: np.ndarray, theory: np.ndarray, floor: float | None, device: str | None
) -> Figure:
    steps = np.arange(1, len(measured) + 1)
    figure = new_figure(4.3)
    axes = figure.subplots()
    theory_label = "theory, |(1 - dt M)$^n$ m| / |m|"
    axes.semilogy(steps, theory, "--", color=INK, linewidth=1.2, zorder=3, label=theory_label)
    measured_label = plain(f"measured on {device or 'the device'}")
    axes.semilogy(steps, measured, color=ORANGE, linewidth=2.4, label=measured_label)
    if floor is not None:
        axes.axhline(floor, color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            f"rounding floor, {short(floor)}",
            (steps[-1], floor),
            (-4, 5),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=9,
        )
    low = theory[theory > 0].min(initial=1.0) if floor is None else floor / 30
    axes.set(
        title="Distance from equilibrium, kT = 0",
        xlabel="step n",
        ylabel="distance / |equilibrium|",
        xlim=(0, steps[-1]),
        ylim=(low, 1.6 * max(measured.max(), theory.max())),
    )
    axes.legend(loc="upper right")
    return figure


def _covariance(demo: Demo) -> Exhibit | None:
    if demo.covariance is None or demo.covariance_exact is None:
        return None
    measured, exact = np.asarray(demo.covariance), np.asarray(demo.covariance_exact)
    error = float(np.linalg.norm(measured - exact) / np.linalg.norm(exact))
    floor = demo.covariance_floor
    upper = np.triu(np.ones_like(exact, dtype=bool), 1)
    correlation = None
    if upper.sum() > 1 and np.ptp(exact[upper]) > 0 and np.ptp(measured[upper]) > 0:
        correlation = np.corrcoef(measured[upper], exact[upper])[0, 1]
    caption = PROSE(
        "covariance_caption",
        confirmed=any(row.equals_model for row in demo.rows),
        device=demo.device,
        error=error,
        floor=floor,
        ratio=error / floor if floor else np.inf,
        correlation=correlation,
    )
    figure = _covariance_figure(measured, exact, error, floor)
    return Exhibit("covariance", "Covariance", figure, caption)


def _covariance_figure(
    measured: np.ndarray, exact: np.ndarray, error: float, floor: float | None
) -> Figure:
    figure = new_figure(4.9)
    title = f"Relative Frobenius error {error:.4f}"
    if floor is not None:
        title += f", Monte Carlo floor {floor:.4f}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    left, right = figure.subplots(1, 2)
    diagonal = np.eye(len(exact), dtype=bool)
    upper = np.triu(~diagonal)
    _covariance_panel(left, exact[upper], measured[upper], BLUE, size=6, alpha=0.3, marker="o")
    left.set_title(f"{upper.sum():,} pairs off the diagonal", fontsize=9.5, fontweight="normal")
    left.set_ylabel("measured")
    _covariance_panel(
        right, exact[diagonal], measured[diagonal], ORANGE, size=18, alpha=0.7, marker="D"
    )
    right.set_title(
        f"{diagonal.sum():,} variances on the diagonal", fontsize=9.5, fontweight="normal"
    )
    return figure


def _covariance_panel(
    axes: Axes,
    exact: np.ndarray,
    measured: np.ndarray,
    colour: str,
    size: float,
    alpha: float,
    marker: str,
) -> None:
    values = np.concatenate([measured, exact]) if exact.size else np.zeros(1)
    centre, reach = (values.max() + values.min()) / 2, 0.55 * np.ptp(values) or 1.0
    ends = (centre - reach, centre + reach)
    axes.plot(ends, ends, color=INK, linewidth=0.9)
    axes.scatter(
        exact,
        measured,
        s=size,
        marker=marker,
        color=colour,
        alpha=alpha,
        linewidths=0,
        rasterized=True,
    )
    axes.set(xlabel="exact", xlim=ends, ylim=ends, aspect="equal")
    axes.locator_params(nbins=5)
