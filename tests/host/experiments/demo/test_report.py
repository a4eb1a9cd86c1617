# SPDX-License-Identifier: Apache-2.0
"""The report of a small made-up demo: what is written, that it stands alone, and the terminal's
table.
"""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from helpers.pages import page_words, plots, without_scripts
from helpers.programs import clipping_program
from ornstein.hdl.config import preset
from ornstein.host.experiments.demo.figures import exhibits
from ornstein.host.experiments.demo.report import print_table, write_report
from ornstein.host.experiments.demo.run import (
    CONSTANT,
    FIT,
    RANK,
    SHUFFLED,
    TIME_STEP,
    Demo,
    ErrorShare,
    Failure,
    Need,
    Row,
)
from ornstein.host.models.recipes import (
    ALIGNED,
    FULL,
    PAPER,
    PAPER_ORACLE,
    PAPER_SKIP,
    REFITTED,
    ZEROED,
)

FULL_NAME, ALIGNED_NAME = "ours, full interface", "ours, aligned skip"
FIGURES = {"scores", "targets", "relaxation", "covariance", "errors", "needs"}


def figures(demo):
    """Names of the figures that a demo has the data of."""
    return {exhibit.name for exhibit in exhibits(demo)}


def _row(recipe, key="", variant="", device="rtl", centred=0.99, r2=0.98, kT=0.0, **fields):
    values = (
        {
            "weights": 2560,
            "constants": 256,
            "dt": 1.001,
            "steps": 58,
            "samples": 16,
            "cycles": 1982432,
            "saturations": 0,
            "utilisation": 0.99,
            "equals_model": True,
        }
        if device == "rtl"
        else {}
    )
    return Row(
        recipe,
        device,
        0.9912,
        centred,
        r2,
        0.984,
        key=key,
        variant=variant,
        **{"kT": kT if device else None, **values, **fields},
    )


@pytest.fixture(scope="module")
def demo():
    rng = np.random.default_rng(3)
    target = rng.normal(size=(20, 8)) + 2
    steps = np.arange(1, 101)
    theory = 0.9**steps
    samples = rng.normal(size=(4000, 6))
    return Demo(
        device="rtl",
        rows=[
            _row("constant mean", CONSTANT, device=None, centred=0.0, r2=0.0),
            _row(
                f"{FULL_NAME}, shuffled targets",
                FULL,
                SHUFFLED,
                device=None,
                centred=-0.05,
                r2=-0.9,
            ),
            _row("paper's oracle", PAPER_ORACLE, centred=0.43, r2=-2.0089),
            _row("paper's recipe", PAPER, centred=0.35, r2=-2.155),
            _row("paper's skip only", PAPER_SKIP, centred=-0.08, r2=-229.07),
            _row("a <b>bold</b> & $dollar$ [red]recipe[/red]"),
            _row(FULL_NAME, FULL, centred=0.9942, r2=0.9958),
            _row("ours, refitted uncoupled", FULL, REFITTED, centred=0.9941),
            _row(f"{FULL_NAME}, couplings zeroed", FULL, ZEROED, centred=0.361, r2=-3.65),
            _row(ALIGNED_NAME, ALIGNED, centred=0.9879),
            _row(f"{ALIGNED_NAME}, couplings zeroed", ALIGNED, ZEROED, centred=0.0, r2=-0.00001),
            _row(FULL_NAME, FULL, device="float:exact", centred=0.9944, r2=0.9959),
            _row(FULL_NAME, FULL, centred=0.9877, kT=1e-5, steps=33746, samples=33704),
        ],
        errors=[
            ErrorShare(FULL, FULL_NAME, FIT, 0.064),
            ErrorShare(FULL, FULL_NAME, RANK, 1.5e-4, {"rank": 16, "lost": [0.31, 0.32]}),
            ErrorShare(FULL, FULL_NAME, TIME_STEP, 0.0, {"integrator": "LM", "dt": 1.001}),
            ErrorShare(ALIGNED, "aligned <i>", FIT, 0.098),
            ErrorShare(ALIGNED, "aligned <i>", TIME_STEP, 0.0, {"integrator": "LM", "dt": 1.0}),
        ],
        needs=[
            Need(key, name, kT, 4.9, 42, int(1e6 * kT * scale) + 1)
            for key, name, scale in ((FULL, FULL_NAME, 100), (ALIGNED, ALIGNED_NAME, 1))
            for kT in (1e-3, 0.1, 1.0)
        ],
        ranges={FULL_NAME: clipping_program().ranges},
        provenance={
            "command": "ornstein train --seed 0",
            "losses": [0.5 / n for n in range(1, 13)],
            "versions": {"torch": "2.9"},
        },
        fabric=preset("tiny"),
        target=target,
        predictions={
            FULL: target + 0.05 * rng.normal(size=target.shape),
            ALIGNED: target + 0.1 * rng.normal(size=target.shape),
        },
        centre=np.full(8, 2.0),
        distance=np.hypot(theory, 0.01),
        distance_theory=theory,
        covariance=np.cov(samples.T),
        covariance_exact=np.eye(6),
        covariance_floor=0.04,
    )


