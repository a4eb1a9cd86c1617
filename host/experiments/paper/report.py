# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein paper``: a section for each experiment, its figures, and its numbers in
three columns.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ornstein.host.experiments.results import CENTRED, COSINE, Experiment, Result
from ornstein.host.pages.page import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SOFT,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    sentence,
    short,
    write_page,
)

COLUMNS = ("row", "quantity", "paper", "float64", "gateware", "error", "note")
_NETS = ("trained", "untrained")
_FAMILY = (BLUE, ORANGE, GREEN, PURPLE)


def write_paper(experiments: list[Experiment], gateware: str, folder: Path) -> Path:
    """Write report.html and figures/*.png into ``folder``; ``gateware`` says where that column
    comes from.

    Returns
    -------
    Path of the page
    """
    count = sum(len(experiment.results) for experiment in experiments)
    summary = (
        f"{count} numbers of {len(experiments)} experiments, each as the paper gives it, in float64, and on the "
        f"gateware: {gateware}."
    )
    sections = [
        Section(
            f"{experiment.letter}. {experiment.title}",
            experiment.paragraphs,
            [grid(experiment)],
            list(exhibits(experiment)),
        )
        for experiment in experiments
    ]
    return write_page(folder, "The paper, run", summary, sections)


def grid(experiment: Experiment) -> Grid:
    """All results of an experiment as a table."""
    return Grid(
        "",
        COLUMNS,
        [tuple(getattr(result, column) for column in COLUMNS) for result in experiment.results],
    )


@house_style
def exhibits(experiment: Experiment) -> Iterable[Exhibit]:
    """The figures of an experiment; those that it lacks the data of are left out."""
    makers = {
        "A": (_shifts, _dimensions, _signs),
        "B": (_sweep,),
        "C": (_production,),
        "E": (_deficit,),
        "F": (_joules,),
        "G": (_relaxation,),
        "H": (_law, _inflation),
        "I": (_short_run,),
    }
    return [
        exhibit for maker in makers.get(experiment.letter, ()) if (exhibit := maker(experiment))
    ]


def _pick(experiment: Experiment, quantity: str, prefix: str = "") -> list[Result]:
    return [
        result
        for result in experiment.results
        if result.quantity == quantity and result.row.startswith(prefix)
    ]


def _nets(experiment: Experiment, quantity: str) -> list[tuple[str, list[Result]]]:
    """(trained or untrained, its results of a quantity), without those that have none."""
    pairs = ((net, _pick(experiment, quantity, f"{net}, ")) for net in _NETS)
    return [(net, results) for net, results in pairs if results]


def _title(result: Result, parts: int = 2) -> str:
    """The network's name in a row: its first two parts."""
    return ", ".join(result.row.split(", ")[:parts])


def _panels(figure: Figure, count: int, **options) -> np.ndarray:
    return figure.subplots(1, count, squeeze=False, **options)[0]


# ---- A -------------------------------------------------------------------------------------------


def _shifts(experiment: Experiment) -> Exhibit | None:
    nets = _nets(experiment, "decoder shift, %")
    if not nets:
        return None
    figure, said = new_figure(4.2), []
    for axes, (net, results) in zip(_panels(figure, len(nets), sharey=True), nets, strict=True):
        arrays = experiment.arrays
        ranks = arrays[f"{net} ranks"]
        axes.fill_between(
            ranks,
            arrays[f"{net} low"],
            arrays[f"{net} high"],
            color=SKY,
            alpha=0.3,
            linewidth=0,
            label="random signs, smallest to largest",
        )
        axes.plot(ranks, [result.float64 for result in results], color=BLUE, label="float64")
        axes.plot(
            ranks,
            [result.gateware for result in results],
            "x",
            color=INK,
            markersize=7,
            markeredgewidth=1.6,
            label="gateware",
        )
        quoted = [
            (rank, result.paper)
            for rank, result in zip(ranks, results, strict=True)
            if result.paper
        ]
        axes.plot(
            *zip(*quoted, strict=True),
            "o",
            color=ORANGE,
            markersize=7,
            markerfacecolor="none",
            markeredgewidth=1.6,
            label="paper",
        )
        axes.set_xscale("log", base=2)
        axes.set_xticks(ranks, [str(rank) for rank in ranks])
        axes.set(title=_title(results[0]), xlabel="rank of the skip", ylim=(0, None))
        gaps = [abs(result.float64 - result.paper) for result in results if result.paper]
        said.append(
            f"{_title(results[0])}: at most {max(gaps):.2g} percentage points from the paper's numbers"
        )
    figure.axes[0].set_ylabel("decoder shift, % of the target's length")
    figure.axes[0].legend()
    worst = max(
        abs(result.gateware / result.float64 - 1) for _, results in nets for result in results
    )
    return Exhibit(
        "skip-shift",
        "Skip shift by rank",
        figure,
        f"What the skip moves the decoder by. {sentence('; '.join(said))}. The gateware is within "
        f"{short(100 * worst, 2)}% of float64 throughout. The band is what the arbitrary signs of singular "
        "vectors alone can make of it.",
    )


