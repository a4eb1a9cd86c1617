# SPDX-License-Identifier: Apache-2.0
"""From recipes to programs: what enters, what is decoded, and how many steps are averaged."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.scores import score
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import (
    LOSS,
    compile_recipe,
    recipe_inputs,
    recipe_problem,
    recipe_time_step,
    samples_needed,
)
from ornstein.host.physics.problem import BIAS, INTERFACE
from ornstein.host.physics.timestep import TimeStepError
from ornstein.sim.stages import Stage


@pytest.fixture(scope="module")
def model():
    """A made-up model of 18 and 17 units, whose targets follow from three modes of the inputs."""
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(200, 3))
    x = latent @ rng.normal(size=(3, 18)) + 0.05 * rng.normal(size=(200, 18))
    y = latent @ rng.normal(size=(3, 17)) + 0.05 * rng.normal(size=(200, 17)) + 1
    weights = 0.06 * rng.normal(size=(18, 18)), 0.06 * rng.normal(size=(17, 18))
    return TrainedModel(*weights, x[:150], y[:150], x[150:], y[150:], provenance={})


@pytest.fixture(scope="module")
def recipe(model):
    return recipes.ours_aligned(model, 3)


def test_recipes_with_a_drive_or_an_interface_are_given_the_input(model, recipe):
    problem = recipe_problem(recipe)
    assert problem.check().entry == BIAS and problem.drive is not None
    assert recipe_problem(recipes.ours_full(model, recipe.energy)).check().entry == INTERFACE
    assert recipe_inputs(recipe, model.x_test, model.y_test) is model.x_test
    np.testing.assert_array_equal(
        problem.biases(model.x_test)[:, 0], recipe.biases(model.x_test, model.y_test)
    )
    means = np.random.default_rng(0).normal(size=(3, recipe.energy.units))
    np.testing.assert_array_equal(problem.decode(means), recipe.decode(means))


def test_an_oracle_is_given_its_biases(model, recipe):
    oracle = recipes.exact_oracle(model, recipe.energy)
    assert recipe_problem(oracle, kT=0.0, samples=4).check().entry == BIAS
    np.testing.assert_allclose(
        recipe_inputs(oracle, model.x_test, model.y_test),
        np.hstack([model.x_test, model.y_test]) @ recipe.energy.matrix(),
    )


def test_stages_replace_the_usual_schedule(recipe):
    usual = recipe_problem(recipe, kT=0.5, samples=7)
    assert [stage.kT for stage in usual.stages] == [0.5, 0.5] and usual.samples == 7
    stages = (Stage(9, 0.1, accumulate=True),)
    assert recipe_problem(recipe, kT=0.5, samples=7, stages=stages).stages == stages


def test_the_time_step_follows_the_spectrum_unless_it_is_fixed(recipe):
    slowest, fastest = recipe.energy.eigenvalues()[[0, -1]]
    chosen = recipe_problem(recipe, tolerance=1e-2)
    assert chosen.dt == pytest.approx(min(2 / (slowest + fastest), 0.98 / 0.2))
    assert chosen.steps == recipe_time_step(recipe, tolerance=1e-2).steps
    fixed = recipe_problem(recipe, tolerance=1e-2, dt=1.0)
    assert fixed.dt == 1.0 and fixed.steps == chosen_steps(fixed.energy, 1.0, 1e-2)
    with pytest.raises(TimeStepError, match="unstable"):
        recipe_problem(recipe, dt=2 / fastest)


def chosen_steps(energy, dt, tolerance):
    """Steps until the slowest mode has fallen to the tolerance."""
    factor = np.abs(1 - dt * energy.eigenvalues()).max()
    return int(np.ceil(np.log(tolerance) / np.log(factor)))


def test_a_compiled_recipe_answers_as_its_closed_form(model, recipe):
    with ModelDevice(REFERENCE) as device:
        device.load(program := compile_recipe(recipe, model, REFERENCE))
        mean = device.run(recipe_inputs(recipe, model.x_test, model.y_test)).mean
    expected = recipe.predict(model.x_test)
    found = program.problem.decode(mean)
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)


def test_as_many_samples_as_are_needed_lose_what_may_be_lost(model, recipe):
    """The loss is measured with noise of the predicted size, put on the targets themselves."""
    kT = 0.01
    samples = samples_needed(recipe, model, kT, dt=1.0)
    assert samples_needed(recipe, model, 0.0) == 0
    assert samples_needed(recipe, model, 2 * kT, dt=1.0) == pytest.approx(2 * samples, abs=2)
    assert samples_needed(recipe, model, kT, dt=2.0) == pytest.approx(samples / 2, abs=2)
    fewer = samples_needed(recipe, model, kT, dt=1.0, loss=2 * LOSS)
    assert fewer == pytest.approx(samples / 2, abs=2)
    chosen = samples_needed(recipe, model, kT)
    assert chosen == pytest.approx(samples / recipe_time_step(recipe).dt, abs=2)

    inverse = np.linalg.inv(recipe.energy.matrix())
    covariance = 2 * kT * inverse @ inverse / samples
    noise = np.random.default_rng(2).multivariate_normal(
        np.zeros(recipe.energy.units), covariance, len(model.y_test)
    )
    answers = model.y_test + noise[:, 18:] * recipe.readout.scale
    lost = 1 - score(answers, model.y_test, model.y_train.mean(axis=0)).centred_cosine
    # less than what may be lost, since the part of the noise along the target turns nothing
    assert 0.4 * LOSS < lost < LOSS


def test_recipes_are_told_apart_by_key_and_variant(model, recipe):
    assert (recipe.key, recipe.variant) == (recipes.ALIGNED, "")
    zeroed = recipe.without_couplings()
    assert (zeroed.key, zeroed.variant) == (recipes.ALIGNED, recipes.ZEROED)
    assert zeroed.name == "ours, aligned skip, couplings zeroed" and not zeroed.energy.couplings
    refitted = recipes.ours_refitted(model)
    assert (refitted.key, refitted.variant) == (recipes.FULL, recipes.REFITTED)


def test_a_recipe_without_weights_needs_an_energy(model, recipe):
    bare = replace(recipe, drive=None)
    with pytest.raises(ValueError, match="neither an interface nor a drive nor an oracle"):
        bare.biases(model.x_test)

    class Activations:
        x_train, y_train, x_test, y_test = model.x_train, model.y_train, model.x_test, model.y_test

    with pytest.raises(ValueError, match="Activations has no weights; name the energy"):
        recipes.exact_oracle(Activations())


@pytest.mark.parametrize("key", [recipes.FULL, recipes.ALIGNED])
def test_an_outlier_among_the_training_samples_costs_little(key):
    """One entry + 100 took the score of the full recipe from 0.994 to 0.81."""
    model = TrainedModel.load()
    x = model.x_train.copy()
    x[90, 26] += 100
    spoilt = replace(model, x_train=x)
    program = compile_recipe(recipes.of_rank(key, spoilt, recipes.RANK), spoilt, REFERENCE)
    with ModelDevice(REFERENCE) as device:
        device.load(program)
        answers = program.problem.decode(device.run(model.x_test, seed=1).mean)
    scores = score(answers, model.y_test, model.y_train.mean(axis=0))
    assert scores.centred_cosine > 0.99
    assert program.warnings()[0].startswith("1 of 1,733 calibration inputs reach more than 4 times")
