# SPDX-License-Identifier: Apache-2.0
"""A program as a page: modules, couplings and their spectra, passes, number formats, and what lies
where in the fabric's memories. All of it is read from the program itself.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from ornstein.hdl.isa import Level, Operation, Pass
from ornstein.hdl.regmap import Space
from ornstein.hdl.schedule import step_cycles
from ornstein.hdl.spaces import spaces
from ornstein.host.compile.program import Program
from ornstein.host.pages.page import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    Exhibit,
    Grid,
    Section,
    short,
    write_page,
)

_COLOURS = {
    Operation.PROJECT: BLUE,
    Operation.MIX: ORANGE,
    Operation.EXPAND: GREEN,
    Operation.ACTIVATE: PURPLE,
}

_UNSIGNED = ("time step", "j4")
"""Fields of the range report whose formats have no sign."""


def write_program_page(program: Program, path: Path) -> Path:
    """Writes a self-contained page about a program; returns its path. The folder of ``path`` is
    made if need be.
    """
    problem = program.problem
    units = problem.energies[0].units
    summary = (
        f"{units:,} units on fabric {program.config.name}, {program.layout.chains} inputs at once, "
        f"{problem.integrator.upper()} with dt = {short(program.dt, 6)}; "
        f"{short(program.input_cycles, 6)} clock cycles an input by the schedule."
    )
    sections = [
        modules(program),
        spectra(program),
        passes(program),
        formats(program),
        memories(program),
    ]
    return write_page(path.parent, program.name, summary, sections, path.name)


# ---- modules and couplings -----------------------------------------------------------------------


def modules(program: Program) -> Section:
    """Returns the modules on a circle, joined by their couplings."""
    energy = program.problem.energies[0]
    angles = 2 * np.pi * np.arange(len(energy.modules)) / len(energy.modules) + np.pi / 2
    places = {
        module.name: (float(np.cos(angle)), float(np.sin(angle)))
        for module, angle in zip(energy.modules, angles, strict=True)
    }
    most = max(module.units for module in energy.modules)
    figure = go.Figure()
    for coupling in energy.couplings:
        ends = [places[name] for name in coupling.modules]
        ends += ends[:1] if len(ends) > 2 else []
        label = f"{' - '.join(coupling.modules)}: rank {coupling.rank}"
        x, y = zip(*ends, strict=True)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines" if len(ends) > 1 else "markers",
            line={"width": 3, "color": SKY},
            marker={"size": 58, "color": "rgba(0,0,0,0)", "line": {"width": 3, "color": SKY}},
            hovertext=label,
            hoverinfo="text",
            showlegend=False,
        )
        figure.add_scatter(
            x=[float(np.mean(x[: len(coupling.modules)]))],
            y=[float(np.mean(y[: len(coupling.modules)])) - (0.28 if len(ends) == 1 else 0)],
            mode="text",
            text=[f"rank {coupling.rank}"],
            hovertext=[label],
            hoverinfo="text",
            showlegend=False,
        )
    figure.add_scatter(
        x=[places[module.name][0] for module in energy.modules],
        y=[places[module.name][1] for module in energy.modules],
        mode="markers+text",
        text=[f"   {module.name}: {module.units:,}" for module in energy.modules],
        textposition="middle right",
        marker={
            "size": [18 + 22 * (module.units / most) ** 0.5 for module in energy.modules],
            "color": BLUE,
        },
        hovertext=[f"{module.name}: {module.units:,} units" for module in energy.modules],
        hoverinfo="text",
        showlegend=False,
    )
    hidden = {"visible": False, "range": [-1.7, 1.9]}
    figure.update_layout(xaxis=hidden, yaxis=hidden, template="none")
    rows = [
        (
            " - ".join(coupling.modules),
            coupling.rank,
            sum(factor.size for factor in coupling.factors),
            float(np.abs(coupling.mix).max()),
        )
        for coupling in energy.couplings
    ]
    return Section(
        "Modules and couplings",
        [
            f"{_several(len(energy.modules), 'module')} and "
            f"{_several(len(energy.couplings), 'coupling')}; j2 = {short(energy.j2)}, "
            f"j4 = {short(energy.j4)}."
        ],
        grids=[Grid("Couplings", ("modules", "rank", "factors", "largest mix"), rows)],
        exhibits=[
            Exhibit(
                "modules",
                "Modules",
                figure,
                "The area of a circle grows with its units; a line is a coupling between modules, "
                "a ring one within a module.",
            )
        ],
    )


def _several(count: int, what: str) -> str:
    """Returns a number with its noun."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


# ---- spectra -------------------------------------------------------------------------------------