@pytest.fixture(scope="module")
def page(demo, tmp_path_factory):
    path = write_report(demo, tmp_path_factory.mktemp("report") / "new" / "folder")
    assert path.name == "report.html"
    return path


def test_every_figure_is_a_file_and_in_the_page(demo, page):
    assert figures(demo) == FIGURES
    files = list((page.parent / "figures").iterdir())
    assert {file.stem for file in files} == FIGURES
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert len(plots(page)) == len(FIGURES) + 3  # three of them have two panels


def test_the_page_stands_alone(page):
    text = without_scripts(page)
    assert "src=" not in text
    assert all(link.startswith("#section-") for link in re.findall(r'href="([^"]*)', text))
    for word in (
        "http:",
        "https:",
        "file:",
        "url(",
        "@import",
        "<link",
        str(page.parent),
        "/home",
        "/tmp",
    ):
        assert word not in text


def test_every_row_and_its_numbers_are_in_the_page(demo, page):
    text = page_words(page)
    for row in demo.rows:
        assert row.recipe in text
    for number in (
        "0.9942",
        "-2.0089",
        "-229",
        "98.4%",
        "2,560 + 256",
        "1.001",
        "33,704",
        "1,982,432",
        "1e-5",
    ):
        assert number in text
    assert "-0.0000" not in text
    assert "None" not in text and "nan" not in text.split()


def test_tables_beside_the_rows(page):
    text = page_words(page)
    for words in (
        "fit 0.064 the fit's own error: float64 closed form against the targets",
        "rank 0.00015 Gram terms cut to rank 16, which drops 31% and 32% of their norm;",
        "time step 0 relative error of the covariance of LM at dt = 1.0010;",
        "aligned <i>",
        "ours, full interface 1 42 100,000,001",
        "time step 0 5 10 0.004883 - 1 1.001 0.098%",
        "state -2.501e5 2.501e5 16 0.0004883 25.0% - - -",
        "command ornstein train --seed 0",
        "losses 12 values, 0.5 first, 0.04167 last",
        "versions: torch 2.9",
        "name tiny",
        "factor width 12",
        "build hash",
    ):
        assert words in text, words


def test_names_are_escaped(page):
    source = page.read_text()
    assert "a &lt;b&gt;bold&lt;/b&gt; &amp; $dollar$" in source
    assert "<b>bold" not in source and "aligned <i>" not in source


def test_conclusions_follow_the_data(demo, page, tmp_path):
    text = page_words(page)
    assert (
        "In our full interface the couplings do no work. Refitted without any coupling, the same "
        "weights score 0.9941 instead of 0.9942"
    ) in text
    assert (
        "In the aligned program the couplings do the work. Zeroing its couplings takes the centred "
        "cosine from 0.9879 to 0.0000"
    ) in text
    assert "does not give the details of its training" in text
    assert "No value saturated." in text and "all were equal in every bit" in text

    worse = {
        (FULL, REFITTED): {"centred_cosine": 0.7},
        (ALIGNED, ZEROED): {"centred_cosine": 0.9879},
        (PAPER_ORACLE, ""): {"saturations": 7},
    }
    changed = replace(
        demo,
        rows=[replace(row, **worse.get((row.key, row.variant), {})) for row in demo.rows],
        target=None,
        distance=None,
        covariance=None,
        errors=[],
        needs=[],
    )
    text = page_words(write_report(changed, tmp_path))
    assert "In our full interface the couplings do a part of the work." in text
    assert "In the aligned program the couplings do no work here." in text
    assert "Together they saturated 7 times." in text


