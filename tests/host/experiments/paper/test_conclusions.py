# SPDX-License-Identifier: Apache-2.0
"""Conclusions follow the numbers that they name."""

from dataclasses import replace

import pytest

from ornstein.host.experiments.paper import (
    energy_account,
    quartic,
    relaxation,
    sampling,
    short_run,
    sweep,
)
from ornstein.host.experiments.paper.conclusions import paragraphs
from ornstein.host.experiments.scores import CENTRED, COSINE
from ornstein.host.models import recipes


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
    ("letter", "quantity", "case", "column", "value", "words"),
    [
        ("B", sweep.DECODER_COSINE, sweep.Encoder(sweep.LINEAR, 8), "float64", 0.1234, "0.1234"),
        ("B", sweep.DECODER_COSINE, sweep.Encoder(sweep.NONE), "float64", 0.2345, "0.2345"),
        ("B", sweep.DECODER_COSINE, sweep.Encoder(sweep.CONSTANT), "float64", 0.3456, "0.3456"),
        ("C", COSINE, "full", "float64", 0.1234, "cosine of 0.1234"),
        ("C", COSINE, "constant mean", "float64", 0.2345, "nothing of the input, 0.2345"),
        ("C", CENTRED, "full", "float64", 0.345, "keeps 0.345"),
        ("C", CENTRED, "ours, closed form", "gateware", 0.456, "(0.456 on the gateware)"),
        ("C", "parameters", "ours, closed form", "float64", 1234.0, "of 1,234 weights"),
        ("D", quartic.DIFFERENCE, quartic.RANDOM, "float64", 0.321, "by 32.1%"),
        ("D", quartic.DIFFERENCE, quartic.SCRIPT_ENERGY, "float64", 0.432, "too: 43.2%"),
        ("D", quartic.TO_MINIMUM, quartic.RANDOM, "gateware", 0.0123, "an rms of 0.012"),
        ("D", quartic.DIFFERENCE, quartic.WARM, "gateware", 1e6, "standard errors from where"),
        ("E", "correct / naive bias, encoder", None, "float64", 20.0, "ratio is 20.0, 130 to 130"),
        ("F", energy_account.GAIN, None, "float64", 1.7e12, "gain of 1.7e+12, or 1.7e+09"),
        ("F", "GPU / interface, 8-bit integers", None, "float64", 2.7e5, "allow 2.7e+05"),
        ("F", energy_account.ICEBREAKER_JOULES, recipes.FULL, "float64", 4e-6, "4e-06 J for"),
        ("G", relaxation.STEPS_TO, None, "gateware", 7.0, "is reached in 7 ("),
        ("H", sampling.SQUARED_ERROR, None, "gateware", 1e9, "standard errors from it"),
        ("H", sampling.STEPS_NEEDED, (recipes.ALIGNED, 1.0), "float64", 4321, "for 4,321 averaged"),
        ("H", sampling.STEPS_NEEDED, (recipes.FULL, 1.0), "float64", 8765, "8,765 for states"),
        ("I", f"{short_run.LAST}, {CENTRED}", None, "gateware", 0.111, "of 0.111 to 0.111"),
        ("I", sampling.STEPS_NEEDED, recipes.FULL, "float64", 9e9, "to 9,000,000,000"),
    ],
)
def test_conclusions_follow_the_numbers(everything, letter, quantity, case, column, value, words):
    """A conclusion changes with each number that it names."""
    experiment = next(experiment for experiment in everything if experiment.key == letter)
    before = " ".join(paragraphs(experiment))
    after = " ".join(paragraphs(_changed(experiment, quantity, case, **{column: value})))
    assert words in after and after != before