def spectra(program: Program) -> Section:
    """Returns the eigenvalues of M, asked for and realised, and those of each coupling's modes."""
    figure, modes = go.Figure(), go.Figure()
    lows, highs = [], []
    for number, (asked, realised) in enumerate(
        zip(program.problem.energies, program.realised, strict=True)
    ):
        name = f"energy {number}" if len(program.realised) > 1 else "M"
        for energy, label, dash in (
            (asked, "asked for", "dot"),
            (realised, "as quantized", "solid"),
        ):
            values = np.linalg.eigvalsh(energy.matrix())
            figure.add_scatter(
                y=values[::-1].tolist(),
                name=f"{name}, {label}",
                mode="lines",
                line={"dash": dash, "color": ORANGE if dash == "dot" else BLUE},
            )
        lows.append(values[0])
        highs.append(values[-1])
        for coupling in realised.couplings:
            strengths = np.sort(_strengths(coupling))[::-1]
            modes.add_scatter(
                y=strengths.tolist(),
                name=f"{' - '.join(coupling.modules)}",
                mode="lines+markers",
            )
    for plot, x, y in (
        (figure, "eigenvalue, largest first", "value"),
        (modes, "mode, strongest first", "strength"),
    ):
        plot.update_layout(
            template="none",
            xaxis={"title": {"text": x}},
            yaxis={"title": {"text": y}, "rangemode": "tozero"},
            legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        )
    exhibits = [
        Exhibit(
            "eigenvalues",
            "Eigenvalues of M",
            figure,
            f"From {short(min(lows))} to {short(max(highs))} as the fabric holds them. The slowest "
            f"mode relaxes in 1 / (dt · {short(min(lows))}) = "
            f"{short(1 / (program.dt * min(lows)) if min(lows) > 0 else None)} steps.",
        )
    ]
    if modes.data:
        exhibits.append(
            Exhibit(
                "modes",
                "Modes of the couplings",
                modes,
                "The strength of a mode is the largest entry of its mix times the norms of its two "
                "factors: the singular value of the block where the factors are orthogonal.",
            )
        )
    return Section("Spectra", [], exhibits=exhibits)


def _strengths(coupling) -> np.ndarray:
    """Returns the strength (rank,) of each mode of a coupling."""
    norms = np.stack([np.linalg.norm(factor, axis=0) for factor in coupling.factors])
    return np.abs(coupling.mix * norms[:, None] * norms[None]).max(axis=(0, 1))


# ---- passes --------------------------------------------------------------------------------------


def passes(program: Program) -> Section:
    """Returns the cycles of each level by operation, and every pass of a step."""
    figure, schedule = go.Figure(), program.schedule
    names = [_level_name(number, level) for number, (level, _) in enumerate(schedule)]
    for operation in Operation:
        cycles = [
            level.steps
            * step_cycles(program.config, [step for step in steps if step.operation == operation])
            for level, steps in schedule
        ]
        if any(cycles):
            figure.add_bar(
                y=names,
                x=cycles,
                name=operation.name,
                orientation="h",
                marker={"color": _COLOURS[operation]},
            )
    figure.update_layout(
        template="none",
        barmode="stack",
        xaxis={"title": {"text": "clock cycles"}},
        yaxis={"autorange": "reversed"},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
    )
    total = sum(level.steps * step_cycles(program.config, steps) for level, steps in schedule)
    count = Counter(Operation(step.operation).name for _, steps in schedule for step in steps)
    return Section(
        "Passes",
        [
            f"A job of {_several(program.layout.chains, 'input')} runs "
            f"{_several(len(schedule), 'level')} and takes {total:,} clock cycles by the schedule. "
            f"Its descriptors hold {', '.join(f'{n} {name}' for name, n in count.items())}."
        ],
        grids=[
            Grid(
                f"Level {_level_name(number, level)}",
                ("operation", "outer", "inner", "from", "to", "waits", "cycles"),
                [_pass_row(program, step) for step in steps],
            )
            for number, (level, steps) in enumerate(schedule)
        ],
        exhibits=[
            Exhibit(
                "cycles",
                "Clock cycles",
                figure,
                "Of each level, all its steps together, by operation.",
            )
        ],
    )


def _level_name(number: int, level: Level) -> str:
    """Returns what a level does, in words."""
    kinds = [
        name
        for name, on in (
            ("averaged", level.accumulate),
            ("noisy", level.amplitude),
            ("sampled", level.thin),
        )
        if on
    ]
    return " ".join([f"{number}:", _several(level.steps, "step"), *kinds])


def _pass_row(program: Program, step: Pass) -> tuple:
    """Returns the cells of a pass."""
    operation = Operation(step.operation)
    source = {
        Operation.PROJECT: "drive" if step.from_drive else "state",
        Operation.EXPAND: "rank" if step.coupled else "drive",
    }.get(operation, "rank")
    target = "rank"
    if operation == Operation.EXPAND:
        target = "drive" if step.to_drive else "state"
    return (
        operation.name,
        step.outer,
        step.inner,
        f"{source} {step.source}",
        f"{target} {step.dest}",
        bool(step.wait),
        step_cycles(program.config, [step]),
    )


