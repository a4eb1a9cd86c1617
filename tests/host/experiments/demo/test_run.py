# SPDX-License-Identifier: Apache-2.0
"""The numbers of the demo on a small made-up model: each row and share against its definition."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import TINY
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.common import DEVICE_KT, MODEL_KT
from ornstein.host.experiments.demo import run as demo_run
from ornstein.host.experiments.demo.figures import exhibits
from ornstein.host.experiments.demo.report import findings, how_measured
from ornstein.host.experiments.demo.run import (
    COEFFICIENTS,
    CONSTANT,
    FIT,
    LINEAR,
    RANK,
    ROUNDING,
    SAMPLING,
    SHUFFLED,
    TIME_STEP,
    run_demo,
)
from ornstein.host.experiments.demo.table import ELSEWHERE, GROUPS, MAIN, find, groups
from ornstein.host.experiments.scores import constant_mean, score, shuffled
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.recipes import ALIGNED, FULL, PAPER, PAPER_ORACLE, REFITTED, ZEROED
from ornstein.host.models.run import COLD_SAMPLES, samples_needed

SIZE = 20


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(7)
    latent = rng.normal(size=(140, 4))
    x, y = (
        0.3 * rng.normal(size=SIZE)
        + 0.1 * latent @ rng.normal(size=(4, SIZE))
        + 0.01 * rng.normal(size=(140, SIZE))
        for _ in range(2)
    )
    weights = (0.06 * rng.normal(size=(SIZE, SIZE)) for _ in range(2))
    return TrainedModel(*weights, x[:120], y[:120], x[120:], y[120:], provenance={"seed": 7})


@pytest.fixture(scope="module")
def demo(model):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_run, "COVARIANCE_KEPT", 40)
        told = []
        yield run_demo(model, device="model", progress=lambda *said: told.append(said))
    running = [done for what, done, _ in told if what == "running on the devices"]
    assert running == sorted(running) and running[-1] == 18 * len(model.x_test)


def test_every_row_is_there_once(demo):
    names = [(row.key, row.variant, row.device, row.kT) for row in demo.rows]
    assert len(names) == len(set(names)) == 21
    assert [title for title, _ in groups(demo)] == list(GROUPS)
    assert [row.key for row in dict(groups(demo))[MAIN]] == [ALIGNED, FULL]
    assert {row.device for row in dict(groups(demo))[ELSEWHERE]} == {
        "float",
        "float:exact",
        "model",
        "model:reference",
    }
    assert set(demo.results()[0]) == {
        "recipe", "device", "cosine", "centred_cosine", "r2", "top1", "weights", "constants", "kT",
        "dt", "steps", "samples", "cycles", "saturations", "utilisation", "equals_model",
    }  # fmt: skip


def test_rows_score_as_their_closed_forms(model, demo):
    centre = model.y_train.mean(axis=0)
    for key, variant, recipe in (
        (PAPER_ORACLE, "", recipes.paper_oracle(model)),
        (PAPER, REFITTED, recipes.no_couplings(model)),
        (FULL, "", recipes.ours_full(model)),
        (FULL, ZEROED, recipes.ours_full(model).without_couplings()),
        (FULL, REFITTED, recipes.ours_refitted(model)),
        (ALIGNED, "", recipes.ours_aligned(model)),
    ):
        row, answer = find(demo, key, variant), recipe.predict(model.x_test, model.y_test)
        expected = score(answer, model.y_test, centre)
        assert row.centred_cosine == pytest.approx(expected.centred_cosine, abs=0.02), row.recipe
        assert row.cosine == pytest.approx(expected.cosine, abs=0.02)
        assert (row.weights, row.constants) == (recipe.weights, recipe.constants)
        assert (row.samples, row.kT, row.saturations) == (COLD_SAMPLES, 0.0, 0)
        assert row.cycles is row.utilisation is row.equals_model is None  # no gateware ran
    exact = find(demo, FULL, device="float:exact")
    expected = score(recipes.ours_full(model).predict(model.x_test), model.y_test, centre)
    assert exact.centred_cosine == pytest.approx(expected.centred_cosine, abs=1e-9)


def test_reference_rows_are_those_of_the_training_mean_and_of_other_inputs(model, demo):
    centre = model.y_train.mean(axis=0)
    linear = recipes.align_pair(model).linear_map(model.x_test)
    for row, scores in (
        (find(demo, LINEAR), score(linear, model.y_test, centre)),
        (find(demo, CONSTANT), constant_mean(model.y_test, centre)),
        (find(demo, FULL, SHUFFLED), shuffled(demo.predictions[FULL], model.y_test, centre)),
    ):
        found = (row.cosine, row.centred_cosine, row.r2, row.top1)
        assert found == (scores.cosine, scores.centred_cosine, scores.r2, scores.top1)


def test_warm_rows_average_as_long_as_the_law_asks(model, demo):
    for recipe in (recipes.ours_full(model), recipes.ours_aligned(model)):
        for device, kT in (("model", DEVICE_KT), ("model:reference", MODEL_KT)):
            (row,) = [
                row
                for row in demo.rows
                if (row.key, row.variant, row.device, row.kT) == (recipe.key, "", device, kT)
            ]
            assert row.samples == max(COLD_SAMPLES, samples_needed(recipe, model, kT))
        needs = {need.kT: need.samples for need in demo.needs if need.key == recipe.key}
        assert needs == {kT: samples_needed(recipe, model, kT) for kT in demo_run.TEMPERATURES}


def test_error_shares_are_what_they_say(model, demo):
    spread = np.sqrt(np.mean((model.y_test - model.y_train.mean(axis=0)) ** 2))
    shares = {(share.key, share.stage): share for share in demo.errors}
    for recipe in (recipes.ours_full(model), recipes.ours_aligned(model)):
        exact = recipe.predict(model.x_test)
        own = np.sqrt(np.mean((exact - model.y_test) ** 2)) / spread
        assert shares[recipe.key, FIT].error == pytest.approx(own)
        whole = np.sqrt(np.mean((demo.predictions[recipe.key] - exact) ** 2)) / spread
        parts = [shares[recipe.key, stage].error for stage in (COEFFICIENTS, ROUNDING)]
        assert 0 < whole <= sum(parts) and max(parts) < 0.1
        assert shares[recipe.key, TIME_STEP].error < 1e-9  # Leimkuhler-Matthews is exact
        sampling = shares[recipe.key, SAMPLING]
        assert 0 < sampling.error < 3 * sampling.facts["expected"] + parts[1]
        assert all(how_measured(share) for share in demo.errors)
    assert (FULL, RANK) in shares and (ALIGNED, RANK) not in shares
    assert "drops" in how_measured(shares[FULL, RANK])


def test_relaxation_and_covariance_are_measured(model, demo):
    early = demo.distance_theory > 0.1
    np.testing.assert_allclose(demo.distance[early], demo.distance_theory[early], rtol=0.1)
    assert demo.distance[-1] < 0.05
    exact = recipes.ours_full(model).energy.covariance(1.0)
    np.testing.assert_array_equal(demo.covariance_exact, exact)
    error = np.linalg.norm(demo.covariance - exact) / np.linalg.norm(exact)
    assert 0.5 * demo.covariance_floor < error < 2 * demo.covariance_floor


def test_gateware_that_differs_stops_the_demo(model, monkeypatch):
    run = FabricDevice.run

    def wrong(*arguments, **options):
        outputs = run(*arguments, **options)
        outputs.sums[0, 0] += 1
        return outputs

    monkeypatch.setattr(FabricDevice, "run", wrong)
    monkeypatch.setattr(demo_run, "_cold_recipes", lambda model, device: (demo_recipes, []))
    demo_recipes = [recipes.ours_full(model), recipes.ours_aligned(model)]
    with pytest.raises(ModelMismatchError, match="differ"):
        run_demo(model, device="rtl")


# ---- words ---------------------------------------------------------------------------------------


def _words(demo):
    said = [f"{lead} {text}" for lead, text in findings(demo)]
    return " ".join([*said, *(exhibit.caption for exhibit in exhibits(demo))])


@pytest.mark.parametrize(
    ("key", "variant", "device", "values", "words"),
    [
        (FULL, "", "model", {"centred_cosine": 0.1234}, "centred cosine of 0.1234"),
        (FULL, "", "model", {"r2": 0.2345}, "an R2 of 0.2345 on model"),
        (FULL, "", "model", {"weights": 1234}, "1,234 digital weights"),
        (ALIGNED, "", "model", {"constants": 77}, "and 77 constants"),
        (ALIGNED, "", "model", {"top1": 0.345}, "nearest for 34.5% of the inputs"),
        (FULL, "", "float:exact", {"centred_cosine": 0.5678}, "against 0.5678 for the closed"),
        (LINEAR, "", None, {"r2": 0.5555}, "and an R2 of 0.5555; the substrate reaches"),
        (CONSTANT, "", None, {"cosine": 0.4321}, "scores 0.4321 by it"),
        (FULL, SHUFFLED, None, {"cosine": 0.5432}, "wrong targets score 0.5432"),
        (FULL, REFITTED, "model", {"centred_cosine": 0.6543}, "weights score 0.6543 instead"),
        (ALIGNED, ZEROED, "model", {"r2": 0.7654}, "to 0.7654"),
        (PAPER, "", "model", {"cosine": 0.8765}, "a cosine of 0.8765 here"),
        (PAPER, REFITTED, "model", {"cosine": 0.9876}, ": 0.9876,"),
        (PAPER_ORACLE, "", "model", {"equals_model": True, "saturations": 9}, "saturated 9 times"),
        (PAPER_ORACLE, "", "model", {"equals_model": False}, "only 0 were equal"),
        (ALIGNED, "", "model", {"centred_cosine": 0.99987}, "aligned skip, with 0.9999 and"),
    ],
)
def test_findings_and_captions_follow_the_rows(demo, key, variant, device, values, words):
    rows = [
        replace(row, **values)
        if (row.key, row.variant, row.device) == (key, variant, device) and not row.kT
        else row
        for row in demo.rows
    ]
    assert rows != demo.rows
    assert words not in _words(demo)
    assert words in _words(replace(demo, rows=rows))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda demo: {
                "time_steps": {
                    name: replace(step, chebyshev_steps=432)
                    for name, step in demo.time_steps.items()
                }
            },
            "in fewer than 432 (Chebyshev's bound)",
        ),
        (lambda demo: {"covariance_floor": 123.0}, "times the 123.0000 that"),
        (lambda demo: {"covariance": 2 * demo.covariance_exact}, "Frobenius norm is 1.0000"),
        (lambda demo: {"distance": 1.5 * demo.distance_theory}, "to within 50%"),
        (lambda demo: {"predictions": {FULL: demo.target}}, "R2 1.0000, so 0.0% of the"),
        (
            lambda demo: {
                "errors": [
                    replace(share, error=9.87) if share.stage == ROUNDING else share
                    for share in demo.errors
                ]
            },
            "the largest is formats and rounding, 9.87",
        ),
        (
            lambda demo: {
                "needs": [
                    replace(need, samples=98765) if need.key == FULL else need
                    for need in demo.needs
                ]
            },
            "98,765",
        ),
    ],
)
def test_captions_follow_the_arrays(demo, change, words):
    assert words not in _words(demo)
    assert words in _words(replace(demo, **change(demo)))


def test_baselines_that_cannot_run_are_listed_with_their_reason(model, monkeypatch):
    """Weights of a narrow convolution have no Gram matrix, so that only the aligned recipe runs."""
    monkeypatch.setattr(demo_run, "COVARIANCE_KEPT", 40)
    demo = run_demo(replace(model, W_enc=model.W_enc[:, :5]), device="model")
    assert {row.key for row in demo.rows} == {ALIGNED, CONSTANT, LINEAR}
    assert len(demo.failures) == 7
    assert all("need 20 columns or more" in failure.reason for failure in demo.failures)
    assert demo.covariance is None and find(demo, ALIGNED, SHUFFLED) is not None
    listed = [row for row in demo.results() if row.get("reason")]
    assert [row["recipe"] for row in listed] == [failure.recipe for failure in demo.failures]
    assert all(row["centred_cosine"] is None for row in listed)


def test_a_program_that_does_not_fit_is_listed_with_a_fabric_that_holds_it(model, demo):
    huge = replace(model, W_enc=300 * model.W_enc, W_dec=300 * model.W_dec)
    rows, failures = demo_run._cold_recipes(huge, "model")
    assert not failures
    plan = [demo_run._Job(rows[2], "model:tiny")]
    found, outcomes, errors = demo_run._run_rows(
        plan, huge, "model:tiny", TINY, 1, lambda *said: None
    )
    assert not found and not outcomes
    assert str(errors[0][1]).endswith("holds it")
