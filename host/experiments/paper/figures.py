# SPDX-License-Identifier: Apache-2.0
"""The figures of the paper's experiments, each with a caption computed from what it shows."""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ornstein.host.experiments.common import Experiment, Result
from ornstein.host.experiments.paper import (
    deficit,
    energy_account,
    production,
    relaxation,
    reported,
    sampling,
    short_run,
    skip,
    sweep,
)
from ornstein.host.experiments.paper.conclusions import networks, number, pull
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.reported import TRAINED
from ornstein.host.experiments.paper.subjects import Network
from ornstein.host.experiments.scores import CENTRED, COSINE
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
    house_style,
    new_figure,
    short,
)
from ornstein.sim.stages import EM, LM

_FAMILY = (BLUE, ORANGE, GREEN, PURPLE)
_RING = {"markerfacecolor": "none", "markeredgewidth": 1.6}


@house_style
def exhibits(experiment: Experiment) -> list[Exhibit]:
    """Returns the figures of an experiment; those that it lacks the data of are left out."""
    makers: dict[str, tuple[Callable[[Experiment], Exhibit | None], ...]] = {
        "A": (_shifts, _dimensions, _signs),
        "B": (_sweep,),
        "C": (_production,),
        "E": (_deficit,),
        "F": (_joules,),
        "G": (_relaxation,),
        "H": (_law, _inflation),
        "I": (_short_run,),
    }
    chosen = () if experiment.failure else makers.get(experiment.key, ())
    made = (maker(experiment) for maker in chosen)
    return [exhibit for exhibit in made if exhibit]


def _panels(
    figure: Figure, count: int, *, sharex: bool = False, sharey: bool = False
) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False, sharex=sharex, sharey=sharey)[0])


def _float64(results: list[Result]) -> list[float]:
    return [number(result.float64) for result in results]


def _gateware(results: list[Result]) -> list[float]:
    return [number(result.gateware) for result in results]


# ---- A -------------------------------------------------------------------------------------------


def _shifts(experiment: Experiment) -> Exhibit | None:
    shown = networks(experiment)
    figure = new_figure(4.2)
    axes_list = _panels(figure, len(shown), sharey=True)
    gaps, departures = [], []
    for axes, network in zip(axes_list, shown, strict=True):
        results = experiment.select(skip.SHIFT, network)
        low, high = experiment.arrays[network, "band"].T
        _shift_panel(axes, network, results, low, high)
        gaps.append(
            (
                network.name,
                max(
                    abs(number(result.float64) - result.reference)
                    for result in results
                    if result.reference is not None
                ),
            )
        )
        departures += [
            abs(gateware / float64 - 1)
            for gateware, float64 in zip(_gateware(results), _float64(results), strict=True)
        ]
    axes_list[0].set_ylabel("decoder shift, % of the target's length")
    axes_list[0].legend()
    caption = PROSE("shifts_caption", gaps=gaps, worst=max(departures))
    return Exhibit("skip-shift", "Skip shift by rank", figure, caption)


def _shift_panel(
    axes: Axes, network: Network, results: list[Result], low: np.ndarray, high: np.ndarray
) -> None:
    ranks = [result.case for result in results]
    label = "random signs, smallest to largest"
    axes.fill_between(ranks, low, high, color=SKY, alpha=0.3, linewidth=0, label=label)
    axes.plot(ranks, _float64(results), color=BLUE, label="float64")
    axes.plot(
        ranks,
        _gateware(results),
        "x",
        color=INK,
        markersize=7,
        markeredgewidth=1.6,
        label="gateware",
    )
    quoted = [(result.case, result.reference) for result in results if result.reference is not None]
    axes.plot(*zip(*quoted, strict=True), "o", color=ORANGE, markersize=7, label="paper", **_RING)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.set(title=network.name, xlabel="rank of the skip", ylim=(0, None))