def _dimensions(experiment: Experiment) -> Exhibit | None:
    nets = [net for net in _NETS if f"{net} shifts" in experiment.arrays]
    if not nets:
        return None
    figure = new_figure(3.6)
    for axes, net in zip(_panels(figure, len(nets)), nets, strict=True):
        shifts, moved = experiment.arrays[f"{net} shifts"], experiment.arrays[f"{net} moved"]
        order = np.argsort(shifts.mean(axis=0))
        places, mean, spread = (
            np.arange(len(order)),
            shifts.mean(axis=0)[order],
            shifts.std(axis=0)[order],
        )
        axes.fill_between(
            places,
            mean - spread,
            mean + spread,
            color=SKY,
            alpha=0.4,
            linewidth=0,
            label="spread over inputs",
        )
        axes.plot(places, mean, color=BLUE, label="float64")
        axes.plot(places, moved.mean(axis=0)[order], ".", color=INK, markersize=4, label="gateware")
        axes.set(title=f"{net}, D = {len(order)}", xlabel="decoder dimension, sorted")
    figure.axes[0].set_ylabel("shift")
    figure.axes[0].legend()
    spreads = ", ".join(
        f"{result.float64:.3g}%"
        for result in _pick(experiment, "shift over inputs, spread / mean, %")
    )
    return Exhibit(
        "skip-dimensions",
        "Skip shift by dimension",
        figure,
        f"Mean over the held-out inputs at rank 16, with the spread over them: {spreads} of the mean. The "
        "skip adds nearly the same vector to every input.",
    )


def _signs(experiment: Experiment) -> Exhibit | None:
    nets = [net for net in _NETS if f"{net} signs" in experiment.arrays]
    if not nets:
        return None
    figure, said = new_figure(3.4), []
    for axes, net in zip(_panels(figure, len(nets), sharex=True, sharey=True), nets, strict=True):
        values = experiment.arrays[f"{net} signs"]
        paper = _pick(experiment, "skip-only cosine, highest over signs", f"{net}, ")[0].paper
        axes.hist(values, bins=np.linspace(-1, 1, 81), color=BLUE)
        axes.axvline(paper, color=ORANGE, label=f"paper, {paper:g}")
        axes.set(title=net, xlabel="skip-only cosine", xlim=(-1, 1.02))
        axes.legend(loc="upper left")
        said.append(
            f"{net}: {values.min():.2f} to {values.max():.2f}, "
            + (
                "the paper's value among them"
                if values.min() <= paper <= values.max()
                else "the paper's value far outside"
            )
        )
    figure.axes[0].set_ylabel("choices of signs")
    return Exhibit(
        "skip-signs",
        "The skip alone",
        figure,
        f"Cosine of a decoder driven through the skip alone, over {len(values)} random choices of signs. "
        f"{sentence('; '.join(said))}.",
    )


# ---- B and C -------------------------------------------------------------------------------------


