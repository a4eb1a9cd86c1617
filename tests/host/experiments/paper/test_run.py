# SPDX-License-Identifier: Apache-2.0
"""All experiments on a small network: rows and columns."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.experiments.common import Experiment, documents
from ornstein.host.experiments.paper import run
from ornstein.host.experiments.paper.conclusions import paragraphs
from ornstein.host.experiments.paper.deficit import signal_deficit
from ornstein.host.experiments.paper.gateware import gateware_runner
from ornstein.host.experiments.paper.relaxation import relaxation
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
    (failed,), _ = run.run_paper([Subject(TRAINED, TrainedModel.load())], "model")
    assert (failed.key, failed.title) == ("A", "Quartic check")
    assert failed.results[0].note == "M is not positive definite"
    page = write_paper([failed], "", tmp_path).read_text()
    assert "It cannot run on this network: M is not positive definite." in page


def test_results_do_not_depend_on_the_number_of_processes(monkeypatch, small):
    monkeypatch.setattr(run, "EXPERIMENTS", (signal_deficit, relaxation))
    (alone, source), (together, same_source) = (
        run.run_paper([small], "rtl", 1, processes=processes) for processes in (1, 2)
    )
    assert documents(together) == documents(alone)
    assert [experiment.arrays.keys() for experiment in together] == [
        experiment.arrays.keys() for experiment in alone
    ]
    assert same_source == source and source.compared > 2


def test_what_measures_this_machine_runs_in_this_process(monkeypatch, small):
    def measures(subjects, runner, seed, say):
        return Experiment("A", str(os.getpid()))

    def computes(subjects, runner, seed, say):
        return Experiment("B", str(os.getpid()))

    def draws(subjects, runner, seed, say):
        return Experiment("C", str(os.getpid()))

    monkeypatch.setattr(run, "EXPERIMENTS", (measures, computes, draws))
    monkeypatch.setattr(run, "ALONE", (measures,))
    told = []
    found, _ = run.run_paper([small], "model", 1, lambda *what: told.append(what), processes=2)
    here, *elsewhere = (experiment.title for experiment in found)
    assert here == str(os.getpid()) and here not in elsewhere
    assert [what[1:] for what in told] == [(1, 3), (2, 3), (3, 3)]


def test_an_error_in_another_process_ends_all_of_them(monkeypatch, small):
    def mismatch(subjects, runner, seed, say):
        raise ModelMismatchError("the device and the integer model differ")

    def endless(subjects, runner, seed, say):
        time.sleep(3600)

    monkeypatch.setattr(run, "EXPERIMENTS", (endless, mismatch))
    with pytest.raises(ModelMismatchError, match="the integer model differ"):
        run.run_paper([small], "model", 1, processes=2)


KILLED = """
import os, signal, time
from ornstein.host.experiments.paper import run

def ends(subjects, runner, seed, say):
    os.kill(os.getppid(), signal.SIGKILL)

def endless(subjects, runner, seed, say):
    time.sleep(3600)

run.EXPERIMENTS = endless, ends
run.run_paper([], "model", processes=2)
"""


def test_processes_end_when_the_first_one_is_killed():
    """They hold its standard output, so that reading to the end takes until they have ended."""
    command = [sys.executable, "-c", KILLED]
    found = subprocess.run(command, capture_output=True, timeout=120)
    assert found.returncode == -signal.SIGKILL


def test_a_device_that_one_may_open_runs_everything_in_one_process(monkeypatch, small, tmp_path):
    def process(subjects, runner, seed, say):
        return Experiment("A", str(os.getpid()))

    monkeypatch.setattr(run, "EXPERIMENTS", (process, process))
    monkeypatch.setattr(run, "gateware_runner", lambda uri, seed: gateware_runner("model", seed))
    for uri in "serial:auto", f"rtl?waves={tmp_path / 'run.fst'}":
        found, _ = run.run_paper([small], uri, processes=2)
        assert [experiment.title for experiment in found] == 2 * [str(os.getpid())]
