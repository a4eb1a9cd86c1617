# SPDX-License-Identifier: Apache-2.0
"""Experiment D: minima with a quartic term."""

from dataclasses import replace

import numpy as np

from ornstein.host.experiments.paper import quartic
from ornstein.host.experiments.paper.gateware import gateware_runner, relax


def test_the_quartic_minimum_is_stationary(small):
    energy = quartic.gram_module(small.model.W_enc, j4=0.05)
    bias = energy.matrix() @ small.model.x_test[0]
    state = quartic.quartic_minimum(energy, bias)
    np.testing.assert_allclose(energy.matrix() @ state + 4 * energy.j4 * state**3, bias, atol=1e-8)
    np.testing.assert_allclose(
        quartic.quartic_minimum(replace(energy, j4=0.0), bias), small.model.x_test[0], atol=1e-8
    )


def test_relaxation_finds_the_quartic_minimum(small):
    energy = quartic.gram_module(small.model.W_enc, j4=0.05)
    biases = small.model.x_test[:4] @ energy.matrix()
    with gateware_runner("model", 1) as runner:
        means, _ = relax(runner, energy, biases)
    minima = np.array([quartic.quartic_minimum(energy, bias) for bias in biases])
    np.testing.assert_allclose(means, minima, atol=2e-3)  # 12-bit factors and the state's rounding
