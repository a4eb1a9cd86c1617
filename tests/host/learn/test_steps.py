# SPDX-License-Identifier: Apache-2.0
"""Steps: one Gauss-Newton step all but repairs small errors of all factors; M stays definite."""

import numpy as np
import pytest

from helpers import learning
from helpers.programs import toy_energy
from ornstein.host.compile.coupling_memory import AdjustableCouplings, with_coupling_factors
from ornstein.host.devices.device import open_device
from ornstein.host.learn import steps
from ornstein.host.learn.nudges import Nudger, loss_gradient
from ornstein.host.learn.steps import (
    DAMPING,
    EASED,
    STIFFENED,
    TRUST,
    Curvature,
    definite,
    moved,
    strength,
)
from ornstein.sim.energy import Coupling, Energy, Module


def test_strength_is_that_of_the_spectrum():
    energy = toy_energy(across=0.15)  # of a leak of 0.2
    values = np.linalg.eigvalsh(energy.matrix())
    assert strength(energy) == pytest.approx(0.75)
    assert (values[0], values[-1]) == pytest.approx((0.05, 0.35))
    assert strength(energy.without_couplings()) == 0


def test_modes_beyond_the_limit_alone_are_shortened():
    couplings = AdjustableCouplings.of(learning.program())
    factors = couplings.factors()
    assert definite(couplings.energy(factors), factors, 0.9) == (factors, False)
    found = np.linalg.svd(couplings.energy(factors).matrix()[:5, 5:])[1]
    assert found[1] < 0.6 * found[0]
    limit = found[0] / 0.2 * 0.7  # of a leak of 0.2
    held, limited = definite(couplings.energy(factors), factors, limit)
    after = np.linalg.svd(couplings.energy(held).matrix()[:5, 5:])[1]
    assert limited and after == pytest.approx([0.7 * found[0], found[1], 0], abs=1e-9)
    strong = {side: 3 * factor for side, factor in factors.items()}
    held, _ = definite(couplings.energy(strong), strong, 0.9)
    assert strength(couplings.energy(held)) == pytest.approx(0.9)
    assert np.linalg.eigvalsh(couplings.energy(held).matrix())[0] > 0


def test_many_modes_beyond_the_limit_are_shortened_at_once(monkeypatch):
    """Training leaves a whole cluster of modes at the limit, and each step moves all beyond it."""
    rng = np.random.default_rng(5)
    basis = [np.linalg.qr(rng.normal(size=(units, 8)))[0] for units in (12, 9)]
    singular = np.array([0.99, 0.985, 0.98, 0.97, 0.96, 0.95, 0.5, 0.1])
    mix = np.array([[0, 1], [1, 0]])[:, :, None] * np.full(8, -0.2)
    skip = Coupling(("a", "b"), (basis[0] * np.sqrt(singular), basis[1] * np.sqrt(singular)), mix)
    energy = Energy((Module("a", 12), Module("b", 9)), (skip,), j2=0.1)
    spectra = []

    def counted(energy, limit):
        spectra.append(energy)
        return too_strong(energy, limit)

    too_strong = steps._too_strong
    monkeypatch.setattr(steps, "_too_strong", counted)
    held, limited = definite(energy, {(0, 0): skip.factors[0], (0, 1): skip.factors[1]}, 0.9)
    after = np.linalg.svd(with_coupling_factors(energy, held).matrix()[:12, 12:])[1] / 0.2
    assert limited and after[:8] == pytest.approx(np.minimum(singular, 0.9), abs=1e-8)
    assert len(spectra) == 2


def test_couplings_that_share_modules_stay_below_the_limit():
    rng = np.random.default_rng(4)
    modules = (Module("a", 6), Module("b", 5))
    gram = Coupling(("a",), (rng.normal(size=(6, 3)),), np.full((1, 1, 3), 0.1))
    skip = Coupling(
        ("a", "b"),
        (rng.normal(size=(6, 3)), rng.normal(size=(5, 3))),
        np.array([[0, 1], [1, 0]])[:, :, None] * np.full(3, -0.1),
    )
    energy = Energy(modules, (gram, skip), j2=0.1)
    factors = {(0, 0): gram.factors[0], (1, 0): skip.factors[0], (1, 1): skip.factors[1]}
    held, limited = definite(energy, factors, 0.6)
    assert limited and strength(with_coupling_factors(energy, held)) <= 0.6 + 1e-6


def test_no_step_leaves_the_trust_region():
    factors = {(0, 0): np.ones((4, 1)), (0, 1): np.ones((4, 1))}
    found = moved(factors, {(0, 0): np.full((4, 1), 100.0)}, 0.5)
    assert found[0, 0] == pytest.approx(1 + TRUST)
    assert found[0, 1] is factors[0, 1]
    assert moved(factors, {(0, 0): np.full((4, 1), 0.1)}, 0.5)[0, 0] == pytest.approx(1.05)


def test_a_step_is_that_of_gauss_and_newton():
    """Small errors of all factors, also of strong couplings, are all but repaired by one step."""
    couplings = AdjustableCouplings.of(learning.program())
    ideal, given = couplings.factors(), learning.inputs()
    rng = np.random.default_rng(3)
    wrong = {
        side: factor * (1 + 0.01 * rng.standard_normal(factor.shape))
        for side, factor in ideal.items()
    }
    with open_device("float:exact") as device:
        nudger = Nudger(couplings.program, device, beta=0.1, warm=False, seed=1)
        nudger.load(couplings.with_factors(wrong))
        energy = couplings.energy(wrong)
        phases = nudger.measure(given, learning.targets(given, couplings.program.problem))
    curvature = Curvature(damping=1e-9)
    curvature.note(phases.free)
    step = curvature.step(energy, loss_gradient(energy, phases), "b", nudger.weights)
    repaired = couplings.energy({side: wrong[side] + step[side] for side in wrong})
    biases = nudger.biases(given)
    errors = [
        np.linalg.norm((made.mean(biases) - couplings.energy(ideal).mean(biases))[:, 5:])
        for made in (energy, repaired)
    ]
    assert errors[1] < 0.1 * errors[0]


def test_damping_shortens_steps_and_follows_the_validations():
    rng = np.random.default_rng(2)
    gradient = {(0, 0): rng.normal(size=(5, 2)), (0, 1): rng.normal(size=(3, 2))}
    curvature, lengths = Curvature(np.eye(8), 1), []
    for better in (True, False, True):
        step = curvature.step(toy_energy(), gradient, "b", np.ones(3))
        lengths.append(sum(np.sum(part**2) for part in step.values()))
        curvature.adapt(better=better)
    assert lengths[2] < lengths[0] < lengths[1]
    assert curvature.damping == pytest.approx(DAMPING * EASED * STIFFENED * EASED)


def test_moments_are_averaged_over_the_last_batches():
    curvature = Curvature()
    for value in (1.0, 2.0, 3.0):
        curvature.note(np.full((4, 2), value))
    assert curvature.moments == pytest.approx(np.full((2, 2), (1 + 4 + 9) / 3))
    for _ in range(200):
        curvature.note(np.full((4, 2), 5.0))
    assert curvature.moments == pytest.approx(np.full((2, 2), 25.0), rel=1e-3)


def test_without_a_gradient_nothing_moves():
    gradient = {(0, 0): np.zeros((5, 2)), (0, 1): np.zeros((3, 2))}
    found = Curvature(np.eye(8), 1).step(toy_energy(), gradient, "b", np.ones(3))
    assert all((step == 0).all() for step in found.values())
