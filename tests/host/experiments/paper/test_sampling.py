# SPDX-License-Identifier: Apache-2.0
"""Experiment H: the law of averages."""

import numpy as np
import pytest

from ornstein.host.experiments.paper import sampling
from ornstein.host.experiments.paper.gateware import gateware_runner
from ornstein.host.models import recipes
from ornstein.host.models.run import recipe_problem
from ornstein.sim.reference import average_variance
from ornstein.sim.stages import EM, LM


@pytest.mark.parametrize("integrator", [LM, EM])
def test_variance_of_an_average_is_exact(integrator):
    """Against the covariance of the chain written out as a sum of its normals, long after it
    started from zero.
    """
    rate, kT, dt, steps, burn = 0.15, 0.7, 1.3, 9, 400
    total = burn + steps
    response = np.tril(
        (1 - dt * rate) ** np.subtract.outer(np.arange(total), np.arange(total)).clip(0)
    )
    normals = np.eye(total, total + 1)
    if integrator == LM:
        normals = (normals + np.eye(total, total + 1, 1)) / 2
    average = (response @ normals * np.sqrt(2 * kT * dt))[burn:].mean(axis=0)
    found = average_variance(np.array([rate]), kT, dt, steps, integrator)
    np.testing.assert_allclose(found, average @ average, rtol=1e-10)
    long = average_variance(np.array([rate]), kT, dt, 10**7, integrator)
    np.testing.assert_allclose(long, 2 * kT / (rate**2 * 10**7 * dt), rtol=1e-5)


@pytest.mark.parametrize("integrator", [LM, EM])
def test_the_fabrics_averages_follow_the_law(small, integrator):
    model, kT, dt, steps = small.model, 1e-3, 2.0, 300
    recipe = recipes.ours_aligned(model, 3)
    noise = sampling.Noise.of(recipe, recipe.predict(model.x_test), small.centre)
    problem = recipe_problem(recipe, kT=kT, samples=steps, dt=dt, integrator=integrator)
    with gateware_runner("model", 1) as runner:
        run = runner.run(problem, model.x_test, model.x_train)
    found = recipe.decode(run.outputs.mean)
    squares = np.sum((found - recipe.predict(model.x_test)) ** 2, axis=1)
    ratio = squares / noise.exact(kT, run.program.dt, steps, integrator)
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / np.sqrt(len(ratio))
    assert noise.exact(kT, dt, steps, integrator) == pytest.approx(
        noise.law(kT, dt, steps), rel=0.1
    )


def test_steps_of_the_law_lose_what_was_asked():
    noise = sampling.Noise(np.array([0.1, 0.3]), np.array([1.0, 2.0]), np.full(4, 5.0))
    steps = noise.steps(0.1, 1.0, 0.002)
    assert noise.loss(noise.law(0.1, 1.0, steps)) == pytest.approx(0.002, rel=0.01)
    assert noise.steps(0.2, 1.0, 0.002) == pytest.approx(2 * steps, abs=2)
    assert noise.steps(0.1, 2.0, 0.002) == pytest.approx(steps / 2, abs=2)
