# SPDX-License-Identifier: Apache-2.0
"""The paper's networks: gradients, sizes, training, and the interface that they make."""

import numpy as np
import pytest

from ornstein.host.experiments.paper import networks

SIZE = 16


@pytest.mark.parametrize("linear", [True, False])
def test_gradients_are_those_of_the_loss(linear):
    rng = np.random.default_rng(1)
    matrices, biases = (
        [rng.normal(size=(3, 5)), rng.normal(size=(5, 2))],
        [rng.normal(size=5), rng.normal(size=2)],
    )
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))

    def loss():
        return np.mean((networks.Network(tuple(matrices), tuple(biases), linear, True)(x) - y) ** 2)

    for weight, slope in zip(
        matrices + biases, networks.gradients(matrices, biases, linear, x, y), strict=True
    ):
        for place in np.ndindex(weight.shape):
            weight[place] += 1e-6
            above = loss()
            weight[place] -= 2e-6
            below = loss()
            weight[place] += 1e-6
            assert slope[place] == pytest.approx((above - below) / 2e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "biases", "parameters"), [(64, True, 2708), (64, False, 2560), (128, True, 5396)]
)
def test_parameters_are_the_papers(size, biases, parameters):
    rng = np.random.default_rng(2)
    encoder, transfer = (
        networks.train(
            np.zeros((1, size)), np.zeros((1, size)), (size, hidden, size), 0, rng, biases=biases
        )
        for hidden in (4, 16)
    )
    assert networks.Conditioning(encoder, transfer).parameters == parameters


@pytest.mark.parametrize("biases", [True, False])
def test_the_fabrics_interface_is_the_network(small, biases):
    model = small.model
    fit = networks.train_conditioning(model.x_train, model.x_train, model.y_train, 3, biases=biases)
    produced = fit.interface("encoder", "decoder")(fit.inputs(model.x_test))
    np.testing.assert_allclose(
        np.hstack([produced["encoder"], produced["decoder"]]), fit(model.x_test), atol=1e-12
    )


def test_training_lowers_the_error(small):
    x, y = small.model.x_train, 0.2 * small.model.x_train
    before, after = (
        networks.train(x, y, (SIZE, 4, SIZE), steps, np.random.default_rng(0), linear=True)
        for steps in (0, 200)
    )
    assert np.mean((after(x) - y) ** 2) < 0.05 * np.mean((before(x) - y) ** 2)
