# SPDX-License-Identifier: Apache-2.0
"""The page and the tables of ``ornstein images`` show the numbers of the results."""

import html
import re
from dataclasses import replace

import numpy as np
import pytest

from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.images.denoising import (
    CYCLES,
    GAIN,
    PARAMETERS,
    PSNR,
    WIENER,
    ZEROED,
)
from ornstein.host.experiments.images.generation import (
    GAUSSIAN,
    MATCHED,
    NARROW,
    NEAREST,
    REAL,
    RECOGNISED,
    SPREAD,
    SUBSTRATE,
)
from ornstein.host.experiments.images.parameters import HIDDEN, KINDS, QUARTIC
from ornstein.host.experiments.images.report import (
    conclusions,
    denoising_grid,
    generation_grid,
    write_images_page,
)


def changed(experiment: Experiment, row: str, quantity: str, **values) -> Experiment:
    """The experiment with other values in one result."""
    results = [
        replace(result, **values) if (result.row, result.quantity) == (row, quantity) else result
        for result in experiment.results
    ]
    return replace(experiment, results=results)


@pytest.fixture
def images(small_run):
    return small_run[0]


def test_the_page_has_the_sentences_the_tables_and_the_figures(images, tmp_path):
    page = write_images_page(images, tmp_path / "new")
    text = " ".join(html.unescape(page.read_text()).split())
    for sentence in conclusions(images):
        assert sentence in text
    names = {"gains", "denoised-0-3", "denoised-0-5", "generated", "beside"}
    figures = list((tmp_path / "new" / "figures").iterdir())
    assert {file.stem for file in figures} == names
    assert all(file.stat().st_size > 10_000 for file in figures)
    for grid, column in ((denoising_grid(images), 1), (generation_grid(images), 0)):
        assert grid.caption in text
        assert all(row[column] in text for row in grid.rows)


def test_lines_of_the_denoising_table_are_the_results(images):
    lines = {(line[0], line[1]): line for line in denoising_grid(images).rows}
    for sigma, experiment in images.denoising.items():
        assert {row for level, row in lines if level == f"{sigma}"} >= {*KINDS, WIENER, ZEROED}
        for result in experiment.select(PSNR):
            gain = experiment.find(GAIN, result.row)
            found = lines[f"{sigma}", result.row]
            sizes = experiment.select(PARAMETERS, result.row)
            shown = gain.float64 if gain.gateware is None else gain.gateware
            assert found[2] == (sizes[0].float64 if sizes else None)
            assert found[3] == result.reference
            assert found[4] == round(result.float64, 2)
            assert found[5] == (None if result.gateware is None else round(result.gateware, 2))
            assert found[6] == round(result.error, 2)
            assert found[7:9] == (round(shown, 2), round(gain.error, 2))
            assert found[9] is None  # the integer model has no clock


def test_cycles_are_shown_where_there_are_any(images):
    level = images.denoising[0.3]
    level = replace(level, results=list(level.results))
    level.add(QUARTIC, CYCLES, subject=QUARTIC, gateware=1234.4)
    grid = denoising_grid(replace(images, denoising={0.3: level}))
    assert {line[1]: line[9] for line in grid.rows}[QUARTIC] == 1234
    generation = replace(images.generation, results=list(images.generation.results))
    generation.add(SUBSTRATE, CYCLES, subject=SUBSTRATE, gateware=567.0)
    grid = generation_grid(replace(images, generation=generation))
    assert {line[0]: line[6] for line in grid.rows}[SUBSTRATE] == 567


def test_lines_of_the_generation_table_are_the_results(images):
    grid = generation_grid(images)
    assert f"{len(images.labels)} images of each source" in grid.caption
    for line in grid.rows:
        found = [images.generation.find(name, line[0]) for name in (RECOGNISED, SPREAD, NEAREST)]
        values = [
            result.float64 if result.gateware is None else result.gateware for result in found
        ]
        recognised = found[0]
        assert line[1:3] == tuple(
            None if value is None else round(value, 1)
            for value in (recognised.float64, recognised.gateware)
        )
        assert line[3] == round(recognised.error, 1)
        assert line[4:6] == (round(values[1], 3), round(values[2], 3))


def numbers(text: str) -> list[str]:
    return re.findall(r"[+-]?\d+\.\d+", text)


def test_the_first_conclusion_gives_the_gains_with_their_errors(images):
    levels = dict(images.denoising)
    values = iter(np.arange(1.0, 13.0) / 8)
    for sigma in levels:
        for row in (QUARTIC, HIDDEN, ZEROED):
            gain, error = next(values), next(values)
            levels[sigma] = changed(levels[sigma], row, GAIN, gateware=gain, error=error)
    said = conclusions(replace(images, denoising=levels))[0]
    assert said == (
        "Against the Wiener filter the quartic substrate gains +0.12 +- 0.25 dB (+0.38 +- 0.50 dB "
        "with hidden units) at sigma 0.3, +0.88 +- 1.00 dB (+1.12 +- 1.25 dB with hidden units) at "
        "sigma 0.5; the same programs with their couplings zeroed stand at +0.62 +- 0.75 dB, +1.38 "
        "+- 1.50 dB."
    )


def test_the_other_conclusions_give_the_numbers_of_the_generation(images):
    generation = images.generation
    values = {
        (RECOGNISED, SUBSTRATE): 91.5,
        (RECOGNISED, NARROW): 82.5,
        (RECOGNISED, REAL): 98.5,
        (SPREAD, SUBSTRATE): 0.125,
        (SPREAD, REAL): 0.25,
        (SPREAD, GAUSSIAN): 0.375,
        (RECOGNISED, GAUSSIAN): 73.5,
        (RECOGNISED, MATCHED): 64.5,
        (NEAREST, MATCHED): 0.375,
        (NEAREST, SUBSTRATE): 0.5,
    }
    for (quantity, row), value in values.items():
        generation = changed(generation, row, quantity, gateware=value)
    _, recognised, diversity = conclusions(replace(images, generation=generation))
    assert numbers(recognised) == ["91.5", "82.5", "98.5"]
    assert numbers(diversity) == ["0.125", "0.250", "0.375", "73.5", "64.5", "0.375", "0.500"]


def test_captions_give_the_numbers_beside_the_pictures(images, tmp_path):
    page = write_images_page(images, tmp_path).read_text()
    recognised = images.generation.find(RECOGNISED, SUBSTRATE).gateware
    assert f"{recognised:.1f} % of all {len(images.labels)} are recognised" in page
    assert "The first 12 held-out digits" in page
