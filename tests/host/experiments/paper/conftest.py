# SPDX-License-Identifier: Apache-2.0
"""Subjects of the paper's experiments, and all experiments on a small one."""

import numpy as np
import pytest

from ornstein.host.experiments.paper import energy_account, quartic, sampling, skip, sweep
from ornstein.host.experiments.paper.reported import TRAINED
from ornstein.host.experiments.paper.run import run_paper
from ornstein.host.experiments.paper.subjects import Subject, load_untrained
from ornstein.host.models.model_file import TrainedModel

SIZE = 16


@pytest.fixture(scope="session")
def small():
    """A made-up trained network of 16 units a side: activations from 3 latent numbers."""
    rng = np.random.default_rng(5)
    latent = rng.normal(size=(160, 3))
    x = (
        0.3 * rng.normal(size=SIZE)
        + 0.1 * latent @ rng.normal(size=(3, SIZE))
        + 0.01 * rng.normal(size=(160, SIZE))
    )
    y = (
        0.3 * rng.normal(size=SIZE)
        + 0.1 * latent @ rng.normal(size=(3, SIZE))
        + 0.01 * rng.normal(size=(160, SIZE))
    )
    weights = (0.06 * rng.normal(size=(SIZE, SIZE)) for _ in range(2))
    model = TrainedModel(*weights, x[:136], y[:136], x[136:], y[136:], provenance={})
    return Subject(TRAINED, model)


@pytest.fixture(scope="session")
def untrained():
    return load_untrained()


@pytest.fixture(scope="session")
def everything(small):
    """All experiments on the small network, with fewer draws and temperatures."""
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skip, "SIGN_DRAWS", 10)
        patch.setattr(quartic, "DRAWS", 8)
        patch.setattr(sweep, "SEEDS", 2)
        patch.setattr(sampling, "TEMPERATURES", (1e-4, 1e-3))
        patch.setattr(energy_account, "_SECONDS", 0.001)
        experiments, _ = run_paper([small], "model", 1, lambda *progress: said.append(progress))
    assert said[0] == ("A: skip coupling, trained, D = 16", 0, 9)
    assert said[-1][0].startswith("I: ") and said[-1][1:] == (8, 9)
    return experiments