def _sweep(experiment: Experiment) -> Exhibit | None:
    nets = _nets(experiment, f"decoder {COSINE}")
    if not nets:
        return None
    figure, said = new_figure(4.2), []
    for axes, (net, results) in zip(_panels(figure, len(nets), sharey=True), nets, strict=True):
        for kind, colour, marker in (("linear", BLUE, "o"), ("MLP", ORANGE, "^")):
            members = [result for result in results if f", {kind}, bottleneck" in result.row]
            widths = [int(result.row.rsplit(" ", 1)[1]) for result in members]
            axes.plot(
                widths,
                [1 - result.float64 for result in members],
                color=colour,
                marker=marker,
                markersize=5,
                label=f"{kind} encoder",
            )
            axes.plot(
                widths, [1 - result.gateware for result in members], "x", color=INK, markersize=6
            )
        for label, style in (("constant encoder bias", "--"), ("no encoder", ":")):
            value = next(result.float64 for result in results if result.row.endswith(label))
            axes.axhline(1 - value, color=GREEN, linestyle=style, linewidth=1.5, label=label)
        paper = next((result.paper for result in results if result.paper), None)
        if paper:
            axes.axhline(1 - paper, color=GREY, linewidth=1.2, label=f"paper, {paper}")
        axes.set_xscale("log", base=2)
        axes.set_xticks((4, 8, 16, 32, 64, 128), ("4", "8", "16", "32", "64", "128"))
        axes.set(title=_title(results[0]), xlabel="bottleneck", yscale="log")
        axes.legend(fontsize=8.5)
        none = next(result.float64 for result in results if result.row.endswith("no encoder"))
        swept = [result.float64 for result in results if "bottleneck" in result.row]
        said.append(
            f"{net}: {min(swept):.4f} to {max(swept):.4f} with an encoder, {none:.4f} with none"
        )
    figure.axes[0].set_ylabel("1 - decoder cosine, lower is better")
    return Exhibit(
        "bottleneck",
        "Bottleneck sweep",
        figure,
        f"The decoder's bias is the oracle's in every row. {sentence('; '.join(said))}. Crosses are the "
        "gateware.",
    )


def _production(experiment: Experiment) -> Exhibit | None:
    nets = _nets(experiment, COSINE)
    if not nets:
        return None
    rows = [[result.row.split(", ", 2)[2] for result in results] for _, results in nets]
    figure = new_figure(1.0 + 0.27 * sum(map(len, rows)) + 0.5 * len(rows))
    axes = figure.subplots(len(nets), 2, squeeze=False, sharey="row")
    for pair, (net, _), names in zip(axes, nets, rows, strict=True):
        places = np.arange(len(names))
        for panel, quantity, low in zip(pair, (COSINE, CENTRED), (0.985, -0.15), strict=True):
            members = _pick(experiment, quantity, f"{net}, ")
            span = 1 - low
            for place, name, result in zip(places, names, members, strict=True):
                colour = BLUE if name.startswith("ours") else GREY
                if result.float64 >= low:
                    panel.plot(
                        [max(low, 0), result.float64], [place, place], color=colour, linewidth=1.2
                    )
                panel.plot(
                    max(result.float64, low),
                    place,
                    "o" if result.float64 >= low else "<",
                    color=colour,
                    markersize=7,
                    clip_on=False,
                )
                if result.gateware is not None and result.gateware >= low:
                    panel.plot(
                        result.gateware, place, "|", color=INK, markersize=12, markeredgewidth=1.6
                    )
                if result.paper is not None and result.paper >= low:
                    panel.plot(
                        result.paper,
                        place,
                        "o",
                        color=ORANGE,
                        markersize=10,
                        markerfacecolor="none",
                        markeredgewidth=1.6,
                        clip_on=False,
                    )
                panel.annotate(
                    f"{result.float64:.4f}",
                    (1 + 0.05 * span, place),
                    va="center",
                    fontsize=8.5,
                    annotation_clip=False,
                )
            panel.set(xlim=(low, 1 + 0.22 * span), title=f"{quantity}, {_title(members[0])}")
            panel.set_xticks(
                [0.985, 0.99, 0.995, 1] if quantity == COSINE else [0, 0.25, 0.5, 0.75, 1]
            )
            panel.grid(axis="y", visible=False)
        pair[0].set_yticks(places, names)
        pair[0].set_ylim(len(names) - 0.4, -0.6)
    full = [_pick(experiment, COSINE, f"{net}, ") for net, _ in nets]
    fooled = [
        result.row
        for results in full
        for result in results
        if "mean" in result.row
        and any(other.float64 < result.float64 for other in results if other.row.endswith("full"))
    ]
    caption = (
        "Dots are float64, ticks the gateware, rings the paper; blue are ours. Arrows lie off the scale, and "
        "the number is their value. "
    )
    if fooled:
        caption += (
            "The constant mean, which does not look at the input, scores a higher cosine than the full "
            "pipeline; the centred cosine tells them from what does."
        )
    return Exhibit("production", "Production test", figure, caption)