def test_captions_are_computed(page):
    text = page_words(page)
    assert "4 bars are cut at -1" in text
    assert re.search(r"follows it to within 5\.\d+%", text)
    assert "stays within 5% of 0.01:" in text
    assert (
        "At kT = 1, ours, full interface takes 100,000,001 and ours, aligned skip 1,000,001, 100 "
        "times fewer" in text
    )


def test_what_a_demo_lacks_is_left_out(tmp_path):
    empty = Demo()
    assert figures(empty) == set()
    text = page_words(write_report(empty, tmp_path / "empty"))
    assert (
        "Its files do not say how it was made." in text
        and "The fabric" not in text
        and "Scores" not in text
    )

    bare = Demo(rows=[_row("constant mean", CONSTANT, device=None, centred=0.0, r2=0.0)])
    assert figures(bare) == {"scores"}
    text = page_words(write_report(bare, tmp_path / "bare"))
    assert "constant mean - 0.9912 0.0000 0.0000 98.4% - - - - - - - - -" in text


def test_relaxation_without_a_floor(demo, tmp_path):
    bare = Demo(distance=demo.distance_theory * 1.001, distance_theory=demo.distance_theory)
    text = page_words(write_report(bare, tmp_path))
    assert "Throughout (all 100 steps), the device follows it to within 0.1%." in text
    assert "floor" not in text


def test_the_same_demo_gives_the_same_page(demo, page, tmp_path):
    assert write_report(demo, tmp_path).read_bytes() == page.read_bytes()


@pytest.mark.parametrize("width", [100, 140])
def test_table_fits_the_terminal(demo, width):
    console = Console(file=io.StringIO(), width=width)
    print_table(demo, console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    assert "[red]recipe[/red]" in text.replace("\n", " ")
    full = next(line for line in lines if line.startswith(FULL_NAME) and "1.98M" in line)
    digits = ("0.9942", "0.9958") if width == 140 else ("0.994", "0.996")
    assert all(
        number in full.split() for number in ("98.4%", "2,560", "1.001", "58", "16", "0", *digits)
    )
    assert any("-229" in line.split() for line in lines)
    assert re.search(r"constant mean.*98\.4%( +-){7}", text)
    assert ("rtl" in full.split()) == (width == 140)
    assert ("[rtl]" in text) == (width == 100)


def test_a_narrow_terminal_gets_the_columns_that_matter(demo):
    console = Console(file=io.StringIO(), width=80)
    print_table(demo, console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "…" not in text
    headings = " ".join(lines[:2]).split()
    assert sorted(headings) == sorted(
        ["centred", "recipe", "cosine", "R2", "top-1", "weights", "kT"]
    )
    full = next(line for line in lines if line.startswith(f"{FULL_NAME} [rtl]"))
    assert full.removeprefix(f"{FULL_NAME} [rtl]").split() == [
        "0.994",
        "0.996",
        "98.4%",
        "2,560",
        "0",
    ]
    assert any(line.startswith(f"{FULL_NAME} [float:exact]") for line in lines)


def test_ours_is_highlighted_in_the_terminal(demo):
    console = Console(file=io.StringIO(), width=140, force_terminal=True, color_system="standard")
    print_table(demo, console)
    styled = [line for line in console.file.getvalue().splitlines() if "\x1b[1;36m" in line]
    assert len(styled) == sum(row.recipe in (FULL_NAME, ALIGNED_NAME) for row in demo.rows)


def test_what_cannot_run_is_listed_with_its_reason(demo, tmp_path):
    failed = replace(demo, failures=[Failure("paper <b>", "rtl", "does not [fit]")])
    page = write_report(failed, tmp_path).read_text()
    assert "Cannot run on this network" in page and "paper &lt;b&gt;" in page
    console = Console(record=True, width=120, file=io.StringIO())
    print_table(failed, console)
    assert "paper <b> [rtl] cannot run: does not [fit]" in console.export_text()
