# SPDX-License-Identifier: Apache-2.0
"""The recorded resources and clocks of the boards' builds (``baseline.json``), and how a new build
differs from them.

The figures come from ``report.json`` (:func:`ornstein.boards.build.build`); the clock is that of
the fabric's domain. The tolerances are relative, because the number of cells changes a little with
every version of Yosys, and a clock with every seed of nextpnr.
"""

import json
from pathlib import Path

from ornstein.boards import BOARDS

FILE = Path(__file__).with_name("baseline.json")
HEADER = (
    "| board | cells | multipliers | block RAM | SPRAM | clock asked / reached / limit |",
    "|---|---|---|---|---|---|",
)


def baseline() -> dict:
    """The file: relative ``tolerances`` of the figures, and the figures of each of ``boards``."""
    return json.loads(FILE.read_text())


def figures(report: dict) -> dict:
    """The figures of a build's report that a baseline holds."""
    counts = ("cells", "multipliers", "block_ram", "spram")
    held = {key: report[key] for name in counts for key in (name, f"{name}_available")}
    return held | report["clocks"]["sync"]


def compare(report: dict, expected: dict) -> list[str]:
    """The figures of a build's report that differ from :func:`baseline` by more than the tolerance,
    one line each.

    Raises KeyError if the baseline has no such board.
    """
    found, held = figures(report), expected["boards"][report["board"]]
    return [
        f"{name} of {report['board']}: {found[name]:g}, the baseline has {held[name]:g} and allows "
        f"{100 * tolerance:g} % either way; if it is meant, change {FILE.name}"
        for name, tolerance in expected["tolerances"].items()
        if abs(found[name] - held[name]) > tolerance * held[name]
    ]


def table(expected: dict) -> str:
    """The Markdown table for the README, with a row for each board of the baseline."""
    return "\n".join([*HEADER, *(_row(name, held) for name, held in expected["boards"].items())])


def _row(name: str, held: dict) -> str:
    def count(key):
        return (
            f"{held[key]:,} of {held[f'{key}_available']:,}" if held[f"{key}_available"] else "none"
        )

    limit = f"{held['limit_mhz']:g}" if held["limit_mhz"] else "-"
    cells = (
        f"{BOARDS[name].title} (`{name}`)",
        count("cells"),
        count("multipliers"),
        count("block_ram"),
        count("spram"),
        f"{held['target_mhz']:g} / {held['achieved_mhz']:.1f} / {limit} MHz",
    )
    return f"| {' | '.join(cells)} |"