# ---- E and F -------------------------------------------------------------------------------------


def _deficit(experiment: Experiment) -> Exhibit | None:
    nets = [net for net in _NETS if f"{net} eigenvalues" in experiment.arrays]
    if not nets:
        return None
    figure = new_figure(4.0)
    left, right = figure.subplots(1, 2)
    for net, colour in zip(nets, _FAMILY, strict=False):
        values = experiment.arrays[f"{net} eigenvalues"]
        left.semilogy(
            np.arange(1, len(values) + 1), values, color=colour, label=f"{net}, D = {len(values)}"
        )
    left.axhline(0.1, color=GREY, linestyle="--", linewidth=1.2)
    left.annotate("J2", (1, 0.1), (2, 4), textcoords="offset points", color=SOFT)
    left.set(title="Eigenvalues of J_enc", xlabel="mode", ylim=(1e-6, 0.3))
    left.legend(loc="lower left")
    net = nets[0]
    target = experiment.arrays[f"{net} target"].ravel()
    for key, colour, label in (("correct", GREEN, "correct, A x"), ("naive", ORANGE, "naive, J x")):
        right.scatter(
            target,
            experiment.arrays[f"{net} {key}"].ravel(),
            s=5,
            color=colour,
            alpha=0.3,
            linewidths=0,
            rasterized=True,
            label=label,
        )
    right.set(title=f"Bias against target, {net}", xlabel="x", ylabel="bias")
    for handle in right.legend(loc="upper left", markerscale=2).legend_handles:
        handle.set_alpha(1)
    ratios = _pick(experiment, "correct / naive bias, encoder")
    return Exhibit(
        "deficit",
        "Signal deficit",
        figure,
        "Couplings are small beside the leak, so a bias made by them alone is small beside the one that "
        "holds the state: by "
        + ", ".join(f"{result.float64:.3g} ({_title(result)})" for result in ratios)
        + f"; the paper says {ratios[0].paper:,.0f}.",
    )


