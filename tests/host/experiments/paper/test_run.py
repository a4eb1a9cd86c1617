# SPDX-License-Identifier: Apache-2.0
"""All experiments on a small network: rows and columns."""

import numpy as np

from ornstein.host.experiments.common import documents
from ornstein.host.experiments.paper.conclusions import paragraphs


def test_every_experiment_has_results_in_the_schema(everything):
    assert [experiment.key for experiment in everything] == list("ABCDEFGHI")
    for experiment in everything:
        assert paragraphs(experiment) and experiment.results
        for document in documents([experiment]):
            numbers = [document.pop(name) for name in ("paper", "float64", "gateware", "error")]
            assert all(isinstance(text, str) for text in document.values())
            assert all(
                number is None or (isinstance(number, float) and np.isfinite(number))
                for number in numbers
            )
            assert (
                any(number is not None for number in numbers) or document["note"]
            )  # nothing, but it says why


def test_rows_are_unique(everything):
    names = [
        (result.experiment, result.row, result.quantity) for e in everything for result in e.results
    ]
    assert len(names) == len(set(names))
