# SPDX-License-Identifier: Apache-2.0
"""What the link costs: cycles and bytes are counted, whatever the time."""

import pytest

from ornstein.boards import BOARDS
from ornstein.host.experiments.bench import links
from ornstein.host.experiments.bench.links import line_figures, streaming_figures
from ornstein.host.experiments.bench.programs import random_biases, relaxation_issues
from ornstein.host.experiments.link_speed import LinkSpeed
from ornstein.host.experiments.speed import LineRates


def ignore(what):
    """Progress that nobody looks at."""


def test_a_stream_takes_at_least_the_cycles_of_its_relaxation(program):
    inputs = random_biases(program.problem.energies[0].units, 4 * program.layout.chains)
    (half,) = streaming_figures(program, inputs[: len(inputs) // 2], ignore)
    (whole,) = streaming_figures(program, inputs, ignore)
    assert whole.reference == 4 * relaxation_issues(program) == 2 * half.reference
    assert half.value < whole.value > whole.reference
    assert f"{len(inputs)} inputs" in whole.note


def test_the_limits_of_lines_grow_with_their_rate_and_fall_with_the_bytes(monkeypatch):
    slow, fast = links.limit_figures()
    assert fast.value == 4 * slow.value and fast.reference == slow.reference
    monkeypatch.setattr(links, "bytes_per_input", lambda *arguments: (200.0, 500.0))
    slow, _ = links.limit_figures()
    assert slow.value == 3e6 / 10 / 500 < slow.reference
    assert "200 bytes to an iCEBreaker and 500 from it" in slow.note


def test_a_board_is_compared_with_the_slower_one_of_line_and_lanes(monkeypatch):
    pytest.importorskip("amaranth_boards")
    asked = []

    def measured(info, inputs):
        asked.append((info.name, inputs))
        return LinkSpeed(500.0, LineRates(300_000.0, 300_000.0), 7, 1e-4, 2e-3)

    monkeypatch.setattr(links, "link_speed", measured)
    rows = {row.name: row for row in links.board_figures(ignore, 7)}
    assert asked == [(name, 7) for name in BOARDS] and len(rows) == len(BOARDS)
    slow = rows["inferences_icebreaker"]
    assert slow.value == 500.0 and slow.reference == pytest.approx(929, abs=1)
    assert "7 inputs" in slow.note and "the host computing 0.10 ms" in slow.note
    assert "limit is that of the line, where the line carries 929" in slow.note
    fast = LinkSpeed(500.0, LineRates(1e9, 1e9), 7, 1e-4, 2e-3)
    monkeypatch.setattr(links, "link_speed", lambda info, inputs: fast)
    (row, *_) = links.board_figures(ignore, 7)
    assert row.reference == pytest.approx(48e6 / 4352, rel=1e-3)
    assert "limit is that of the lanes" in row.note


def test_boards_that_are_not_known_are_left_out(monkeypatch):
    def missing(info, inputs):
        raise ImportError("amaranth_boards")

    monkeypatch.setattr(links, "link_speed", missing)
    for row in links.board_figures(ignore):
        assert row.value is None and "needs the synth extra" in row.note


def test_the_line_s_figure_is_all_payload_bytes_over_the_seconds_they_took(program, clock):
    clock.step = 4.0
    (row,) = line_figures(program, ignore, repeats=2)
    payload = 2 * 2 * program.config.factor_depth * program.config.lanes
    assert row.value == payload / 4.0
    assert row.reference == pytest.approx(100_000.0)


def test_the_line_s_figure_is_of_a_port_that_is_paced(program):
    """At the pace of the line, however fast the machine; a slower machine only lowers it."""
    (row,) = line_figures(program, ignore, repeats=2)
    assert row.reference / 100 < row.value < 1.1 * row.reference
