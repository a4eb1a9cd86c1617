# SPDX-License-Identifier: Apache-2.0
"""The conditioning interface: what a layer computes, what is counted, what each fit reaches; the
rows of the table.
"""

import numpy as np
import pytest

from ornstein.host.experiments.scores import constant_mean, score
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.physics.couplings import hierarchical_bilinear
from ornstein.host.physics.interface import (
    Interface,
    Layer,
    Readout,
    fit_closed_form,
    fit_paper,
    fit_silu,
    loss_and_gradients,
    silu,
)
from ornstein.host.physics.regression import reduced_rank, validated_ridge
from ornstein.sim.energy import Energy, EnergyError, Module


@pytest.fixture(scope="module")
def model():
    return TrainedModel.load()


def synthetic(rank=3, n=300, seed=0, curved=0.0):
    """Activations of 8 and 8 units: y is a map of x of the given rank, bent by ``curved``, around
    non-zero means.
    """
    rng = np.random.default_rng(seed)
    x = 0.3 * rng.normal(size=(n, 8)) @ rng.normal(size=(8, 8)) + rng.normal(size=8)
    hidden = (x - x.mean(axis=0)) @ rng.normal(size=(8, rank))
    y = (hidden + curved * hidden**2) @ rng.normal(size=(rank, 8)) + rng.normal(size=8)
    energy = hierarchical_bilinear(*(0.1 * rng.normal(size=(2, 8, 2, 3, 3))), rank=4)
    return energy, x, y


def r2(energy, interface, x, y, readout=None):
    biases = interface(x)
    mean = energy.mean(np.hstack([biases[m.name] for m in energy.modules]))[
        :, energy.slices["decoder"]
    ]
    return score(readout(mean) if readout else mean, y, y.mean(axis=0)).r2


def test_layers_add_up_in_order():
    first = Layer("input", np.array([[1.0], [2.0]]), None, np.array([[3.0]]), "a")
    second = Layer("bias:a", np.array([[0.5]]), "silu", np.array([[2.0, -1.0]]), "b")
    offset = {"a": np.array([1.0]), "b": np.zeros(2)}
    interface = Interface(np.array([1.0, 0.0]), np.array([2.0, 1.0]), (first, second), offset)
    biases = interface(np.array([[3.0, 1.0]]))
    code = 1 + 3 * (1 * (3 - 1) / 2 + 2 * 1)
    assert np.array_equal(biases["a"], [[code]])
    np.testing.assert_allclose(biases["b"], [[2 * silu(code / 2), -silu(code / 2)]], rtol=1e-15)
    assert np.array_equal(offset["a"], [1.0])


def test_weights_are_matrices_and_constants_are_what_changes_something():
    layer = Layer("input", np.ones((2, 1)), None, np.ones((1, 3)), "a")
    plain = Interface(np.zeros(2), np.ones(2), (layer,), {"a": np.zeros(3)})
    assert (plain.weights, plain.constants) == (5, 0)
    assert Interface(np.ones(2), np.full(2, 0.5), (layer,), {"a": np.ones(3)}).constants == 7
    assert Readout(np.ones(3), np.ones(3)).constants == 3


def test_silu_at_its_ends():
    assert silu(np.array([0.0, 800.0, -800.0])).tolist() == [0.0, 800.0, 0.0]


def test_gradients_match_finite_differences():
    rng = np.random.default_rng(0)
    x, y, weights = (
        rng.normal(size=(9, 4)),
        rng.normal(size=(9, 3)),
        [rng.normal(size=s) for s in ((4, 2), (2, 3))],
    )
    for activation in (None, "silu"):
        for centred in (False, True):
            _, gradients = loss_and_gradients(x, y, weights, activation, centred)
            for part, gradient in zip(weights, gradients, strict=True):
                for index in np.ndindex(part.shape):
                    losses = []
                    for shift in (1e-6, -1e-6):
                        moved = [w.copy() for w in weights]
                        moved[0 if part is weights[0] else 1][index] += shift
                        losses.append(loss_and_gradients(x, y, moved, activation, centred)[0])
                    assert gradient[index] == pytest.approx(
                        (losses[0] - losses[1]) / 2e-6, abs=1e-7
                    )


def test_reduced_rank_regression_without_noise_is_exact():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6))
    y = x @ rng.normal(size=(6, 2)) @ rng.normal(size=(2, 5))
    fit = reduced_rank(x, y, 2, ridge=0.0)
    np.testing.assert_allclose(fit(x), y, atol=1e-12)
    assert np.array_equal(np.abs(fit.project).max(axis=0), [1, 1])


