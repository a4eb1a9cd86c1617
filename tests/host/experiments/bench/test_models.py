# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of the integer model: each figure is what was measured over the right peer."""

import pytest

from ornstein.host.experiments.bench import models
from ornstein.host.experiments.bench.figures import figure
from ornstein.host.experiments.bench.programs import random_biases


@pytest.fixture(scope="module")
def inputs(program):
    return random_biases(program.problem.energies[0].units, 6)


def test_speeds_are_steps_of_all_inputs_over_the_seconds_of_each_peer(program, inputs, monkeypatch):
    seconds = iter((2.0, 1.0, 8.0))  # the model, float64, the gateware
    ran = []
    monkeypatch.setattr(
        models, "core_seconds", lambda action: (ran.append(action), next(seconds))[1]
    )
    monkeypatch.setattr(
        models, "gain_figure", lambda name, *args: figure(name, 1.5, 2.0, inputs=1, cores=2)
    )
    over_float, gain, over_rtl = models.model_figures(program, inputs, lambda what: None)
    steps = models.BATCH * program.problem.steps
    assert over_float.value == over_rtl.value == steps / 2
    assert over_float.reference == steps and over_float.ratio == 0.5
    assert over_rtl.reference == len(inputs) * program.problem.steps / 8
    assert gain.name == "model_all_cores" and f"a batch of {models.BATCH}" in over_float.note
    assert len(ran) == 3


def test_memory_growth_is_counted_from_a_tenth_of_the_stream_to_its_end(monkeypatch):
    readings = iter((120.0, 123.5))
    monkeypatch.setattr(models, "resident_memory", lambda: next(readings))
    (row,) = models.memory_figures(lambda what: None, count=400, block=10)
    assert row.value == 3.5 and row.reference is None
    assert "from input 40 to input 400" in row.note


def test_resident_memory_follows_what_the_process_takes():
    before = models.resident_memory()
    taken = bytearray(64 << 20)
    taken[:: 1 << 12] = bytes(len(taken[:: 1 << 12]))  # touches every page
    assert before > 10
    assert models.resident_memory() >= before
