# SPDX-License-Identifier: Apache-2.0
"""The page of the benchmarks: every figure is on it, and the caption is of the worst cell."""

import html

import pytest

from ornstein.host.experiments.bench.figures import figure
from ornstein.host.experiments.bench.report import (
    cycles_exhibit,
    peers_exhibit,
    write_bench_page,
)


@pytest.fixture
def rows():
    shared = {"share": 0.9, "chains": 2}
    return [
        figure("compile_s", 0.75),
        figure("cycles_per_step_d64_m2_k16_p8", 520.0, 512.0, **shared),
        figure("cycles_per_step_d64_m2_k16_p32_mixed", 192.0, 128.0, **shared),
        figure("model_over_rtl", None),
    ]


def test_every_figure_is_on_the_page(rows, tmp_path):
    page = html.unescape(write_bench_page(rows, tmp_path).read_text())
    for row in rows:
        assert row.name in page and row.note in page
    for number in ("0.75", "0.375", "520", "512", "1.5"):
        assert f">{number}</td>" in page
    assert "How fast it is" in page and (tmp_path / "figures" / "cycles.png").is_file()


def test_the_plot_shows_each_cell_and_its_caption_the_farthest(rows):
    exhibit = cycles_exhibit(rows)
    assert "The farthest from the bound is d64_m2_k16_p32_mixed, 1.500 times it." in exhibit.caption
    bound, skips, mixed = exhibit.figure.axes[0].lines
    assert list(skips.get_xydata()[0]) == [512, 520] and list(mixed.get_xydata()[0]) == [128, 192]
    assert list(bound.get_xdata()) == list(bound.get_ydata())


def test_the_growth_beside_the_peers_is_drawn_from_the_figures(rows):
    assert peers_exhibit(rows) is None
    measured = [
        figure(f"{name}_over_{peer}_d{units}", value, reference, outcome="")
        for name, peer, units, value, reference in (
            ("samples", "thermox", 64, 300.0, 600.0),
            ("memory", "thermox", 64, 200.0, 500.0),
            ("samples", "thermox", 256, 100.0, 50.0),
            ("memory", "thermox", 256, 210.0, 700.0),
            ("samples", "thrml", 256, 100.0, None),
            ("memory", "thrml", 256, 210.0, None),
        )
    ]
    exhibit = peers_exhibit(measured)
    samples, memory = exhibit.figure.axes
    assert [line.get_label() for line in samples.lines] == ["model", "thermox"]
    assert samples.lines[0].get_xydata().tolist() == [[64, 300], [256, 100]]
    assert samples.lines[1].get_xydata().tolist() == [[64, 600], [256, 50]]
    assert memory.lines[1].get_xydata().tolist() == [[64, 500], [256, 700]]
    assert "faster than thermox from 128 units on" in " ".join(exhibit.caption.split())
    assert "faster than thrml" not in exhibit.caption


def test_without_cycles_there_is_no_plot(rows, tmp_path):
    assert cycles_exhibit(rows[:1]) is None
    assert "Growth" not in write_bench_page(rows[:1], tmp_path).read_text()
