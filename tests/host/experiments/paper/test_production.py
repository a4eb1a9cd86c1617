# SPDX-License-Identifier: Apache-2.0
"""Experiment C: the paper's configurations, where its network is known."""

import numpy as np
import pytest

from ornstein.host.experiments.paper import networks, reported
from ornstein.host.experiments.paper.reported import TRAINED, UNTRAINED
from ornstein.host.experiments.paper.scoring import script_cosine
from ornstein.host.experiments.paper.subjects import Network, decoder_part, halves, oracle_bias
from ornstein.host.experiments.scores import CENTRED, COSINE

SIZE = 16


def test_the_papers_oracle_skip_only_and_pipeline_follow_too(untrained):
    model, energy = untrained.model, untrained.energy()
    a, _, b = halves(energy)
    paper = reported.COSINE[UNTRAINED]

    def cosine(bias):
        return script_cosine(decoder_part(energy, energy.mean(bias)), model.y_test)

    assert cosine(oracle_bias(energy, model.x_test, model.y_test)) == pytest.approx(
        paper["oracle"], abs=5e-5
    )
    fit = networks.train_conditioning(model.x_train, model.x_train @ a, model.y_train @ b, 0)
    assert cosine(fit(model.x_test)) == pytest.approx(paper["full"], abs=1e-4)
    blind = np.hstack([fit.encoder(model.x_test), np.zeros_like(model.y_test)])
    assert cosine(blind) == pytest.approx(paper["skip only"], abs=2e-3)


def test_the_production_test_stands_beside_its_baselines(everything):
    production = everything[2]
    rows = {result.case for result in production.results}
    assert rows >= {
        "oracle",
        "exact oracle",
        "encoder and oracle",
        "skip only",
        "full",
        "full, no biases",
        "full, no couplings",
        "constant mean",
        "full, shuffled targets",
        "ours, closed form",
        "ours, no digital weights",
    }
    network = Network(TRAINED, SIZE)
    assert production.find(COSINE, network, "exact oracle").float64 == pytest.approx(1)
    assert production.find(CENTRED, network, "constant mean").float64 == 0
    for name in ("exact oracle", "ours, closed form"):
        result = production.find(CENTRED, network, name)
        assert result.gateware == pytest.approx(result.float64, abs=0.005)