def test_reduced_rank_regression_is_the_best_of_its_rank():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 6)), rng.normal(size=(80, 5))
    full = reduced_rank(x, y, 5, ridge=0.0)(x)
    dropped = np.linalg.svd(full, compute_uv=False)[2:]
    expected = np.sum((y - full) ** 2) + np.sum(dropped**2)
    assert np.sum((y - reduced_rank(x, y, 2, ridge=0.0)(x)) ** 2) == pytest.approx(expected)


def test_validation_chooses_more_ridge_for_noisier_targets():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 30))
    clean, noise = x @ rng.normal(size=(30, 4)), rng.normal(size=(60, 4))
    assert validated_ridge(x, clean, 4) < validated_ridge(x, clean + 30 * noise, 4)


@pytest.mark.parametrize("fit", [fit_closed_form, fit_silu])
def test_full_fits_reach_a_map_within_their_rank(fit):
    # rank 3 of the map itself, and 2 more for what the encoder's bias adds to the decoder through
    # the skip
    energy, x, y = synthetic(rank=3)
    assert r2(energy, fit(energy, x, y, encoder_rank=2, transfer_rank=5), x, y) > 0.999


def test_silu_transfer_follows_a_bend_that_a_linear_one_cannot():
    energy, x, y = synthetic(rank=1, curved=0.2)
    linear = r2(energy, fit_closed_form(energy, x, y, 2, 6), x, y)
    bent = r2(energy, fit_silu(energy, x, y, 2, 6), x, y)
    assert 1 - bent < 0.2 * (1 - linear)


def test_paper_fit_is_repeatable_and_reads_the_encoders_output():
    energy, x, y = synthetic()
    first, again = (fit_paper(energy, x, y, 2, 3, seed=1) for _ in range(2))
    assert np.array_equal(first(x)["decoder"], again(x)["decoder"])
    assert [layer.source for layer in first.layers] == ["input", "bias:encoder"]
    assert first.constants == 0


def test_fits_need_two_modules():
    energy = Energy((Module("encoder", 8),))
    with pytest.raises(EnergyError, match="two modules"):
        fit_closed_form(energy, np.zeros((4, 8)), np.zeros((4, 8)))


@pytest.fixture(scope="module")
def row(model):
    """Scores of a recipe on the 64 held-out inputs of the default model."""

    def scores(recipe):
        return score(
            recipe.predict(model.x_test, model.y_test), model.y_test, model.y_train.mean(axis=0)
        )

    return scores


def test_full_interface_of_2560_weights(model, row):
    recipe = recipes.ours_full(model)
    scores = row(recipe)
    assert recipe.weights == 2560
    assert scores.cosine >= 0.9998 and scores.centred_cosine >= 0.975
    assert scores.r2 >= 0.985 and scores.top1 >= 62 / 64


def test_aligned_skip_without_digital_weights(model, row):
    recipe = recipes.ours_aligned(model)
    scores, uncoupled = row(recipe), row(recipe.without_couplings())
    assert recipe.weights == 0 and recipe.constants == 2 * 64 + 2 * 64
    assert scores.centred_cosine >= 0.9940 and scores.r2 >= 0.9955 and scores.top1 == 1
    assert abs(uncoupled.centred_cosine) < 1e-9 and abs(uncoupled.r2) < 1e-9


def test_exact_oracle_is_exact(model, row):
    recipe = recipes.exact_oracle(model)
    scores = row(recipe)
    assert scores.centred_cosine == pytest.approx(1) and scores.top1 == 1
    with pytest.raises(ValueError, match="its biases need the targets"):
        recipe.predict(model.x_test)


def test_the_papers_rows_hardly_see_the_input(model, row):
    target, mean = model.y_test, model.y_train.mean(axis=0)
    assert constant_mean(target, mean).cosine > 0.99
    full, oracle, skip = (
        row(build(model))
        for build in (recipes.paper_full, recipes.paper_oracle, recipes.paper_skip_only)
    )
    assert full.cosine > 0.9 and full.centred_cosine < 0.5 and full.r2 < 0
    assert oracle.centred_cosine < 0.9 and oracle.r2 < 0
    assert abs(skip.cosine) < 0.5 and skip.r2 < 0


def test_without_its_couplings_the_papers_recipe_scores_higher(model, row):
    assert row(recipes.no_couplings(model)).cosine > row(recipes.paper_full(model)).cosine