def _dimensions(experiment: Experiment) -> Exhibit | None:
    shown = [
        network for network in networks(experiment) if (network, "shifts") in experiment.arrays
    ]
    if not shown:
        return None
    figure = new_figure(3.6)
    axes_list = _panels(figure, len(shown))
    for axes, network in zip(axes_list, shown, strict=True):
        shifts, gateware_shifts = (
            experiment.arrays[network, name] for name in ("shifts", "gateware shifts")
        )
        order = np.argsort(shifts.mean(axis=0))
        positions = np.arange(len(order))
        mean, spread = shifts.mean(axis=0)[order], shifts.std(axis=0)[order]
        band = (mean - spread, mean + spread)
        label = "spread over inputs"
        axes.fill_between(positions, *band, color=SKY, alpha=0.4, linewidth=0, label=label)
        axes.plot(positions, mean, color=BLUE, label="float64")
        gateware = gateware_shifts.mean(axis=0)[order]
        axes.plot(positions, gateware, ".", color=INK, markersize=4, label="gateware")
        axes.set(title=network.name, xlabel="decoder dimension, sorted")
    axes_list[0].set_ylabel("shift")
    axes_list[0].legend()
    spreads = _float64(experiment.select(skip.SHIFT_SPREAD))
    caption = PROSE("dimensions_caption", rank=skip.PAPER_RANK, spreads=spreads)
    return Exhibit("skip-dimensions", "Skip shift by dimension", figure, caption)


def _signs(experiment: Experiment) -> Exhibit | None:
    shown = networks(experiment)
    figure, found = new_figure(3.4), []
    axes_list = _panels(figure, len(shown), sharex=True, sharey=True)
    for axes, network in zip(axes_list, shown, strict=True):
        values = experiment.arrays[network, "signs"]
        paper = number(experiment.find(skip.HIGHEST, network).reference)
        axes.hist(values, bins=list(np.linspace(-1, 1, 81)), color=BLUE)
        axes.axvline(paper, color=ORANGE, label=f"paper, {paper:g}")
        axes.set(title=network.key, xlabel="skip-only cosine", xlim=(-1, 1.02))
        axes.legend(loc="upper left")
        low, high = values.min(), values.max()
        found.append((network.key, low, high, low <= paper <= high))
    axes_list[0].set_ylabel("choices of signs")
    caption = PROSE("signs_caption", draws=skip.SIGN_DRAWS, networks=found)
    return Exhibit("skip-signs", "The skip alone", figure, caption)


# ---- B and C -------------------------------------------------------------------------------------


def _sweep(experiment: Experiment) -> Exhibit | None:
    shown = networks(experiment)
    figure, found = new_figure(4.2), []
    axes_list = _panels(figure, len(shown), sharey=True)
    for axes, network in zip(axes_list, shown, strict=True):
        results = experiment.select(sweep.DECODER_COSINE, network)
        _sweep_panel(axes, network, results)
        none = experiment.find(sweep.DECODER_COSINE, network, sweep.Encoder(sweep.NONE))
        swept = _float64([result for result in results if result.case.width is not None])
        found.append((network.key, min(swept), max(swept), none.float64))
    axes_list[0].set_ylabel("1 - decoder cosine, lower is better")
    caption = PROSE("sweep_caption", networks=found)
    return Exhibit("bottleneck", "Bottleneck sweep", figure, caption)


def _sweep_panel(axes: Axes, network: Network, results: list[Result]) -> None:
    for kind, colour, marker in ((sweep.LINEAR, BLUE, "o"), (sweep.MLP, ORANGE, "^")):
        members = [result for result in results if result.case.kind == kind]
        widths = [result.case.width for result in members]
        axes.plot(
            widths,
            1 - np.array(_float64(members)),
            color=colour,
            marker=marker,
            markersize=5,
            label=f"{kind} encoder",
        )
        axes.plot(widths, 1 - np.array(_gateware(members)), "x", color=INK, markersize=6)
    for kind, style in ((sweep.CONSTANT, "--"), (sweep.NONE, ":")):
        (result,) = [result for result in results if result.case.kind == kind]
        axes.axhline(
            1 - number(result.float64),
            color=GREEN,
            linestyle=style,
            linewidth=1.5,
            label=result.case.label,
        )
    paper = reported.SWEEP_COSINE.get(network.key)
    if paper is not None:
        axes.axhline(1 - paper, color=GREY, linewidth=1.2, label=f"paper, {paper}")
    axes.set_xscale("log", base=2)
    ticks = (4, 8, 16, 32, 64, 128)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(title=network.name, xlabel="bottleneck", yscale="log")
    axes.legend(fontsize=8.5)


