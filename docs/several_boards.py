# SPDX-License-Identifier: Apache-2.0
"""The figures of the page on several boards, for the shape of Stable Diffusion 1.5."""

from itertools import pairwise

from ornstein.boards.ulx3s import CLOCKS
from ornstein.hdl.config import STATE_WIDTH, ULX3S
from ornstein.host.experiments.bench.large import RANK, SD15_CHANNELS

WORD_BYTES = STATE_WIDTH // 8
"""Bytes of a state, and of one lane of a rank word."""
PROJECTION = RANK * WORD_BYTES
"""Bytes of one module's projection."""
LINKS = {
    "one LVDS pair each way at 400 Mbit/s": 400e6 / 8,
    "four pairs each way": 4 * 400e6 / 8,
    "UART at 12 Mbaud": 12e6 / 10,
}
"""Bytes a second each way; a UART sends ten bits for a byte."""


def step_bound() -> int:
    """Returns the fewest cycles of a step, 4 sum(D) k / lanes, with all modules on one board."""
    return 4 * sum(SD15_CHANNELS) * RANK // ULX3S.lanes


def half_step_seconds() -> float:
    """Returns the shortest time of a step if each of two boards has half of the modules."""
    return step_bound() / 2 / CLOCKS["sync"]


def cuts() -> list[tuple[str, str, str]]:
    """Returns (cut, bytes a step both ways, the same if states were sent instead)."""
    skips = [2 * WORD_BYTES * channels for channels in SD15_CHANNELS]
    levels = [WORD_BYTES * (upper + lower) for upper, lower in pairwise(SD15_CHANNELS)]
    return [
        ("between levels, skips only", "0", "0"),
        (f"through one skip of rank {RANK}", f"{2 * PROJECTION}", _range(skips)),
        (
            "through all four skips: encoders on one board, decoders on the other",
            f"{len(skips) * 2 * PROJECTION}",
            f"{sum(skips):,}",
        ),
        (
            f"between two levels, with a coupling of rank {RANK} from module to module",
            f"{2 * PROJECTION} for each coupling",
            _range(levels),
        ),
    ]


def links() -> list[tuple[str, str, str]]:
    """Returns (link, time of an exchange of all four skips, its share of a step of half the
    modules)."""
    sent = len(SD15_CHANNELS) * PROJECTION
    rows = []
    for name, rate in LINKS.items():
        share = sent / rate / half_step_seconds()
        rows.append((name, f"{1e6 * sent / rate:.1f} µs", f"{100 * share:,.0f} %"))
    return rows


def _range(numbers: list[int]) -> str:
    return f"{min(numbers):,} to {max(numbers):,}"
