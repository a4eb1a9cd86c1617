# SPDX-License-Identifier: Apache-2.0
"""The page holds the numbers."""

from ornstein.host.experiments.paper.figures import exhibits
from ornstein.host.experiments.paper.report import write_paper


def test_every_figure_is_drawn_and_the_page_holds_the_numbers(everything, tmp_path):
    names = {exhibit.name for experiment in everything for exhibit in exhibits(experiment)}
    assert names == {
        "skip-shift",
        "skip-dimensions",
        "skip-signs",
        "bottleneck",
        "production",
        "deficit",
        "joules",
        "relaxation",
        "law",
        "variance",
        "four-hundred",
    }
    page = write_paper(everything, "the integer model", tmp_path)
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == names
    text = page.read_text()
    assert (
        "A. Skip coupling" in text
        and "I. 400 steps at kT = 1" in text
        and "nan" not in text.split()
    )