def _production(experiment: Experiment) -> Exhibit | None:
    shown = networks(experiment)
    cases = [[result.case for result in experiment.select(COSINE, network)] for network in shown]
    figure = new_figure(1.0 + 0.27 * sum(map(len, cases)) + 0.5 * len(shown))
    axes = figure.subplots(len(shown), 2, squeeze=False, sharey="row")
    for (left, right), network, names in zip(axes, shown, cases, strict=True):
        _score_panel(left, experiment, network, COSINE, 0.985, [0.985, 0.99, 0.995, 1])
        _score_panel(right, experiment, network, CENTRED, -0.15, [0, 0.25, 0.5, 0.75, 1])
        left.set_yticks(np.arange(len(names)), names)
        left.set_ylim(len(names) - 0.4, -0.6)
    fooled = any(
        number(experiment.find(COSINE, network, production.CONSTANT_MEAN).float64)
        > number(experiment.find(COSINE, network, production.PIPELINE).float64)
        for network in shown
    )
    caption = PROSE("production_caption", fooled=fooled)
    return Exhibit("production", "Production test", figure, caption)


def _score_panel(
    axes: Axes,
    experiment: Experiment,
    network: Network,
    quantity: str,
    low: float,
    ticks: list[float],
) -> None:
    """Draws a score of every configuration; below ``low`` an arrow stands for the dot."""
    span = 1 - low
    ours = set(production.LABELS.values())
    for height, result in enumerate(experiment.select(quantity, network)):
        value, colour = number(result.float64), BLUE if result.case in ours else GREY
        if value >= low:
            axes.plot([max(low, 0), value], [height, height], color=colour, linewidth=1.2)
        marker = "o" if value >= low else "<"
        axes.plot(max(value, low), height, marker, color=colour, markersize=7, clip_on=False)
        if result.gateware is not None and result.gateware >= low:
            axes.plot(result.gateware, height, "|", color=INK, markersize=12, markeredgewidth=1.6)
        if result.reference is not None and result.reference >= low:
            axes.plot(
                result.reference,
                height,
                "o",
                color=ORANGE,
                markersize=10,
                clip_on=False,
                **_RING,
            )
        axes.annotate(
            f"{value:.4f}",
            (1 + 0.05 * span, height),
            va="center",
            fontsize=8.5,
            annotation_clip=False,
        )
    axes.set(xlim=(low, 1 + 0.22 * span), title=f"{quantity}, {network.name}")
    axes.set_xticks(ticks)
    axes.grid(axis="y", visible=False)


# ---- E and F -------------------------------------------------------------------------------------


def _deficit(experiment: Experiment) -> Exhibit | None:
    shown = networks(experiment)
    figure = new_figure(4.0)
    left, right = figure.subplots(1, 2)
    for network, colour in zip(shown, _FAMILY, strict=False):
        values = experiment.arrays[network, "eigenvalues"]
        modes = np.arange(1, len(values) + 1)
        left.semilogy(modes, values, color=colour, label=network.name)
    left.axhline(0.1, color=GREY, linestyle="--", linewidth=1.2)
    left.annotate("J2", (1, 0.1), (2, 4), textcoords="offset points", color=SOFT)
    left.set(title="Eigenvalues of J_enc", xlabel="mode", ylim=(1e-6, 0.3))
    left.legend(loc="lower left")
    _bias_panel(right, experiment, shown[0])
    ratios = experiment.select(deficit.CLAIMED)
    caption = PROSE(
        "deficit_caption",
        ratios=[
            (number(result.float64), network.name)
            for result, network in zip(ratios, shown, strict=True)
        ],
        paper=reported.DEFICIT,
    )
    return Exhibit("deficit", "Signal deficit", figure, caption)


def _bias_panel(axes: Axes, experiment: Experiment, network: Network) -> None:
    target = experiment.arrays[network, "target"].ravel()
    for key, colour, label in (("correct", GREEN, "correct, A x"), ("naive", ORANGE, "naive, J x")):
        axes.scatter(
            target,
            experiment.arrays[network, key].ravel(),
            s=5,
            color=colour,
            alpha=0.3,
            linewidths=0,
            rasterized=True,
            label=label,
        )
    axes.set(title=f"Bias against target, {network.key}", xlabel="x", ylabel="bias")
    for handle in axes.legend(loc="upper left", markerscale=2).legend_handles:
        if handle is not None:
            handle.set_alpha(1)


