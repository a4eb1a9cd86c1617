# SPDX-License-Identifier: Apache-2.0
"""Figures are drawn, and captions follow the numbers."""

from dataclasses import replace

import pytest

from ornstein.host.experiments.paper import relaxation, sampling, short_run, skip
from ornstein.host.experiments.paper.figures import exhibits
from ornstein.host.experiments.scores import CENTRED, COSINE


def _changed(experiment, quantity, case=None, **values):
    """The experiment with other values in the results of a quantity."""
    results = [
        replace(result, **values)
        if result.quantity == quantity and case in (None, result.case)
        else result
        for result in experiment.results
    ]
    return replace(experiment, results=results)


@pytest.mark.parametrize(
    ("letter", "quantity", "column", "value", "words"),
    [
        ("A", skip.SHIFT_SPREAD, "float64", 12.34, "over them: 12.3% of the mean"),
        ("A", skip.SHIFT, "gateware", 1e3, "of float64 throughout"),
        ("C", COSINE, "float64", 0.5, "the number is their value"),
        ("E", "correct / naive bias, encoder", "float64", 12.3, "by 12.3 (trained"),
        ("F", "interface, 8-bit integers, J", "float64", 1.0, "times the floor"),
        ("G", relaxation.DEPARTURE, "gateware", 0.5, "within 50%"),
        ("H", sampling.VARIANCE, "gateware", 1e9, "standard errors off"),
        ("I", f"{short_run.AVERAGE}, {CENTRED}", "gateware", 0.21, "is 0.21 to 0.21"),
    ],
)
def test_captions_follow_the_numbers(everything, letter, quantity, column, value, words):
    experiment = next(experiment for experiment in everything if experiment.key == letter)
    before = " ".join(exhibit.caption for exhibit in exhibits(experiment))
    changed = _changed(experiment, quantity, **{column: value})
    after = " ".join(exhibit.caption for exhibit in exhibits(changed))
    assert words in after
    assert after != before or letter == "C"  # its caption turns on which row is the higher one