# ---- formats -------------------------------------------------------------------------------------


def formats(program: Program) -> Section:
    """Returns how much of its format each field uses."""
    # the format of a temperature is that of the noise amplitude, its square root
    rows = [row for row in program.ranges if row.name != "temperature"]
    limits = [row.lsb * 2 ** (row.bits - (row.name not in _UNSIGNED)) for row in rows]
    used = [
        100 * max(abs(row.low), abs(row.high)) / limit
        for row, limit in zip(rows, limits, strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            y=[row.name for row in rows],
            x=used,
            orientation="h",
            marker={"color": [ORANGE if row.clipped else BLUE for row in rows]},
            hovertext=[
                f"{row.name}: {short(row.low)} to {short(row.high)} in {row.bits} bits of "
                f"{short(row.lsb)}"
                for row in rows
            ],
            hoverinfo="text",
        )
    )
    figure.update_layout(
        template="none",
        xaxis={"title": {"text": "% of the format"}},
        yaxis={"autorange": "reversed"},
        showlegend=False,
    )
    return Section(
        "Number formats",
        list(program.warnings()),
        grids=[
            Grid(
                "Ranges",
                ("field", "low", "high", "bits", "LSB", "clipped", "requested", "realised"),
                [
                    (
                        row.name,
                        *(float(value) for value in (row.low, row.high)),
                        row.bits,
                        *(
                            None if value is None else float(value)
                            for value in (row.lsb, row.clipped, row.requested, row.realised)
                        ),
                    )
                    for row in program.ranges
                ],
            )
        ],
        exhibits=[
            Exhibit(
                "formats",
                "Use of the formats",
                figure,
                "The largest expected magnitude of each field, in percent of what its format "
                "holds. Orange: some calibration values lie beyond the format.",
            )
        ],
    )


# ---- memories ------------------------------------------------------------------------------------


def memory_use(program: Program) -> dict[Space, list[tuple[str, int, int]]]:
    """Returns (content, first word, words) of everything that a program keeps in the memories."""
    layout = program.layout
    drive = [
        (f"input of chain {chain}", layout.input_word + chain * layout.input_words)
        for chain in range(layout.chains)
    ]
    drive = [
        (f"{name}, bank {bank}", word + bank * layout.bank_offset, layout.input_words)
        for bank in range(2)
        for name, word in drive
    ]
    passes_begin = min(level.first for level, _ in program.schedule)
    return {
        Space.FACTOR: [("factors", 0, len(program.factor))],
        Space.STATE: [
            (f"state of chain {chain}", chain * layout.state_words, layout.state_words)
            for chain in range(layout.chains)
        ],
        Space.DRIVE: [*drive, ("constants", layout.constant_word, len(program.constants))],
        Space.DESCRIPTOR: [
            ("levels", 0, passes_begin),
            ("passes", passes_begin, len(program.descriptors) - passes_begin),
        ],
    }


def memories(program: Program) -> Section:
    """Returns the memories as bars, each as long as its use."""
    figure, rows = go.Figure(), []
    depths = {
        Space.FACTOR: program.config.factor_depth,
        Space.STATE: program.config.state_depth,
        Space.DRIVE: program.config.drive_depth,
        Space.DESCRIPTOR: program.config.descriptor_depth,
    }
    known = spaces(program.config)
    for space, parts in memory_use(program).items():
        depth = depths[space]
        for number, (content, first, words) in enumerate(part for part in parts if part[2]):
            figure.add_bar(
                y=[space.name],
                x=[100 * words / depth],
                base=[100 * first / depth],
                orientation="h",
                marker={"color": (BLUE, SKY)[number % 2]},
                hovertext=f"{content}: words {first:,} to {first + words - 1:,}",
                hoverinfo="text",
                showlegend=False,
            )
        used = sum(words for _, _, words in parts)
        rows.append((space.name, used, depth, f"{used / depth:.1%}", known[space].bytes))
    figure.update_layout(
        template="none",
        barmode="overlay",
        xaxis={"title": {"text": "% of the memory"}, "range": [0, 100]},
        yaxis={"autorange": "reversed"},
    )
    return Section(
        "Memory map",
        [],
        grids=[
            Grid("Words", ("memory", "used", "there are", "share", "bytes an element"), rows),
        ],
        exhibits=[
            Exhibit(
                "memory",
                "What lies where",
                figure,
                "Each part from its first to its last word; hover for its name.",
            )
        ],
    )