_JOULES = (
    (energy_account.FLOOR, "k_B T x units x 400 steps", GREY),
    (
        energy_account.INTERFACE_JOULES[energy_account.INTEGERS],
        "interface's multiplies, 8-bit, 45 nm",
        ORANGE,
    ),
    (
        energy_account.INTERFACE_JOULES[energy_account.FLOATS],
        "interface's multiplies, float32, 45 nm",
        ORANGE,
    ),
    (energy_account.ICEBREAKER_JOULES, "iCEBreaker, estimate", BLUE),
    (energy_account.CPU_JOULES, "CPU, closed form", GREEN),
    (energy_account.U_NET, "whole U-Net, A100 at its peak", PURPLE),
)
"""Quantities of the energy figure, with their labels and colours."""


def _joules(experiment: Experiment) -> Exhibit | None:
    trained = next((network for network in networks(experiment) if network.key == TRAINED), None)
    if trained is None:
        return None
    rows = []
    for quantity, label, colour in _JOULES:
        for result in experiment.select(quantity, trained):
            recipe = f" ({production.LABELS[result.case]})" if result.case else ""
            rows.append((label + recipe, number(result.float64), colour))
    rows.append(("GPU, the paper's figure", reported.GPU_JOULES, SKY))
    floor, integers = (
        number(experiment.find(quantity, trained).float64) for quantity, _, _ in _JOULES[:2]
    )
    caption = PROSE("joules_caption", times=integers / floor)
    return Exhibit("joules", "Energy of an inference", _joules_figure(rows), caption)


