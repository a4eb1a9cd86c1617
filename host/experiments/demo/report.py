# SPDX-License-Identifier: Apache-2.0
"""The report of the demo: figures, one self-contained HTML page, and the score table for a
terminal.

Every number and every conclusion in the page is computed from the :class:`ornstein.host.experiments.demo.run.Demo`
that it shows. What a demo lacks is left out.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import compress
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ornstein.host.experiments.demo.run import Demo, Row
from ornstein.host.models.run import LOSS
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    INK,
    NONE,
    ORANGE,
    SOFT,
    Exhibit,
    house_style,
    new_figure,
    plain,
    sentence,
    short,
    write_template,
)

FULL, ALIGNED = "ours, full interface", "ours, aligned skip"
REFITTED = "ours, refitted uncoupled"
ZEROED = ", couplings zeroed"
PAPER, PAPER_UNCOUPLED = "paper's recipe", "paper's recipe, no couplings"
CONSTANT, SHUFFLED = "constant mean", f"{FULL}, shuffled targets"
PAPER_COSINE = 0.9906
"""Cosine that the paper reports for its full pipeline."""

COLOURS = {FULL: BLUE, ALIGNED: ORANGE}
R2_FLOOR = -1.0
WIDE = 120  # columns from which the terminal's table gives the device a column of its own
NARROW = 100  # columns below which it keeps only the columns of BRIEF
BRIEF = ("centred\ncosine", "R2", "top-1", "weights", "kT")


def figures(demo: Demo) -> dict[str, Figure]:
    """The figures of a demo by name; those whose data it lacks are left out."""
    return {exhibit.name: exhibit.figure for exhibit in _exhibits(demo)}


def write_report(demo: Demo, folder: Path) -> Path:
    """Write ``report.html`` and ``figures/*.png`` into ``folder``, which is made if need be.

    The page is self-contained: figures and styles are in it, and it loads nothing.

    Returns
    -------
    Path of the page
    """
    return write_template(
        folder,
        "report.html",
        _exhibits(demo),
        summary=_summary(demo),
        findings=list(_findings(demo)),
        groups=_groups(demo),
        score=_number,
        count=_count,
        percent=_percent,
        temperature=short,
        attribution=_attribution(demo),
        demo=demo,
        ranges=demo.ranges,
        difference=_difference,
        value=_value,
        loss=LOSS,
        provenance=_flat(demo.provenance),
        fabric=_fabric(demo),
    )


def print_table(demo: Demo, console: Console) -> None:
    """Print the rows to ``console``.

    Below :data:`WIDE` columns the device stands beside the recipe, below :data:`NARROW` only
    :data:`BRIEF` is kept.
    """
    wide, narrow = console.width >= WIDE, console.width < NARROW
    table = Table(box=box.SIMPLE_HEAD, padding=0, header_style="bold", show_edge=False)
    table.add_column("recipe", overflow="fold")
    digits = 4 if wide else 3
    if wide:
        table.add_column("device", no_wrap=True)
    headings = (
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
    kept = [not narrow or heading in BRIEF for heading in headings]
    for heading in compress(headings, kept):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, rows in _groups(demo):
        for row in rows:
            name = Text(row.recipe)
            device = Text(row.device or NONE)
            if not wide and row.device:
                name.append(f" [{row.device}]", "not bold dim")
            scores = (_number(value, digits) for value in (row.cosine, row.centred_cosine, row.r2))
            numbers = (
                *scores,
                _percent(row.top1),
                _count(row.weights),
                short(row.kT),
                short(row.dt, 4),
                _count(row.steps),
                _count(row.samples),
                _scaled(row.cycles),
                _count(row.saturations),
            )
            table.add_row(
                name,
                *([device] if wide else []),
                *compress(numbers, kept),
                style="bold cyan" if _is_ours(row) else None,
            )
        table.add_section()
    console.print(table)


# ---- rows ----------------------------------------------------------------------------------------


def _device(demo: Demo) -> str | None:
    """The device that the demo was run on: that of the first row with one."""
    return next((row.device for row in demo.rows if row.device), None)


def _find(demo: Demo, recipe: str, device: str | None = None) -> Row | None:
    """The row of a recipe at kT = 0 on ``device`` (default: the demo's), or without one."""
    device = device or _device(demo)
    return next(
        (
            row
            for row in demo.rows
            if row.recipe == recipe and row.device in (device, None) and not row.kT
        ),
        None,
    )


def _is_ours(row: Row) -> bool:
    return row.recipe in COLOURS


def _groups(demo: Demo) -> list[tuple[str, list[Row]]]:
    """The rows as (heading, rows): references, the paper's, ours, our controls, and ours elsewhere
    or warm.
    """
    device = _device(demo)
    titles = (
        "References",
        "The paper's recipes",
        "Ours",
        "Controls: ours without couplings",
        "Ours in float64 and at temperature",
    )
    groups: list[tuple[str, list[Row]]] = [(title, []) for title in titles]
    for row in demo.rows:
        if _is_ours(row):
            number = 2 if row.device == device and not row.kT else 4
        elif row.device is None or "oracle" in row.recipe:
            number = 0
        elif row.recipe.startswith("ours"):
            number = 3
        else:
            number = 1
        groups[number][1].append(row)
    return [group for group in groups if group[1]]


# ---- numbers as text -----------------------------------------------------------------------------


def _number(value: float | None, digits: int = 4) -> str:
    """A score: so many decimals, none below -10."""
    if value is None:
        return NONE
    if not np.isfinite(value):
        return str(float(value))
    text = f"{value:.{digits}f}" if value > -10 else f"{value:.0f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f}%"


def _count(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def _scaled(value: int | None) -> str:
    """A large count in three digits, as 9.62M."""
    if value is None or value < 100_000:
        return _count(value)
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    raise AssertionError


def _value(value: float | None) -> str:
    return short(value, 4)


def _difference(requested: float | None, realised: float | None) -> str:
    """Relative difference of what was realised from what was requested."""
    if requested is None or realised is None:
        return NONE
    if requested == realised:
        return "0"
    return (
        "infinite"
        if not requested
        else f"{short(100 * (realised - requested) / abs(requested), 2)}%"
    )


def _text(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        return _value(float(value))
    if isinstance(value, (list, tuple)):
        if len(value) > 8:
            return f"{len(value)} values, {_text(value[0])} first, {_text(value[-1])} last"
        return ", ".join(map(_text, value))
    return str(value)


def _flat(document: dict, prefix: str = "") -> list[tuple[str, str]]:
    """A nested dictionary as (name, text) pairs."""
    pairs = []
    for key, value in document.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        pairs += _flat(value, f"{name}: ") if isinstance(value, dict) else [(name, _text(value))]
    return pairs


def _fabric(demo: Demo) -> list[tuple[str, str]]:
    if demo.fabric is None:
        return []
    pairs = _flat(asdict(demo.fabric))
    return [
        *pairs,
        ("multiply lanes", str(demo.fabric.lanes)),
        ("build hash", f"{demo.fabric.build_hash:08x}"),
    ]


def _attribution(demo: Demo) -> list[tuple[str, list]]:
    """Error shares by recipe."""
    return [
        (name, [share for share in demo.errors if share.recipe == name])
        for name in dict.fromkeys(share.recipe for share in demo.errors)
    ]


# ---- what the numbers say ------------------------------------------------------------------------


def _summary(demo: Demo) -> str:
    parts = [f"{len(demo.rows)} rows"]
    if demo.target is not None:
        parts.append(f"{len(demo.target)} held-out inputs of {demo.target.shape[1]} units each")
    if _device(demo):
        parts.append(f"device {_device(demo)}")
    if demo.fabric is not None:
        parts.append(f"fabric {demo.fabric.name}, {demo.fabric.lanes} multiply lanes")
    return "; ".join(parts) + "."


def _findings(demo: Demo) -> Iterator[tuple[str, str]]:
    """What the rows say, as (lead, text), each computed and left out if a row is missing."""
    device = _device(demo)
    for name in (FULL, ALIGNED):
        ours, exact = _find(demo, name), _find(demo, name, "float:exact")
        if ours and ours.device and exact and exact.device == "float:exact":
            loss = exact.centred_cosine - ours.centred_cosine
            yield (
                f"{sentence(name)}.",
                f"{_count(ours.weights)} weights and {_count(ours.constants)} constants reach a centred cosine of "
                f"{_number(ours.centred_cosine)} and an R2 of {_number(ours.r2)} on {device} at kT = 0, against "
                f"{_number(exact.centred_cosine)} for the closed form in float64: a difference of "
                f"{_value(abs(loss))}, {'within' if abs(loss) <= LOSS else 'more than'} the {LOSS:g} that is asked "
                f"for. The right target is the nearest for {_percent(ours.top1)} of the inputs.",
            )
    constant, wrong = _find(demo, CONSTANT), _find(demo, SHUFFLED)
    if constant and wrong:
        yield (
            "The paper's cosine hardly sees the input.",
            f"Answering the training mean to every input scores {_number(constant.cosine)} by it, and our own "
            f"answers held against the wrong targets score {_number(wrong.cosine)}. The centred cosine gives them "
            f"{_number(constant.centred_cosine)} and {_number(wrong.centred_cosine)}; so it, R2 and retrieval are "
            "what to read.",
        )
    yield from _coupling_findings(demo)
    paper, uncoupled = _find(demo, PAPER), _find(demo, PAPER_UNCOUPLED)
    if paper:
        text = (
            f"It scores a cosine of {_number(paper.cosine)} here, where the paper reports {_number(PAPER_COSINE)}, "
            f"with a centred cosine of {_number(paper.centred_cosine)} and an R2 of {_number(paper.r2)}. "
        )
        if uncoupled:
            order = "more" if uncoupled.centred_cosine > paper.centred_cosine else "less"
            text += (
                f"Fitted and run with every coupling left out, the same recipe scores {order}: "
                f"{_number(uncoupled.cosine)}, {_number(uncoupled.centred_cosine)} and {_number(uncoupled.r2)}. "
            )
        text += (
            "The paper does not give the details of its training (initial weights, rate, steps, batches, scaling "
            "of inputs), and this row depends on them: it is one realisation of that recipe, with assumed "
            "details, and no verdict on the paper's own run."
        )
        yield "The paper's recipe.", text
    compared = [row for row in demo.rows if row.equals_model is not None]
    if compared:
        equal = sum(row.equals_model for row in compared)
        saturations = sum(row.saturations or 0 for row in compared)
        verdict = (
            "all were equal in every bit"
            if equal == len(compared)
            else f"only {equal} were equal in every bit"
        )
        yield (
            "Bit for bit.",
            f"{len(compared)} rows ran on {device} and on the integer model, and {verdict}. "
            + (
                f"Together they saturated {saturations:,} times."
                if saturations
                else "No value saturated."
            ),
        )


def _coupling_findings(demo: Demo) -> Iterator[tuple[str, str]]:
    full, refitted, zeroed = _find(demo, FULL), _find(demo, REFITTED), _find(demo, FULL + ZEROED)
    if full and refitted:
        change = refitted.centred_cosine - full.centred_cosine
        text = (
            f"Refitted without any coupling, the same weights score {_number(refitted.centred_cosine)} instead of "
            f"{_number(full.centred_cosine)}"
        )
        if abs(change) <= LOSS:
            lead = "In our full interface the couplings do no work."
            text += ", which is the same: the digital interface does all of it and the substrate hands it through."
            if zeroed:
                text += (
                    f" Zeroing the couplings without refitting gives {_number(zeroed.centred_cosine)}, but that "
                    "only says that the interface was fitted with them in place."
                )
        elif change < 0:
            lead = "In our full interface the couplings do a part of the work."
            text += f": they are worth {_number(-change)} of centred cosine."
        else:
            lead = "In our full interface the couplings are in the way."
            text += f": they cost {_number(change)} of centred cosine."
        yield lead, text
    aligned, zeroed = _find(demo, ALIGNED), _find(demo, ALIGNED + ZEROED)
    if aligned and zeroed:
        work = aligned.centred_cosine - zeroed.centred_cosine
        done = work > LOSS
        text = (
            f"Zeroing its couplings takes the centred cosine from {_number(aligned.centred_cosine)} to "
            f"{_number(zeroed.centred_cosine)} and R2 from {_number(aligned.r2)} to {_number(zeroed.r2)}."
        )
        if done:
            text += (
                " Its decoder has no bias that depends on the input, so what it knows of the input has come "
                "through the couplings while relaxing."
            )
        yield (
            (
                "In the aligned program the couplings do the work."
                if done
                else "In the aligned program the couplings do no work here."
            ),
            text,
        )


# ---- figures -------------------------------------------------------------------------------------


@house_style
def _exhibits(demo: Demo) -> list[Exhibit]:
    """Every figure that the demo has the data of, in the order of the page."""
    makers: tuple[Callable[[Demo], Exhibit | None], ...] = (
        _scores,
        _targets,
        _errors,
        _needs,
        _relaxation,
        _covariance,
    )
    return [exhibit for exhibit in (maker(demo) for maker in makers) if exhibit]


def _scores(demo: Demo) -> Exhibit | None:
    groups = _groups(demo)
    if not groups:
        return None
    rows, places, headings, place = [], [], [], 0.0
    for title, members in groups:
        headings.append((place, title))
        for row in members:
            place += 1
            rows.append(row)
            places.append(place)
        place += 1.35
    figure = new_figure(0.9 + 0.265 * place)
    left, right = figure.subplots(1, 2, sharey=True)
    device = _device(demo)
    clipped = 0
    for place, row in zip(places, rows, strict=True):
        colour = next(
            (colour for name, colour in COLOURS.items() if row.recipe.startswith(name)), BLUE
        )
        ours, reference = _is_ours(row), row.device is None or not row.recipe.startswith("ours")
        main = ours and row.device == device and not row.kT
        look = (
            {"color": GREY}
            if reference
            else {"color": colour}
            if ours
            else {"facecolor": "white", "edgecolor": colour, "linewidth": 1.3}
        )
        for axes, value in ((left, row.centred_cosine), (right, row.r2)):
            shown = max(value, R2_FLOOR)
            clipped += value < R2_FLOOR
            axes.barh(place, shown, 0.72, **look)
            axes.annotate(
                _number(value),
                (max(shown, 0), place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                fontweight="bold" if main else "normal",
            )
            if value < R2_FLOOR:
                axes.plot(
                    R2_FLOOR + 0.05,
                    place,
                    marker="<",
                    markersize=5,
                    color="white",
                    markeredgecolor=INK,
                    markeredgewidth=0.8,
                )
    left.set_yticks(places, [plain(_row_label(row, device)) for row in rows])
    left.set_ylim(places[-1] + 0.8, -0.6)
    for tick, row in zip(left.get_yticklabels(), rows, strict=True):
        tick.set_fontweight(
            "bold" if _is_ours(row) and row.device == device and not row.kT else "normal"
        )
    for place, title in headings:
        left.annotate(
            plain(title),
            (0, place),
            (-6, 0),
            xycoords=left.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            style="italic",
            color=SOFT,
        )
    low = min(0.0, *(row.centred_cosine for row in rows))
    left.set(
        title="Centred cosine", xlim=(low - 0.02 * (low < 0), 1.22), xticks=[0, 0.25, 0.5, 0.75, 1]
    )
    low = max(R2_FLOOR, min(0.0, *(row.r2 for row in rows)))
    right.set(
        title=f"R2, cut at {R2_FLOOR:g}" if clipped else "R2", xlim=(low - 0.03 * (low < 0), 1.42)
    )
    right.set_xticks([tick for tick in (-1, -0.5, 0, 0.5, 1) if tick >= low])
    for axes in (left, right):
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        axes.axvline(0, color=SOFT, linewidth=0.8)
        axes.spines["left"].set_visible(False)
    handles = [Patch(color=GREY, label="reference or paper's recipe")]
    handles += [
        Patch(color=colour, label=plain(name))
        for name, colour in COLOURS.items()
        if any(row.recipe == name for row in rows)
    ]
    if any(not _is_ours(row) and row.recipe.startswith("ours") and row.device for row in rows):
        handles.append(Patch(facecolor="white", edgecolor=INK, label="control"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)
    best = max(
        (row for row in rows if _is_ours(row) and row.device == device and not row.kT),
        key=lambda row: row.centred_cosine,
        default=None,
    )
    caption = (
        "Centred cosine and R2 of every row; both are at most 1, and 0 is what the training mean scores. "
        "Grey are references and the paper's recipes, open bars are our programs without their couplings."
    )
    if clipped:
        caption += (
            f" {clipped} {'bar is' if clipped == 1 else 'bars are'} cut at {R2_FLOOR:g} and marked with an "
            "arrow; the number beside each is its true value."
        )
    if best:
        others = [row for row in rows if row.recipe.startswith("paper") and row.device]
        rival = max(
            (row for row in others if "oracle" not in row.recipe),
            key=lambda row: row.centred_cosine,
            default=None,
        )
        caption += (
            f" Best of ours on {device}: {best.recipe}, with {_number(best.centred_cosine)} and "
            f"{_number(best.r2)}"
        )
        if rival:
            caption += (
                f"; best of the paper's without an oracle: {rival.recipe}, with "
                f"{_number(rival.centred_cosine)} and {_number(rival.r2)}"
            )
        caption += "."
    return Exhibit("scores", "Scores of every row", figure, caption)


def _row_label(row: Row, device: str | None) -> str:
    """Name of a row in a figure; the device and temperature where they are not the usual ones."""
    if not row.kT and row.device in (device, None):
        return row.recipe
    return f"{row.recipe} ({row.device}{f', kT {short(row.kT)}' if row.kT else ''})"


def _targets(demo: Demo) -> Exhibit | None:
    if demo.target is None or demo.centre is None:
        return None
    panels = [
        (name, prediction)
        for name, prediction in ((FULL, demo.prediction), (ALIGNED, demo.aligned_prediction))
        if prediction is not None
    ]
    if not panels:
        return None
    figure = new_figure(4.9 if len(panels) > 1 else 6)
    target = demo.target - demo.centre
    reach = 1.05 * max(
        np.abs(target).max(), *(np.abs(prediction - demo.centre).max() for _, prediction in panels)
    )
    said = []
    subplots = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, prediction) in zip(subplots, panels, strict=True):
        r2 = 1 - np.sum((prediction - demo.target) ** 2) / np.sum(target**2)
        said.append((name, r2))
        axes.plot([-reach, reach], [-reach, reach], color=INK, linewidth=0.9, label="y = x")
        axes.scatter(
            target,
            prediction - demo.centre,
            s=5,
            color=COLOURS[name],
            alpha=0.3,
            linewidths=0,
            rasterized=True,
            label=f"R2 = {_number(r2)}, {target.size:,} values",
        )
        axes.set(
            title=plain(name),
            xlabel="target, centred",
            xlim=(-reach, reach),
            ylim=(-reach, reach),
            aspect="equal",
        )
        legend = axes.legend(loc="upper left", handletextpad=0.5)
        for handle in legend.legend_handles:
            handle.set_alpha(1)
    figure.axes[0].set_ylabel("output, centred")
    caption = (
        f"Every decoder value of every held-out input, on {_device(demo) or 'the device'} at kT = 0, with its "
        "dimension's training mean taken off both sides: answering that mean would put every point on the "
        "line y = 0. "
    )
    left = "; ".join(
        f"{name}: R2 {_number(r2)}, so {_percent(max(0.0, 1 - r2))} of the variance is left over"
        for name, r2 in said
    )
    caption += f"{sentence(left)}."
    return Exhibit("targets", "Target against output", figure, caption)


def _relaxation(demo: Demo) -> Exhibit | None:
    if demo.distance is None or demo.distance_theory is None or not len(demo.distance):
        return None
    measured, theory = np.asarray(demo.distance), np.asarray(demo.distance_theory)
    steps = np.arange(1, len(measured) + 1)
    floor = float(np.median(measured[-max(1, len(measured) // 4) :]))
    figure = new_figure(4.3)
    axes = figure.subplots()
    axes.semilogy(
        steps,
        theory,
        "--",
        color=INK,
        linewidth=1.2,
        zorder=3,
        label="theory, |(1 - dt M)$^n$ m| / |m|",
    )
    axes.semilogy(
        steps,
        measured,
        color=ORANGE,
        linewidth=2.4,
        label=plain(f"measured on {_device(demo) or 'the device'}"),
    )
    positive = theory[theory > 0]
    unsettled = np.flatnonzero(np.abs(measured - floor) > 0.05 * floor)
    first = (
        int(unsettled[-1]) + 2 if len(unsettled) else 1
    )  # the step from which it stays at the floor
    settles = floor > 0 and first <= len(measured)
    if settles:
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
    low = floor / 30 if settles else positive.min(initial=1.0)
    axes.set(
        title="Distance from equilibrium, kT = 0",
        xlabel="step n",
        ylabel="distance / |equilibrium|",
        xlim=(0, steps[-1]),
        ylim=(low, 1.6 * max(measured.max(), theory.max())),
    )
    axes.legend(loc="upper right")
    above = theory > 3 * floor if settles else theory > 0
    caption = (
        "Relaxation of the aligned program from zero on held-out inputs: distance from the float64 closed form, "
        "relative to its length, against what the discrete dynamics predict. "
    )
    if above.any():
        gap = np.abs(measured[above] / theory[above] - 1).max()
        where = (
            "While the prediction is more than three times the floor (the first"
            if settles
            else "Throughout (all"
        )
        caption += f"{where} {above.sum()} steps), the device follows it to within {short(100 * gap, 2)}%. "
    if settles:
        caption += (
            f"From step {first} on it stays within 5% of {short(floor)}: the floor that the state's rounding "
            "and the quantized coefficients and inputs set, where a step's change is less than half an LSB."
        )
    return Exhibit("relaxation", "Relaxation", figure, caption)


def _covariance(demo: Demo) -> Exhibit | None:
    if demo.covariance is None or demo.covariance_exact is None:
        return None
    measured, exact = np.asarray(demo.covariance), np.asarray(demo.covariance_exact)
    error = float(np.linalg.norm(measured - exact) / np.linalg.norm(exact))
    diagonal = np.eye(len(exact), dtype=bool)
    upper = np.triu(~diagonal)
    figure = new_figure(4.9)
    floor = demo.covariance_floor
    figure.suptitle(
        f"Relative Frobenius error {error:.4f}"
        + (f", Monte Carlo floor {floor:.4f}" if floor is not None else ""),
        x=0.01,
        ha="left",
        fontsize=10.5,
        fontweight="bold",
    )
    panels = [
        (upper, f"{upper.sum():,} pairs off the diagonal", BLUE, "o"),
        (diagonal, f"{diagonal.sum():,} variances on the diagonal", ORANGE, "D"),
    ]
    for axes, (mask, label, colour, marker) in zip(figure.subplots(1, 2), panels, strict=True):
        values = np.concatenate([measured[mask], exact[mask]]) if mask.any() else np.zeros(1)
        centre, reach = (values.max() + values.min()) / 2, 0.55 * np.ptp(values) or 1.0
        ends = (centre - reach, centre + reach)
        axes.plot(ends, ends, color=INK, linewidth=0.9)
        axes.scatter(
            exact[mask],
            measured[mask],
            s=6 if mask is upper else 18,
            marker=marker,
            color=colour,
            alpha=0.3 if mask is upper else 0.7,
            linewidths=0,
            rasterized=True,
        )
        axes.set_title(label, fontsize=9.5, fontweight="normal")
        axes.set(xlabel="exact", xlim=ends, ylim=ends, aspect="equal")
        axes.locator_params(nbins=5)
    figure.axes[0].set_ylabel("measured")
    caption = "Covariance of the undriven full program at kT = 1, from thinned samples of the integer model"
    if any(row.equals_model for row in demo.rows):
        caption += f", whose first chains {_device(demo)} gave in the same bits"
    caption += ", against the exact kT M^-1; the line is y = x. "
    caption += f"The relative error in the Frobenius norm is {error:.4f}"
    if floor is not None:
        ratio = error / floor if floor else np.inf
        caption += (
            f", {ratio:.2f} times the {floor:.4f} that as many samples of the exact distribution would give: "
            + (
                "no bias of the fixed-point sampler can be told from sampling noise."
                if ratio < 1.2
                else "the rest is the sampler's own error."
            )
        )
    else:
        caption += "."
    if upper.sum() > 1 and np.ptp(exact[upper]) > 0 and np.ptp(measured[upper]) > 0:
        correlation = np.corrcoef(measured[upper], exact[upper])[0, 1]
        caption += f" Off the diagonal, measured and exact entries correlate at {correlation:.3f}."
    return Exhibit("covariance", "Covariance", figure, caption)


def _errors(demo: Demo) -> Exhibit | None:
    if not demo.errors:
        return None
    by_recipe = _attribution(demo)
    stages = _stages(by_recipe)
    shares = {(share.recipe, share.stage): share.error for share in demo.errors}
    positive = [error for error in shares.values() if error > 0]
    low = 10.0 ** np.floor(np.log10(min(positive)) - 0.3) if positive else 1e-3
    high = 6 * max(positive, default=1.0)
    figure = new_figure(1.2 + 0.29 * len(stages) * (len(by_recipe) + 0.6))
    axes = figure.subplots()
    height = 0.8 / len(by_recipe)
    for number, (name, _) in enumerate(by_recipe):
        colour = COLOURS.get(name, GREY)
        for place, stage in enumerate(stages):
            where = place + (number - (len(by_recipe) - 1) / 2) * height
            error = shares.get((name, stage))
            if error is not None and error > 0:
                axes.barh(where, error - low, 0.88 * height, left=low, color=colour)
            text = "does not apply" if error is None else short(error)
            axes.annotate(
                text,
                (max(error or 0, low), where),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=INK if error else SOFT,
            )
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_yticks(
        range(len(stages)),
        [plain(stage) + (" (covariance)" if stage == "time step" else "") for stage in stages],
    )
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    axes.set(
        title="Error of each stage by itself",
        xlabel="rms deviation / spread of the centred targets",
    )
    figure.legend(
        handles=[Patch(color=COLOURS.get(name, GREY), label=plain(name)) for name, _ in by_recipe],
        loc="outside lower center",
        ncols=len(by_recipe),
    )
    caption = (
        "What each stage adds to the decoder's answer by itself, as the rms deviation in units of the spread of "
        "the centred targets; the time step is given as the relative error of the covariance, since it leaves "
        "the mean alone. The scale is logarithmic. "
    )
    said = []
    for name, members in by_recipe:
        worst = max(members, key=lambda share: share.error)
        hardware = max(
            (share for share in members if share.stage in ("coefficients", "formats and rounding")),
            key=lambda share: share.error,
            default=None,
        )
        text = f"{name}: the largest is {worst.stage}, {short(worst.error)}"
        if hardware and hardware is not worst and hardware.error > 0:
            text += (
                f", {worst.error / hardware.error:.3g} times the larger of the two fixed-point shares "
                f"({hardware.stage}, {short(hardware.error)})"
            )
        said.append(text)
    return Exhibit(
        "errors", "Where the error comes from", figure, caption + sentence("; ".join(said)) + "."
    )


def _stages(by_recipe: list[tuple[str, list]]) -> list[str]:
    """Stages in the order of the longest list, then any that it lacks."""
    lists = sorted(
        ([share.stage for share in members] for _, members in by_recipe), key=len, reverse=True
    )
    return list(dict.fromkeys(stage for stages in lists for stage in stages))


def _needs(demo: Demo) -> Exhibit | None:
    if not demo.needs:
        return None
    figure = new_figure(4.3)
    axes = figure.subplots()
    at = {}
    for name in dict.fromkeys(need.recipe for need in demo.needs):
        needs = sorted(
            (need for need in demo.needs if need.recipe == name), key=lambda need: need.kT
        )
        colour = COLOURS.get(name, GREY)
        axes.loglog(
            [need.kT for need in needs],
            [need.samples for need in needs],
            "o-",
            color=colour,
            markersize=5,
            label=plain(name),
        )
        axes.loglog(
            [need.kT for need in needs],
            [need.burn_in for need in needs],
            ":",
            color=colour,
            linewidth=1.5,
            label=f"its steps before averaging, {_count(max(need.burn_in for need in needs))}",
        )
        for need in needs:
            at.setdefault(need.kT, {})[name] = need.samples
    axes.set(
        title=f"Steps to average for {LOSS:g} of centred cosine",
        xlabel="kT",
        ylabel="averaged steps",
    )
    axes.legend(loc="upper left")
    caption = (
        f"Averaged steps after which sampling takes {LOSS:g} off the centred cosine, by the law of the mean: in "
        "proportion to kT, until one step is enough. Dotted are the steps before averaging starts."
    )
    hottest = at[max(at)]
    if len(hottest) > 1:
        (least, few), (most, many) = sorted(hottest.items(), key=lambda item: item[1])[
            :: len(hottest) - 1
        ]
        caption += (
            f" At kT = {short(max(at))}, {most} takes {many:,} and {least} {few:,}, "
            f"{many / few:,.0f} times fewer"
        )
        reach = {
            name: max(abs(row.low), abs(row.high))
            for name, rows in demo.ranges.items()
            for row in rows
            if row.name == "state"
        }
        if least in reach and most in reach and reach[least] > reach[most]:
            caption += (
                f": the same noise moves states that reach {short(reach[least])} less than states that reach "
                f"{short(reach[most])}"
            )
        caption += "."
    return Exhibit("needs", "What temperature costs", figure, caption)
