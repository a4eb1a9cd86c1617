# SPDX-License-Identifier: Apache-2.0
"""The benchmark of learning: every row, the alternatives, and the bias of the gradient."""

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy_energy
from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.coupling_memory import with_coupling_factors
from ornstein.host.devices.imperfections import Chip, Connections
from ornstein.host.experiments.common import documents
from ornstein.host.experiments.learn import report
from ornstein.host.experiments.learn.alternatives import compensated, refitted
from ornstein.host.experiments.learn.gradients import equilibria, exact_gradient, gradient_rows
from ornstein.host.experiments.learn.row import DECIBELS
from ornstein.host.experiments.learn.run import MISMATCHES, run_benchmark
from ornstein.host.learn.learner import Settings
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


@pytest.fixture(scope="module")
def model():
    return TrainedModel.load()


@pytest.fixture(scope="module")
def aligned(model):
    return compile_recipe(recipes.ours_aligned(model), model, REFERENCE)


@pytest.fixture(scope="module")
def benchmark(model):
    settings = Settings(steps=4, batch=32, every=4)
    return run_benchmark(chips=1, images=1, settings=settings, model=model, gateware="model")


def test_every_kind_of_chip_has_a_row(benchmark):
    names = [row["what"] for row in benchmark.rows]
    assert names[:3] == [f"mismatch {value:g}" for value in MISMATCHES]
    for part in (
        "dead",
        "reads of 12 bits",
        "random start",
        "kT = 0.001",
        "drift",
        "denoiser",
        "refitted",
    ):
        assert sum(part in name for name in names) == 1
    assert all(row["multiplies"] > 0 for row in benchmark.rows)
    for row in benchmark.rows[:3]:
        assert row["after"] > row["before"] and row["steps"] == 4
        assert row["words"] > 0 and row["inputs"] > 4 * 4 * 32
    (denoiser,) = (row for row in benchmark.rows if row["score"] == DECIBELS)
    assert 30 < denoiser["before"] < denoiser["after"] - 0.3


def test_the_page_and_the_results_are_written(benchmark, tmp_path):
    page = report.write_learn_page(benchmark, tmp_path)
    assert "were learned on imperfect chips" in page.read_text()
    assert {file.stem for file in (tmp_path / "figures").iterdir()} >= {"curves", "gradients"}
    json.dumps(benchmark.rows, allow_nan=False)
    grid = report.table(benchmark)
    assert len(grid.rows) == len(benchmark.rows)


def test_what_was_measured_can_be_compensated_on_the_host(aligned, model):
    chip = Chip(1, connections=Connections(mismatch=0.1))
    for done in (refitted, compensated):
        found = done(aligned, model, chip)
        assert found.before < 0.95 and found.after > 0.99, done


def test_the_exact_gradient_is_that_of_finite_differences():
    energy, rng = toy_energy(), np.random.default_rng(2)
    biases, wanted = rng.normal(size=(6, 8)), rng.normal(size=(6, 3))
    weights, part = np.array([1.0, 2.0, 0.5]), slice(5, 8)
    exact = exact_gradient(energy, biases, wanted, weights, part)
    factor = energy.couplings[0].factors[1]
    losses = []
    for sign in (1, -1):
        moved = factor.copy()
        moved[2, 1] += sign * 1e-6
        coupling = type(energy.couplings[0])(
            ("a", "b"), (energy.couplings[0].factors[0], moved), energy.couplings[0].mix
        )
        other = type(energy)(energy.modules, (coupling,), energy.j2)
        losses.append(np.sum(weights * (wanted - other.mean(biases)[:, part]) ** 2) / 2 / 6)
    assert exact[0, 1][2, 1] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5)


def test_one_nudge_is_wrong_in_proportion_and_two_are_not(aligned, model):
    rows, differences = gradient_rows(aligned, model)
    single = {row.beta: row.error for row in rows if row.device != "model" and not row.symmetric}
    both = [row.error for row in rows if row.device != "model" and row.symmetric]
    assert single[0.1] == pytest.approx(5 * single[0.02], rel=0.01) and max(both) < 1e-9
    exact = {row.beta: row for row in rows if row.device == "model" and row.symmetric}
    assert exact[2.0].error < exact[0.02].error
    assert exact[2.0].cosine > 0.999
    best = {
        device: min(row.along for row in differences if row.device == device)
        for device in ("float:exact", "model")
    }
    assert best["float:exact"] < 1e-4 and best["model"] < 0.05


def test_the_exact_gradient_of_a_quartic_energy_is_that_of_finite_differences():
    energy, rng = replace(toy_energy(), j4=0.02), np.random.default_rng(4)
    biases, wanted = rng.normal(size=(6, 8)), rng.normal(size=(6, 3))
    weights, part = np.array([1.0, 2.0, 0.5]), slice(5, 8)
    states, _ = equilibria(energy, biases)
    assert np.abs(states @ energy.matrix() + 4 * energy.j4 * states**3 - biases).max() < 1e-12
    exact = exact_gradient(energy, biases, wanted, weights, part)
    losses = []
    for sign in (1, -1):
        factor = energy.couplings[0].factors[1].copy()
        factor[2, 1] += sign * 1e-6
        other = with_coupling_factors(energy, {(0, 1): factor})
        answers = equilibria(other, biases)[0][:, part]
        losses.append(np.sum(weights * (wanted - answers) ** 2) / 2 / 6)
    assert exact[0, 1][2, 1] == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-5)


def test_the_claims_of_the_paper_have_their_orders(benchmark):
    claims = benchmark.claims
    orders = {row.row: row for row in claims.select("order of the error in beta")}
    assert orders["quartic, one nudge"].float64 == pytest.approx(1, abs=0.05)
    assert orders["quartic, symmetric nudges"].float64 == pytest.approx(2, abs=0.1)
    assert orders["harmonic, symmetric nudges"].float64 == pytest.approx(0, abs=1e-6)
    strong = [row for row in claims.results if row.quantity.endswith("beta = 0.5")]
    assert [row.gateware for row in strong if row.row == "quartic, one nudge"] == [
        pytest.approx(row.float64, rel=0.1) for row in strong if row.row == "quartic, one nudge"
    ]
    second = claims.select("share of the leading error by the states' second response")
    assert [row.float64 < 1e-9 for row in second] == [True, False]
    json.dumps(documents([claims]), allow_nan=False)