def _joules(experiment: Experiment) -> Exhibit | None:
    named = [
        ("k_B T x units x 400 steps, J", "k_B T x units x 400 steps", GREY),
        ("interface, 8-bit integers, J", "interface's multiplies, 8-bit, 45 nm", ORANGE),
        ("interface, float32, J", "interface's multiplies, float32, 45 nm", ORANGE),
        ("iCEBreaker, J per inference", "iCEBreaker, estimate", BLUE),
        ("CPU, float64 closed form, J per inference", "CPU, closed form", GREEN),
        ("whole U-Net on an A100 at its peak, J", "whole U-Net, A100 at its peak", PURPLE),
    ]
    rows = []
    for quantity, label, colour in named:
        for result in _pick(experiment, quantity, "trained, "):
            what = result.row.split(", ", 2)
            rows.append(
                (label + (f" ({what[2]})" if len(what) > 2 else ""), result.float64, colour)
            )
    paper = _pick(experiment, "GPU, J", "trained, ")
    if not rows or not paper:
        return None
    rows.append(("GPU, the paper's figure", paper[0].paper, SKY))
    figure = new_figure(0.9 + 0.34 * len(rows))
    axes = figure.subplots()
    low = 1e-17
    for place, (_, value, colour) in enumerate(rows):
        axes.barh(place, value - low, 0.7, left=low, color=colour)
        axes.annotate(
            f"{short(value)} J",
            (value, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(
        xscale="log",
        xlim=(low, 10),
        xlabel="joules per inference",
        title="One inference, trained network",
    )
    return Exhibit(
        "joules",
        "Energy of an inference",
        figure,
        "Logarithmic. The floor is a heat that no device reaches; the interface's multiplies are paid in "
        f"full by any substrate behind it, {short(rows[1][1] / rows[0][1], 1)} times the floor. The GPU's "
        "figure is for the whole U-Net; all others but the A100's are for the decoder's means of one block.",
    )


# ---- G, H and I ----------------------------------------------------------------------------------


def _relaxation(experiment: Experiment) -> Exhibit | None:
    families: dict[str, list[tuple[str, np.ndarray]]] = {}
    for key, curves in experiment.arrays.items():
        name, dt = key.split("|")
        families.setdefault(name, []).append((dt, curves))
    if not families:
        return None
    figure = new_figure(4.4)
    for axes, (name, members) in zip(
        _panels(figure, len(families), sharey=True), families.items(), strict=True
    ):
        for (dt, (law, measured)), colour in zip(members, _FAMILY, strict=False):
            steps = np.arange(1, len(law) + 1)
            axes.loglog(steps, measured, color=colour, linewidth=2.2, label=f"dt = {dt}")
            axes.loglog(steps, law, "--", color=INK, linewidth=0.9)
        axes.axvline(400, color=GREY, linestyle=":", linewidth=1.5)
        network, what = name.rsplit(", ", 1) if "ours" not in name else name.split(", ours, ")
        axes.set(title=f"{network}\n{what}", xlabel="step", ylim=(3e-5, 2))
    figure.axes[0].set_ylabel("distance / |equilibrium|")
    figure.axes[min(1, len(families) - 1)].legend(loc="lower left")
    worst = max(
        result.gateware
        for result in _pick(experiment, "largest departure from the law")
        if result.gateware
    )
    return Exhibit(
        "relaxation",
        "Relaxation",
        figure,
        "Distance from the closed form at kT = 0 for four time steps on the gateware; dashed is |(1 - dt "
        f"M)^n m| / |m|, which it follows within {short(100 * worst, 2)}% until five times its floor. "
        "Dotted are the 400 steps of the paper's account.",
    )


def _law(experiment: Experiment) -> Exhibit | None:
    results = _pick(experiment, "squared error / law")
    if not results:
        return None
    figure = new_figure(4.0)
    axes = figure.subplots()
    settings = experiment.arrays["settings"]
    shapes = {0.5: "o", 1.0: "s", 2.0: "D"}
    for (_kT, dt, steps, midpoint, _), result in zip(settings, results, strict=True):
        nearest = min(shapes, key=lambda value: abs(value - dt))
        shift = 1.03 if midpoint else 0.97
        axes.errorbar(
            steps * dt * shift,
            result.gateware,
            result.error,
            fmt=shapes[nearest],
            color=BLUE if midpoint else ORANGE,
            markersize=5,
            elinewidth=1.1,
            capsize=2,
        )
    order = np.argsort(settings[:, 1] * settings[:, 2])
    axes.plot(
        (settings[:, 1] * settings[:, 2])[order],
        settings[order, 4],
        color=INK,
        linewidth=1,
        label="exact for so many steps",
    )
    axes.axhline(1, color=GREY, linestyle="--", linewidth=1.2, label="law of many steps")
    axes.plot([], [], "o", color=BLUE, label="Leimkuhler-Matthews")
    axes.plot([], [], "o", color=ORANGE, label="Euler-Maruyama")
    axes.set(
        xscale="log",
        xlabel="averaged time N dt",
        ylabel="squared error / 2 kT (M$^{-2}$) / (N dt)",
        ylim=(0, 1.4),
        title="Error of an average",
    )
    axes.legend(loc="lower right")
    pull = np.sqrt(
        np.mean([((result.gateware - result.float64) / result.error) ** 2 for result in results])
    )
    return Exhibit(
        "law",
        "The law of the mean",
        figure,
        f"Squared error of averages on the gateware over what the law gives, {len(results)} settings of kT "
        "(1e-3, 1e-2, 1e-1 from left to right), dt (0.5 circles, 1 squares, 2 diamonds) and integrator, "
        f"with bars over inputs. They lie {pull:.1f} standard errors (root mean square) from the exact "
        "line, which falls below the law where the average is not long beside the slowest relaxation.",
    )


def _inflation(experiment: Experiment) -> Exhibit | None:
    results = _pick(experiment, "variance / equilibrium's")
    if not results:
        return None
    figure = new_figure(3.6)
    axes = figure.subplots()
    settings = experiment.arrays["settings"]
    for midpoint, colour, name in ((1, BLUE, "Leimkuhler-Matthews"), (0, ORANGE, "Euler-Maruyama")):
        chosen = [
            (row, result)
            for row, result in zip(settings, results, strict=True)
            if row[3] == midpoint
        ]
        law = sorted({(row[1], result.float64) for row, result in chosen})
        axes.plot(*zip(*law, strict=True), color=colour, linewidth=1.2, label=f"{name}, law")
        for place, (row, result) in enumerate(chosen):
            axes.errorbar(
                row[1] * (0.97 + 0.03 * (place // 3)),
                result.gateware,
                result.error,
                fmt="o",
                color=colour,
                markersize=4.5,
                elinewidth=1.1,
                capsize=2,
            )
    axes.set(
        xlabel="time step dt", ylabel="variance / equilibrium's", title="Variance of the units"
    )
    axes.legend(loc="upper left")
    gaps = [abs(result.gateware - result.float64) / result.error for result in results]
    return Exhibit(
        "variance",
        "Time step and covariance",
        figure,
        "Variance on the gateware, three temperatures side by side, against what each integrator's discrete "
        f"law gives; the farthest point is {max(gaps):.1f} standard errors off.",
    )


def _short_run(experiment: Experiment) -> Exhibit | None:
    nets = _nets(experiment, f"last state, {CENTRED}")
    if not nets:
        return None
    figure = new_figure(3.9)
    for axes, (net, results) in zip(_panels(figure, len(nets), sharey=True), nets, strict=True):
        names = [result.row.split(", ", 2)[2] for result in results]
        for number, (when, colour) in enumerate((("last state", GREY), ("average of 400", BLUE))):
            members = _pick(experiment, f"{when}, {CENTRED}", f"{net}, ")
            places = np.arange(len(members)) + 0.38 * (number - 0.5)
            axes.bar(
                places,
                [result.gateware for result in members],
                0.36,
                color=colour,
                label=when,
                yerr=[result.error for result in members],
                error_kw={"elinewidth": 1, "capsize": 2},
            )
            axes.plot(
                places,
                [result.float64 for result in members],
                "_",
                color=INK,
                markersize=12,
                label="float64 dynamics" if number else None,
            )
        axes.set_xticks(
            range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=8.5
        )
        axes.set(title=_title(results[0]), ylim=(-0.1, 1.05))
        axes.grid(axis="x", visible=False)
        axes.axhline(0, color=SOFT, linewidth=0.8)
    figure.axes[0].set_ylabel("centred cosine to the targets")
    figure.axes[0].legend(loc="upper left")
    averages = [
        result.gateware
        for _, results in nets
        for result in _pick(experiment, f"average of 400, {CENTRED}", results[0].row.split(", ")[0])
    ]
    return Exhibit(
        "four-hundred",
        "400 steps at kT = 1",
        figure,
        "What the steps of the paper's energy account answer on the gateware: the last state, and the "
        f"average of all 400, whose centred cosine is {min(averages):.2f} to {max(averages):.2f}. "
        "Standardised states (the aligned skip) are large beside the noise, activations are not.",
    )
