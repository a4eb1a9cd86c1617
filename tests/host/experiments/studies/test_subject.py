# SPDX-License-Identifier: Apache-2.0
"""What is studied: the undisturbed program, its score and its fingerprint."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.compiler import compile_first
from ornstein.host.compile.formats import MARGIN
from ornstein.host.experiments.studies import mixing, temperature, wiring
from ornstein.host.experiments.studies.subject import (
    ALIGNED,
    FULL,
    IDEAL,
    PAPER,
    PROGRAMS,
    Subject,
    biased,
    full_scale,
    run,
    summary,
)
from ornstein.host.models.model_file import TrainedModel


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_undisturbed_program_is_the_demo_s(subject, baseline, program, generators):
    for measure in (wiring.measure, temperature.measure, mixing.measure):
        row = measure(subject, generators(2), program=program, axis=IDEAL, value=0.0)
        assert row["centred"] == baseline[program] and row["error"] is None


def test_the_fingerprint_does_not_depend_on_the_number_of_threads(subject):
    with threadpool_limits(2):
        assert Subject.fit(subject.model).fingerprint == subject.fingerprint


def test_a_summary_is_the_mean_its_standard_error_and_all_draws():
    found = summary("model", [0.5, 0.7, 0.9], kT=2.0)
    assert found == {
        "device": "model",
        "draws": 3,
        "centred": pytest.approx(0.7),
        "error": pytest.approx(0.2 / np.sqrt(3)),
        "scores": [0.5, 0.7, 0.9],
        "kT": 2.0,
    }
    assert summary("model", [0.5])["error"] is None


def test_the_score_is_one_for_the_targets_and_not_for_others(subject):
    targets = subject.model.y_test
    assert subject.score(targets) == pytest.approx(1)
    assert subject.score(np.roll(targets, 1, axis=0)) < 0.9


def test_the_fingerprint_changes_with_the_couplings(subject):
    recipe = subject.recipes[ALIGNED]
    energy = wiring.varied(recipe.energy, 1e-6, np.random.default_rng(0))
    other = Subject(subject.model, subject.recipes | {ALIGNED: replace(recipe, energy=energy)})
    assert other.fingerprint != subject.fingerprint


def test_biases_as_inputs_give_the_score_of_the_interface(subject):
    recipe = subject.recipes[ALIGNED]
    training, held_out = (recipe.biases(x) for x in (subject.model.x_train, subject.model.x_test))
    program = compile_first(biased(recipe, subject.model), REFERENCE, training)
    score = subject.score(program.problem.decode(run(program, held_out)))
    assert score == pytest.approx(subject.relaxed(recipe), abs=2e-3)


def test_the_units_of_a_module_share_a_range_that_holds_their_values(subject):
    recipe = subject.recipes[FULL]
    values = np.zeros((2, recipe.energy.units))
    values[1, 3], values[0, -1] = -2.0, 4.0
    ranges = full_scale(recipe, values)
    first, second = recipe.energy.slices.values()
    assert set(ranges[first]) == {MARGIN * 2.0} and set(ranges[second]) == {MARGIN * 4.0}


def test_programs_that_cannot_run_are_left_out_of_a_study():
    """A convolution of few inputs has no Gram matrix, and the aligned skip needs none."""
    model = TrainedModel.load()
    narrow = replace(model, W_enc=model.W_enc[:, :5, :1, :1])
    subject = Subject.fit(narrow)
    assert list(subject.recipes) == [ALIGNED] and set(subject.left_out) == {FULL, PAPER}
    assert "need 64 columns" in subject.left_out[FULL]
