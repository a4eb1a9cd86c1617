# SPDX-License-Identifier: Apache-2.0
"""``ornstein score`` on a network that nobody here trained: rows are what they say, baselines that
cannot run keep their row, and programs that know nothing are told so.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.command_line import failure
from ornstein.hdl.config import TINY, preset
from ornstein.host.experiments.common import Runner
from ornstein.host.experiments.score import command
from ornstein.host.experiments.score.run import (
    CONSTANT,
    RIDGE,
    score_network,
    score_program,
)
from ornstein.host.experiments.scores import constant_mean
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.rank import choose_rank, full_rank
from ornstein.host.models.run import compile_recipe

DATA = Path(__file__).parents[2] / "data"
WEIGHTS, ACTIVATIONS = DATA / "terrain_l32.safetensors", DATA / "terrain_l32.npz"


@pytest.fixture(scope="module")
def model():
    return TrainedModel.load(WEIGHTS, activations=ACTIVATIONS)


@pytest.fixture(scope="module")
def scores(model):
    with Runner("model") as runner:
        return score_network(model, runner, 32)


def find(scores, name):
    return next(row for row in scores.rows if row.name == name)


def test_a_foreign_network_needs_no_option(model, scores):
    """No digital weight, within 0.005 of ridge regression's centred cosine."""
    ridge, aligned = find(scores, RIDGE), find(scores, "ours, aligned skip")
    assert aligned.weights == 0 and aligned.device == "model"
    assert aligned.scores.centred_cosine > ridge.scores.centred_cosine - 0.005
    assert 0.80 < ridge.scores.centred_cosine < 0.90
    assert find(scores, CONSTANT).scores == constant_mean(model.y_test, model.y_train.mean(axis=0))


def test_a_held_out_input_out_of_range_is_the_reason_of_a_row(model):
    """Whether ``ornstein score`` compiles the programs or ``ornstein compile`` has done so."""
    far = replace(
        model, x_test=model.x_test * np.where(np.arange(len(model.x_test)) == 3, 1e3, 1)[:, None]
    )
    program = compile_recipe(recipes.ours_aligned(far), far, preset("reference"))
    with Runner("model") as runner:
        rows = [score_program(program, far, 16).rows[-1], *score_network(far, runner, 16).rows[-3:]]
    assert all(row.scores is None and "cannot run: input 3 is" in row.note for row in rows)


def test_ridge_regression_is_the_linear_map_of_full_rank(model, scores):
    x, y = model.x_train, model.y_train
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    full = recipes.align_pair(model, full_rank(model)).linear_map(model.x_test)
    linear, *_ = np.linalg.lstsq(standard, y - y.mean(axis=0), rcond=None)
    unpenalised = (model.x_test - x.mean(axis=0)) / x.std(axis=0) @ linear + y.mean(axis=0)
    error = np.sum((unpenalised - full) ** 2) / np.sum((model.y_test - full) ** 2)
    assert find(scores, RIDGE).scores.r2 == pytest.approx(
        1 - np.sum((full - model.y_test) ** 2) / np.sum((model.y_test - y.mean(axis=0)) ** 2)
    )
    assert error < 0.1


def test_the_chosen_rank_loses_little(model):
    rank = choose_rank(model)
    assert rank < full_rank(model)
    with Runner("model") as runner:
        chosen = find(score_network(model, runner, rank), "ours, aligned skip").scores
    assert chosen.r2 > 0.89


def test_a_program_that_does_not_fit_keeps_its_row(model):
    with Runner("model:tiny", fabric=TINY) as runner:
        rows = score_network(model, runner, 16).rows
    assert [row.scores is None for row in rows] == [False] * 3 + [True] * 3
    assert all("cannot run" in row.note for row in rows[3:])
    assert "fabric 'bitsy' holds it" in rows[3].note


def test_activations_without_relation_are_warned_of(model):
    rng = np.random.default_rng(0)
    y_train, y_test = (rng.normal(size=part.shape) for part in (model.y_train, model.y_test))
    with Runner("model") as runner:
        found = score_network(replace(model, y_train=y_train, y_test=y_test), runner, 8)
    assert any(
        line.startswith("ours, aligned skip is no better than the constant mean")
        for line in found.warnings
    )


def test_the_command_writes_what_it_shows(tmp_path, capsys):
    command.score_command(WEIGHTS, [ACTIVATIONS], rank=64, json_file=tmp_path / "scores.json")
    (skip,) = json.loads((tmp_path / "scores.json").read_text())
    assert skip["rank"] == 32
    shown = capsys.readouterr()
    assert "--rank 64 acts as 32" in shown.err
    for row in skip["rows"]:
        assert f"{row['centred_cosine']:.4f}" in shown.out


def test_unknown_layers_are_one_line():
    code, line = failure("score", WEIGHTS, "--activations", ACTIVATIONS, "--skip", "input:output")
    assert code == 6 and "no layer input; it has network" in line


@pytest.mark.parametrize(("kT", "run"), [(0.0, True), (1.0, False)])
def test_a_compiled_program_is_scored_beside_the_references(model, scores, kT, run):
    """One too long to run is scored by the closed form of the couplings that it realises."""
    samples = 1 if run else 6_000
    program = compile_recipe(recipes.ours_aligned(model, 16), model, kT=kT, samples=samples)
    row = score_program(program, model, 16).rows[-1]
    aligned = find(scores, "ours, aligned skip")
    assert (row.device == "model") is run and row.weights == 0
    assert row.scores.centred_cosine == pytest.approx(aligned.scores.centred_cosine, abs=0.01)
