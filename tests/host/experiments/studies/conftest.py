# SPDX-License-Identifier: Apache-2.0
"""One trained model with its recipes, and generators of random numbers."""

import numpy as np
import pytest

from ornstein.hdl.config import REFERENCE
from ornstein.host.devices.device import open_device
from ornstein.host.experiments.studies.subject import Subject
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


@pytest.fixture(scope="session")
def subject():
    return Subject.fit(TrainedModel.load())


@pytest.fixture(scope="session")
def baseline(subject):
    """Score of each recipe as it is compiled by default, on the integer model."""
    scores = {}
    for name, recipe in subject.recipes.items():
        program = compile_recipe(recipe, subject.model, REFERENCE)
        with open_device("model") as device:
            device.load(program)
            scores[name] = subject.score(
                program.problem.decode(device.run(subject.model.x_test, seed=1).mean)
            )
    return scores


@pytest.fixture(scope="session")
def generators():
    """``generators(count)``: a list of generators, the same each time."""

    def make(count, seed=0):
        return [np.random.default_rng([seed, number]) for number in range(count)]

    return make
