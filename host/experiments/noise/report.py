# SPDX-License-Identifier: Apache-2.0
"""The page of ``ornstein noise``."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ornstein.boards import MAC16_LIMIT_MHZ
from ornstein.host.experiments.noise.run import (
    EXPECTED_FAILURES,
    LAGS,
    PERIOD,
    STREAMS,
    NoiseReport,
)
from ornstein.host.experiments.prose import Prose
from ornstein.host.pages.page import (
    BLUE,
    GREY,
    Exhibit,
    Grid,
    Section,
    house_style,
    new_figure,
    write_page,
)

PROSE = Prose("ornstein.host.experiments.noise")
_DRAWS_A_YEAR = 365.25 * 24 * 3600 * 1e6 * MAC16_LIMIT_MHZ
"""Of a generator that draws in every cycle of an iCE40UP5K's fastest clock."""


def write_noise_page(result: NoiseReport, folder: Path) -> Path:
    """Writes report.html and figures/*.png into ``folder``; returns the path of the page."""
    deviations = [moment.deviation for moment in result.moments]
    linear = [test for test in result.tests if test.name in EXPECTED_FAILURES]
    others = [test for test in result.tests if test not in linear]
    sections = [
        Section(
            "Moments",
            [PROSE("moments", largest=float(np.abs(deviations).max()), count=len(deviations))],
            [moment_grid(result)],
        ),
        Section(
            "Correlations",
            [PROSE("correlations", least=min(each.p_value for each in result.correlations))],
            [correlation_grid(result)],
            [_lags(result)],
        ),
        Section(
            "Random bits",
            [
                PROSE("tests", passed=sum(test.passed for test in others), count=len(others)),
                PROSE("linear"),
                dieharder_sentence(result),
                PROSE("surprises", names=[test.name for test in result.surprises]),
            ],
            [test_grid(result)],
        ),
        Section("Period", [PROSE("period", years=PERIOD / _DRAWS_A_YEAR, rate=MAC16_LIMIT_MHZ)]),
    ]
    summary = PROSE("summary", draws=result.draws, streams=STREAMS, seed=result.seed)
    return write_page(folder, "The noise of the fabric", summary, sections)


def dieharder_sentence(result: NoiseReport) -> str:
    """Returns what dieharder read, or how to run it."""
    return PROSE("dieharder", state=result.dieharder, given=result.dieharder_bytes)


def moment_grid(result: NoiseReport) -> Grid:
    """Returns the table of moments."""
    return Grid(
        "Moments of the variable and of sums of successive draws",
        ("of", "measured", "exact", "standard error", "deviation"),
        [
            (each.name, each.value, each.expected, each.error, round(each.deviation, 2))
            for each in result.moments
        ],
    )


def correlation_grid(result: NoiseReport) -> Grid:
    """Returns the table of correlations."""
    return Grid(
        "Correlations, in standard errors",
        ("of", "number", "largest", "p-value"),
        [
            (each.name, len(each.deviations), round(each.largest, 2), round(each.p_value, 4))
            for each in result.correlations
        ],
    )


def test_grid(result: NoiseReport) -> Grid:
    """Returns the table of tests."""

    def outcome(test) -> str:
        if test.name in EXPECTED_FAILURES:
            return "passed, which is not expected" if test.passed else "failed, as it must"
        return "passed" if test.passed else "failed"

    return Grid(
        "Tests of the bits that draws use",
        ("test", "suite", "p-value", "control", "outcome"),
        [
            (test.name, test.suite, f"{test.p_value:.4f}", _text(test.control), outcome(test))
            for test in result.tests
        ],
    )


def _text(p_value: float | None) -> str:
    return "-" if p_value is None else f"{p_value:.4f}"


@house_style
def _lags(result: NoiseReport) -> Exhibit:
    """Autocorrelations of the variable, with two standard errors."""
    figure: Figure = new_figure(2.6)
    axes = figure.subplots()
    deviations = result.correlations[0].deviations
    axes.axhspan(-2, 2, color=GREY, alpha=0.3, linewidth=0)
    axes.bar(np.arange(1, LAGS + 1), deviations, color=BLUE, width=0.7)
    axes.set(xlabel="lag in draws", ylabel="correlation in standard errors", xlim=(0, LAGS + 1))
    beyond = sum(abs(each) > 2 for each in deviations)
    caption = (
        f"Correlation of the variable with itself some draws later. {beyond} of {LAGS} lie beyond "
        f"two standard errors (grey); chance puts {0.0455 * LAGS:.1f} there."
    )
    return Exhibit("lags", "Correlation of successive draws", figure, caption)
