# SPDX-License-Identifier: Apache-2.0
"""Steps: a Gauss-Newton step of one factor solves a linear problem at once; M stays definite."""

import numpy as np
import pytest

from helpers import learning
from helpers.programs import toy_energy
from ornstein.host.compile.coupling_memory import AdjustableCouplings
from ornstein.host.devices.device import open_device
from ornstein.host.learn import steps
from ornstein.host.learn.nudges import Nudger, loss_gradient
from ornstein.host.learn.steps import TRUST, Curvature, definite, moved, strength


def test_strength_is_that_of_the_spectrum():
    energy = toy_energy(across=0.15)  # of a leak of 0.2
    values = np.linalg.eigvalsh(energy.matrix())
    assert strength(energy) == pytest.approx(0.75)
    assert (values[0], values[-1]) == pytest.approx((0.05, 0.35))
    assert strength(energy.without_couplings()) == 0


def test_too_strong_factors_are_scaled_down_to_the_limit():
    couplings = AdjustableCouplings.of(learning.program())
    factors = couplings.factors()
    assert definite(couplings.energy(factors), factors, 0.9) == (factors, False)
    weaker, limited = definite(couplings.energy(factors), factors, 0.3)
    assert limited and strength(couplings.energy(weaker)) == pytest.approx(0.3)
    strong = {side: 3 * factor for side, factor in factors.items()}
    held, _ = definite(couplings.energy(strong), strong, 0.9)
    assert np.linalg.eigvalsh(couplings.energy(held).matrix())[0] > 0


def test_no_step_leaves_the_trust_region():
    factors = {(0, 0): np.ones((4, 1)), (0, 1): np.ones((4, 1))}
    found = moved(factors, {(0, 0): np.full((4, 1), 100.0)}, 0.5)
    assert found[0, 0] == pytest.approx(1 + TRUST)
    assert found[0, 1] is factors[0, 1]
    assert moved(factors, {(0, 0): np.full((4, 1), 0.1)}, 0.5)[0, 0] == pytest.approx(1.05)


def test_a_step_is_that_of_gauss_and_newton(monkeypatch):
    """Small errors of one factor of weak couplings are all but repaired by one step of it."""
    monkeypatch.setattr(steps, "DAMPING", 1e-9)
    weak = learning.program(energies=(toy_energy(across=0.01),))
    couplings = AdjustableCouplings.of(weak)
    ideal, given = couplings.factors(), learning.inputs()
    rng = np.random.default_rng(3)
    with open_device("float:exact") as device:
        nudger = Nudger(couplings.program, device, beta=0.1, warm=False, seed=1)
        for side, factor in ideal.items():
            wrong = {**ideal, side: factor * (1 + 0.01 * rng.standard_normal(factor.shape))}
            nudger.load(couplings.with_factors(wrong))
            energy = couplings.energy(wrong)
            phases = nudger.measure(given, learning.targets(given, couplings.program.problem))
            curvature = Curvature()
            curvature.note(phases.free)
            step = curvature.step(energy, loss_gradient(energy, phases), "b", nudger.weights)[side]
            repaired = couplings.energy({**wrong, side: wrong[side] + step})
            biases = nudger.biases(given)
            errors = [
                np.linalg.norm((made.mean(biases) - couplings.energy(ideal).mean(biases))[:, 5:])
                for made in (energy, repaired)
            ]
            assert errors[1] < 0.1 * errors[0], side


def test_moments_are_averaged_over_the_last_batches():
    curvature = Curvature()
    for value in (1.0, 2.0, 3.0):
        curvature.note(np.full((4, 2), value))
    assert curvature.moments == pytest.approx(np.full((2, 2), (1 + 4 + 9) / 3))
    for _ in range(200):
        curvature.note(np.full((4, 2), 5.0))
    assert curvature.moments == pytest.approx(np.full((2, 2), 25.0), rel=1e-3)


def test_couplings_that_do_not_reach_the_target_stay():
    energy = toy_energy()
    curvature = Curvature(np.eye(8), 1)
    gradient = {(0, 0): np.ones((5, 2)), (0, 1): np.ones((3, 2))}
    assert curvature.step(energy, gradient, "elsewhere", np.ones(3)) == {}