def _joules_figure(rows: list[tuple[str, float, str]]) -> Figure:
    figure = new_figure(0.9 + 0.34 * len(rows))
    axes = figure.subplots()
    low = 1e-17
    for height, (_, value, colour) in enumerate(rows):
        axes.barh(height, value - low, 0.7, left=low, color=colour)
        axes.annotate(
            f"{short(value)} J",
            (value, height),
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
    return figure


# ---- G, H and I ----------------------------------------------------------------------------------


def _relaxation(experiment: Experiment) -> Exhibit | None:
    families: dict[tuple[Network, str], list] = {}
    for (network, setting), curves in experiment.arrays.items():
        name = setting.recipe.removeprefix("ours, ")
        families.setdefault((network, name), []).append((setting.dt, curves))
    figure = new_figure(4.4)
    axes_list = _panels(figure, len(families), sharey=True)
    for axes, ((network, name), members) in zip(axes_list, families.items(), strict=True):
        for (dt, (law, measured)), colour in zip(members, _FAMILY, strict=False):
            steps = np.arange(1, len(law) + 1)
            axes.loglog(steps, measured, color=colour, linewidth=2.2, label=f"dt = {dt:g}")
            axes.loglog(steps, law, "--", color=INK, linewidth=0.9)
        axes.axvline(reported.STEPS, color=GREY, linestyle=":", linewidth=1.5)
        axes.set(title=f"{network.name}\n{name}", xlabel="step", ylim=(3e-5, 2))
    axes_list[0].set_ylabel("distance / |equilibrium|")
    axes_list[min(1, len(axes_list) - 1)].legend(loc="lower left")
    departures = [
        result.gateware
        for result in experiment.select(relaxation.DEPARTURE)
        if result.gateware is not None
    ]
    caption = PROSE(
        "relaxation_caption",
        worst=max(departures),
        times=relaxation.ABOVE_FLOOR,
        steps=reported.STEPS,
    )
    return Exhibit("relaxation", "Relaxation", figure, caption)


_MARKERS = ("o", "circles"), ("s", "squares"), ("D", "diamonds"), ("^", "triangles")
"""Markers of time steps in rising order, and their names."""


def _law(experiment: Experiment) -> Exhibit | None:
    results = experiment.select(sampling.SQUARED_ERROR)
    figure = new_figure(4.0)
    axes = figure.subplots()
    markers = dict(zip(sorted({result.case.dt for result in results}), _MARKERS, strict=False))
    for result in results:
        setting, midpoint = result.case, result.case.integrator == LM
        axes.errorbar(
            setting.steps * setting.realised_dt * (1.03 if midpoint else 0.97),
            number(result.gateware),
            number(result.error),
            fmt=markers[setting.dt][0],
            color=BLUE if midpoint else ORANGE,
            markersize=5,
            elinewidth=1.1,
            capsize=2,
        )
    exact = sorted(
        (result.case.steps * result.case.realised_dt, result.case.exact) for result in results
    )
    label = "exact for so many steps"
    axes.plot(*zip(*exact, strict=True), color=INK, linewidth=1, label=label)
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
    caption = PROSE(
        "law_caption",
        settings=len(results),
        temperatures=sorted({result.case.kT for result in results}),
        markers=[(dt, name) for dt, (_, name) in markers.items()],
        pull=pull(results),
    )
    return Exhibit("law", "The law of the mean", figure, caption)


def _inflation(experiment: Experiment) -> Exhibit | None:
    results = experiment.select(sampling.VARIANCE)
    if not results:
        return None
    figure = new_figure(3.6)
    axes = figure.subplots()
    temperatures = sorted({result.case.kT for result in results})
    for integrator, colour, name in (
        (LM, BLUE, "Leimkuhler-Matthews"),
        (EM, ORANGE, "Euler-Maruyama"),
    ):
        chosen = [result for result in results if result.case.integrator == integrator]
        law = sorted({(result.case.realised_dt, number(result.float64)) for result in chosen})
        axes.plot(*zip(*law, strict=True), color=colour, linewidth=1.2, label=f"{name}, law")
        for result in chosen:
            shift = 0.97 + 0.03 * temperatures.index(result.case.kT)
            axes.errorbar(
                result.case.realised_dt * shift,
                number(result.gateware),
                number(result.error),
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
    gaps = [
        abs(number(result.gateware) - number(result.float64)) / number(result.error)
        for result in results
    ]
    caption = PROSE("variance_caption", temperatures=_words(len(temperatures)), farthest=max(gaps))
    return Exhibit("variance", "Time step and covariance", figure, caption)


def _words(count: int) -> str:
    """Returns a small count in words."""
    words = ("no", "one", "two", "three", "four", "five")
    return words[count] if count < len(words) else str(count)


def _short_run(experiment: Experiment) -> Exhibit | None:
    shown = networks(experiment)
    figure = new_figure(3.9)
    axes_list = _panels(figure, len(shown), sharey=True)
    for axes, network in zip(axes_list, shown, strict=True):
        _short_run_panel(axes, experiment, network)
    axes_list[0].set_ylabel("centred cosine to the targets")
    axes_list[0].legend(loc="upper left")
    averages = _gateware(experiment.select(f"{short_run.AVERAGE}, {CENTRED}"))
    caption = PROSE(
        "short_run_caption", steps=reported.STEPS, low=min(averages), high=max(averages)
    )
    heading = f"{reported.STEPS} steps at kT = 1"
    return Exhibit("four-hundred", heading, figure, caption)


def _short_run_panel(axes: Axes, experiment: Experiment, network: Network) -> None:
    for offset, when, colour in ((-0.19, short_run.LAST, GREY), (0.19, short_run.AVERAGE, BLUE)):
        results = experiment.select(f"{when}, {CENTRED}", network)
        positions = np.arange(len(results)) + offset
        axes.bar(
            positions,
            _gateware(results),
            0.36,
            color=colour,
            label=when,
            yerr=[number(result.error) for result in results],
            error_kw={"elinewidth": 1, "capsize": 2},
        )
        axes.plot(
            positions,
            _float64(results),
            "_",
            color=INK,
            markersize=12,
            label="float64 dynamics" if when == short_run.AVERAGE else None,
        )
    names = [
        result.row.removeprefix(f"{network.name}, ").replace(", ", ",\n")
        for result in experiment.select(f"{short_run.LAST}, {CENTRED}", network)
    ]
    axes.set_xticks(range(len(names)), names, fontsize=8.5)
    axes.set(title=network.name, ylim=(-0.1, 1.05))
    axes.grid(axis="x", visible=False)
    axes.axhline(0, color=SOFT, linewidth=0.8)
