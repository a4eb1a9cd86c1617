# SPDX-License-Identifier: Apache-2.0
"""All experiments on a small network: rows and columns."""

import numpy as np

from ornstein.host.experiments.common import documents
from ornstein.host.experiments.paper import run
from ornstein.host.experiments.paper.conclusions import paragraphs
from ornstein.host.experiments.paper.report import write_paper
from ornstein.host.experiments.paper.subjects import TRAINED, Subject
from ornstein.host.models.model_file import TrainedModel
from ornstein.sim.energy import EnergyError


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


def test_an_experiment_that_cannot_run_says_why(monkeypatch, tmp_path):
    def quartic_check(subjects, runner, seed, say):
        raise EnergyError("M is not positive definite")

    monkeypatch.setattr(run, "EXPERIMENTS", (quartic_check,))
    (failed,) = run.run_paper([Subject(TRAINED, TrainedModel.load())], None)
    assert (failed.key, failed.title) == ("A", "Quartic check")
    assert failed.results[0].note == "M is not positive definite"
    page = write_paper([failed], "", tmp_path).read_text()
    assert "It cannot run on this network: M is not positive definite." in page
