# SPDX-License-Identifier: Apache-2.0
"""The boards' resources and clocks: what a build may differ from the last one by, and that the
documentation tells them.
"""

from pathlib import Path

import pytest

from ornstein.boards import BOARDS, baseline

PAGE = Path(__file__).parents[2] / "docs" / "boards.md"


@pytest.fixture
def expected():
    return baseline.baseline()


def report(held, **changes):
    """A build's report with the figures of a baseline, some of them changed."""
    held = held | changes
    clock = {name: held.pop(name) for name in ("target_mhz", "achieved_mhz", "limit_mhz")}
    return {"board": "icebreaker", "clocks": {"sync": clock}} | held


def test_the_same_build_does_not_differ(expected):
    assert baseline.compare(report(expected["boards"]["icebreaker"]), expected) == []


@pytest.mark.parametrize(
    "name, within, beyond",
    [
        ("cells", 1.029, 1.031),
        ("cells", 0.971, 0.969),
        ("achieved_mhz", 0.91, 0.89),
        ("achieved_mhz", 1.09, 1.11),
        ("multipliers", 1, 7 / 8),
        ("block_ram", 1, 30 / 29),
        ("spram", 1, 5 / 4),
    ],
)
def test_tolerances(expected, name, within, beyond):
    held = expected["boards"]["icebreaker"]
    assert baseline.compare(report(held, **{name: held[name] * within}), expected) == []
    (difference,) = baseline.compare(report(held, **{name: held[name] * beyond}), expected)
    assert difference.startswith(f"{name} of icebreaker: ") and "change baseline.json" in difference


def test_a_board_without_a_baseline(expected):
    held = expected["boards"].pop("icebreaker")
    with pytest.raises(KeyError, match="icebreaker"):
        baseline.compare(report(held), expected)


def test_the_baseline_is_complete_and_possible(expected):
    """Every figure with a tolerance is there, is a board's that can be built, and fits
    its device.
    """
    for name, held in expected["boards"].items():
        assert name in BOARDS and set(expected["tolerances"]) <= set(held)
        assert all(
            held[key] <= held[f"{key}_available"]
            for key in ("cells", "multipliers", "block_ram", "spram")
        )
        assert held["achieved_mhz"] >= held["target_mhz"]
        assert held["limit_mhz"] == BOARDS[name].limit_mhz


def test_the_documentation_has_the_table(expected):
    assert f"\n{baseline.table(expected)}\n\n" in PAGE.read_text(encoding="utf-8")
