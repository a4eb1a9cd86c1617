# SPDX-License-Identifier: Apache-2.0
"""The page of `ornstein hierarchy`: scores module by module, relaxation, and the large shape."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ornstein.host.experiments.hierarchy.run import LEADING, SPECTRUM, Hierarchy, Large, Row
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
    short,
    write_page,
)

COLOURS = dict(zip(("e1", "d1", "e2", "d2"), (GREEN, BLUE, PURPLE, ORANGE), strict=True))
ANSWERS = ("d1", "d2")
NEAR = 0.05  # relative distance at which a module is called close to equilibrium


def write_hierarchy_page(result: Hierarchy, folder: Path) -> Path:
    """Write report.html and figures/*.png into ``folder``, which is made if need be; the path of
    the page.
    """
    sections = [_scores(result), _relaxation(result)] + (
        [_large(result.large)] if result.large else []
    )
    summary = (
        f"Four modules, e1-d1 and e2-d2, and a link from d2 to d1, relaxed on {result.device}; every module "
        "scored by itself."
    )
    return write_page(folder, "A hierarchy on one substrate", summary, sections)


def score_grid(result: Hierarchy) -> Grid:
    """The score table: a line for each program and decoder."""
    columns = (
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
    rows = []
    for row in result.rows:
        shown = row.gateware or row.float64
        size = None if row.weights is None else f"{row.weights:,} + {row.constants:,}"
        scores = (
            shown.cosine,
            shown.centred_cosine,
            row.float64.centred_cosine,
            shown.r2,
            shown.top1,
        )
        rows.append(
            (
                row.recipe,
                row.module,
                *(round(value, 4) for value in scores),
                size,
                row.steps,
                row.samples,
                None if row.cycles is None else round(row.cycles),
                row.device,
            )
        )
    return Grid(
        "Held-out inputs at kT = 0 unless said; the column float64 is the centred cosine of the closed form",
        columns,
        rows,
    )


def size_grid(large: Large) -> Grid:
    """What the large hierarchy takes of its fabric."""
    rows = [(f"{name} words", used, there) for name, (used, there) in large.words.items()]
    rows += [
        ("units", large.units, large.fabric.state_depth * large.fabric.unit_lanes),
        ("block RAMs of an ECP5-85F, by formula", large.block_rams, 208),
        ("cycles a step, bound 4 sum(D) k / lanes beside", round(large.cycles), round(large.bound)),
    ]
    return Grid(
        f"{large.units:,} units, rank {large.rank}, on the {large.fabric.lanes} lanes of fabric "
        f"{large.fabric.name}",
        ("what", "taken", "there is"),
        rows,
    )


def error_grid(large: Large) -> Grid:
    """How far every module of the large hierarchy is from its closed form."""
    rows = [
        (name, error, large.coefficients[name], large.share[name])
        for name, error in large.error.items()
    ]
    return Grid(
        "Distance of the mean state from the closed form, relative to its length",
        ("module", "integer model, kT = 0", "of it, 12-bit couplings", "without couplings"),
        rows,
    )


def conclusions(result: Hierarchy) -> list[str]:
    """What the numbers say, a sentence each."""
    found = {(row.recipe, row.module): row for row in result.rows}

    def centred(recipe: str, module: str) -> float:
        return found[recipe, module].gateware.centred_cosine

    said = [
        f"{kind.capitalize()} couplings reach a centred cosine of {centred(f'{kind}, linked', 'd1'):.4f} on d1 and "
        f"{centred(f'{kind}, linked', 'd2'):.4f} on d2; with every coupling zeroed the same program reaches "
        f"{centred(f'{kind}, linked, couplings zeroed', 'd1'):.3f} and "
        f"{centred(f'{kind}, linked, couplings zeroed', 'd2'):.3f}, and with the link alone zeroed "
        f"{centred(f'{kind}, linked, link zeroed', 'd1'):.4f} and "
        f"{centred(f'{kind}, linked, link zeroed', 'd2'):.4f}."
        for kind in ("aligned", "bilinear")
    ]
    gain, error = result.gain
    said.append(
        f"The aligned link has strengths {', '.join(short(value, 2) for value in result.links)} of the leak against "
        "0.8 of a skip, since what level 1's skip leaves of d1 hardly follows from d2. Against levels apart it is "
        f"worth {gain:+.1e} of centred cosine on d1, standard error {error:.1e} over the inputs. The bilinear link is "
        "part of M whether it helps or not, and biases fitted with it cannot do without."
    )
    if same := sum(row.equals_model or False for row in result.rows) // len(ANSWERS):
        said.append(
            f"The {same} programs that ran on {result.device} equal the integer model in every bit."
        )
    return said


def _scores(result: Hierarchy) -> Section:
    paragraphs = [
        "An input is e1 and e2 side by side, the activations that the U-Net's skips carry; the answers are d1 and d2. "
        "Aligned: skips of rank 4 and a link of rank 4 from the training activations, an encoder for e1 and e2, no "
        "decoder biases, fitted as one regression through the joint response, so the substrate decodes. Bilinear: one "
        "coupling of rank 16 among all four modules from the weights, with a full interface whose ranks, 4 for an "
        "encoder and 16 for a decoder, are each module's own. Were the levels apart, M would be block diagonal and "
        "each pair could be fitted by itself; the link makes both fits go through the joint M.",
        *conclusions(result),
    ]
    return Section(
        "Scores, module by module",
        paragraphs,
        [score_grid(result)],
        [
            Exhibit(
                "hierarchy_scores",
                "Centred cosine by module",
                _score_figure(result.rows),
                "Bars: the fabric, at kT = 0 unless said. Ticks: the float64 closed form. Whiskers: standard error "
                "over the held-out inputs.",
            )
        ],
    )


@house_style
def _score_figure(rows: list[Row]) -> Figure:
    rows = [row for row in rows if row.gateware]
    names = list(dict.fromkeys(row.recipe for row in rows))
    figure = new_figure(0.9 + 0.42 * len(names))
    axes = figure.subplots()
    for offset, module in zip((-0.19, 0.19), ANSWERS, strict=True):
        own = [row for row in rows if row.module == module]
        places = np.array([names.index(row.recipe) for row in own]) + offset
        values = [row.gateware.centred_cosine for row in own]
        axes.barh(
            places,
            values,
            0.34,
            color=COLOURS[module],
            label=module,
            xerr=[row.error.centred_cosine for row in own],
            error_kw={"elinewidth": 1, "ecolor": INK},
        )
        axes.plot([row.float64.centred_cosine for row in own], places, "|", color=INK, markersize=9)
        for row, value, place in zip(own, values, places, strict=True):
            axes.annotate(
                f"{value:.4f}",
                (max(value, 0) + row.error.centred_cosine, place),
                (8, 0),
                va="center",
                textcoords="offset points",
                fontsize=8,
            )
    axes.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 1.12), xlabel="centred cosine")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def _relaxation(result: Hierarchy) -> Section:
    paragraphs = []
    for name in dict.fromkeys(curve.recipe for curve in result.relaxation):
        own = [curve for curve in result.relaxation if curve.recipe == name]
        near = ", ".join(
            f"{int(np.argmax(curve.measured < NEAR)) + 1} ({curve.module})" for curve in own
        )
        left = ", ".join(f"{curve.measured[-1]:.2%} ({curve.module})" for curve in own)
        paragraphs.append(
            f"{name.capitalize()}: within {NEAR:.0%} of the closed form after {near} steps; after "
            f"{len(own[0].measured)} steps {left} are left."
        )
    return Section(
        "Relaxation, module by module",
        [
            "Both programs from zero at kT = 0. A decoder is driven through its encoder or along with it; what is left at "
            "the end is rounding, to the state's bits and to the couplings' 12.",
            *paragraphs,
        ],
        [],
        [
            Exhibit(
                "hierarchy_relaxation",
                "Distance from equilibrium",
                _relaxation_figure(result),
                f"Relative distance of a module's state from its closed form on {result.device}; dashed: the part of "
                "(1 - dt M)^n that lies in the module.",
            )
        ],
    )


@house_style
def _relaxation_figure(result: Hierarchy) -> Figure:
    names = list(dict.fromkeys(curve.recipe for curve in result.relaxation))
    figure = new_figure(5.6)
    grid = figure.subplots(len(names), 2, sharey=True, sharex="row", squeeze=False)
    for curve in result.relaxation:
        axes = grid[names.index(curve.recipe), int(curve.module[1:]) - 1]
        count = np.arange(1, len(curve.measured) + 1)
        axes.plot(count, curve.measured, color=COLOURS[curve.module], label=curve.module)
        axes.plot(count, curve.theory, "--", color=INK, linewidth=1)
        axes.set(yscale="log", ylim=(5e-4, 1.5), title=f"{curve.recipe}, level {curve.module[1:]}")
    for axes in grid.flat:
        axes.plot([], [], "--", color=INK, linewidth=1, label="theory")
        axes.legend(ncols=3, loc="upper right")
    for axes in grid[-1]:
        axes.set_xlabel("step")
    for axes in grid[:, 0]:
        axes.set_ylabel("relative distance")
    return figure


def _large(large: Large) -> Section:
    low, high = large.eigenvalues
    return Section(
        "The shape of Stable Diffusion 1.5",
        [
            f"{large.units:,} units in {len(large.error)} modules, {'/'.join(str(size) for size in large.sizes)} channels "
            "each way, every decoder linked to the next one up. The weights are synthetic: random singular vectors, "
            f"eigenvalues of a Gram matrix falling as rank^{SPECTRUM:g} from {LEADING['e']:g} (encoders) and "
            f"{LEADING['d']:g} (decoders). The trained net's four Gram matrices fall with -0.48 to -0.54 and start at "
            "0.035 to 0.075 and 0.011 to 0.012; Martin (Power Laws in Deep Learning 2, KDnuggets, 2018) reports tails of "
            "the density with exponents of 2 to 4 for trained fully connected layers, where 3 gives this power. Biases lie "
            "in the span of the modes, where couplings act.",
            f"M has eigenvalues from {low:.3f} to {high:.3f}: a link has half the norm of a skip, since at its full norm M "
            "is no longer positive definite for this shape. The program fits; its cycles a step are "
            f"{large.cycles / large.bound:.3f} of the bound. On the integer model after {large.steps} steps every module "
            f"is within {max(large.error.values()):.2%} of its closed form, where couplings make "
            f"{min(large.share.values()):.0%} to {max(large.share.values()):.0%} of the answer; "
            f"{large.saturations} words saturated. The interface is left out: its inputs come as biases.",
        ],
        [size_grid(large), error_grid(large)],
        [
            Exhibit(
                "hierarchy_large",
                "Distance from the closed form",
                _large_figure(large),
                "By module: the same biases without couplings, the integer model, and what the 12-bit couplings alone "
                "account for.",
            )
        ],
    )


@house_style
def _large_figure(large: Large) -> Figure:
    figure = new_figure(3.2)
    axes = figure.subplots()
    places = np.arange(len(large.error))
    for values, colour, marker, label in (
        (large.share, GREY, "s", "without couplings"),
        (large.error, BLUE, "o", "integer model"),
        (large.coefficients, ORANGE, "D", "12-bit couplings alone"),
    ):
        axes.plot(places, list(values.values()), marker, color=colour, label=label)
    axes.set(yscale="log", xticks=places, ylabel="relative distance", ylim=(None, 3))
    axes.set_xticklabels(large.error)
    axes.legend(ncols=3, loc="upper center")
    return figure
